//! How many pods a workload is set to have, and who said so.

use super::*;

/// What is read of a workload with so many pods, decided by these.
async fn read(replicas: Value, uid: &str, managers: &[&str]) -> Option<i32> {
    let script = Script::default();
    let entry = |manager: &&str| {
        let subresource = if *manager == "autoscaler" { "scale" } else { "" };
        json!({"manager": manager, "operation": "Update", "subresource": subresource, "apiVersion": "apps/v1",
               "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    };
    let mut entries: Vec<Value> = managers.iter().map(entry).collect();
    entries.push(update(json!({"f:spec": {"f:paused": {}}})));
    let metadata = json!({"name": "settings", "uid": "u1", "managedFields": entries});
    script.answer(200, json!({"metadata": metadata, "spec": {"replicas": replicas}}));
    executor(&script, Arc::new(Open)).replicas(&settings().id, uid).await.ok().unwrap()
}

#[tokio::test]
async fn that_it_has_none_because_we_said_so_is_no_number_that_it_had() {
    assert_eq!(read(json!(5), "u1", &["autoscaler"]).await, Some(5));
    assert_eq!(read(json!(5), "u1", &["tenantry"]).await, Some(5));
    assert_eq!(read(Value::Null, "u1", &[]).await, Some(1), "what Kubernetes gives by itself");
    assert_eq!(read(json!(5), "u2", &["autoscaler"]).await, None, "another object of that name");
    assert_eq!(read(json!(0), "u1", &["tenantry"]).await, None, "made while nothing shall run");
    for others in [&["autoscaler"][..], &["kubectl", "tenantry"], &["tenantry-scale"], &[]] {
        assert_eq!(read(json!(0), "u1", others).await, Some(0), "somebody else wants none: {others:?}");
    }
}
