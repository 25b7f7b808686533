//! What the controller knows of the ledger: who pays for which tenant, what the ledger has of it, and what is in the way. No client,
//! no database; [`worker`] has both.
//!
//! An order says who pays. The account and its issuer are objects that others make: they are followed only where an order names
//! one, so a cluster without prices asks for nothing. What happened to a tenant comes from the journal ([`feed`]).

pub(crate) mod agreement;
pub(crate) mod deliveries;
pub(crate) mod dunning;
pub(crate) mod endpoint;
pub(crate) mod feed;
#[cfg(test)]
mod fixtures;
pub(crate) mod limits;
mod record;
pub(crate) mod records;
pub(crate) mod reserved;
pub(crate) mod used;
pub(crate) mod worker;

use super::context::Context;
use super::foreign::Sight;
use super::reconcile::dereference::Snapshot;
use crate::definitions::Store;
use jiff::Timestamp;
use kube::Resource;
use kube::core::ApiResource;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tenantry_apply::object::{Kind, ObjectId};
use tenantry_billing::{Books, BooksError, Summary};
use tenantry_checklist::billing::{Known, Payer, payer};
use tenantry_checklist::order::Order;
use tenantry_checklist::prices;
use tenantry_checklist::revision::name_of;
use tenantry_crds::{BillingAccount, InvoiceIssuer};
use tenantry_journal::{Database, DatabaseError, Entry, Epoch, HistoryOf};
use tenantry_ledger::agreement::Agreement;
use tenantry_ledger::catalogue::PriceList;
use tenantry_ledger::document::Document;
use tenantry_ledger::ladder::Stage;
use tokio::sync::Notify;

/// The ledger, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Billing {
    state: Mutex<State>,
    database: OnceLock<(Database, Epoch)>,
    /// There is something to do.
    news: Notify,
    /// There is something to be told to tenants.
    posted: Notify,
    /// There is something to be delivered to others.
    deliverable: Notify,
    /// What somebody owes may be something else.
    owing: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What orders ask for, by tenant.
    wants: BTreeMap<String, Want>,
    /// What the ledger has, by tenant.
    known: HashMap<String, Known>,
    /// Why the ledger does not have it, by tenant.
    troubles: HashMap<String, String>,
    /// Why the ledger cannot be asked at all.
    outage: Option<String>,
    /// Tenants whose charges began.
    charged: HashSet<String>,
    /// Up to when the ledger was told what was reserved, by tenant.
    reserved: HashMap<String, Timestamp>,
    /// Tenants of whom it has to be looked at anew since when they are measured.
    measured_anew: HashSet<String>,
    /// Tenants that have to be looked at.
    dirty: BTreeSet<String>,
    /// Tenants that are told something as soon as they have a namespace.
    homeless: HashSet<String>,
    /// Accounts of which it has to be looked at what they owe.
    owing: BTreeSet<String>,
    /// How far accounts were taken that did not pay, when that was looked at.
    stages: HashMap<String, Stage>,
}

/// What an order asks of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Want {
    /// Name of the subscription, which is woken when there is news.
    pub(crate) subscription: String,
    /// What the account is billed by.
    pub(crate) agreement: Agreement,
    /// The prices that are pinned.
    pub(crate) prices: PriceList,
}

// === impl Billing ===

impl Billing {
    /// What the ledger has of a tenant, and why it has not got what its order asks for.
    pub(crate) fn of(&self, tenant: &str) -> (Option<Known>, Option<String>) {
        let state = self.lock();
        let trouble = state.outage.clone().or_else(|| state.troubles.get(tenant).cloned());
        (state.known.get(tenant).cloned(), trouble)
    }

    /// Takes in what an order asks for.
    fn want(&self, tenant: &str, want: Result<Want, String>) {
        let mut state = self.lock();
        match want {
            Err(trouble) => {
                state.wants.remove(tenant);
                state.troubles.insert(tenant.to_owned(), trouble);
            }
            Ok(want) if state.wants.get(tenant) != Some(&want) => {
                state.owing.insert(want.agreement.account.id.clone());
                state.wants.insert(tenant.to_owned(), want);
                state.troubles.remove(tenant);
                state.dirty.insert(tenant.to_owned());
                drop(state);
                self.news.notify_one();
                self.owing.notify_one();
            }
            Ok(_) => {}
        }
    }

