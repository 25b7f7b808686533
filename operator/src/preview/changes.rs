//! What another order, or other definitions, would change of one tenant; no client or clock.
//!
//! Both sides are made by the code that the controller runs, up to the point where it would plan its requests.

use crate::controller::reconcile::prepare::{Prepared, PreparedItem};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tenantry_apply::object::{Desired, Kind, ObjectId};
use tenantry_apply::plan::holds_data;
use tenantry_checklist::forecast::Estimate;

/// Fields of one object that are named; the rest is counted.
const FIELDS: usize = 32;
/// Longest value that is shown, in characters.
const VALUE: usize = 120;

/// What would change of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changes {
    /// Objects that would be made.
    pub(crate) added: Vec<Object>,
    /// Objects that would be another, and in which fields.
    pub(crate) changed: Vec<Changed>,
    /// Objects that would be deleted.
    pub(crate) removed: Vec<Object>,
    /// Objects that nothing would ask for any more and that stay, because they hold what cannot be made again.
    pub(crate) kept: Vec<Object>,
    /// Items whose job would run again.
    pub(crate) runs: Vec<String>,
    /// Items that would have to be signed again.
    pub(crate) signatures: Vec<String>,
    /// Items that would apply, or not apply any more.
    pub(crate) items: Vec<String>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Item that asks for it.
    pub(crate) item: String,
}

/// One object that would be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changed {
    #[serde(flatten)]
    pub(crate) object: Object,
    /// Fields with their values before and after.
    pub(crate) fields: Vec<Field>,
    /// Fields that would change and are not named.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) more: usize,
    /// What becomes of its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pods: Option<Pods>,
    /// Why the API server would refuse it, as it does with fields that are never changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
    /// The object as it would be sent.
    #[serde(skip)]
    pub(crate) body: Arc<Value>,
}

/// What becomes of the pods of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Pods {
    /// Others take their place, before they end.
    Replaced,
    /// They end before others take their place: nobody answers meanwhile.
    Interrupted,
}

/// One field that would be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Field {
    /// Its path, such as `spec.replicas`.
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

// === impl Changes ===

impl Changes {
    /// What differs between what a tenant has and what it would have; without the first, everything is new.
    pub(crate) fn between(before: Option<&Prepared>, after: &Prepared) -> Self {
        let old: HashMap<&ObjectId, &Desired> =
            before.iter().flat_map(|before| &before.desired).map(|one| (&one.id, one)).collect();
        let new: HashMap<&ObjectId, &Desired> = after.desired.iter().map(|one| (&one.id, one)).collect();
        let mut changes = Self::default();
        for object in &after.desired {
            match old.get(&object.id) {
                None => changes.added.push(Object::of(object)),
                Some(known) if known.digest != object.digest => {
                    changes.changed.push(Changed::of(known, object));
                }
                Some(_) => {}
            }
        }
        for object in before.iter().flat_map(|before| &before.desired) {
            match (new.contains_key(&object.id), holds_data(&object.id.kind)) {
                (true, _) => {}
                (false, true) => changes.kept.push(Object::of(object)),
                (false, false) => changes.removed.push(Object::of(object)),
            }
        }
        for list in [&mut changes.added, &mut changes.removed, &mut changes.kept] {
            list.sort();
        }
        changes.changed.sort_by(|one, other| one.object.cmp(&other.object));
        if let Some(before) = before {
            changes.checklist(&before.items, &after.items);
        }
        changes
    }

