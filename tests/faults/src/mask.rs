//! What a tenant has, without what differs from run to run for no reason that matters; pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::history::{Key, Record, SUBSCRIPTIONS, State, TENANT_LABEL};
use crate::runs;
use crate::site::NAME;

/// Fields that tell when and how often, not what.
const DROPPED: [&str; 27] = [
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
    "selfLink",
    "clusterIP",
    "clusterIPs",
    "token",
    "digest",
    "inputDigest",
    "order",
    "orderDigest",
    "lastTransitionTime",
    "since",
    "startedAt",
    // What it took to get there.
    "attempts",
    "completedAt",
    "endedAt",
    "estimatedCompletion",
    "completion",
    "at",
    "hypercareUntil",
    "conclusion",
    "took",
    "promise",
    "estimatedSeconds",
    "unrecorded",
];
/// Annotation that a rival writes, see F6.
pub(crate) const RIVAL: &str = "faults.example/rival";
/// Annotations that others write when they get to it.
const FOREIGN_ANNOTATIONS: [&str; 2] = ["deployment.kubernetes.io/", "pv.kubernetes.io/"];

/// The objects of the tenant at the end, by names that do not depend on it.
#[must_use]
pub fn end_state(record: &Record) -> BTreeMap<String, Value> {
    let state = record.after();
    let ids = record.tenant_ids();
    let of_tenant = |key: &Key, object: &Value| {
        let id = object.pointer(TENANT_LABEL).and_then(Value::as_str);
        (key.resource == SUBSCRIPTIONS && key.name == record.tenant)
            || id.is_some_and(|id| ids.iter().any(|known| known == id))
    };
    let masked = |(key, object): (&Key, &std::sync::Arc<Value>)| {
        (text(&key.to_string(), record, &ids), masked(key, object, record, &ids))
    };
    objects(&state).filter(|(key, object)| of_tenant(key, object)).map(masked).collect()
}

fn objects(state: &State) -> impl Iterator<Item = (&Key, &std::sync::Arc<Value>)> {
    state.iter()
}

/// One object without what differs for no reason that matters.
#[must_use]
pub fn masked(key: &Key, object: &Value, record: &Record, ids: &[String]) -> Value {
    let mut object = value(object, record, ids);
    let Some(fields) = object.as_object_mut() else { return object };
    // Only our own status is ours to judge: others write theirs when they get to it.
    if key.resource != SUBSCRIPTIONS {
        fields.remove("status");
    }
    // Lists leave these out and watches do not.
    fields.remove("kind");
    fields.remove("apiVersion");
    if key.resource == "secrets"
        && let Some(data) = fields.get_mut("data").and_then(Value::as_object_mut)
    {
        data.values_mut().for_each(|value| *value = Value::from(value.as_str().map_or(0, str::len)));
    }
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !FOREIGN_ANNOTATIONS.iter().any(|foreign| name.starts_with(foreign)));
        let had_rival = annotations.remove(RIVAL).is_some();
        // To a Deployment an annotation is a change of what is wanted (Kubernetes, deployment strategy).
        if had_rival
            && key.resource == "deployments.apps"
            && let Some(generation) = object.pointer_mut("/metadata/generation")
        {
            *generation = Value::from(generation.as_i64().unwrap_or_default() - 1);
        }
    }
    if object.pointer("/metadata/annotations").and_then(Value::as_object).is_some_and(Map::is_empty)
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
    object
}

fn value(from: &Value, record: &Record, ids: &[String]) -> Value {
    match from {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !DROPPED.contains(&name.as_str()));
            kept.map(|(name, field)| (text(name, record, ids), value(field, record, ids))).collect()
        }
        Value::Array(items) => items.iter().map(|item| value(item, record, ids)).collect(),
        Value::String(from) => Value::String(text(from, record, ids)),
        other => other.clone(),
    }
}

/// The text with names, ids and UIDs of this record replaced, and with what depends on them.
#[must_use]
pub fn text(from: &str, record: &Record, ids: &[String]) -> String {
    let named = from.replace(&record.tenant, NAME);
    let known = ids.iter().fold(named, |text, id| text.replace(id, "{tenant}"));
    runs::masked(&without(&without(&known, UID, "{uid}"), TIME, "{time}"))
}

/// Form of a UID: `x` stands for a hexadecimal digit.
const UID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
/// Form of a time of day as messages tell it.
const TIME: &str = "xxxx-xx-xxTxx:xx:xxZ";

