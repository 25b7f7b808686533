//! Full comparison of an intent with a live object, and the repaired object; no client or clock.
//!
//! The server adds defaults, so a map may hold more than the intent, except where an extra key changes the meaning
//! (data, selectors, quota, peers of a network policy): there the key sets must be equal. Lists of ours must have the
//! same items. What others *added* is told from `managedFields`: a sidecar or an extra key is owned by their entry.
//! A difference that is none costs one apply and no more, since the answer becomes the new baseline; so the rules
//! are strict where in doubt.

use serde_json::{Map, Value};

use crate::fields::{FieldSet, position};
use crate::object::{FIELD_MANAGER, Kind};
use crate::token::ManagedEntry;
use tenantry_crds::quantity::Quantity;

/// Maps in which a key that we did not set is a change.
const EXACT: &[&str] = &[
    "data",
    "binaryData",
    "matchLabels",
    "matchExpressions",
    "selector",
    "nodeSelector",
    "podSelector",
    "namespaceSelector",
    "ipBlock",
    "ingress",
    "egress",
    "from",
    "to",
    "hard",
    "roleRef",
];

/// Maps whose members are quantities.
const QUANTITIES: &[&str] = &[
    "limits",
    "requests",
    "hard",
    "capacity",
    "default",
    "defaultRequest",
    "max",
    "min",
    "maxLimitRequestRatio",
];

/// What differs between an intent and the live object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Paths of ours that are missing or have another value: an apply repairs them.
    pub changed: Vec<String>,
    /// Fields others added to what we set: only a replacement removes them.
    pub added: FieldSet,
}

impl Difference {
    /// Whether the live object is as intended.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty()
    }
}

/// Compares an intent with the live object.
#[must_use]
pub fn compare(kind: &Kind, desired: &Value, live: &Value, entries: &[ManagedEntry]) -> Difference {
    let mut changed = Vec::new();
    differ("", "", desired, live, &mut changed);
    Difference { changed, added: additions(kind, desired, entries) }
}

/// The live object without what others added and with every value of the intent, ready to be sent as a replacement.
///
/// Built from the live object, so allocated values (a Service's address, a claim's volume) and others' annotations
/// and finalizers stay, and so do its uid and resourceVersion.
#[must_use]
pub fn repaired(desired: &Value, live: &Value, added: &FieldSet) -> Value {
    let mut body = live.clone();
    remove(&mut body, added);
    overlay("", desired, &mut body);
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    body
}

fn differ(path: &str, name: &str, desired: &Value, live: &Value, changed: &mut Vec<String>) {
    match (desired, live) {
        (Value::Object(ours), Value::Object(theirs)) => differ_maps(path, name, ours, theirs, changed),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, item) in ours.iter().enumerate() {
                let below = format!("{path}[{index}]");
                match counterpart(ours, theirs, index) {
                    Some(their) => differ(&below, name, item, their, changed),
                    None => changed.push(below),
                }
            }
        }
        _ if same_scalar(name, desired, live) => {}
        _ => changed.push(path.to_owned()),
    }
}

fn differ_maps(
    path: &str,
    name: &str,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
    changed: &mut Vec<String>,
) {
    for (key, value) in ours {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        // A member of a map of quantities is judged by the map's name, everything else by its own.
        let inner = if QUANTITIES.contains(&name) && !value.is_object() { name } else { key };
        match theirs.get(key) {
            Some(their) => differ(&below, inner, value, their, changed),
            None if is_empty(value) => {}
            None => changed.push(below),
        }
    }
    if is_exact(name, ours) {
        let extra = theirs.iter().filter(|(key, value)| !ours.contains_key(*key) && !is_empty(value));
        changed.extend(extra.map(|(key, _)| format!("{path}.{key}")));
    }
}

/// Rules of a role are exact, those of a route get defaults; only the former have verbs.
fn is_exact(name: &str, ours: &Map<String, Value>) -> bool {
    EXACT.contains(&name) || (name == "rules" && ours.contains_key("verbs"))
}

/// The live item that stands for ours: the one of the same name where all items have one, else that at its position.
fn counterpart<'a>(ours: &[Value], theirs: &'a [Value], index: usize) -> Option<&'a Value> {
    let named = |items: &[Value]| items.iter().all(|item| item.get("name").is_some_and(Value::is_string));
    if named(ours) && named(theirs) {
        let name = ours.get(index)?.get("name");
        theirs.iter().find(|item| item.get("name") == name)
    } else {
        theirs.get(index)
    }
}

