//! What is a difference, and what a repair leaves alone.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::token::tests::entry;

fn kind(text: &str) -> Kind {
    Kind::parse(text).unwrap()
}

fn changed(desired: &Value, live: &Value) -> Vec<String> {
    compare(&kind("apps/v1/Deployment"), desired, live, &[]).changed
}

#[test]
fn defaults_of_the_server_are_no_difference() {
    let desired = json!({"spec": {
        "template": {"spec": {"containers": [{"name": "a", "image": "x", "resources": {"requests": {"cpu": "1000m"}}}]}},
        "strategy": {},
    }});
    let live = json!({"spec": {
        "replicas": 1,
        "template": {"spec": {
            "restartPolicy": "Always",
            "containers": [{"name": "a", "image": "x", "imagePullPolicy": "Always",
                            "resources": {"requests": {"cpu": "1"}}}],
        }},
    }, "status": {"replicas": 1}});
    assert_eq!(changed(&desired, &live), Vec::<String>::new());
}

#[test]
fn differences_are_named_by_path() {
    let cases = [
        (json!({"spec": {"replicas": 2}}), json!({"spec": {"replicas": 3}}), vec!["spec.replicas"]),
        (json!({"data": {"a": "1"}}), json!({"data": {"a": "1", "b": "2"}}), vec!["data.b"]),
        (json!({"data": {"a": "1k"}}), json!({"data": {"a": "1000"}}), vec!["data.a"]),
        (
            json!({"spec": {"hard": {"cpu": "1"}}}),
            json!({"spec": {"hard": {"cpu": "2"}}}),
            vec!["spec.hard.cpu"],
        ),
        (
            json!({"spec": {"hard": {"cpu": "1", "pods": 4}}}),
            json!({"spec": {"hard": {"cpu": "1000m", "pods": "4", "secrets": "9"}}}),
            vec!["spec.hard.secrets"],
        ),
        (
            json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}}),
            json!({"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}}}),
            vec!["spec.selector.matchLabels.c"],
        ),
        (
            json!({"spec": {"podSelector": {}}}),
            json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
            vec!["spec.podSelector.matchLabels"],
        ),
        (
            json!({"spec": {"egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 53}]}]}}),
            json!({"spec": {"egress": [{"to": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "b"}}}],
                                        "ports": [{"port": 53, "protocol": "TCP"}]}]}}),
            vec!["spec.egress[0].to[0].namespaceSelector"],
        ),
        (
            json!({"rules": [{"verbs": ["get"]}]}),
            json!({"rules": [{"verbs": ["get", "list"]}]}),
            vec!["rules[0].verbs"],
        ),
        (json!({"subjects": [{"name": "a"}]}), json!({"subjects": []}), vec!["subjects"]),
        (
            json!({"l": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]}),
            json!({"l": [{"name": "b", "v": 2}, {"name": "a", "v": 9}]}),
            vec!["l[0].v"],
        ),
        (json!({"automountServiceAccountToken": false}), json!({}), vec!["automountServiceAccountToken"]),
    ];
    for (desired, live, expected) in cases {
        assert_eq!(changed(&desired, &live), expected, "{desired} {live}");
    }
}

fn live_with_sidecar() -> (Value, Value, Vec<ManagedEntry>) {
    let desired = json!({
        "metadata": {"labels": {"a": "b"}},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "x"}]}}},
    });
    let live = json!({
        "metadata": {"uid": "u", "resourceVersion": "9", "labels": {"a": "b", "theirs": "1"}, "managedFields": [],
                     "finalizers": ["keep/me"]},
        "spec": {"replicas": 1, "template": {
            "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
            "spec": {"hostNetwork": true, "containers": [
                {"name": "app", "image": "x", "imagePullPolicy": "Always", "stdin": true},
                {"name": "sidecar", "image": "y"},
            ]},
        }},
    });
    let edit = entry(
        "kubectl-edit",
        "Update",
        "",
        json!({
            "f:metadata": {"f:labels": {"f:theirs": {}}},
            "f:spec": {"f:replicas": {}, "f:template": {
                "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}},
                "f:spec": {
                    "f:hostNetwork": {},
                    "f:containers": {
                        r#"k:{"name":"app"}"#: {"f:stdin": {}},
                        r#"k:{"name":"sidecar"}"#: {".": {}, "f:name": {}, "f:image": {}},
                    },
                },
            }},
        }),
    );
    (desired, live, vec![edit])
}