    fn checklist(&mut self, before: &[PreparedItem], after: &[PreparedItem]) {
        let old: BTreeMap<&str, &PreparedItem> =
            before.iter().map(|one| (one.item.name.as_str(), one)).collect();
        let new: BTreeSet<&str> = after.iter().map(|one| one.item.name.as_str()).collect();
        for item in after {
            let name = &item.item.name;
            let Some(known) = old.get(name.as_str()) else {
                self.items.push(format!("{name} is new"));
                continue;
            };
            match (&known.skipped, &item.skipped) {
                (Some(_), None) => self.items.push(format!("{name} would apply")),
                (None, Some(why)) => self.items.push(format!("{name} would not apply: {why}")),
                _ => {}
            }
            if let (Some(known), Some(job)) = (&known.job, &item.job)
                && known.digest != job.digest
            {
                self.runs.push(name.clone());
            }
            if let (Some(known), Some(wanted)) = (&known.wanted, &item.wanted)
                && known.digest != wanted.digest
            {
                self.signatures.push(format!("{name} ({:?})", wanted.party));
            }
        }
        let gone = old.keys().filter(|name| !new.contains(**name));
        self.items.extend(gone.map(|name| format!("{name} is not on the checklist any more")));
    }

    /// Seconds that the items concerned usually take, one after the other: machines, and people. Only who has to sign again is
    /// waited for.
    pub(crate) fn seconds(&self, after: &Prepared) -> (i64, i64) {
        let objects =
            self.added.iter().chain(&self.removed).chain(self.changed.iter().map(|one| &one.object));
        let mut concerned: BTreeSet<&str> = objects.map(|object| object.item.as_str()).collect();
        concerned.extend(self.runs.iter().map(String::as_str));
        let signs = |name: &str| self.signatures.iter().any(|one| one.starts_with(&format!("{name} (")));
        let (mut machine, mut people) = (0, 0);
        for item in &after.items {
            // The schema admits only durations that can be read.
            let Ok(estimate) = Estimate::of(&item.item) else { continue };
            if concerned.contains(item.item.name.as_str()) {
                machine += estimate.machine.as_secs();
            }
            if signs(&item.item.name) {
                people += estimate.people.as_secs();
            }
        }
        (machine, people)
    }

