//! What the controller knows of the journal: what is recorded, what waits to be, and what it teaches. No client, no
//! database; [`writer`] has the database.
//!
//! Facts are read off statuses ([`tenantry_checklist::journal`]), so what waits here may be lost at any time: a later look at
//! the subscription offers it again. Nothing is asked of the database at rest.

pub(crate) mod writer;

use super::patience::until;
use super::roots::Root;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tenantry_checklist::forecast::Estimate;
use tenantry_checklist::journal::DONE;
use tenantry_checklist::learned::{Learned, Similar, Usual};
use tenantry_checklist::revision::name_of;
use tenantry_checklist::time;
use tenantry_crds::subscription::{JournalFact, JournalSubject};
use tenantry_journal::{Entry, Sample};
use tokio::sync::Notify;

/// Facts that wait at most. What comes beyond is offered again when the database has caught up.
const MOST_WAITING: usize = 20_000;

/// The journal, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    state: Mutex<State>,
    learned: RwLock<Learned>,
    /// Something waits to be recorded.
    offered: Notify,
    /// Something was recorded, or it is known what the database has.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether it is known what the database has.
    known: bool,
    /// Something was offered before that.
    missed: bool,
    /// What the database has, by tenant, as hashes of the facts' ids.
    recorded: HashMap<String, HashSet<u64>>,
    /// What it shall have, in the order in which it came.
    waiting: BTreeMap<u64, Entry>,
    /// Ids of those.
    offered: HashSet<u64>,
    arrivals: u64,
    /// More came than may wait.
    overflowed: bool,
    /// Subscriptions that go on when something of theirs is recorded.
    patient: BTreeSet<String>,
}

// === impl Journal ===

impl Journal {
    /// Whether the database has a fact.
    pub(crate) fn has(&self, fact: &JournalFact) -> bool {
        let tenant = tenant_of(&fact.id);
        self.lock().recorded.get(tenant).is_some_and(|known| known.contains(&hash(&fact.id)))
    }

    /// Offers what a status tells. Until it is known what the database has, this does nothing: then everybody looks again.
    pub(crate) fn offer(&self, root: &Root, facts: Vec<JournalFact>) {
        let mut state = self.lock();
        let state = &mut *state;
        if !state.known {
            state.missed = true;
            return;
        }
        let mut news = false;
        for fact in facts {
            let id = hash(&fact.id);
            let tenant = tenant_of(&fact.id);
            let is_old = state.recorded.get(tenant).is_some_and(|known| known.contains(&id));
            if is_old || state.offered.contains(&id) {
                continue;
            }
            if state.waiting.len() >= MOST_WAITING {
                state.overflowed = true;
                break;
            }
            state.offered.insert(id);
            state.arrivals += 1;
            state.waiting.insert(state.arrivals, entry(root, fact));
            news = true;
        }
        if news {
            self.offered.notify_one();
        }
    }

    /// Offers what no status tells.
    pub(crate) fn append(&self, entry: Entry) {
        let mut state = self.lock();
        state.offered.insert(hash(&entry.id));
        state.arrivals += 1;
        let place = state.arrivals;
        state.waiting.insert(place, entry);
        drop(state);
        self.offered.notify_one();
    }

    /// Offers facts and waits until they are recorded, but no longer than `patience`. Whoever is told that they are not is
    /// woken when they are.
    pub(crate) async fn record(&self, root: &Root, facts: Vec<JournalFact>, patience: Duration) -> bool {
        let is_recorded = || facts.iter().all(|fact| self.has(fact));
        if is_recorded() {
            return true;
        }
        self.waits(&root.name);
        self.offer(root, facts.clone());
        until(&self.moved, patience, is_recorded).await
    }

    /// A subscription goes on when something of its is recorded.
    pub(crate) fn waits(&self, subscription: &str) {
        self.lock().patient.insert(subscription.to_owned());
    }

    /// A tenant is gone for good.
    pub(crate) fn forget(&self, tenant: &str) {
        self.lock().recorded.remove(tenant);
    }

    /// How long an item takes in similar orders.
    pub(crate) fn usual(&self, similar: &Similar, item: &str) -> Option<Usual> {
        self.learned.read().unwrap_or_else(PoisonError::into_inner).usual(similar, item)
    }

    /// Waits until it is known what the database has, but no longer than `patience`.
    pub(crate) async fn opened(&self, patience: Duration) {
        let _late = until(&self.moved, patience, || self.lock().known).await;
    }

