//! The end itself: what is handed over, what is recorded, and the finalizer. Needs clients.

use super::{Ending, Found};
use crate::controller::journal::entry;
use crate::controller::reconcile::write::{self, WriteError};
use crate::controller::reconcile::{Next, Outcome, backoff, sayings};
use crate::handover::{self, Document, INVOICES, SUBJECT, Subject};
use crate::receipt::{self, Ended};
use std::time::Duration;
use tenantry_apply::object::Kind;
use tenantry_apply::scope::{Scope, Scopes};
use tenantry_checklist::exit::{self, Left, Leftover, Observed};
use tenantry_checklist::item::Evaluation;
use tenantry_checklist::journal::{self, End};
use tenantry_checklist::suspension::Effect;
use tenantry_crds::TenantSubscriptionStatus;
use tenantry_crds::subscription::{DeletionPolicy, JournalFact, JournalSubject};
use tenantry_journal::Entry;
use tokio::time::timeout;

/// How long the end of a tenant waits for the journal before its status says so.
const PATIENCE: Duration = Duration::from_secs(2);

// === impl Ending ===

impl Ending<'_> {
    /// Everything has ended: records it, and takes the finalizer off.
    pub(super) async fn over(mut self) -> Result<(Outcome, Next), WriteError> {
        let signer =
            match self.context.receipts.signer(&self.context.client, &self.context.config.namespace).await {
                Ok(signer) => signer,
                Err(error) => {
                    let subscription = &self.snapshot.root.name;
                    tracing::warn!(%subscription, %error, "the receipt cannot be signed yet; trying again");
                    self.session.outages = self.session.outages.saturating_add(1);
                    let next = self.snapshot.instant + backoff(self.session.outages);
                    return Ok((Outcome::Failed, Some(next)));
                }
            };
        let leftovers = self.leftovers();
        let documents = match self.handed_over().await {
            Ok(documents) => documents,
            Err(why) => return self.unrecorded(&why).await,
        };
        let ended = Ended {
            terms: &self.terms,
            documents: &documents,
            checklist: &self.checklist,
            leftovers: &leftovers,
            at: self.snapshot.now,
        };
        let signed = receipt::signed(&self.subject(), &ended, &signer);
        let now = self.snapshot.now;
        let status =
            TenantSubscriptionStatus { checklist: self.checklist.clone(), ..self.snapshot.status.clone() };
        let end = End { policy: self.terms.policy, requested: self.terms.requested, leftovers: &leftovers };
        let mut facts = journal::facts(&status);
        facts.extend(self.facts(&documents));
        // There is one, whoever crashes when: the first that is recorded.
        facts.extend(journal::document(&status, signed.name, None, &signed.evidence(), now));
        facts.extend(journal::ending(&status, &end, now));
        let is_left = |fact: &&JournalFact| fact.subject == JournalSubject::Leftover;
        let left = facts.iter().filter(is_left).cloned();
        let left: Vec<Entry> = left.map(|fact| entry(&self.snapshot.root, fact)).collect();
        if !self.context.journal.record(&self.snapshot.root, facts, PATIENCE).await {
            let evaluation = Evaluation { entries: self.checklist.clone(), ..Evaluation::default() };
            self.tell(&evaluation, &[], false, true).await?;
            // Woken when it is recorded.
            return Ok((Outcome::Waiting, None));
        }
        sayings::remove(self.context, &self.snapshot).await?;
        write::finalizer(self.context, &self.snapshot, false).await?;
        let policy = self.terms.policy;
        tracing::info!(subscription = %self.snapshot.root.name, ?policy, leftovers = leftovers.len(), "ended");
        self.context.leftovers.add(left);
        Ok((Outcome::Settled, None))
    }

    /// Says that the end is not on record, and tries again.
    async fn unrecorded(mut self, why: &str) -> Result<(Outcome, Next), WriteError> {
        let subscription = &self.snapshot.root.name;
        tracing::warn!(%subscription, why, "the end of a tenant waits for the ledger");
        let evaluation = Evaluation { entries: self.checklist.clone(), ..Evaluation::default() };
        self.tell(&evaluation, &[], false, true).await?;
        self.session.outages = self.session.outages.saturating_add(1);
        Ok((Outcome::Failed, Some(self.snapshot.instant + backoff(self.session.outages))))
    }

    /// Keeps what the customer is given besides his data, before the tenant is stopped; nothing once that is done.
    pub(super) async fn documents(&mut self) -> Option<Found> {
        let documents = match self.handed_over().await {
            Ok(documents) => documents,
            Err(why) => {
                let why = format!("wait for the ledger: {why}; see to the controller's database");
                let left = vec![Left { object: "the customer's invoices".to_owned(), why }];
                let observed = Observed { left, ..Observed::default() };
                // Never given up, and nothing tells when the database is back.
                return Some(Found { observed, endures: true, failed: true, ..Found::default() });
            }
        };
        let facts = self.facts(&documents);
        if self.context.journal.record(&self.snapshot.root, facts, PATIENCE).await {
            return None;
        }
        let why = "wait for the journal: see to the controller's database";
        let left = vec![Left { object: "the customer's documents".to_owned(), why: why.to_owned() }];
        // Woken when they are recorded, and never given up.
        Some(Found { observed: Observed { left, ..Observed::default() }, endures: true, ..Found::default() })
    }

    /// What the customer is given besides his data, where the data is kept for a while.
    ///
    /// # Errors
    /// When something was charged, and the ledger does not say what.
    async fn handed_over(&mut self) -> Result<Vec<Document>, String> {
        if matches!(self.terms.policy, DeletionPolicy::Delete | DeletionPolicy::Retain) {
            return Ok(Vec::new());
        }
        let invoices = self.invoices().await?;
        let prepared = self.rendered(Effect::default());
        if let Err(why) = &prepared {
            let subscription = &self.snapshot.root.name;
            tracing::warn!(%subscription, why, "the objects of a tenant that ends are not among its documents");
        }
        let objects = prepared.as_ref().ok().map(|prepared| prepared.desired.as_slice());
        let mut documents = handover::documents(&self.subject(), objects);
        documents.extend(invoices);
        Ok(documents)
    }

    /// What was billed, if anything was charged. The first that is recorded stays, so that a receipt names what is handed over.
    async fn invoices(&self) -> Result<Option<Document>, String> {
        let status = &self.snapshot.status;
        let is_billed =
            status.billing.is_some() || self.subject().order().is_some_and(|order| order.billing.is_some());
        let Some(tenant) = status.tenant.as_ref().filter(|_| is_billed) else { return Ok(None) };
        match timeout(PATIENCE, self.context.billing.billed(&tenant.id)).await {
            Ok(Ok(billed)) => Ok(billed.map(|(entries, documents)| {
                let is_it = |entry: &&Entry| entry.subject == SUBJECT && entry.item == INVOICES;
                let recorded = entries.iter().find(is_it).map(|entry| entry.evidence.as_str());
                handover::invoices(recorded, &documents)
            })),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    fn facts(&self, documents: &[Document]) -> Vec<JournalFact> {
        let status = &self.snapshot.status;
        let facts = documents.iter().filter_map(|document| {
            // Of what was billed there is one: invoices go on after the documents are made.
            let version = Some(document.sha256.as_str()).filter(|_| document.name != INVOICES);
            journal::document(status, document.name, version, &document.evidence(), self.snapshot.now)
        });
        facts.collect()
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            subscription: &self.snapshot.root.name,
            uid: &self.snapshot.root.uid,
            status: &self.snapshot.status,
        }
    }

    /// What could not be removed.
    fn leftovers(&self) -> Vec<Leftover> {
        let is_namespaced = |kind: &str| {
            let scope = Kind::parse(kind).and_then(|kind| self.context.discovery.scope(&kind));
            scope != Some(Scope::Cluster)
        };
        exit::leftovers(&self.inventory, &self.owner.namespace, |entry| is_namespaced(&entry.kind))
    }
}
