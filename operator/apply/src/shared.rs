//! The index shared by streams, planner and executor, with a listener for what changed; uses tokio, no client.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::index::{Change, Index, Seen};
use crate::object::{Kind, ObjectId};
use crate::observed::Observed;
use crate::plan::View;
use crate::token::Baseline;

/// Called for every change somebody has to look at; must not block.
pub type Listener = Box<dyn Fn(&Change) + Send + Sync>;

/// The index behind a lock that is never held across an await.
pub struct SharedIndex {
    index: RwLock<Index>,
    listener: Listener,
    delivered: Notify,
    first_sets: Notify,
}

/// What the index said about some objects at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    seen: HashMap<ObjectId, Seen>,
}

impl SharedIndex {
    /// An empty index. The listener is called outside of the lock.
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        Self { index: RwLock::default(), listener, delivered: Notify::new(), first_sets: Notify::new() }
    }

    /// What is known about these objects, at one moment.
    pub fn snapshot(&self, ids: impl IntoIterator<Item = ObjectId>) -> Snapshot {
        let index = self.read();
        let seen = ids.into_iter().map(|id| (id.clone(), index.see(&id))).collect();
        Snapshot { seen }
    }

    /// What is known about one object.
    #[must_use]
    pub fn see(&self, id: &ObjectId) -> Seen {
        self.read().see(id)
    }

    /// Whether the watches of these kinds have delivered their first sets.
    pub fn is_synced<'a>(&self, kinds: impl IntoIterator<Item = &'a Kind>) -> bool {
        let index = self.read();
        kinds.into_iter().all(|kind| index.is_synced(kind))
    }

    /// Waits until the watches of these kinds have delivered their first sets, for so long at most; tells whether they
    /// have.
    pub async fn synced<'a>(
        &self,
        kinds: impl IntoIterator<Item = &'a Kind> + Clone,
        at_most: Duration,
    ) -> bool {
        let wait = async {
            loop {
                let delivered = self.delivered.notified();
                if self.is_synced(kinds.clone()) {
                    return;
                }
                delivered.await;
            }
        };
        tokio::time::timeout(at_most, wait).await.is_ok()
    }

    /// How many objects are known, by kind.
    #[must_use]
    pub fn sizes(&self) -> Vec<(Kind, usize)> {
        self.read().sizes().map(|(kind, size)| (kind.clone(), size)).collect()
    }

    /// Records the answer to a write or comparison of ours.
    pub fn record(&self, id: &ObjectId, observed: Observed, baseline: Baseline) {
        self.write().record(id, observed, baseline);
    }

    /// See [`Index::deletion_accepted`]. Wakes nobody.
    pub(crate) fn deletion_accepted(&self, id: &ObjectId, uid: &str, ending: Option<Observed>) {
        self.write().deletion_accepted(id, uid, ending);
    }

    /// Waits until the watch delivered this very object, for so long at most; tells whether it did.
    ///
    /// Worth it after creating a namespace: until the API server's own informer has it, every creation inside
    /// sleeps 50 ms there, and both get the same event.
    pub async fn confirmed(&self, id: &ObjectId, uid: &str, at_most: Duration) -> bool {
        let wait = async {
            loop {
                let delivered = self.delivered.notified();
                if self.read().is_confirmed(id, uid) {
                    return;
                }
                delivered.await;
            }
        };
        tokio::time::timeout(at_most, wait).await.is_ok()
    }

    /// Waits until the watch of some kind has delivered its first set: whoever had nothing to go on may go on. Sets that
    /// came since the last call are told of at once, together.
    pub async fn first_set(&self) {
        self.first_sets.notified().await;
    }

    pub(crate) fn begin(&self, kind: &Kind) {
        self.write().begin(kind);
    }

    pub(crate) fn finish(&self, kind: &Kind) {
        let (is_first, changes) = {
            let mut index = self.write();
            (!index.is_synced(kind), index.finish(kind))
        };
        self.delivered.notify_waiters();
        changes.iter().for_each(|change| (self.listener)(change));
        if is_first {
            self.first_sets.notify_one();
        }
    }

    pub(crate) fn deliver(&self, id: &ObjectId, observed: Observed) {
        let change = self.write().deliver(id, observed);
        self.delivered.notify_waiters();
        if let Some(change) = change {
            (self.listener)(&change);
        }
    }

    pub(crate) fn remove(&self, id: &ObjectId, uid: &str, version: u64) {
        let change = self.write().remove(id, uid, version);
        if let Some(change) = change {
            (self.listener)(&change);
        }
    }

    /// See [`Index::unsettle`].
    pub(crate) fn unsettle(&self, kind: &Kind) {
        self.write().unsettle(kind);
    }

    pub(crate) fn forget(&self, kind: &Kind) {
        self.write().forget(kind);
    }

    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View for Snapshot {
    fn see(&self, id: &ObjectId) -> Seen {
        // An object nobody asked about is one nothing is known about.
        self.seen.get(id).cloned().unwrap_or(Seen::NotSynced)
    }
}
