//! What counts as the same tenant, and what does not.

use super::*;

fn config(namespace: &str, tenant: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "app", "namespace": namespace, "uid": "1", "labels": {"app": "web"}},
        "data": {"tenant": tenant, "level": "info"},
    })
}

fn quota(name: &str, hard: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "namespace": "tenant-a-1"},
        "spec": {"hard": hard}, "status": {"used": {}}})
}

fn reference() -> BTreeMap<ObjectRef, Value> {
    let objects =
        [config("reference", "reference"), quota("tenant-quota", json!({"pods": "50", "cpu": "8"}))];
    objects.iter().map(|object| (ObjectRef::of(object), normalised(object, &["reference"], &[]))).collect()
}

fn table() -> Differences {
    let table = json!({
        "keys": ["made-by", "example.com/"],
        "more": [{"object": "RoleBinding/own", "because": "rights"}],
        "objects": [{
            "object": "ResourceQuota/tenant-quota", "as": "ResourceQuota/own-quota", "because": "names are its own",
            "fields": [{"field": "/spec/hard/cpu", "value": "4*0"}, {"field": "/spec/hard/pods"}],
        }],
    });
    serde_json::from_value(table).unwrap()
}

fn own_binding() -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "own"}})
}

/// Mismatches of one tenant `a-1` in the namespace `tenant-a-1`.
fn mismatches(objects: &[Value]) -> Vec<String> {
    let table = table();
    let mut comparison = Comparison::new(reference(), &table);
    objects.iter().for_each(|object| comparison.check("a-1", "tenant-a-1", object));
    comparison.finish(["a-1"])
}

fn good() -> Vec<Value> {
    let mut config = config("tenant-a-1", "a-1");
    config["metadata"]["labels"]["made-by"] = json!("us");
    config["metadata"]["annotations"] = json!({"example.com/x": "y"});
    vec![config, quota("own-quota", json!({"cpu": "4000"})), own_binding()]
}

#[test]
fn stated_differences_are_none() {
    assert_eq!(mismatches(&good()), Vec::<String>::new());
}

#[test]
fn what_the_cluster_makes_is_nobodys() {
    let mut objects = good();
    objects.push(json!({"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}}));
    assert_eq!(mismatches(&objects), Vec::<String>::new());
}

#[test]
fn every_other_difference_is_told() {
    let changed = |pointer: &str, value: Value| {
        let mut objects = good();
        *objects[0].pointer_mut(pointer).unwrap() = value;
        objects
    };
    let cases = [
        (good()[1..].to_vec(), "ConfigMap/app is missing"),
        (good()[..2].to_vec(), "RoleBinding/own is missing"),
        (changed("/data/level", json!("debug")), "/data/level is \"debug\", canonical \"info\""),
        (changed("/data/tenant", json!("a-2")), "/data/tenant"),
        (changed("/metadata/labels/app", json!("x")), "/metadata/labels/app"),
        (changed("/metadata/name", json!("other")), "ConfigMap/other is one too many"),
    ];
    for (objects, expected) in cases {
        let told = mismatches(&objects);
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
    }
}

#[test]
fn a_stated_field_with_another_value_than_stated_is_a_mismatch() {
    for hard in [json!({"cpu": "8"}), json!({"cpu": "4000", "pods": "50"}), json!({})] {
        let objects = [good()[0].clone(), quota("own-quota", hard.clone()), own_binding()];
        let told = mismatches(&objects);
        assert!(told.iter().any(|line| line.contains("/spec/hard/")), "{hard}: {told:?}");
    }
}

#[test]
fn a_changed_field_is_expected_instead_of_the_stated_one() {
    let table = table();
    let changed = FieldDifference { field: "/spec/hard/cpu".to_owned(), value: json!("9") };
    let mut comparison = Comparison::new(reference(), &table);
    comparison.expect(&"ResourceQuota/own-quota".parse().unwrap(), &changed);
    for object in [good()[0].clone(), quota("own-quota", json!({"cpu": "9"})), own_binding()] {
        comparison.check("a-1", "tenant-a-1", &object);
    }
    assert_eq!(comparison.finish(["a-1"]), Vec::<String>::new());
}

#[test]
fn secrets_are_compared_by_their_keys() {
    let secret = |data: Value| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": data});
    let one = normalised(&secret(json!({"password": "YQ=="})), &[], &[]);
    assert_eq!(one, normalised(&secret(json!({"password": "Yg=="})), &[], &[]));
    assert_ne!(one, normalised(&secret(json!({"token": "YQ=="})), &[], &[]));
}

#[test]
fn assigned_addresses_are_left_out_and_a_service_without_one_says_so() {
    let service = |ip: &str| json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": ip, "clusterIPs": [ip]}});
    let one = normalised(&service("10.0.0.1"), &[], &[]);
    assert_eq!(one, normalised(&service("10.0.0.2"), &[], &[]));
    assert_ne!(one, normalised(&service("None"), &[], &[]));
}

#[test]
fn many_mismatches_are_counted_and_not_all_told() {
    let tenants: Vec<String> = (0..30).map(|n| format!("b-{n}")).collect();
    let table = table();
    let told = Comparison::new(reference(), &table).finish(tenants.iter().map(String::as_str));
    assert_eq!(told.len(), TOLD + 1);
    assert_eq!(told.last().unwrap(), "and 70 more");
}
