//! Whether a contender produced the canonical objects. Pure.
//!
//! What the API server and its controllers write (uid, status, cluster addresses and so on) is left out on both sides.
//! Every other difference must be stated in the contender's table, with the value that is expected instead: a field that
//! differs otherwise than stated is a mismatch, and so is an object that is missing or one too many.

use super::{ObjectRef, PLACEHOLDER};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Mismatches that are told; the rest is the same again in other tenants.
const TOLD: usize = 20;
/// Objects that the controllers of Kubernetes put into every namespace.
const OF_THE_CLUSTER: [(&str, &str); 2] = [("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")];
/// Metadata that the API server assigns.
const ASSIGNED: [&str; 6] =
    ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace"];
/// Keys of annotations and labels that the cluster itself sets.
const CLUSTER_KEYS: [&str; 5] = [
    "kubernetes.io/metadata.name",
    "deployment.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
];
/// Fields that the cluster assigns, by kind.
const ASSIGNED_FIELDS: [(&str, &str); 3] = [
    ("Service", "/spec/clusterIP"),
    ("Service", "/spec/clusterIPs"),
    ("PersistentVolumeClaim", "/spec/volumeName"),
];

/// How a contender's objects differ from the canonical ones on purpose, each with its reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Differences {
    /// Keys of labels and annotations that the contender adds; one that ends in a slash is a prefix.
    pub keys: Vec<String>,
    /// Objects that the contender has besides.
    pub more: Vec<More>,
    /// Objects that have another name or other fields.
    pub objects: Vec<Difference>,
}

/// An object besides the canonical ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct More {
    /// Which.
    pub object: ObjectRef,
    /// Why it is there.
    pub because: String,
}

/// One object that is not the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The canonical object.
    pub object: ObjectRef,
    /// What the contender calls it, where that is another name.
    #[serde(rename = "as")]
    pub named: Option<ObjectRef>,
    /// Why.
    pub because: String,
    /// Fields with other values.
    #[serde(default)]
    pub fields: Vec<FieldDifference>,
}

/// One field that has another value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDifference {
    /// JSON pointer within the object.
    pub field: String,
    /// The contender's value; a text may hold one `*`. Without it the contender has no such field.
    #[serde(default)]
    pub value: Value,
}

/// Compares objects of many tenants with the canonical ones, one object at a time.
pub struct Comparison<'a> {
    reference: BTreeMap<ObjectRef, Value>,
    differences: &'a Differences,
    /// The canonical object by the contender's name for it.
    canonical: HashMap<ObjectRef, ObjectRef>,
    fields: HashMap<ObjectRef, Vec<&'a FieldDifference>>,
    seen: BTreeMap<String, BTreeSet<ObjectRef>>,
    mismatches: Vec<String>,
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    /// `reference` holds the canonical objects as the API server gives them back, [`normalised`].
    #[must_use]
    pub fn new(reference: BTreeMap<ObjectRef, Value>, differences: &'a Differences) -> Self {
        let mut canonical: HashMap<ObjectRef, ObjectRef> =
            reference.keys().map(|id| (id.clone(), id.clone())).collect();
        let mut fields: HashMap<ObjectRef, Vec<&FieldDifference>> = HashMap::new();
        for difference in &differences.objects {
            if let Some(named) = &difference.named {
                canonical.remove(&difference.object);
                canonical.insert(named.clone(), difference.object.clone());
            }
            fields.entry(difference.object.clone()).or_default().extend(&difference.fields);
        }
        Self { reference, differences, canonical, fields, seen: BTreeMap::new(), mismatches: Vec::new() }
    }

    /// Expects other values of fields than the reference has, in objects by the contender's names.
    pub fn expect(&mut self, object: &ObjectRef, field: &'a FieldDifference) {
        if let Some(canonical) = self.canonical.get(object) {
            let fields = self.fields.entry(canonical.clone()).or_default();
            fields.retain(|known| known.field != field.field);
            fields.push(field);
        }
    }

    /// Objects of a tenant by the contender's names, those besides the canonical ones included.
    pub fn expected(&self) -> impl Iterator<Item = &ObjectRef> {
        self.canonical.keys().chain(self.differences.more.iter().map(|more| &more.object))
    }

    /// Compares one object of a tenant.
    pub fn check(&mut self, tenant: &str, namespace: &str, object: &Value) {
        let found = ObjectRef::of(object);
        if OF_THE_CLUSTER.contains(&(&found.kind, &found.name)) {
            return;
        }
        let Some(canonical) = self.canonical.get(&found) else {
            if self.differences.more.iter().any(|more| more.object == found) {
                self.seen.entry(tenant.to_owned()).or_default().insert(found);
            } else {
                self.mismatches.push(format!("{tenant}: {found} is one too many"));
            }
            return;
        };
        let mut have = normalised(object, &[namespace, tenant], &self.differences.keys);
        let mut want = self.reference.get(canonical).cloned().unwrap_or_default();
        for field in self.fields.get(canonical).into_iter().flatten() {
            let value = take(&mut have, &field.field).unwrap_or_default();
            take(&mut want, &field.field);
            if !matches(&field.value, &value) {
                let (field, expected) = (&field.field, &field.value);
                self.mismatches.push(format!("{tenant}: {found}: {field} is {value}, not {expected}"));
            }
        }
        if let (Some(have), Some(want)) = (have.pointer_mut("/metadata/name"), want.pointer("/metadata/name"))
        {
            *have = want.clone();
        }
        prune(&mut have);
        prune(&mut want);
        let mut paths = Vec::new();
        differences("", &want, &have, &mut paths);
        self.mismatches.extend(paths.into_iter().map(|path| format!("{tenant}: {found}: {path}")));
        self.seen.entry(tenant.to_owned()).or_default().insert(found);
    }

    /// What is not as it should be, of these tenants; empty when all is.
    #[must_use]
    pub fn finish<'t>(mut self, tenants: impl IntoIterator<Item = &'t str>) -> Vec<String> {
        let expected: BTreeSet<&ObjectRef> = self.expected().collect();
        let mut missing = Vec::new();
        for tenant in tenants {
            let none = BTreeSet::new();
            let seen = self.seen.get(tenant).unwrap_or(&none);
            missing.extend(
                expected
                    .iter()
                    .filter(|id| !seen.contains(**id))
                    .map(|id| format!("{tenant}: {id} is missing")),
            );
        }
        self.mismatches.extend(missing);
        let more = self.mismatches.len().saturating_sub(TOLD);
        self.mismatches.truncate(TOLD);
        if more > 0 {
            self.mismatches.push(format!("and {more} more"));
        }
        self.mismatches
    }
}