    /// Facts that wait to be recorded.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Takes in what the database has. Says whether something was offered before, so that everybody has to look again.
    fn load(&self, recorded: Vec<String>, learned: Learned) -> bool {
        let mut state = self.lock();
        state.recorded.clear();
        for id in recorded {
            let known = state.recorded.entry(tenant_of(&id).to_owned()).or_default();
            known.insert(hash(&id));
        }
        state.known = true;
        let is_late = std::mem::take(&mut state.missed);
        drop(state);
        *self.learned.write().unwrap_or_else(PoisonError::into_inner) = learned;
        self.moved.notify_waiters();
        is_late
    }

    /// What waits longest, at most so much of it, each with its place.
    fn next(&self, most: usize) -> Vec<(u64, Entry)> {
        self.lock().waiting.iter().take(most).map(|(at, entry)| (*at, entry.clone())).collect()
    }

    /// These are recorded: gives the subscriptions that may go on, and whether everybody has to look again.
    fn recorded(&self, entries: Vec<(u64, Entry)>) -> (Vec<String>, bool) {
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        for (_, entry) in &entries {
            learn(&mut learned, entry);
        }
        drop(learned);
        let mut state = self.lock();
        let mut woken = Vec::new();
        for (at, entry) in entries {
            let id = hash(&entry.id);
            state.waiting.remove(&at);
            state.offered.remove(&id);
            if state.patient.remove(&entry.subscription) {
                woken.push(entry.subscription);
            }
            state.recorded.entry(entry.tenant).or_default().insert(id);
        }
        let everybody = state.overflowed && state.waiting.is_empty();
        if everybody {
            state.overflowed = false;
        }
        drop(state);
        self.moved.notify_waiters();
        (woken, everybody)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Number of the operation by which a tenant is made.
const ONBOARDING: i64 = 1;

/// What samples teach, which come with the latest first.
pub(crate) fn learned(samples: Vec<Sample>) -> Learned {
    let mut learned = Learned::default();
    for sample in samples.into_iter().rev() {
        let Sample { application, version, plan, item, machine_seconds, people_seconds } = sample;
        let took = Estimate::of_seconds(machine_seconds, people_seconds);
        learned.add(&Similar { application, version, plan }, &item, took);
    }
    learned
}

/// Takes in how long an item of a new tenant took, as [`Sample`]s are those of new tenants: a later operation does a part of it once more.
fn learn(learned: &mut Learned, entry: &Entry) {
    if entry.subject != word(JournalSubject::Item) || entry.outcome != DONE || entry.operation != ONBOARDING {
        return;
    }
    let similar = Similar {
        application: entry.application.clone(),
        version: entry.version.clone(),
        plan: entry.plan.clone(),
    };
    let took = Estimate::of_seconds(entry.machine_seconds, entry.people_seconds);
    learned.add(&similar, &entry.item, took);
}

/// A fact as the database keeps it.
pub(crate) fn entry(root: &Root, fact: JournalFact) -> Entry {
    let JournalFact {
        id,
        operation,
        subject,
        item,
        outcome,
        accepted,
        started_at,
        at,
        machine_seconds,
        people_seconds,
        attempts,
        actor,
        evidence,
    } = fact;
    Entry {
        tenant: tenant_of(&id).to_owned(),
        id,
        subscription: root.name.clone(),
        uid: root.uid.clone(),
        operation: operation.into(),
        subject: word(subject).to_owned(),
        item,
        outcome,
        plan: name_of(&accepted.plan).to_owned(),
        application: name_of(&accepted.application).to_owned(),
        version: name_of(&accepted.version).to_owned(),
        blueprint: name_of(&accepted.blueprint).to_owned(),
        started_at: started_at.as_ref().map(|at| time::instant(at).as_second()),
        ended_at: time::instant(&at).as_second(),
        machine_seconds,
        people_seconds,
        attempts: attempts.into(),
        actor,
        evidence,
    }
}

fn word(subject: JournalSubject) -> &'static str {
    match subject {
        JournalSubject::Operation => "Operation",
        JournalSubject::Item => "Item",
        JournalSubject::Run => "Run",
        JournalSubject::Signature => "Signature",
        JournalSubject::Suspension => "Suspension",
        JournalSubject::PlanChange => "PlanChange",
        JournalSubject::Charges => "Charges",
        JournalSubject::Servers => "Servers",
        JournalSubject::Tenant => "Tenant",
        JournalSubject::Document => "Document",
        JournalSubject::Leftover => "Leftover",
    }
}

/// The tenant of a fact, which its id begins with.
fn tenant_of(id: &str) -> &str {
    id.split('/').next().unwrap_or_default()
}

/// Ids are remembered as hashes, which are a tenth as large. Two of one tenant would have to be alike for a fact to be lost.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