    /// The journal has these from here on.
    pub(crate) fn recorded(&self, entries: &[(u64, Entry)]) {
        let mut state = self.lock();
        let mut news = false;
        for (_, entry) in entries.iter().filter(|(_, entry)| reserved::concerns(entry)) {
            // The hours that this is about are computed again, whichever those are.
            state.reserved.remove(&entry.tenant);
        }
        for (_, entry) in entries.iter().filter(|(_, entry)| used::concerns(entry)) {
            state.measured_anew.insert(entry.tenant.clone());
        }
        for (_, entry) in entries.iter().filter(|(_, entry)| feed::concerns(entry)) {
            if entry.subject == "Charges" {
                state.charged.insert(entry.tenant.clone());
            }
            if state.charged.contains(&entry.tenant) {
                news |= state.dirty.insert(entry.tenant.clone());
            }
        }
        drop(state);
        if news {
            self.news.notify_one();
        }
    }

    /// What the journal has of a tenant, and what was billed; nothing where no charges began.
    ///
    /// # Errors
    /// When the database cannot be read, or is not open yet.
    pub(crate) async fn billed(
        &self,
        tenant: &str,
    ) -> Result<Option<(Vec<Entry>, Vec<Document>)>, BooksError> {
        let Some((database, _)) = self.database.get() else {
            return Err(DatabaseError::Unavailable { source: "it is not open yet".into() }.into());
        };
        let entries = database.history(&HistoryOf::Tenant(tenant.to_owned())).await?;
        if feed::feed(&entries).is_none() {
            return Ok(None);
        }
        let documents = Books::new(database.clone()).documents_of(tenant).await?;
        Ok(Some((entries, documents)))
    }

    /// The database is open, and this process writes to it.
    pub(crate) fn opened(&self, database: Database, epoch: Epoch) {
        let _same = self.database.set((database, epoch));
        self.news.notify_one();
        self.posted.notify_one();
        self.deliverable.notify_one();
        self.owing.notify_one();
    }

    /// The database, once it is open; whoever waits for it is told by `opened`.
    async fn writer(&self, opened: &Notify) -> (Database, Epoch) {
        loop {
            let news = opened.notified();
            match self.database.get() {
                Some((database, epoch)) => return (database.clone(), *epoch),
                None => news.await,
            }
        }
    }

    /// A run is over: whose next invoice is another one now is looked at.
    fn closed(&self, summary: &Summary) {
        for (account, reason) in &summary.parked {
            tracing::error!(account, reason, "an account is parked until a person has looked at it");
        }
        for document in &summary.documents {
            tracing::info!(number = document.number, account = document.account, "made a document");
        }
        if !summary.documents.is_empty() {
            self.posted.notify_one();
            self.deliverable.notify_one();
        }
        let mut state = self.lock();
        let lines = summary.documents.iter().flat_map(|document| &document.lines);
        state.dirty.extend(lines.map(|line| line.subscription.clone()));
        drop(state);
        // So is whoever had nothing on the document that came before his own; and what fell due meanwhile has another timer.
        self.paid(&summary.documents.iter().map(|document| document.account.as_str()).collect());
    }

    /// What these accounts owe is something else now.
    fn paid(&self, accounts: &BTreeSet<&str>) {
        let mut state = self.lock();
        state.owing.extend(accounts.iter().map(|account| (*account).to_owned()));
        for account in accounts {
            state.look_at_tenants_of(account);
        }
        drop(state);
        self.look_again();
        self.owing.notify_one();
    }

    /// An account is taken so far because it does not pay.
    fn is_at(&self, account: &str, stage: Option<Stage>) {
        let mut state = self.lock();
        let before = match stage {
            Some(stage) => state.stages.insert(account.to_owned(), stage),
            None => state.stages.remove(account),
        };
        if before != stage {
            state.look_at_tenants_of(account);
            drop(state);
            self.look_again();
        }
    }

    /// Something may be due that the timer does not know of.
    fn look_again(&self) {
        self.news.notify_one();
    }

    /// A tenant has no namespace to be told anything in.
    fn waits_for_namespace(&self, tenant: &str) {
        self.lock().homeless.insert(tenant.to_owned());
    }

    /// A tenant has a namespace.
    fn has_namespace(&self, tenant: &str) {
        if self.lock().homeless.remove(tenant) {
            self.posted.notify_one();
        }
    }

