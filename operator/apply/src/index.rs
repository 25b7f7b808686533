//! What exists, in memory: one compact record per object of ours, fed by watches and by our own writes; no client or
//! clock.
//!
//! Rules:
//! - The newer resource version wins, whoever brings it. Our own writes are recorded from their answers, so a plan made
//!   right after sees them, and the events they cause wake nobody.
//! - A watch that starts anew brings the full set. What is missing from it is gone, except what we wrote meanwhile.
//! - A deleted object leaves a tombstone, so that a late answer or an old list does not bring it back. Losing our label
//!   looks like a deletion to a watch that selects by it: whoever gets the label back has a newer version.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::health::{Health, has_generation};
use crate::object::{Kind, ObjectId};
use crate::observed::Observed;
use crate::token::Baseline;

/// Tombstones kept per kind. A late answer is at most one request deadline old, in which far fewer objects of one
/// kind are deleted; a forgotten tombstone costs one refused request.
const TOMBSTONES: usize = 1024;

/// Name within a kind: namespace (empty for cluster-scoped kinds) and name.
type Key = (Arc<str>, Arc<str>);

/// The index.
#[derive(Default)]
pub struct Index {
    kinds: HashMap<Kind, KindIndex>,
    /// Namespaces, names, tenant ids and subscription names, each held once: a thousand tenants have the same object names.
    words: HashSet<Arc<str>>,
}

/// What a planner may conclude about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The kind is never watched: the inventory is the observation.
    Unwatched,
    /// The kind's watch has not delivered its first set.
    NotSynced,
    /// Not in the set of objects with our label.
    Absent,
    /// There, and the baseline of this process if it wrote or compared it.
    Present(Box<Observed>, Option<Baseline>),
}

/// Whom a change concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object.
    pub id: ObjectId,
    /// Subscription by the label, now or before the change.
    pub subscription: Option<Arc<str>>,
    /// Tenant id by the label, now or before the change.
    pub tenant_id: Option<Arc<str>>,
}

#[derive(Default)]
struct KindIndex {
    /// Boxed, because half of a table's places are empty.
    objects: HashMap<Key, Box<Record>>,
    /// UIDs of deleted objects and their last version, oldest first.
    tombstones: VecDeque<(Box<str>, u64)>,
    synced: bool,
    /// Keys delivered since the watch started anew; absent outside of that.
    arriving: Option<HashSet<Key>>,
}

struct Record {
    observed: Observed,
    /// Boxed, because most objects were written by an earlier process.
    baseline: Option<Box<Baseline>>,
    /// Written by us and not yet delivered by the watch.
    unconfirmed: bool,
}

impl Index {
    /// A watch of this kind has started; its objects follow.
    pub fn begin(&mut self, kind: &Kind) {
        self.kinds.entry(kind.clone()).or_default().arriving = Some(HashSet::new());
    }

    /// The watch has delivered its first set: what is not in it is gone.
    pub fn finish(&mut self, kind: &Kind) -> Vec<Change> {
        let Some(known) = self.kinds.get_mut(kind) else { return Vec::new() };
        known.synced = true;
        let Some(arrived) = known.arriving.take() else { return Vec::new() };
        let gone: Vec<Key> = known
            .objects
            .iter()
            .filter(|(key, record)| !arrived.contains(*key) && !record.unconfirmed)
            .map(|(key, _)| key.clone())
            .collect();
        let changes = gone.iter().filter_map(|key| known.bury(kind, key, 0)).collect();
        self.words.retain(|word| Arc::strong_count(word) > 1);
        changes
    }

    /// The watch delivered an object.
    pub fn deliver(&mut self, id: &ObjectId, observed: Observed) -> Option<Change> {
        let observed = self.share(observed);
        let key = self.key(id);
        let known = self.kinds.entry(id.kind.clone()).or_default();
        if let Some(arriving) = &mut known.arriving {
            arriving.insert(key.clone());
        }
        known.put(id, key, observed, None)
    }

