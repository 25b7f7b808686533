//! Health of built-in kinds by their status, in the words of kstatus; no client or clock.
//!
//! An object under deletion is not judged here: the index knows that by itself.

use serde_json::{Map, Value};

use crate::object::Kind;

/// Longest reason kept per object.
const MAX_REASON: usize = 160;

/// What is known of an object's health.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// The status says that the intent is reached, or the kind has no status.
    Current,
    /// On its way, and what is missing.
    InProgress(Box<str>),
    /// It will not get there by itself, and why.
    Failed(Box<str>),
    /// Not observed yet, or judged by a predicate of the blueprint.
    #[default]
    Unknown,
}

/// Whether a kind's health is in its status, so that it must be watched in full.
#[must_use]
pub fn has_status(kind: &Kind) -> bool {
    matches!(
        (kind.group(), kind.name()),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
            | ("batch", "Job")
            | ("", "PersistentVolumeClaim" | "Service")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
            | ("gateway.networking.k8s.io", "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "Gateway")
    )
}

/// Whether the health of a kind is that of one generation of its spec.
#[must_use]
pub(crate) fn has_generation(kind: &Kind) -> bool {
    has_status(kind) && !matches!((kind.group(), kind.name()), ("", "PersistentVolumeClaim" | "Service"))
}

/// Health of an object from the parts of it that decide.
#[must_use]
pub fn health(kind: &Kind, generation: Option<i64>, spec: &Value, status: &Value) -> Health {
    if !has_status(kind) {
        return Health::Current;
    }
    if let (Some(generation), Some(observed)) = (generation, number(status, "observedGeneration"))
        && observed != generation
    {
        return in_progress("the controller has not seen the last change");
    }
    match (kind.group(), kind.name()) {
        ("apps", "Deployment") => deployment(spec, status),
        ("apps", "StatefulSet") => stateful_set(spec, status),
        ("apps", "DaemonSet") => daemon_set(status),
        ("apps", "ReplicaSet") => replica_set(spec, status),
        ("batch", "Job") => job(status),
        ("", "PersistentVolumeClaim") => claim(status),
        ("", "Service") => service(spec, status),
        ("apiextensions.k8s.io", _) => condition_is_true(status, "Established"),
        ("gateway.networking.k8s.io", "Gateway") => condition_is_true(status, "Programmed"),
        _ => route(generation, spec, status),
    }
}

fn deployment(spec: &Value, status: &Value) -> Health {
    if let Some(condition) = condition(status, "Progressing")
        && text(condition, "reason") == "ProgressDeadlineExceeded"
    {
        return failed(text(condition, "message"));
    }
    let wanted = number(spec, "replicas").unwrap_or(1);
    let [total, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|name| number(status, name).unwrap_or(0));
    if number(status, "observedGeneration").is_none() {
        in_progress("the controller has not seen it")
    } else if updated < wanted {
        in_progress(&format!("{updated} of {wanted} replicas updated"))
    } else if total > updated {
        in_progress(&format!("{} old replicas to go", total - updated))
    } else if available < wanted {
        in_progress(&format!("{available} of {wanted} replicas available"))
    } else {
        Health::Current
    }
}

fn stateful_set(spec: &Value, status: &Value) -> Health {
    let wanted = number(spec, "replicas").unwrap_or(1);
    let [total, ready, updated] =
        ["replicas", "readyReplicas", "updatedReplicas"].map(|name| number(status, name).unwrap_or(0));
    let partition =
        spec.pointer("/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64).unwrap_or(0);
    let on_delete = spec.pointer("/updateStrategy/type").and_then(Value::as_str) == Some("OnDelete");
    if number(status, "observedGeneration").is_none() {
        in_progress("the controller has not seen it")
    } else if ready < wanted {
        in_progress(&format!("{ready} of {wanted} replicas ready"))
    } else if total > wanted {
        in_progress(&format!("{} replicas to go", total - wanted))
    } else if !on_delete && updated < wanted - partition {
        in_progress(&format!("{updated} of {} replicas updated", wanted - partition))
    } else {
        Health::Current
    }
}

fn daemon_set(status: &Value) -> Health {
    let Some(wanted) = number(status, "desiredNumberScheduled") else {
        return in_progress("the controller has not seen it");
    };
    let [updated, available] =
        ["updatedNumberScheduled", "numberAvailable"].map(|name| number(status, name).unwrap_or(0));
    if updated < wanted {
        in_progress(&format!("{updated} of {wanted} pods updated"))
    } else if available < wanted {
        in_progress(&format!("{available} of {wanted} pods available"))
    } else {
        Health::Current
    }
}

fn replica_set(spec: &Value, status: &Value) -> Health {
    let wanted = number(spec, "replicas").unwrap_or(1);
    let available = number(status, "availableReplicas").unwrap_or(0);
    if available == wanted {
        Health::Current
    } else {
        in_progress(&format!("{available} of {wanted} replicas available"))
    }
}

/// A job that runs is as intended; whether its work is done is the item's question.
fn job(status: &Value) -> Health {
    match condition(status, "Failed").filter(|condition| is_true(condition)) {
        Some(condition) => failed(text(condition, "message")),
        None if number(status, "active").is_none() && condition(status, "Complete").is_none() => {
            in_progress("the job has not started")
        }
        None => Health::Current,
    }
}

fn claim(status: &Value) -> Health {
    match text(status, "phase") {
        "Bound" => Health::Current,
        "Lost" => failed("the volume behind the claim is lost"),
        _ => in_progress("the claim is not bound to a volume"),
    }
}

fn service(spec: &Value, status: &Value) -> Health {
    let waits = text(spec, "type") == "LoadBalancer"
        && status.pointer("/loadBalancer/ingress").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if waits { in_progress("the load balancer has no address") } else { Health::Current }
}

/// A route is healthy when every parent it names accepted it in this generation.
fn route(generation: Option<i64>, spec: &Value, status: &Value) -> Health {
    let wanted = spec.get("parentRefs").and_then(Value::as_array).map_or(0, Vec::len);
    let none = Vec::new();
    let parents = status.get("parents").and_then(Value::as_array).unwrap_or(&none);
    let mut accepted = 0;
    for parent in parents {
        match condition(parent, "Accepted") {
            Some(condition) if number(condition, "observedGeneration") != generation => {}
            Some(condition) if is_true(condition) => accepted += 1,
            Some(condition) => return failed(text(condition, "message")),
            None => {}
        }
        if let Some(refs) = condition(parent, "ResolvedRefs").filter(|refs| text(*refs, "status") == "False")
        {
            return failed(text(refs, "message"));
        }
    }
    if accepted < wanted.max(1) {
        in_progress(&format!("{accepted} of {} parents accepted the route", wanted.max(1)))
    } else {
        Health::Current
    }
}

fn condition_is_true(status: &Value, kind: &str) -> Health {
    match condition(status, kind) {
        Some(found) if is_true(found) => Health::Current,
        Some(found) => in_progress(text(found, "message")),
        None => in_progress(&format!("condition {kind} is not set")),
    }
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Map<String, Value>> {
    let conditions = status.get("conditions")?.as_array()?;
    conditions.iter().filter_map(Value::as_object).find(|condition| text(*condition, "type") == kind)
}

fn is_true(condition: &Map<String, Value>) -> bool {
    text(condition, "status") == "True"
}

/// A map, or a value that may be one: so that rules read the same on both.
trait Fields {
    fn field(&self, name: &str) -> Option<&Value>;
}

impl Fields for Value {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

impl Fields for Map<String, Value> {
    fn field(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }
}

fn number(value: &impl Fields, name: &str) -> Option<i64> {
    value.field(name).and_then(Value::as_i64)
}

fn text<'a>(value: &'a impl Fields, name: &str) -> &'a str {
    value.field(name).and_then(Value::as_str).unwrap_or_default()
}

fn in_progress(reason: &str) -> Health {
    Health::InProgress(cut(reason))
}

fn failed(reason: &str) -> Health {
    Health::Failed(cut(if reason.is_empty() { "the controller gives no reason" } else { reason }))
}

fn cut(reason: &str) -> Box<str> {
    let end = reason.floor_char_boundary(MAX_REASON);
    reason.get(..end).unwrap_or(reason).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(kind: &str, spec: Value, status: Value) -> Health {
        health(&Kind::parse(kind).unwrap(), Some(2), &spec, &status)
    }

    #[test]
    fn workloads() {
        let deployment = "apps/v1/Deployment";
        let done =
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        let stuck = json!({"observedGeneration": 2, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no image"}]});
        let two = json!({"replicas": 2});
        let cases = [
            (deployment, two.clone(), done.clone(), Health::Current),
            (deployment, two.clone(), json!({}), in_progress("the controller has not seen it")),
            (
                deployment,
                two.clone(),
                json!({"observedGeneration": 1}),
                in_progress("the controller has not seen the last change"),
            ),
            (deployment, json!({"replicas": 3}), done.clone(), in_progress("2 of 3 replicas updated")),
            (
                deployment,
                two.clone(),
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}),
                in_progress("1 old replicas to go"),
            ),
            (
                deployment,
                two.clone(),
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                in_progress("1 of 2 replicas available"),
            ),
            (deployment, two.clone(), stuck, failed("no image")),
            (deployment, json!({"replicas": 0}), json!({"observedGeneration": 2}), Health::Current),
            (
                "apps/v1/StatefulSet",
                two.clone(),
                json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}),
                Health::Current,
            ),
            (
                "apps/v1/StatefulSet",
                two.clone(),
                json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1}),
                in_progress("1 of 2 replicas updated"),
            ),
            (
                "apps/v1/StatefulSet",
                json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
                json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 1}),
                Health::Current,
            ),
            (
                "apps/v1/ReplicaSet",
                two,
                json!({"availableReplicas": 1}),
                in_progress("1 of 2 replicas available"),
            ),
            (
                "apps/v1/DaemonSet",
                json!({}),
                json!({"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1}),
                in_progress("0 of 1 pods available"),
            ),
        ];
        for (kind, spec, status, expected) in cases {
            assert_eq!(judge(kind, spec.clone(), status.clone()), expected, "{kind} {spec} {status}");
        }
    }

    #[test]
    fn jobs_claims_and_services() {
        let cases = [
            ("batch/v1/Job", json!({}), json!({}), in_progress("the job has not started")),
            ("batch/v1/Job", json!({}), json!({"active": 1}), Health::Current),
            (
                "batch/v1/Job",
                json!({}),
                json!({"conditions": [{"type": "Failed", "status": "True", "message": "exit 3"}]}),
                failed("exit 3"),
            ),
            ("v1/PersistentVolumeClaim", json!({}), json!({"phase": "Bound"}), Health::Current),
            (
                "v1/PersistentVolumeClaim",
                json!({}),
                json!({"phase": "Pending"}),
                in_progress("the claim is not bound to a volume"),
            ),
            ("v1/Service", json!({"type": "ClusterIP"}), json!({}), Health::Current),
            (
                "v1/Service",
                json!({"type": "LoadBalancer"}),
                json!({"loadBalancer": {}}),
                in_progress("the load balancer has no address"),
            ),
            (
                "v1/Service",
                json!({"type": "LoadBalancer"}),
                json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}),
                Health::Current,
            ),
            ("v1/ConfigMap", json!({}), json!({}), Health::Current),
        ];
        for (kind, spec, status, expected) in cases {
            assert_eq!(judge(kind, spec.clone(), status.clone()), expected, "{kind} {spec} {status}");
        }
    }

    #[test]
    fn a_route_needs_every_parent_in_this_generation() {
        let parent = |generation: i64, status: &str| {
            json!({"conditions": [{"type": "Accepted", "status": status, "observedGeneration": generation,
                                   "message": "no matching listener"}]})
        };
        let kind = "gateway.networking.k8s.io/v1/HTTPRoute";
        let spec = json!({"parentRefs": [{"name": "edge"}]});
        let cases = [
            (json!({}), in_progress("0 of 1 parents accepted the route")),
            (json!({"parents": [parent(1, "True")]}), in_progress("0 of 1 parents accepted the route")),
            (json!({"parents": [parent(2, "True")]}), Health::Current),
            (json!({"parents": [parent(2, "False")]}), failed("no matching listener")),
        ];
        for (status, expected) in cases {
            assert_eq!(judge(kind, spec.clone(), status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let Health::Failed(reason) = failed(&"\u{e4}".repeat(200)) else { panic!("not failed") };
        assert!(reason.len() <= MAX_REASON && reason.chars().all(|c| c == '\u{e4}'));
    }
}
