//! What the store held, revision by revision; pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::Fact;
use crate::site::Place;
use crate::wire::Exchange;

/// Label that names the tenant of an object.
pub const TENANT_LABEL: &str = "/metadata/labels/tenantry.io~1tenant-id";
/// Plural of subscriptions.
pub const SUBSCRIPTIONS: &str = "tenantsubscriptions.tenantry.io";

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Plural and group, such as `deployments.apps`.
    pub resource: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What exists at one revision.
pub type State = BTreeMap<Key, Arc<Value>>;

/// How an object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sort {
    /// It is new.
    Created,
    /// It is another.
    Changed,
    /// It is gone; the object is the last there was.
    Deleted,
}

/// One committed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Revision of the store that it made: one order over all kinds.
    pub revision: u64,
    /// How.
    pub sort: Sort,
    /// Of which object.
    pub key: Key,
    /// The object after it.
    pub object: Arc<Value>,
}

/// Everything that is known of one run: what oracles judge.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Name of the tenant that the run was about.
    pub tenant: String,
    /// Name of the tenant that no run is about: nothing of it may ever change.
    #[serde(default)]
    pub bystander: String,
    /// What existed before.
    #[serde(with = "pairs")]
    pub before: State,
    /// What the tenant had before it was suspended, where the run is about the end of a suspension.
    #[serde(default, with = "pairs")]
    pub earlier: State,
    /// What changed, in the order of the store.
    pub changes: Vec<Change>,
    /// What the controller asked for, in the order of arrival.
    pub exchanges: Vec<Exchange>,
    /// Events about the tenant, by watch.
    #[serde(default)]
    pub events: Vec<Place>,
    /// Revision of the store when a request was let through that had been held back until everything was over.
    #[serde(default)]
    pub let_through: Option<u64>,
    /// Why the run did not come to its end.
    #[serde(default)]
    pub trouble: Option<String>,
    /// How a controller ended that nobody had ended.
    pub unasked_end: Option<String>,
    /// Whether the store was restored meanwhile: the record is of what came after, and the journal is of both.
    #[serde(default)]
    pub restored: bool,
    /// What the journal has of the tenant, where it was read.
    #[serde(default)]
    pub journal: Option<Vec<Fact>>,
}

// === impl Key ===

impl Key {
    /// From its parts.
    #[must_use]
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Of an object of this kind.
    #[must_use]
    pub fn of(resource: &str, object: &Value) -> Self {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self::new(resource, text("/metadata/namespace"), text("/metadata/name"))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.resource, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.resource, self.name),
        }
    }
}

// === impl Record ===

impl Record {
    /// What existed at the end.
    #[must_use]
    pub fn after(&self) -> State {
        let mut state = self.before.clone();
        self.changes.iter().for_each(|change| change.put(&mut state));
        state
    }

    /// Calls `look` with every change and what existed right after it.
    pub fn replay(&self, mut look: impl FnMut(&Change, &State)) {
        let mut state = self.before.clone();
        for change in &self.changes {
            change.put(&mut state);
            look(change, &state);
        }
    }

    /// Namespace of the tenant.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("tenant-{}", self.tenant)
    }

    /// Whether an object is of this tenant: its subscription, its namespace, or in it.
    #[must_use]
    pub fn concerns(&self, key: &Key) -> bool {
        let namespace = self.namespace();
        key.namespace == namespace
            || (key.resource == "namespaces" && key.name == namespace)
            || (key.resource == SUBSCRIPTIONS && key.name == self.tenant)
    }

    /// Every object in every form it had.
    pub fn forms(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.before.iter().chain(self.changes.iter().map(|change| (&change.key, &change.object)))
    }

    /// The tenant ids that the subscription of this name had.
    #[must_use]
    pub fn tenant_ids(&self) -> Vec<String> {
        let key = Key::new(SUBSCRIPTIONS, "", &self.tenant);
        let of_subscription = self.forms().filter(|(known, _)| **known == key);
        let mut ids: Vec<String> = of_subscription
            .filter_map(|(_, object)| object.pointer("/status/tenant/id")?.as_str().map(str::to_owned))
            .collect();
        ids.dedup();
        ids
    }
}

// === impl Change ===

impl Change {
    fn put(&self, state: &mut State) {
        match self.sort {
            Sort::Created | Sort::Changed => state.insert(self.key.clone(), Arc::clone(&self.object)),
            Sort::Deleted => state.remove(&self.key),
        };
    }
}

/// The objects of a kind in a namespace.
pub fn within<'a>(
    state: &'a State,
    resource: &str,
    namespace: &str,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> + use<'a> {
    let first = Key::new(resource, namespace, "");
    let range = state.range(first.clone()..);
    range.take_while(move |(key, _)| key.resource == first.resource && key.namespace == first.namespace)
}

/// UID of an object.
#[must_use]
pub fn uid(object: &Value) -> &str {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default()
}

/// Resource version of an object.
#[must_use]
pub fn revision(object: &Value) -> u64 {
    let text = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whether an object is being deleted.
#[must_use]
pub fn is_ending(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// JSON has no keys but text.
mod pairs {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::Value;

    use super::{Key, State};

    pub(super) fn serialize<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(state)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<State, D::Error> {
        Ok(Vec::<(Key, Arc<Value>)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(revision: u64, sort: Sort, name: &str) -> Change {
        let object = Arc::new(json!({"metadata": {"name": name, "resourceVersion": revision.to_string()}}));
        Change { revision, sort, key: Key::new("configmaps", "tenant-acme", name), object }
    }

    #[test]
    fn a_record_replays_to_its_end_and_reads_back() {
        let before = change(1, Sort::Created, "old");
        let record = Record {
            tenant: "acme".to_owned(),
            before: State::from([(before.key.clone(), before.object)]),
            changes: vec![
                change(2, Sort::Created, "new"),
                change(3, Sort::Deleted, "old"),
                change(4, Sort::Changed, "new"),
            ],
            ..Record::default()
        };
        let mut sizes = Vec::new();
        record.replay(|_, state| sizes.push(state.len()));
        assert_eq!(sizes, [2, 1, 1]);
        let names: Vec<String> = record.after().into_keys().map(|key| key.name).collect();
        assert_eq!(names, ["new"]);
        let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!((again.before, again.changes), (record.before, record.changes));
    }
}