    /// Whether nothing would change.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl Object ===

impl Object {
    fn of(desired: &Desired) -> Self {
        let kind: &Kind = &desired.id.kind;
        Self {
            api_version: kind.api_version(),
            kind: kind.name().to_owned(),
            name: desired.id.name.to_string(),
            item: desired.item.clone(),
        }
    }
}

// === impl Changed ===

impl Changed {
    fn of(before: &Desired, after: &Desired) -> Self {
        let mut fields = Vec::new();
        differing("", Some(&before.body), Some(&after.body), &mut fields);
        if after.id.kind.is_secret() {
            for field in fields
                .iter_mut()
                .filter(|field| field.path.starts_with("data") || field.path.starts_with("stringData"))
            {
                (field.before, field.after) = (None, None);
            }
        }
        let more = fields.len().saturating_sub(FIELDS);
        fields.truncate(FIELDS);
        let (object, pods, body) = (Object::of(after), pods(before, after), Arc::clone(&after.body));
        Self { object, fields, more, pods, refused: None, body }
    }
}

/// What becomes of the pods when one workload takes the place of another.
pub(crate) fn pods(before: &Desired, after: &Desired) -> Option<Pods> {
    let template = |desired: &Desired| desired.body.pointer("/spec/template").cloned();
    let kind = &after.id.kind;
    if kind.group() != "apps" || template(before) == template(after) {
        return None;
    }
    let number = |pointer: &str| after.body.pointer(pointer).and_then(Value::as_i64);
    let strategy = after.body.pointer("/spec/strategy/type").and_then(Value::as_str);
    // A stateful set and a daemon set end a pod before its successor starts (Kubernetes, rolling updates); with more than one
    // the others answer meanwhile.
    let is_one = number("/spec/replicas").unwrap_or(1) <= 1;
    let is_interrupted = match kind.name() {
        "StatefulSet" => is_one,
        "DaemonSet" => true,
        _ => strategy == Some("Recreate"),
    };
    Some(if is_interrupted { Pods::Interrupted } else { Pods::Replaced })
}

/// Every leaf in which two values differ.
fn differing(path: &str, before: Option<&Value>, after: Option<&Value>, out: &mut Vec<Field>) {
    if before == after {
        return;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            keys.into_iter().for_each(|key| differing(&below(key), old.get(key), new.get(key), out));
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for at in 0..old.len().max(new.len()) {
                differing(&format!("{path}[{at}]"), old.get(at), new.get(at), out);
            }
        }
        (before, after) => {
            out.push(Field { path: path.to_owned(), before: before.map(shown), after: after.map(shown) });
        }
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut cut: String = text.chars().take(VALUE).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > VALUE {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tenantry_apply::object::{Owner, Stage};

    fn desired(kind: &str, body: Value) -> Desired {
        let owner =
            Owner { tenant_id: "t".into(), subscription: "acme".into(), namespace: "tenant-acme".into() };
        let mut whole = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}});
        whole.as_object_mut().unwrap().extend(body.as_object().cloned().unwrap());
        Desired::new(&owner, "application", Stage::Ordinary, true, whole).unwrap()
    }

    fn changed(kind: &str, before: Value, after: Value) -> Changed {
        Changed::of(&desired(kind, before), &desired(kind, after))
    }

    #[test]
    fn fields_are_named_with_both_values() {
        let old = json!({"spec": {"replicas": 2, "list": ["a", "b"], "gone": true, "same": {"x": 1}}});
        let new =
            json!({"spec": {"replicas": 3, "list": ["a", "c", "d"], "new": {"k": "v"}, "same": {"x": 1}}});
        let found = changed("Deployment", old, new);
        let told: Vec<_> = found
            .fields
            .iter()
            .map(|field| (field.path.as_str(), field.before.as_deref(), field.after.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("spec.gone", Some("true"), None),
                ("spec.list[1]", Some("b"), Some("c")),
                ("spec.list[2]", None, Some("d")),
                ("spec.new", None, Some("{\"k\":\"v\"}")),
                ("spec.replicas", Some("2"), Some("3")),
            ]
        );
        assert_eq!((found.more, found.pods), (0, None), "the same pods");
        let many = |value: i64| json!({"spec": (0..40).map(|n| (format!("f{n:02}"), json!(value))).collect::<serde_json::Map<_, _>>()});
        let found = changed("Deployment", many(1), many(2));
        assert_eq!((found.fields.len(), found.more), (FIELDS, 8));
    }

    #[test]
    fn pods_are_replaced_or_interrupted_as_their_kind_does_it() {
        let of = |kind: &str, spec: Value| {
            let with = |image: &str| {
                let mut spec = spec.clone();
                spec["template"] = json!({"spec": {"containers": [{"name": "a", "image": image}]}});
                json!({ "spec": spec })
            };
            changed(kind, with("a:1"), with("a:2")).pods
        };
        assert_eq!(of("Deployment", json!({"replicas": 1})), Some(Pods::Replaced));
        assert_eq!(of("Deployment", json!({"strategy": {"type": "Recreate"}})), Some(Pods::Interrupted));
        assert_eq!(of("StatefulSet", json!({"replicas": 1})), Some(Pods::Interrupted));
        assert_eq!(of("StatefulSet", json!({"replicas": 3})), Some(Pods::Replaced));
        assert_eq!(of("DaemonSet", json!({})), Some(Pods::Interrupted));
    }

    #[test]
    fn values_of_secrets_are_never_shown() {
        let owner = Owner { tenant_id: "t".into(), subscription: "acme".into(), namespace: "n".into() };
        let secret = |value: &str| {
            let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"p": value}});
            Desired::new(&owner, "application", Stage::Ordinary, true, body).unwrap()
        };
        let found = Changed::of(&secret("hunter2"), &secret("hunter3"));
        assert_eq!(found.fields.len(), 1);
        let shown = serde_json::to_string(&found).unwrap();
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
