//! What every part of the controller shares, and what wakes what. Needs clients.

use super::admin::Readiness;
use super::billing::Billing;
use super::billing::limits::Limits;
use super::billing::used::measuring::Measuring;
use super::billing::used::prometheus::Prometheus;
use super::config::Config;
use super::events::Events;
use super::foreign::Foreign;
use super::journal::Journal;
use super::leftovers::Leftovers;
use super::metrics::Metrics;
use super::queue::Queue;
use super::receipts::Receipts;
use super::roots::{Root, Roots};
use super::sayings::Sayings;
use super::servers::Servers;
use super::session::Sessions;
use crate::definitions::compiler::Compiler;
use crate::definitions::mover::{Mover, runs};
use crate::definitions::{Key, Store};
use crate::rights::{MANAGER_ROLE, Rights};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tenantry_apply::discovery::Discovery;
use tenantry_apply::executor::Executor;
use tenantry_apply::shared::SharedIndex;
use tenantry_apply::streams::Streams;
use tenantry_checklist::hosts::Claims;
use tenantry_crds::sign_off::TenantSignOffSpec;
use tenantry_crds::subscription::AcceptedRevisions;
use tenantry_crds::suspension::TenantSuspensionSpec;
use tokio::sync::Notify;

/// What every part of the controller shares.
pub(crate) struct Context {
    pub(crate) config: Config,
    /// Client for what is asked and written as the leader: nothing leaves it while this process may not write.
    pub(crate) client: Client,
    /// Client for watches, which hold their connections, and for what is asked before anybody leads.
    pub(crate) watch_client: Client,
    pub(crate) roots: Arc<Roots>,
    pub(crate) sign_offs: Sayings<TenantSignOffSpec>,
    pub(crate) suspensions: Sayings<TenantSuspensionSpec>,
    pub(crate) store: Arc<Store>,
    pub(crate) compiler: Compiler,
    pub(crate) mover: Arc<Mover>,
    pub(crate) claims: Mutex<Claims>,
    pub(crate) sessions: Sessions,
    /// Subscriptions to look at, by name.
    pub(crate) queue: Arc<Queue<String>>,
    pub(crate) journal: Arc<Journal>,
    /// What is known of the ledger.
    pub(crate) billing: Billing,
    /// Who is asked what was used.
    pub(crate) prometheus: Option<Prometheus>,
    /// How far what was used is told.
    pub(crate) measuring: Arc<Measuring>,
    /// How much usage one caller may tell.
    pub(crate) limits: Limits,
    /// What could not be removed when its tenant ended.
    pub(crate) leftovers: Arc<Leftovers>,
    /// Pools of servers, and who has what of them.
    pub(crate) servers: Arc<Servers>,
    /// The key that signs what customers are told of the end.
    pub(crate) receipts: Receipts,
    /// Definitions to look at.
    pub(crate) definition_queue: Queue<Key>,
    pub(crate) index: Arc<SharedIndex>,
    pub(crate) streams: Streams,
    /// What others make and checklists wait for.
    pub(crate) foreign: Foreign,
    pub(crate) discovery: Arc<Discovery>,
    pub(crate) executor: Executor,
    pub(crate) events: Events,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    /// Told when a custom resource definition came, changed or went.
    pub(crate) kinds_changed: Arc<Notify>,
    pub(crate) surroundings: Surroundings,
    /// Subscriptions whose order was refused; anything that changes around them may make it valid.
    pub(crate) refused: Mutex<BTreeSet<String>>,
    pub(crate) syncing: Mutex<BTreeSet<&'static str>>,
    pub(crate) all_synced: Notify,
    /// Runs under way, for an orderly end.
    pub(crate) running: AtomicUsize,
    pub(crate) went_idle: Notify,
}

/// One run under way.
pub(crate) struct Running<'a>(&'a Context);

/// What orders depend on besides themselves and their definitions.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    rights: RwLock<Rights>,
    late_binding: RwLock<HashSet<String>>,
    generation: AtomicU64,
}

// === impl Context ===

impl Context {
    /// Says that a watch has not delivered its first set.
    pub(crate) fn syncing(&self, word: &'static str) {
        self.syncing.lock().unwrap_or_else(PoisonError::into_inner).insert(word);
    }

    /// Says that a watch has delivered its first set.
    pub(crate) fn synced(&self, word: &'static str) {
        let mut syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if syncing.remove(word) && syncing.is_empty() {
            self.all_synced.notify_waiters();
        }
    }

    /// Waits until every watch that was started has delivered its first set.
    pub(crate) async fn wait_synced(&self) {
        loop {
            let notified = self.all_synced.notified();
            let waiting: Vec<_> =
                self.syncing.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
            if waiting.is_empty() {
                self.readiness.is_ready("watches");
                return;
            }
            self.readiness.wait_for("watches", format!("first lists of {}", waiting.join(", ")));
            // A look every second keeps the readiness message true; it ends with the start.
            let _woken = tokio::time::timeout(std::time::Duration::from_secs(1), notified).await;
        }
    }

    /// Counts a run until the result is dropped.
    pub(crate) fn begin(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        Running(self)
    }