    /// The watch delivered a deletion, or the object lost our label, at this version.
    pub fn remove(&mut self, id: &ObjectId, uid: &str, version: u64) -> Option<Change> {
        let key = self.key(id);
        let known = self.kinds.get_mut(&id.kind)?;
        if known.objects.get(&key).is_some_and(|record| *record.observed.uid == *uid) {
            known.bury(&id.kind, &key, version)
        } else {
            known.remember(uid.into(), version);
            None
        }
    }

    /// We wrote or compared an object, and this is the answer. Wakes nobody: who wrote it knows.
    pub fn record(&mut self, id: &ObjectId, observed: Observed, baseline: Baseline) {
        let observed = self.share(observed);
        let key = self.key(id);
        self.kinds.entry(id.kind.clone()).or_default().put(id, key, observed, Some(baseline));
    }

    /// Records that the API server has accepted a deletion: what exists is on its way out, as the answer shows it, or,
    /// when the answer shows nothing that ends, gone at once. Of an object that no watch tells of, because it lost our
    /// label, nothing is recorded: nobody would tell of its end either.
    pub fn deletion_accepted(&mut self, id: &ObjectId, uid: &str, ending: Option<Observed>) {
        let ending = ending.map(|observed| self.share(observed));
        let key = self.key(id);
        let Some(known) = self.kinds.get_mut(&id.kind) else { return };
        let Some(record) = known.objects.get_mut(&key).filter(|record| *record.observed.uid == *uid) else {
            return;
        };
        match ending {
            Some(observed) if observed.resource_version < record.observed.resource_version => {}
            Some(observed) => {
                let Observed { health, retained, .. } = record.observed.clone();
                record.observed = Observed { deleting: true, health, retained, ..observed };
            }
            None => drop(known.bury(&id.kind, &key, 0)),
        }
    }

    /// Another watch of this kind takes over, and what it is asked for is more: what is known stays, and is not everything
    /// until that watch has delivered its first set.
    pub fn unsettle(&mut self, kind: &Kind) {
        if let Some(known) = self.kinds.get_mut(kind) {
            known.synced = false;
            known.arriving = None;
        }
    }

    /// A kind is no longer watched: nothing is known about it.
    pub fn forget(&mut self, kind: &Kind) {
        self.kinds.remove(kind);
    }

    /// What is known of an object.
    #[must_use]
    pub fn see(&self, id: &ObjectId) -> Seen {
        if id.kind.is_secret() {
            return Seen::Unwatched;
        }
        let Some(known) = self.kinds.get(&id.kind) else { return Seen::NotSynced };
        match known.objects.get(&(id.namespace.clone().unwrap_or_default(), id.name.clone())) {
            Some(record) => {
                Seen::Present(Box::new(record.observed.clone()), record.baseline.as_deref().copied())
            }
            None if known.synced => Seen::Absent,
            None => Seen::NotSynced,
        }
    }

    /// Whether the watch itself delivered this very object.
    #[must_use]
    pub fn is_confirmed(&self, id: &ObjectId, uid: &str) -> bool {
        let key = (id.namespace.clone().unwrap_or_default(), id.name.clone());
        let record = self.kinds.get(&id.kind).and_then(|known| known.objects.get(&key));
        record.is_some_and(|record| !record.unconfirmed && *record.observed.uid == *uid)
    }

    /// Whether the kind's watch has delivered its first set.
    #[must_use]
    pub fn is_synced(&self, kind: &Kind) -> bool {
        self.kinds.get(kind).is_some_and(|known| known.synced)
    }

    /// How many objects are known, by kind.
    pub fn sizes(&self) -> impl Iterator<Item = (&Kind, usize)> {
        self.kinds.iter().map(|(kind, known)| (kind, known.objects.len()))
    }

    fn key(&mut self, id: &ObjectId) -> Key {
        (self.word(id.namespace.clone().unwrap_or_default()), self.word(id.name.clone()))
    }

