//! What a workload is like while nothing of its tenant runs; pure.
//!
//! Only what starts pods is changed, and each kind by the means that it has for that (Kubernetes API reference). Everything else
//! stays as it was rendered, so what is rendered afterwards is what was there before.

use crate::kinds::GroupKind;
use serde_json::{Value, json};

/// Label of nodes that no node has: pods of a DaemonSet, which cannot be scaled, find no place.
const NOWHERE: &str = "tenantry.io/suspended";

/// Whether a kind is set to a number of pods.
#[must_use]
pub fn is_scaled(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("apps", "Deployment" | "StatefulSet" | "ReplicaSet") | ("", "ReplicationController")
    )
}

/// Makes an object start no pods. Says whether it is there at all meanwhile: a bare pod can only be taken away.
pub(crate) fn rest(body: &mut Value, kind: &GroupKind) -> bool {
    match (kind.group.as_str(), kind.kind.as_str()) {
        (group, kind) if is_scaled(group, kind) => set(body, "/spec", "replicas", json!(0)),
        ("batch", "CronJob" | "Job") => set(body, "/spec", "suspend", json!(true)),
        ("apps", "DaemonSet") => {
            if body.pointer("/spec/template/spec/nodeSelector").is_none() {
                set(body, "/spec/template/spec", "nodeSelector", json!({}));
            }
            set(body, "/spec/template/spec/nodeSelector", NOWHERE, json!("true"));
        }
        ("", "Pod") => return false,
        _ => {}
    }
    true
}

fn set(body: &mut Value, pointer: &str, field: &str, value: Value) {
    if let Some(fields) = body.pointer_mut(pointer).and_then(Value::as_object_mut) {
        fields.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_starts_no_pods_by_its_own_means_and_keeps_the_rest() {
        let cases = [
            (
                "apps/v1",
                "Deployment",
                json!({"replicas": 3, "paused": false}),
                json!({"replicas": 0, "paused": false}),
            ),
            ("apps/v1", "StatefulSet", json!({}), json!({"replicas": 0})),
            (
                "batch/v1",
                "CronJob",
                json!({"schedule": "@daily"}),
                json!({"schedule": "@daily", "suspend": true}),
            ),
            ("batch/v1", "Job", json!({"suspend": false}), json!({"suspend": true})),
            (
                "apps/v1",
                "DaemonSet",
                json!({"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}),
                json!({"template": {"spec": {"nodeSelector": {"disk": "fast", "tenantry.io/suspended": "true"}}}}),
            ),
            (
                "apps/v1",
                "DaemonSet",
                json!({"template": {"spec": {}}}),
                json!({"template": {"spec": {"nodeSelector": {"tenantry.io/suspended": "true"}}}}),
            ),
            (
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"minReplicas": 2}),
                json!({"minReplicas": 2}),
            ),
            ("v1", "ConfigMap", json!({}), json!({})),
        ];
        for (version, kind, spec, rests) in cases {
            let mut body = json!({"spec": spec});
            assert!(rest(&mut body, &GroupKind::new(version, kind)));
            assert_eq!(body, json!({"spec": rests}), "{kind}");
            let once = body.clone();
            assert!(rest(&mut body, &GroupKind::new(version, kind)));
            assert_eq!(body, once, "{kind}: the same again changes nothing");
        }
        assert!(!rest(&mut json!({}), &GroupKind::new("v1", "Pod")));
    }
}
