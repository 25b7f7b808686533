//! Sets of field paths as the API server keeps them in `managedFields`; no client or clock.
//!
//! The wire form is a tree: `f:name` is a field, `k:{...}` the list item with these keys, `v:...` a set's value and
//! `.` the node itself. An entry of an Update owns `.` of the maps it created, one of an Apply does not, so `.` is
//! dropped here: a node without children owns its whole value, and both ways of writing give the same set.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A set of field paths. A node without children is a leaf that owns its whole value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    children: BTreeMap<Box<str>, FieldSet>,
}

/// One step of a path in wire form, such as `f:spec` or `k:{"name":"app"}`.
pub type Step<'a> = &'a str;

impl FieldSet {
    /// Whether it has no path.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// The steps below this node.
    pub fn children(&self) -> impl Iterator<Item = (Step<'_>, &FieldSet)> {
        self.children.iter().map(|(step, below)| (&**step, below))
    }

    /// Adds every path of another set.
    pub fn merge(&mut self, other: &FieldSet) {
        for (step, below) in &other.children {
            self.children.entry(step.clone()).or_default().merge(below);
        }
    }

    /// The paths of this set that the other does not have.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        self.filter(&mut |step, below| match other.children.get(step) {
            None => Some(below.clone()),
            Some(_) if below.is_empty() => None,
            Some(theirs) => Some(below.difference(theirs)).filter(|rest| !rest.is_empty()),
        })
    }

    /// The paths that resolve to nothing in a JSON value: what the server added to the body it was sent.
    ///
    /// List items are found by the keys of their step; a key that the body leaves to a default matches any value.
    #[must_use]
    pub fn absent_from(&self, body: &Value) -> FieldSet {
        self.filter(&mut |step, below| match resolve(body, step) {
            None => Some(below.clone()),
            Some(_) if below.is_empty() => None,
            Some(value) => Some(below.absent_from(value)).filter(|rest| !rest.is_empty()),
        })
    }

    /// A copy without the top-level steps given.
    #[must_use]
    pub fn without(&self, steps: &[&str]) -> FieldSet {
        self.filter(&mut |step, below| (!steps.contains(&step)).then(|| below.clone()))
    }

    /// A copy in which `keep` decides about each step of the first level.
    pub fn filter(&self, keep: &mut dyn FnMut(&str, &FieldSet) -> Option<FieldSet>) -> FieldSet {
        let children = self
            .children
            .iter()
            .filter_map(|(step, below)| keep(step, below).map(|rest| (step.clone(), rest)))
            .collect();
        FieldSet { children }
    }

    /// A number that two equal sets share and two different ones do not, but by a chance of 2^-64.
    #[must_use]
    pub fn hash(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new();
        self.feed(&mut hasher);
        first_eight(&hasher.finalize())
    }

    /// Every leaf as a readable path, for messages and tests.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (step, below) in &self.children {
            let path = match step.split_once(':') {
                Some(("f", name)) if prefix.is_empty() => name.to_owned(),
                Some(("f", name)) => format!("{prefix}.{name}"),
                Some((_, key)) => format!("{prefix}[{key}]"),
                None => format!("{prefix}.{step}"),
            };
            if below.is_empty() {
                paths.push(path);
            } else {
                below.collect_paths(&path, paths);
            }
        }
    }

    fn feed(&self, hasher: &mut blake3::Hasher) {
        for (step, below) in &self.children {
            // Length first, so that no step can imitate the structure around it.
            hasher.update(&(step.len() as u64).to_le_bytes());
            hasher.update(step.as_bytes());
            hasher.update(b"(");
            below.feed(hasher);
            hasher.update(b")");
        }
    }
}

/// The first eight bytes of a hash as a number.
pub(crate) fn first_eight(hash: &blake3::Hash) -> u64 {
    hash.as_bytes().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

impl<'de> Deserialize<'de> for FieldSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut children = BTreeMap::<Box<str>, FieldSet>::deserialize(deserializer)?;
        children.remove(".");
        Ok(FieldSet { children })
    }
}