#[test]
fn a_sidecar_and_added_fields_are_found_and_taken_out_and_the_rest_stays() {
    let (desired, live, entries) = live_with_sidecar();
    let difference = compare(&kind("apps/v1/Deployment"), &desired, &live, &entries);
    assert_eq!(difference.changed, ["spec.template.spec.containers"]);
    assert_eq!(
        difference.added.paths(),
        [
            r#"spec.template.spec.containers[{"name":"app"}].stdin"#,
            r#"spec.template.spec.containers[{"name":"sidecar"}].image"#,
            r#"spec.template.spec.containers[{"name":"sidecar"}].name"#,
            "spec.template.spec.hostNetwork",
        ]
    );
    assert_eq!(
        repaired(&desired, &live, &difference.added),
        json!({
            "metadata": {"uid": "u", "resourceVersion": "9", "labels": {"a": "b", "theirs": "1"},
                         "finalizers": ["keep/me"]},
            "spec": {"replicas": 1, "template": {
                "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
                "spec": {"containers": [{"name": "app", "image": "x", "imagePullPolicy": "Always"}]},
            }},
        })
    );
}

#[test]
fn an_extra_key_of_a_config_map_is_found_and_taken_out() {
    let desired = json!({"data": {"a": "1"}});
    let live = json!({"metadata": {"uid": "u", "resourceVersion": "3"}, "data": {"a": "1", "b": "2"}});
    let entries = [entry("kubectl-patch", "Update", "", json!({"f:data": {"f:b": {}}}))];
    let difference = compare(&kind("v1/ConfigMap"), &desired, &live, &entries);
    assert_eq!(difference.added.paths(), ["data.b"]);
    assert_eq!(repaired(&desired, &live, &difference.added).get("data"), Some(&json!({"a": "1"})));
}

#[test]
fn a_controllers_name_does_not_hide_an_addition() {
    let entries = [entry("kube-controller-manager", "Update", "", json!({"f:spec": {"f:paused": {}}}))];
    let difference = compare(
        &kind("apps/v1/Deployment"),
        &json!({"spec": {}}),
        &json!({"spec": {"paused": true}}),
        &entries,
    );
    assert_eq!(difference.added.paths(), ["spec.paused"]);
}

#[test]
fn the_volume_of_a_claim_is_tolerated_on_claims_only() {
    let entries = [entry("kube-controller-manager", "Update", "", json!({"f:spec": {"f:volumeName": {}}}))];
    let body = json!({"spec": {}});
    assert!(compare(&kind("v1/PersistentVolumeClaim"), &body, &body, &entries).is_none());
    assert!(!compare(&kind("example.com/v1/Thing"), &body, &body, &entries).is_none());
}

#[test]
fn writes_through_subresources_add_nothing() {
    let entries = [entry("hpa", "Update", "scale", json!({"f:spec": {"f:replicas": {}, "f:x": {}}}))];
    assert!(
        compare(&kind("apps/v1/Deployment"), &json!({"spec": {}}), &json!({"spec": {"x": 1}}), &entries)
            .is_none()
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(data|spec|name|rules|limits|x)", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(value in any_json()) {
        prop_assert_eq!(changed(&value, &value), Vec::<String>::new());
    }

    /// Whatever the live object looked like, the repaired one compares as equal.
    #[test]
    fn a_repaired_object_is_as_intended(desired in any_json(), live in any_json()) {
        prop_assume!(desired.is_object() && live.is_object());
        let body = repaired(&desired, &live, &FieldSet::default());
        prop_assert_eq!(changed(&desired, &body), Vec::<String>::new());
    }
}