    fn share(&mut self, mut observed: Observed) -> Observed {
        observed.tenant_id = observed.tenant_id.map(|word| self.word(word));
        observed.subscription = observed.subscription.map(|word| self.word(word));
        observed
    }

    fn word(&mut self, word: Arc<str>) -> Arc<str> {
        if let Some(known) = self.words.get(&word) {
            return known.clone();
        }
        self.words.insert(word.clone());
        word
    }
}

impl KindIndex {
    /// Takes an observation; `written` is the baseline when it is the answer to a write of ours.
    fn put(
        &mut self,
        id: &ObjectId,
        key: Key,
        observed: Observed,
        written: Option<Baseline>,
    ) -> Option<Change> {
        let is_dead =
            |(uid, version): &(Box<str>, u64)| *uid == observed.uid && observed.resource_version <= *version;
        if self.tombstones.iter().any(is_dead) {
            return None;
        }
        let Some(record) = self.objects.get_mut(&key) else {
            let change = change(id, &observed);
            let unconfirmed = written.is_some();
            let record = Record { observed, baseline: written.map(Box::new), unconfirmed };
            self.objects.insert(key, Box::new(record));
            return (!unconfirmed).then_some(change);
        };
        if written.is_none() {
            record.unconfirmed &= observed.resource_version < record.observed.resource_version;
        }
        if record.observed.uid == observed.uid && is_older(&id.kind, &observed, &record.observed) {
            if written.is_some() {
                record.baseline = written.map(Box::new);
            }
            return None;
        }
        record.replace(id, observed, written)
    }

    fn bury(&mut self, kind: &Kind, key: &Key, version: u64) -> Option<Change> {
        let record = self.objects.remove(key)?;
        self.remember(record.observed.uid.clone(), version.max(record.observed.resource_version));
        let namespace = (!key.0.is_empty()).then(|| key.0.clone());
        let id = ObjectId { kind: kind.clone(), namespace, name: key.1.clone() };
        Some(change(&id, &record.observed))
    }

    fn remember(&mut self, uid: Box<str>, version: u64) {
        self.tombstones.push_back((uid, version));
        if self.tombstones.len() > TOMBSTONES {
            self.tombstones.pop_front();
        }
    }
}

impl Record {
    fn replace(
        &mut self,
        id: &ObjectId,
        mut observed: Observed,
        written: Option<Baseline>,
    ) -> Option<Change> {
        let same_object = self.observed.uid == observed.uid;
        if written.is_some() {
            // An answer carries metadata only: what the watch said of health and status holds until it says more, but not
            // for another generation, which its controller has not seen.
            self.unconfirmed |= self.observed.resource_version < observed.resource_version;
            let is_changed = observed.token.revision != self.observed.token.revision;
            if same_object && observed.health == Health::Unknown && !(has_generation(&id.kind) && is_changed)
            {
                observed.health = self.observed.health.clone();
            }
            if same_object && !is_changed && observed.retained.is_none() {
                observed.retained = self.observed.retained.take();
            }
            self.baseline = written.map(Box::new);
        } else if !same_object {
            self.baseline = None;
        }
        let tells = observed.tells_more_than(&id.kind, &self.observed);
        let labelled = if observed.subscription.is_some() { &observed } else { &self.observed };
        let change = (tells && written.is_none()).then(|| change(id, labelled));
        self.observed = observed;
        change
    }
}

/// An equal version is news only if it brings the status that an answer of metadata could not.
fn is_older(kind: &Kind, new: &Observed, known: &Observed) -> bool {
    new.resource_version < known.resource_version
        || (new.resource_version == known.resource_version && !new.tells_more_than(kind, known))
}

fn change(id: &ObjectId, observed: &Observed) -> Change {
    Change {
        id: id.clone(),
        subscription: observed.subscription.clone(),
        tenant_id: observed.tenant_id.clone(),
    }
}

#[cfg(test)]
mod tests;