    /// Takes in which host names are recorded, before the first order is resolved.
    pub(crate) fn load_claims(&self) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for root in self.roots.all() {
            claims.set(&root.uid, &root.brief.claimed_hosts, &[]);
        }
    }

    /// An order is valid.
    pub(crate) fn accepted(&self, name: &str) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// An order is refused, until something around it changes.
    pub(crate) fn refused(&self, name: &str) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// A status was written: definitions may be in use now or no more, and a move may go on.
    pub(crate) fn wake_definitions_after(&self, old: &Root, new: &Root) {
        if old.brief == new.brief {
            return;
        }
        let accepted = [&old.brief.accepted, &new.brief.accepted];
        for key in self.store.keys() {
            let runs_it = |accepted: &&Option<AcceptedRevisions>| {
                accepted.as_ref().and_then(|a| runs(a, &key)).is_some()
            };
            if accepted.iter().any(runs_it) {
                for name in self.mover.candidates(&key, &self.store, &self.roots, jiff::Timestamp::now()) {
                    self.queue.wake(name);
                }
                self.definition_queue.wake(key);
            }
        }
    }

    /// A subscription is gone: what was its is free, and whoever was refused because of it may go on.
    pub(crate) fn subscription_gone(&self, root: &Root) {
        self.queue.forget(&root.name);
        self.foreign.forget(&root.name);
        if let Some(tenant) = &root.brief.tenant_id {
            self.journal.forget(tenant);
            self.billing.forget(tenant);
        }
        self.sessions.forget(&root.uid);
        self.servers.gone(&root.uid);
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).remove(&root.uid);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(&root.name);
        self.wake_definitions_of(root);
        self.wake_refused();
    }

    /// The definitions a subscription runs may be in use no more, or their move may go on.
    pub(crate) fn wake_definitions_of(&self, root: &Root) {
        let Some(accepted) = &root.brief.accepted else { return };
        for key in self.store.keys() {
            if runs(accepted, &key).is_some() {
                self.definition_queue.wake(key);
            }
        }
    }

    /// A definition changed: its own run looks at it, and everybody who refers to it looks again.
    pub(crate) fn definition_changed(&self, key: &Key) {
        self.definition_queue.wake(key.clone());
        // What a version may render depends on the application and the blueprint, and these are checked together.
        for other in self.store.keys().into_iter().filter(|other| other.kind != key.kind) {
            self.definition_queue.wake(other);
        }
    }

    /// A definition has a new accepted revision or another lifecycle: those who refer to it look again.
    pub(crate) fn wake_users_of(&self, key: &Key) {
        for root in self.roots.all() {
            let accepted = root.brief.accepted.as_ref();
            let runs = accepted.is_some_and(|accepted| runs(accepted, key).is_some());
            if runs || accepted.is_none() || root.brief.references.contains(&key.name) {
                self.queue.wake(root.name.clone());
            }
        }
        self.wake_refused();
    }

    /// Everybody who was refused looks again.
    pub(crate) fn wake_refused(&self) {
        let refused: Vec<String> =
            self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        for name in refused {
            self.queue.wake(name);
        }
    }

    /// Everybody looks again: kinds or rights changed.
    pub(crate) fn wake_all(&self) {
        self.surroundings.generation.fetch_add(1, Ordering::Relaxed);
        self.wake_everybody();
    }

    /// Everybody looks again, by what was prepared before.
    pub(crate) fn wake_everybody(&self) {
        for root in self.roots.all() {
            self.queue.wake(root.name.clone());
        }
    }

    /// The API server answers again: everybody looks again, and definitions that could not be stored are.
    pub(crate) fn outage_over(&self) {
        for root in self.roots.all() {
            self.queue.wake(root.name.clone());
        }
        for key in self.store.keys() {
            self.definition_queue.wake(key);
        }
    }

    pub(crate) fn rights_changed(&self, role: &str, rules: Vec<PolicyRule>) {
        let mut rights = self.surroundings.rights.write().unwrap_or_else(PoisonError::into_inner);
        let held = if role == MANAGER_ROLE { &mut rights.manager } else { &mut rights.watcher };
        if *held == rules {
            return;
        }
        *held = rules;
        drop(rights);
        self.wake_all();
    }

    pub(crate) fn storage_class(&self, name: String, waits_for_consumer: bool) {
        let mut late = self.surroundings.late_binding.write().unwrap_or_else(PoisonError::into_inner);
        let changed = if waits_for_consumer { late.insert(name) } else { late.remove(&name) };
        drop(late);
        if changed {
            self.wake_all();
        }
    }
}

// === impl Surroundings ===

impl Surroundings {
    /// The rights held at present.
    pub(crate) fn rights(&self) -> Rights {
        self.rights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether volumes of a storage class come only with the first pod that mounts them.
    pub(crate) fn binds_late(&self, class: &str) -> bool {
        self.late_binding.read().unwrap_or_else(PoisonError::into_inner).contains(class)
    }

    /// A number that is another one after every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

// === impl Running ===

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.went_idle.notify_one();
    }
}
