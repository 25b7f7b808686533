//! How workloads replace their pods where a volume is for one node at a time; pure.
//!
//! A `Deployment` that says nothing starts new pods beside the old ones. Where both mount a volume that one node may use, a new pod on
//! another node waits for the old one to let go of it, and the old one goes only when the new one is ready, for ever. So it ends its pods first,
//! unless its author says otherwise.

use crate::decorate::{child, claims, runs_pods};
use crate::kinds::GroupKind;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a rolling update adds and leaves out where nothing is said (Kubernetes, `RollingUpdateDeployment`).
const USUAL: &str = "25%";

/// The claims of a tenant by name, each with whether several nodes may use its volume at once.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<String, bool>);

// === impl Claims ===

impl Claims {
    /// Of all objects of a tenant. Other kinds are passed over.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Self {
        let text = |object: &'a Value, at| object.pointer(at).and_then(Value::as_str);
        let claim = |object: &'a Value| {
            let is_one = text(object, "/apiVersion") == Some("v1")
                && text(object, "/kind") == Some("PersistentVolumeClaim");
            Some((text(object, "/metadata/name").filter(|_| is_one)?.to_owned(), is_shared(object)))
        };
        Self(objects.into_iter().filter_map(claim).collect())
    }

    /// The first volume of a workload's pods that one node may use at a time. One that the tenant does not make itself counts as shared,
    /// because nothing is known of it.
    fn single<'a>(&self, workload: &'a Value, kind: &GroupKind) -> Option<&'a str> {
        claims(workload, kind).find(|name| self.0.get(*name) == Some(&false))
    }
}

fn is_shared(claim: &Value) -> bool {
    let modes = claim.pointer("/spec/accessModes").and_then(Value::as_array);
    modes.into_iter().flatten().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany")
}

/// Whether every pod of a workload has a volume that one node may use at a time: one of a claim, or of a template of claims.
#[must_use]
pub fn is_bound_to_a_node(workload: &Value, kind: &GroupKind, claims: &Claims) -> bool {
    let templates = workload.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    runs_pods(kind)
        && (claims.single(workload, kind).is_some()
            || templates.into_iter().flatten().any(|template| !is_shared(template)))
}

/// Says how a `Deployment` replaces its pods, where its author did not: one after the other where a volume asks for it, and as Kubernetes
/// does it otherwise.
///
/// The usual numbers are written out, so that they are ours: what the API server adds belongs to nobody, stays when another way is asked for
/// later, and is refused then (kubernetes/kubernetes#24198).
pub(crate) fn settle(workload: &mut Value, kind: &GroupKind, claims: &Claims) {
    if !kind.is("apps", "Deployment") {
        return;
    }
    let is_bound = claims.single(workload, kind).is_some();
    let Some(spec) = workload.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let Some(strategy) = child(spec, "strategy") else { return };
    let is_said = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    if !is_said(strategy.get("type")) {
        let rolls = is_said(strategy.get("rollingUpdate")) || !is_bound;
        strategy.insert("type".to_owned(), json!(if rolls { "RollingUpdate" } else { "Recreate" }));
    }
    if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate")
        && let Some(numbers) = child(strategy, "rollingUpdate")
    {
        for number in ["maxSurge", "maxUnavailable"] {
            if !is_said(numbers.get(number)) {
                numbers.insert(number.to_owned(), json!(USUAL));
            }
        }
    }
}

/// The volume for which new pods of a workload on other nodes would wait for ever, because old ones keep it until the new ones are ready.
#[must_use]
pub fn waits_for_ever<'a>(workload: &'a Value, kind: &GroupKind, claims: &Claims) -> Option<&'a str> {
    let volume = claims.single(workload, kind)?;
    let replicas = workload.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let is_stuck = match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") => {
            let recreates =
                workload.pointer("/spec/strategy/type").and_then(Value::as_str) == Some("Recreate");
            replicas > 0 && !recreates && unavailable(workload, replicas) < replicas
        }
        // It replaces one pod after the other, and those that are left keep the volume where they are.
        ("apps", "StatefulSet") => replicas > 1,
        _ => false,
    };
    is_stuck.then_some(volume)
}

/// Pods that may be missing in a rolling update: a part is rounded down, and one is where neither more nor fewer pods were allowed
/// (Kubernetes, `RollingUpdateDeployment`).
fn unavailable(workload: &Value, replicas: i64) -> i64 {
    let of = |name: &str, remainder| {
        let numbers = workload.pointer("/spec/strategy/rollingUpdate");
        number_or_part(numbers.and_then(|numbers| numbers.get(name)), replicas, remainder).unwrap_or(0)
    };
    let (surge, unavailable) = (of("maxSurge", UP), of("maxUnavailable", DOWN));
    if surge == 0 { unavailable.max(1) } else { unavailable }
}

/// What is added to hundredths before they are divided, so that a part is rounded up.
pub(crate) const UP: i64 = 99;
/// The same of a part that is rounded down.
const DOWN: i64 = 0;