    /// A subscription is gone. What the ledger is still to be told of its tenant it is told all the same.
    pub(crate) fn forget(&self, tenant: &str) {
        let mut state = self.lock();
        state.wants.remove(tenant);
        state.troubles.remove(tenant);
        let is_to_be_told = state.homeless.remove(tenant);
        drop(state);
        if is_to_be_told {
            self.posted.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn look_at_tenants_of(&mut self, account: &str) {
        let asking = self.wants.iter().filter(|(_, want)| want.agreement.account.id == account);
        let known = self.known.iter().filter(|(_, known)| known.account == account);
        let tenants = asking.map(|(tenant, _)| tenant).chain(known.map(|(tenant, _)| tenant));
        self.dirty.extend(tenants.cloned());
    }
}

/// Asks the ledger for what an order needs of it.
pub(crate) fn ask(context: &Context, snapshot: &Snapshot, order: &Order) {
    if records::namespace(&snapshot.status).is_some() {
        context.billing.has_namespace(order.tenant_id.as_str());
    }
    let Payer::Account { account, price_list } = payer(order) else { return };
    let want = agreement_of(context, &snapshot.root.name, account).and_then(|agreement| {
        let prices = price_list_of(&context.store, price_list).ok_or_else(|| {
            format!("the prices {price_list} are not stored any more; restore the ControllerRevision that held them")
        })?;
        Ok(Want { subscription: snapshot.root.name.clone(), agreement, prices })
    });
    context.billing.want(order.tenant_id.as_str(), want);
}

/// The kinds of objects that an order with a payer waits for.
pub(crate) fn kinds(order: &Order) -> Vec<(Kind, ApiResource)> {
    match payer(order) {
        Payer::Account { .. } => vec![kind::<BillingAccount>(), kind::<InvoiceIssuer>()],
        Payer::Free | Payer::Missing => Vec::new(),
    }
}

/// A price list by its name, from whichever stored revision of its plan has it.
fn price_list_of(store: &Store, name: &str) -> Option<PriceList> {
    let plan = name_of(name);
    let specs = store.plan_revisions(plan);
    let spec = specs.iter().find(|spec| prices::name(plan, spec).as_deref() == Some(name))?;
    prices::list(plan, spec).ok()?
}

fn agreement_of(context: &Context, subscription: &str, account: &str) -> Result<Agreement, String> {
    let payer = look::<BillingAccount>(context, subscription, account, "spec.billing.accountRef")?;
    let issuer = &payer.spec.issuer_ref.name;
    let field = format!("spec.issuerRef of BillingAccount {account}");
    let seller = look::<InvoiceIssuer>(context, subscription, issuer, &field)?;
    agreement::agreement(account, &payer.spec, &seller.spec).map_err(|refusal| {
        format!("BillingAccount {account} cannot be billed by InvoiceIssuer {issuer}: {refusal}")
    })
}

fn look<K>(context: &Context, subscription: &str, name: &str, field: &str) -> Result<K, String>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let (kind, resource) = kind::<K>();
    let word = K::kind(&());
    let id = ObjectId { kind, namespace: None, name: name.into() };
    match context.foreign.look(&id, &resource, subscription) {
        Sight::NotSynced => Err(format!("{word} {name} has not been looked at yet")),
        Sight::Absent => Err(format!("there is no {word} {name}; make it, or correct {field}")),
        Sight::There(object) => serde_json::from_value::<K>((*object).clone())
            .map_err(|error| format!("{word} {name} cannot be read: {error}; correct it")),
    }
}

fn kind<K: Resource<DynamicType = ()>>() -> (Kind, ApiResource) {
    let resource = ApiResource::erase::<K>(&());
    (Kind::new(&resource.group, &resource.version, &resource.kind), resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everybody_whose_account_was_billed_is_looked_at_again() {
        let billing = Billing::default();
        for (tenant, account) in [("t1", "acme"), ("t2", "acme"), ("t3", "other")] {
            let known = Known { account: account.to_owned(), ..Known::default() };
            billing.lock().known.insert(tenant.to_owned(), known);
        }
        let party = json!({"name": "A", "country": "CH"});
        let document: Document = serde_json::from_value(json!({
            "number": "INV-001-001", "kind": "Invoice", "typeCode": 380, "issued": "2026-12-01", "currency": "EUR",
            "account": "acme", "seller": party, "buyer": party, "lines": [], "taxes": [], "net": "0.00", "tax": "0.00",
            "gross": "0.00", "drawn": "0.00", "surplus": "0.00", "payable": "0.00",
        }))
        .unwrap();
        billing.closed(&Summary { documents: vec![document], ..Summary::default() });
        let dirty: Vec<String> = billing.lock().dirty.iter().cloned().collect();
        assert_eq!(dirty, ["t1", "t2"]);
    }
}