/// An object without what the cluster assigns, without keys that a contender adds, and with the placeholder for each of
/// `names`: longer names must come before those they contain.
#[must_use]
pub fn normalised(object: &Value, names: &[&str], keys: &[String]) -> Value {
    let mut object = object.clone();
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    take(&mut object, "/status");
    for field in ASSIGNED {
        take(&mut object, &format!("/metadata/{field}"));
    }
    for (_, field) in ASSIGNED_FIELDS.iter().filter(|(of, _)| *of == kind) {
        // A service without an address says so, and that is not assigned.
        if object.pointer(field) != Some(&json!("None")) && object.pointer(field) != Some(&json!(["None"])) {
            take(&mut object, field);
        }
    }
    for part in ["labels", "annotations"] {
        if let Some(map) = object.pointer_mut(&format!("/metadata/{part}")).and_then(Value::as_object_mut) {
            map.retain(|key, _| {
                !CLUSTER_KEYS
                    .iter()
                    .copied()
                    .chain(keys.iter().map(String::as_str))
                    .any(|own| covers(own, key))
            });
        }
    }
    if kind == "Secret"
        && let Some(data) = object.get_mut("data").and_then(Value::as_object_mut)
    {
        data.values_mut().for_each(|value| *value = json!("a value"));
    }
    rename(&mut object, names);
    prune(&mut object);
    object
}

fn covers(own: &str, key: &str) -> bool {
    own == key || (own.ends_with('/') && key.starts_with(own))
}

fn rename(value: &mut Value, names: &[&str]) {
    match value {
        Value::String(text) => {
            for name in names {
                if text.contains(name) {
                    *text = text.replace(name, PLACEHOLDER);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, names)),
        _ => {}
    }
}

/// Removes objects without content: the API server keeps none of them.
fn prune(value: &mut Value) {
    if let Value::Object(fields) = value {
        let is_empty = |field: &Value| field.is_null() || field.as_object().is_some_and(Map::is_empty);
        for part in ["metadata", "labels", "annotations"] {
            if let Some(field) = fields.get_mut(part) {
                prune(field);
            }
        }
        for part in ["metadata", "labels", "annotations"] {
            if fields.get(part).is_some_and(is_empty) {
                fields.remove(part);
            }
        }
        for nested in ["spec", "template"] {
            if let Some(field) = fields.get_mut(nested) {
                prune(field);
            }
        }
    }
}

/// Removes the value at a JSON pointer.
fn take(value: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent)? {
        Value::Object(fields) => fields.remove(&key),
        Value::Array(items) => {
            let index = key.parse::<usize>().ok().filter(|index| *index < items.len())?;
            Some(std::mem::take(items.get_mut(index)?))
        }
        _ => None,
    }
}

/// Whether a value is the expected one; a text with a star matches what begins and ends like it.
fn matches(expected: &Value, value: &Value) -> bool {
    match (expected, value) {
        (Value::String(pattern), Value::String(text)) => match pattern.split_once('*') {
            Some((start, end)) => {
                text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
            }
            None => pattern == text,
        },
        (Value::Array(expected), Value::Array(values)) => {
            expected.len() == values.len()
                && expected.iter().zip(values).all(|(one, other)| matches(one, other))
        }
        (Value::Object(expected), Value::Object(values)) => {
            expected.len() == values.len()
                && expected.iter().all(|(key, one)| values.get(key).is_some_and(|other| matches(one, other)))
        }
        _ => expected == value,
    }
}

fn differences(path: &str, want: &Value, have: &Value, found: &mut Vec<String>) {
    match (want, have) {
        (Value::Object(wanted), Value::Object(had)) => {
            let keys: BTreeSet<&String> = wanted.keys().chain(had.keys()).collect();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                let escaped = key.replace('~', "~0").replace('/', "~1");
                differences(&format!("{path}/{escaped}"), &of(wanted), &of(had), found);
            }
        }
        (Value::Array(wanted), Value::Array(had)) if wanted.len() == had.len() => {
            for (index, (want, have)) in wanted.iter().zip(had).enumerate() {
                differences(&format!("{path}/{index}"), want, have, found);
            }
        }
        _ if want != have => found.push(format!("{path} is {have}, canonical {want}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