/// So many pods, or so many of a hundred, 25 unless stated (Kubernetes, `RollingUpdateDeployment`); none where it is neither.
pub(crate) fn number_or_part(value: Option<&Value>, replicas: i64, remainder: i64) -> Option<i64> {
    let percent = |percent: i64| replicas.saturating_mul(percent).saturating_add(remainder) / 100;
    match value {
        None | Some(Value::Null) => Some(percent(25)),
        Some(Value::String(text)) => match text.strip_suffix('%') {
            Some(number) => number.parse().ok().map(percent),
            None => text.parse().ok(),
        },
        Some(number) => number.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> GroupKind {
        GroupKind::new("apps/v1", "Deployment")
    }

    fn workload(kind: &str, replicas: i64, strategy: &Value, volume: Option<&str>) -> Value {
        let volumes: Vec<Value> =
            volume.iter().map(|name| json!({"persistentVolumeClaim": {"claimName": name}})).collect();
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"},
               "spec": {"replicas": replicas, "strategy": strategy, "template": {"spec": {"volumes": volumes}}}})
    }

    fn volumes() -> Claims {
        let claim = |name: &str, mode: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {"accessModes": [mode]}});
        let all = [
            claim("single", "ReadWriteOnce"),
            claim("pod", "ReadWriteOncePod"),
            claim("shared", "ReadWriteMany"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}),
        ];
        Claims::of(&all)
    }

    #[test]
    fn a_deployment_says_how_it_replaces_its_pods() {
        let usual =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
        let one = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}});
        let recreate = json!({"type": "Recreate"});
        for (said, volume, becomes) in [
            (Value::Null, None, &usual),
            (json!({}), Some("shared"), &usual),
            (json!({}), Some("somebody-else's"), &usual),
            (Value::Null, Some("single"), &recreate),
            (json!({"type": null}), Some("pod"), &recreate),
            (json!({"type": "Recreate"}), None, &recreate),
            // Its author knows better.
            (json!({"type": "RollingUpdate"}), Some("single"), &usual),
            (json!({"rollingUpdate": {"maxSurge": 1}}), Some("single"), &one),
            (json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": null}}), None, &one),
        ] {
            let mut object = workload("Deployment", 1, &said, volume);
            settle(&mut object, &deployment(), &volumes());
            assert_eq!(object["spec"]["strategy"], *becomes, "{said} with {volume:?}");
            let before = object.clone();
            settle(&mut object, &deployment(), &volumes());
            assert_eq!(object, before, "once is enough");
        }
        let mut other = workload("StatefulSet", 1, &json!({}), Some("single"));
        let before = other.clone();
        settle(&mut other, &GroupKind::new("apps/v1", "StatefulSet"), &volumes());
        assert_eq!(other, before);
    }

    #[test]
    fn who_waits_for_ever_is_known() {
        let rolling = |surge: Value, missing: Value| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}});
        for (kind, replicas, strategy, volume, expected) in [
            ("Deployment", 1, json!({"type": "Recreate"}), "single", None),
            ("Deployment", 1, rolling(json!("25%"), json!("25%")), "single", Some("single")),
            ("Deployment", 1, rolling(json!(1), json!(1)), "single", None),
            ("Deployment", 1, rolling(json!(0), json!("25%")), "single", None),
            ("Deployment", 2, rolling(json!(0), json!(1)), "pod", Some("pod")),
            ("Deployment", 2, rolling(json!(0), json!("100%")), "pod", None),
            ("Deployment", 0, rolling(json!(1), json!(0)), "single", None),
            ("Deployment", 4, rolling(json!(1), json!(0)), "shared", None),
            ("StatefulSet", 1, Value::Null, "single", None),
            ("StatefulSet", 2, Value::Null, "single", Some("single")),
            ("StatefulSet", 2, Value::Null, "shared", None),
        ] {
            let object = workload(kind, replicas, &strategy, Some(volume));
            let found = waits_for_ever(&object, &GroupKind::new("apps/v1", kind), &volumes());
            assert_eq!(found, expected, "{kind} {replicas} {strategy}");
        }
    }

    #[test]
    fn volumes_of_claims_and_of_templates_bind() {
        let templated = |mode: &str| json!({"spec": {"volumeClaimTemplates": [{"spec": {"accessModes": [mode]}}], "template": {"spec": {}}}});
        let stateful = GroupKind::new("apps/v1", "StatefulSet");
        assert!(is_bound_to_a_node(&templated("ReadWriteOnce"), &stateful, &volumes()));
        assert!(!is_bound_to_a_node(&templated("ReadWriteMany"), &stateful, &volumes()));
        let mounts = |name| workload("Deployment", 1, &Value::Null, name);
        assert!(is_bound_to_a_node(&mounts(Some("single")), &deployment(), &volumes()));
        assert!(!is_bound_to_a_node(&mounts(Some("shared")), &deployment(), &volumes()));
        assert!(!is_bound_to_a_node(&mounts(None), &deployment(), &volumes()));
    }
}