/// Replaces everything that has this form.
fn without(from: &str, form: &str, put: &str) -> String {
    let has_form = |candidate: &str| {
        let fits = |(byte, meant): (u8, u8)| match meant {
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == meant,
        };
        candidate.bytes().zip(form.bytes()).all(fits)
    };
    let mut result = String::with_capacity(from.len());
    let mut rest = from;
    while let Some(first) = rest.chars().next() {
        match rest.get(..form.len()).filter(|candidate| has_form(candidate)) {
            Some(found) => {
                result.push_str(put);
                rest = rest.get(found.len()..).unwrap_or_default();
            }
            None => {
                result.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    result
}

/// Where two values differ first, for people.
#[must_use]
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    differing("", one, other)
}

fn differing(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(first), Value::Object(second)) => {
            let names = first.keys().chain(second.keys().filter(|name| !first.contains_key(*name)));
            let null = Value::Null;
            names.into_iter().find_map(|name| {
                let field = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(null.clone());
                differing(&format!("{path}.{name}"), &field(first), &field(second))
            })
        }
        (Value::Array(first), Value::Array(second)) if first.len() == second.len() => first
            .iter()
            .zip(second)
            .enumerate()
            .find_map(|(index, (one, other))| differing(&format!("{path}[{index}]"), one, other)),
        _ if one == other => None,
        _ => Some(format!("{path}: {one} and not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn record(tenant: &str, id: &str, value: &str) -> Record {
        let label = json!({"tenantry.io/tenant-id": id});
        let object = json!({"metadata": {"name": "settings", "namespace": format!("tenant-{tenant}"), "labels": label,
            "uid": "0f8fad5b-d9cb-469f-a165-70867728950e", "resourceVersion": tenant}, "data": {"a": value, "of": id}});
        let subscription =
            json!({"metadata": {"name": tenant}, "status": {"tenant": {"id": id}, "since": value}});
        let foreign =
            json!({"metadata": {"name": "kube-root-ca.crt", "namespace": format!("tenant-{tenant}")}});
        let mut before = State::new();
        for (resource, object) in
            [("configmaps", object), (SUBSCRIPTIONS, subscription), ("configmaps", foreign)]
        {
            before.insert(Key::of(resource, &object), Arc::new(object));
        }
        Record { tenant: tenant.to_owned(), before, ..Record::default() }
    }

    #[test]
    fn the_same_content_under_other_names_is_the_same() {
        let (one, other) = (end_state(&record("acme", "t1", "x")), end_state(&record("bolt", "t2", "x")));
        assert_eq!(one, other);
        assert_eq!(
            one.keys().collect::<Vec<_>>(),
            ["configmaps tenant-{name}/settings", "tenantsubscriptions.tenantry.io {name}"]
        );
    }

    #[test]
    fn another_content_is_told_with_its_place() {
        let (one, other) = (end_state(&record("acme", "t1", "x")), end_state(&record("bolt", "t2", "y")));
        let found = difference(
            &one["configmaps tenant-{name}/settings"],
            &other["configmaps tenant-{name}/settings"],
        );
        assert_eq!(found.as_deref(), Some(r#".data.a: "x" and not "y""#));
        assert_eq!(difference(&json!({"a": [1, 2]}), &json!({"a": [1, 2]})), None);
        assert_eq!(difference(&json!({"a": 1}), &json!({})).as_deref(), Some(".a: 1 and not null"));
    }

    #[test]
    fn what_a_rival_did_is_no_difference() {
        let key = Key::new("deployments.apps", "tenant-acme", "web");
        let web = |generation: i64, annotations: Value| json!({"metadata": {"generation": generation, "annotations": annotations}});
        let record = Record { tenant: "acme".to_owned(), ..Record::default() };
        let of = |object: &Value| masked(&key, object, &record, &[]);
        let untouched = json!({"metadata": {"generation": 2}});
        assert_eq!(of(&web(3, json!({RIVAL: "1"}))), of(&untouched));
        assert_ne!(of(&web(3, json!({}))), of(&untouched));
    }

    #[test]
    fn uids_and_times_inside_texts_are_replaced() {
        let of = |from: &str| text(from, &Record { tenant: "acme".to_owned(), ..Record::default() }, &[]);
        assert_eq!(of("pvc-0f8fad5b-d9cb-469f-a165-70867728950e é"), "pvc-{uid} é");
        assert_eq!(of("0f8fad5b-d9cb-469f-a165-7086772895"), "0f8fad5b-d9cb-469f-a165-7086772895");
        assert_eq!(of("signed by ada on 2026-11-27T17:43:48Z, é"), "signed by ada on {time}, é");
        assert_eq!(of("due on 2026-11-27"), "due on 2026-11-27");
    }
}