fn same_scalar(name: &str, desired: &Value, live: &Value) -> bool {
    if desired == live {
        return true;
    }
    let is_quantity =
        QUANTITIES.contains(&name) || matches!(name, "sizeLimit" | "averageValue" | "divisor" | "storage");
    match (quantity_text(desired), quantity_text(live)) {
        (Some(desired), Some(live)) => is_quantity && same_quantity(&desired, &live),
        _ => false,
    }
}

/// Whether two texts are the same quantity: the API server writes `1000m` back as `1`.
fn same_quantity(left: &str, right: &str) -> bool {
    matches!((left.parse::<Quantity>(), right.parse::<Quantity>()), (Ok(left), Ok(right)) if left == right)
}

fn quantity_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Values the server may leave out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What other managers own in the main resource that our intent does not set, names notwithstanding. Metadata tells.
#[must_use]
pub fn additions(kind: &Kind, desired: &Value, entries: &[ManagedEntry]) -> FieldSet {
    let mut foreign = FieldSet::default();
    for entry in entries.iter().filter(|entry| entry.is_main() && entry.manager != FIELD_MANAGER) {
        foreign.merge(&entry.fields_v1.without(&["f:metadata", "f:status"]));
    }
    tolerate(kind, &foreign.absent_from(desired), &mut Vec::new())
}

/// Drops what normal life adds: a claim's volume, replicas set by an autoscaler or a person where we leave them
/// open, allocated addresses, and annotations of a pod template (a restart is an annotation).
fn tolerate<'a>(kind: &Kind, set: &'a FieldSet, path: &mut Vec<&'a str>) -> FieldSet {
    let mut kept = Vec::new();
    for (step, below) in set.children() {
        path.push(step);
        if !is_tolerated(kind, path) {
            let rest = tolerate(kind, below, path);
            if below.is_empty() || !rest.is_empty() {
                kept.push((step, rest));
            }
        }
        path.pop();
    }
    set.filter(&mut |step, _| kept.iter().find(|(kept, _)| *kept == step).map(|(_, rest)| rest.clone()))
}

fn is_tolerated(kind: &Kind, path: &[&str]) -> bool {
    match path {
        [.., "f:metadata", "f:annotations"] | ["f:spec", "f:replicas"] => true,
        ["f:spec", "f:volumeName"] => kind.is("", "PersistentVolumeClaim"),
        ["f:spec", "f:clusterIP" | "f:clusterIPs" | "f:healthCheckNodePort" | "f:loadBalancerClass"] => {
            kind.is("", "Service")
        }
        ["f:spec", "f:finalizers"] => kind.is_namespace(),
        ["f:secrets" | "f:imagePullSecrets"] => kind.is("", "ServiceAccount"),
        _ => false,
    }
}

fn remove(value: &mut Value, set: &FieldSet) {
    for (step, below) in set.children() {
        match value {
            Value::Object(map) => {
                let Some(name) = step.strip_prefix("f:") else { continue };
                if below.is_empty() {
                    map.remove(name);
                } else if let Some(member) = map.get_mut(name) {
                    remove(member, below);
                }
            }
            Value::Array(items) => {
                let Some(index) = position(items, step) else { continue };
                // An item whose keys are among the added fields was added as a whole.
                if below.is_empty() || owns_key(step, below) {
                    items.remove(index);
                } else if let Some(item) = items.get_mut(index) {
                    remove(item, below);
                }
            }
            _ => {}
        }
    }
}

fn owns_key(step: &str, below: &FieldSet) -> bool {
    let Some(("k", keys)) = step.split_once(':') else { return false };
    let Ok(keys) = serde_json::from_str::<Map<String, Value>>(keys) else { return false };
    below.children().any(|(inner, _)| inner.strip_prefix("f:").is_some_and(|name| keys.contains_key(name)))
}

/// Puts our values into the live object; a list of ours that differs replaces theirs.
fn overlay(name: &str, desired: &Value, body: &mut Value) {
    match (desired, body) {
        (Value::Object(ours), Value::Object(theirs)) => {
            if is_exact(name, ours) {
                theirs.retain(|key, _| ours.contains_key(key));
            }
            for (key, value) in ours {
                match theirs.get_mut(key) {
                    Some(their) => overlay(key, value, their),
                    None => {
                        theirs.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (desired, body) => {
            let mut changed = Vec::new();
            differ("", name, desired, body, &mut changed);
            if !changed.is_empty() {
                *body = desired.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