/// The value a step leads to, or nothing when the value has no such place.
pub(crate) fn resolve<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match (step.split_once(':')?, value) {
        (("f", name), Value::Object(map)) => map.get(name),
        (_, Value::Array(items)) => items.get(position(items, step)?),
        _ => None,
    }
}

/// Index of the list item a step names: by its keys, by its value, or by its index.
pub(crate) fn position(items: &[Value], step: &str) -> Option<usize> {
    match step.split_once(':')? {
        ("k", keys) => {
            let keys: serde_json::Map<String, Value> = serde_json::from_str(keys).ok()?;
            let named =
                |item: &Value, key: &str, wanted: &Value| item.get(key).is_none_or(|value| value == wanted);
            items.iter().position(|item| {
                item.is_object() && keys.iter().all(|(key, wanted)| named(item, key, wanted))
            })
        }
        ("v", wanted) => {
            let wanted: Value = serde_json::from_str(wanted).ok()?;
            items.iter().position(|item| *item == wanted)
        }
        ("i", index) => index.parse().ok().filter(|index| *index < items.len()),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(crate) fn set(value: Value) -> FieldSet {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_update_and_an_apply_of_the_same_fields_are_equal() {
        let update =
            set(json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:data": {".": {}, "f:k": {}}}));
        let apply = set(json!({"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:a": {}}}}));
        assert_eq!(update, apply);
        assert_eq!(update.hash(), apply.hash());
        assert_ne!(update.hash(), set(json!({"f:data": {"f:k": {}}})).hash());
        assert_eq!(FieldSet::default().hash(), 0);
    }

    #[test]
    fn difference_keeps_only_what_the_other_lacks() {
        let whole = set(json!({"f:spec": {
            "f:replicas": {},
            "f:template": {"f:spec": {"f:containers": {
                r#"k:{"name":"app"}"#: {".": {}, "f:image": {}, "f:terminationMessagePath": {}},
                r#"k:{"name":"old"}"#: {".": {}, "f:image": {}},
            }}},
        }}));
        let part = set(json!({"f:spec": {
            "f:replicas": {},
            "f:template": {"f:spec": {"f:containers": {r#"k:{"name":"app"}"#: {".": {}, "f:image": {}}}}},
        }}));
        assert_eq!(
            whole.difference(&part).paths(),
            [
                r#"spec.template.spec.containers[{"name":"app"}].terminationMessagePath"#,
                r#"spec.template.spec.containers[{"name":"old"}].image"#,
            ]
        );
        assert!(part.difference(&whole).is_empty());
    }

    #[test]
    fn what_the_server_added_is_what_the_body_lacks() {
        let body = json!({"spec": {"ports": [{"port": 80, "name": "http"}], "finalizers": ["a"], "type": "ClusterIP"}});
        let owned = set(json!({"f:spec": {
            "f:internalTrafficPolicy": {},
            "f:ports": {r#"k:{"port":80,"protocol":"TCP"}"#: {".": {}, "f:port": {}, "f:name": {}, "f:protocol": {}}},
            "f:finalizers": {r#"v:"a""#: {}},
            "f:type": {},
        }}));
        assert_eq!(
            owned.absent_from(&body).paths(),
            ["spec.internalTrafficPolicy", r#"spec.ports[{"port":80,"protocol":"TCP"}].protocol"#]
        );
    }

    pub(crate) fn any_set() -> impl Strategy<Value = FieldSet> {
        let leaf = Just(FieldSet::default());
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop::collection::btree_map("[a-d]".prop_map(|s| format!("f:{s}").into_boxed_str()), inner, 0..4)
                .prop_map(|children| FieldSet { children })
        })
    }

    proptest! {
        #[test]
        fn merging_the_difference_back_restores_the_union(a in any_set(), b in any_set()) {
            let mut union = b.clone();
            union.merge(&a);
            let mut rebuilt = b.clone();
            rebuilt.merge(&a.difference(&b));
            prop_assert_eq!(rebuilt, union);
            prop_assert!(a.difference(&a).is_empty());
        }

        #[test]
        fn equal_hashes_mean_equal_sets(a in any_set(), b in any_set()) {
            prop_assert_eq!(a.hash() == b.hash(), a == b);
        }
    }
}
