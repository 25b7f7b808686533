//! Exact requests of every action, against a scripted API server.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;
use crate::counters::{Ending, RequestKey, Verb};
use crate::gate::Open;
use crate::object::{Kind, Policy, Stage};
use crate::observed::Observed;
use crate::plan::Cause;
use crate::scope::Scope;
use crate::testing::{Asked, Script, status};
use crate::wave::wave;

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const OBJECT: &str = "/api/v1/namespaces/tenant-acme/configmaps/settings";

/// A gate whose time can be set; it is fresh while there are more than ten seconds.
#[derive(Default)]
struct Clock(AtomicU64);

impl WriteGate for Clock {
    fn remaining(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn is_fresh(&self) -> bool {
        self.remaining() > Duration::from_secs(10)
    }
}

fn owner() -> Owner {
    Owner { tenant_id: "t-77".into(), subscription: "acme".into(), namespace: "tenant-acme".into() }
}

fn kind(text: &str) -> Kind {
    Kind::parse(text).unwrap()
}

fn desired(api_version: &str, name_of_kind: &str, name: &str, stage: Stage) -> Desired {
    let body = json!({
        "apiVersion": api_version, "kind": name_of_kind, "metadata": {"name": name}, "data": {"a": "1"},
    });
    Desired::new(&owner(), "item", stage, name_of_kind != "Namespace", body).unwrap()
}

fn settings() -> Desired {
    desired("v1", "ConfigMap", "settings", Stage::Ordinary)
}

fn executor(script: &Script, gate: Arc<dyn WriteGate>) -> Executor {
    let client = script.client();
    let kinds = [
        (kind("v1/Namespace"), Scope::Cluster),
        (kind("v1/ConfigMap"), Scope::Namespaced),
        (kind("v1/Secret"), Scope::Namespaced),
        (kind("v1/ResourceQuota"), Scope::Namespaced),
        (kind("rbac.authorization.k8s.io/v1/RoleBinding"), Scope::Namespaced),
    ];
    Executor {
        discovery: Arc::new(Discovery::knowing(client.clone(), kinds)),
        client,
        index: Arc::new(SharedIndex::new(Box::new(|_| {}))),
        gate,
        values: Arc::new(|key| "x".repeat(key.length)),
        permits: Permits::new(32),
        counters: Arc::default(),
        bindings: Arc::default(),
    }
}

fn step(desired: &Desired, action: Action) -> Step {
    let gated = matches!(action, Action::Create);
    Step { wave: wave(&desired.id.kind, desired.stage), id: desired.id.clone(), gated, action }
}

fn update(fields: Value) -> Value {
    json!({"manager": "tenantry", "operation": "Update", "apiVersion": "v1", "time": "2026-11-24T10:00:00Z",
           "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn applied(fields: Value) -> Value {
    let mut entry = update(fields);
    entry["operation"] = json!("Apply");
    entry
}

fn answer(uid: &str, resource_version: &str, entries: &[Value]) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": "settings", "namespace": "tenant-acme", "uid": uid, "resourceVersion": resource_version,
            "labels": {"app.kubernetes.io/managed-by": "tenantry", "tenantry.io/tenant-id": "t-77"},
            "managedFields": entries,
        },
    })
}

/// Runs one action on the ConfigMap, recorded as given.
async fn run(
    executor: &Executor,
    desired: &Desired,
    action: Action,
    record: Option<(&str, u32)>,
) -> Execution {
    run_all(executor, &[(desired.clone(), action)], record).await
}

async fn run_all(executor: &Executor, steps: &[(Desired, Action)], record: Option<(&str, u32)>) -> Execution {
    let mut ledger = Ledger::default();
    for (desired, _) in steps {
        ledger.add(desired);
        if let Some((uid, leftover)) = record {
            ledger.live(&desired.id, "item", uid, "old", &Baseline { leftover, ..Baseline::default() });
        }
    }
    let plan = Plan {
        steps: steps.iter().map(|(desired, action)| step(desired, action.clone())).collect(),
        ..Plan::default()
    };
    let desired: Vec<Desired> = steps.iter().map(|(desired, _)| desired.clone()).collect();
    executor.execute(&owner(), &plan, &desired, ledger.inventory()).await
}

fn result(execution: &Execution) -> Result<Done, Verdict> {
    execution.outcomes[0].result.clone().map_err(|failure| failure.verdict)
}

fn verdicts(execution: &Execution) -> Vec<Result<Done, Verdict>> {
    execution
        .outcomes
        .iter()
        .map(|outcome| outcome.result.clone().map_err(|failure| failure.verdict))
        .collect()
}

#[tokio::test]
async fn a_new_object_is_one_post_that_answers_with_metadata() {
    let script = Script::default();
    script.answer(201, answer("u1", "7", &[update(json!({"f:data": {".": {}, "f:a": {}}}))]));
    let executor = executor(&script, Arc::new(Open));
    let execution = run(&executor, &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Ok(Done::Created));
    let expected = Asked {
        method: "POST".into(),
        uri: "/api/v1/namespaces/tenant-acme/configmaps?fieldManager=tenantry&fieldValidation=Ignore".into(),
        accept: METADATA_ONLY.into(),
        content: "application/json".into(),
        body: Value::clone(&settings().body),
    };
    assert_eq!(script.asked(), [expected]);
    let entry = &execution.inventory.objects[0];
    assert_eq!((entry.uid.as_deref(), entry.resource_version.as_deref()), (Some("u1"), Some("7")));
    assert_eq!(entry.digest.as_deref(), Some(&*settings().digest));
    assert_eq!(Baseline::of(entry).unwrap().leftover, 0);
    assert!(matches!(executor.index.see(&settings().id), Seen::Present(seen, Some(_)) if *seen.uid == *"u1"));
    let key = RequestKey { verb: Verb::Create, kind: "v1/ConfigMap".into(), ending: Ending::Done };
    assert_eq!(executor.counters.requests().get(&key), Some(&1));
}

#[tokio::test]
async fn a_change_is_one_forced_apply_with_the_uid_in_its_body() {
    let script = Script::default();
    let posted = json!({"f:data": {"f:a": {}}, "f:immutable": {}});
    script.answer(200, answer("u1", "8", &[applied(json!({"f:data": {"f:a": {}}})), update(posted)]));
    let executor = executor(&script, Arc::new(Open));
    // The creation filled in one field of its own: that is known and no reason for more.
    let known = (crate::fields::tests::set(json!({"f:immutable": {}})).hash() >> 32) as u32 | 1;
    let action = Action::Apply { uid: "u1".into(), why: Cause::Changed };
    let execution = run(&executor, &settings(), action, Some(("u1", known))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    let asked = script.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "PATCH");
    assert_eq!(asked[0].uri, format!("{OBJECT}?fieldManager=tenantry&force=true&fieldValidation=Ignore"));
    assert_eq!((&*asked[0].accept, &*asked[0].content), (METADATA_ONLY, "application/apply-patch+yaml"));
    assert_eq!(asked[0].body.pointer("/metadata/uid"), Some(&json!("u1")));
    assert_eq!(asked[0].body.pointer("/metadata/resourceVersion"), None);
    assert!(executor.counters.repairs().is_empty());
}

#[tokio::test]
async fn a_dropped_field_is_taken_over_from_the_creation_and_then_dropped() {
    let script = Script::default();
    let intent = applied(json!({"f:data": {"f:a": {}}}));
    let foreign = json!({"manager": "other", "operation": "Apply", "fieldsV1": {"f:metadata": {}}});
    let held = update(json!({"f:data": {"f:a": {}, "f:dropped": {}}}));
    script.answer(200, answer("u1", "8", &[foreign.clone(), intent.clone(), held]));
    script.answer(200, answer("u1", "9", &[foreign.clone(), intent.clone()]));
    script.answer(200, answer("u1", "10", &[foreign, intent]));
    let executor = executor(&script, Arc::new(Open));
    let action = Action::Apply { uid: "u1".into(), why: Cause::Changed };
    let execution = run(&executor, &settings(), action, Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    assert_eq!(
        script.lines(),
        [format!("PATCH {OBJECT}"), format!("PATCH {OBJECT}"), format!("PATCH {OBJECT}")]
    );
    let asked = script.asked();
    assert_eq!(asked[1].content, "application/json-patch+json");
    assert_eq!(
        asked[1].body,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u1"},
            {"op": "test", "path": "/metadata/managedFields/2/manager", "value": "tenantry"},
            {"op": "test", "path": "/metadata/managedFields/2/operation", "value": "Update"},
            {"op": "replace", "path": "/metadata/managedFields/2/operation", "value": "Apply"},
        ])
    );
    assert_eq!(asked[2], asked[0]);
    assert_eq!(Baseline::of(&execution.inventory.objects[0]).unwrap().resource_version, 10);
}

#[tokio::test]
async fn an_entry_that_moved_is_looked_up_and_taken_over_there() {
    let script = Script::default();
    let intent = || applied(json!({"f:data": {"f:a": {}}}));
    let held = || update(json!({"f:data": {"f:a": {}, "f:dropped": {}}}));
    let status =
        json!({"manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": {}});
    script.answer(200, answer("u1", "8", &[intent(), held()]));
    script.refuse(422, "Invalid", "the server rejected our request due to an error in our request");
    script.answer(200, answer("u1", "9", &[intent(), status, held()]));
    script.answer(200, answer("u1", "10", &[intent()]));
    script.answer(200, answer("u1", "11", &[intent()]));
    let executor = executor(&script, Arc::new(Open));
    let action = Action::Apply { uid: "u1".into(), why: Cause::Changed };
    let execution = run(&executor, &settings(), action, Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    let asked = script.asked();
    assert_eq!(
        asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(),
        ["PATCH", "PATCH", "GET", "PATCH", "PATCH"]
    );
    assert_eq!(asked[3].body[3]["path"], json!("/metadata/managedFields/2/operation"));
}

#[tokio::test]
async fn a_failed_takeover_leaves_the_old_digest_so_that_it_is_tried_again() {
    let script = Script::default();
    let held = update(json!({"f:data": {"f:a": {}, "f:dropped": {}}}));
    script.answer(200, answer("u1", "8", &[applied(json!({"f:data": {"f:a": {}}})), held]));
    script.refuse(503, "ServiceUnavailable", "later");
    let executor = executor(&script, Arc::new(Open));
    let action = Action::Apply { uid: "u1".into(), why: Cause::Changed };
    let execution = run(&executor, &settings(), action, Some(("u1", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::Unknown));
    assert_eq!(execution.inventory.objects[0].digest.as_deref(), Some("old"));
    assert_eq!(executor.index.see(&settings().id), Seen::NotSynced);
}

#[tokio::test]
async fn what_is_refused_is_applied_again_without_what_left_the_intent() {
    let invalid = || ("Invalid", r#"Deployment "web" is invalid: spec.a: Forbidden: not beside spec.b"#);
    let script = Script::default();
    script.refuse(422, invalid().0, invalid().1);
    script.answer(200, answer("u1", "8", &[update(json!({"f:data": {"f:a": {}, "f:dropped": {}}}))]));
    script.answer(200, answer("u1", "9", &[]));
    script.answer(200, answer("u1", "10", &[applied(json!({"f:data": {"f:a": {}}}))]));
    let action = || Action::Apply { uid: "u1".into(), why: Cause::Changed };
    let execution = run(&executor(&script, Arc::new(Open)), &settings(), action(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    let methods =
        |script: &Script| script.asked().iter().map(|asked| asked.method.to_string()).collect::<Vec<_>>();
    assert_eq!(methods(&script), ["PATCH", "GET", "PATCH", "PATCH"]);

    // Nothing is left of what was made, or it is another object: the refusal stands.
    let all = applied(json!({"f:data": {"f:a": {}}}));
    for found in [answer("u1", "8", &[all]), answer("u2", "8", &[])] {
        let script = Script::default();
        script.refuse(422, invalid().0, invalid().1);
        script.answer(200, found);
        let execution = run(&executor(&script, Arc::new(Open)), &settings(), action(), Some(("u1", 0))).await;
        assert_eq!(result(&execution), Err(Verdict::Invalid));
        assert_eq!(methods(&script), ["PATCH", "GET"]);
        assert_eq!(execution.inventory.objects[0].digest.as_deref(), Some("old"));
    }
}

#[tokio::test]
async fn an_object_that_is_gone_is_created_and_a_namesake_is_left_alone() {
    let absent = "uid mismatch: the provided object specified uid u1, and no existing object was found";
    let other = r#"ConfigMap "settings" is invalid: metadata.uid: Invalid value: "u1": field is immutable"#;
    let action = || Action::Apply { uid: "u1".into(), why: Cause::Missing };
    let script = Script::default();
    script.refuse(409, "Conflict", absent);
    script.answer(201, answer("u2", "9", &[]));
    let first = executor(&script, Arc::new(Open));
    let execution = run(&first, &settings(), action(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Created));
    assert_eq!(
        script.lines(),
        [format!("PATCH {OBJECT}"), "POST /api/v1/namespaces/tenant-acme/configmaps".into()]
    );
    assert_eq!(execution.inventory.objects[0].uid.as_deref(), Some("u2"));
    assert_eq!(first.counters.repairs().values().sum::<u64>(), 1);

    let script = Script::default();
    script.refuse(422, "Invalid", other);
    let execution = run(&executor(&script, Arc::new(Open)), &settings(), action(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::NameConflict));
    assert_eq!(script.asked().len(), 1);
    assert_eq!(execution.inventory.objects[0].uid.as_deref(), Some("u1"));
}

#[tokio::test]
async fn a_taken_name_costs_one_look_at_whose_it_is() {
    let foreign = json!({"metadata": {"name": "settings", "uid": "f", "resourceVersion": "1",
                                       "labels": {"app.kubernetes.io/managed-by": "tenantry", "tenantry.io/tenant-id": "t-1"}}});
    let ending =
        json!({"metadata": {"name": "settings", "uid": "f", "deletionTimestamp": "2026-11-24T10:00:00Z"}});
    for (found, expected) in [(foreign, Verdict::NameConflict), (ending, Verdict::NamespaceTerminating)] {
        let script = Script::default();
        script.refuse(409, "AlreadyExists", r#"configmaps "settings" already exists"#);
        script.answer(200, found);
        let execution = run(&executor(&script, Arc::new(Open)), &settings(), Action::Create, None).await;
        assert_eq!(result(&execution), Err(expected));
        assert_eq!(
            script.lines(),
            ["POST /api/v1/namespaces/tenant-acme/configmaps".to_owned(), format!("GET {OBJECT}")]
        );
        assert_eq!(script.asked()[1].accept, METADATA_ONLY);
        assert_eq!(execution.inventory.objects[0].uid, None);
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_creation_is_found_by_label_and_applied() {
    let script = Script::default();
    script.refuse(409, "AlreadyExists", r#"configmaps "settings" already exists"#);
    script.answer(200, answer("u9", "4", &[]));
    script.answer(200, answer("u9", "5", &[applied(json!({"f:data": {"f:a": {}}}))]));
    let execution = run(&executor(&script, Arc::new(Open)), &settings(), Action::Create, None).await;
    assert_eq!(result(&execution), Ok(Done::Applied));
    assert_eq!(execution.inventory.objects[0].uid.as_deref(), Some("u9"));
    assert_eq!(script.asked()[2].body.pointer("/metadata/uid"), Some(&json!("u9")));
}

#[tokio::test]
async fn generated_values_are_made_on_creation_and_never_read_back() {
    let mut secret = desired("v1", "Secret", "generated", Stage::Ordinary);
    Arc::make_mut(&mut secret.body).as_object_mut().unwrap().remove("data");
    secret.policy =
        Policy::Generated(vec![crate::object::GeneratedKey { name: "password".into(), length: 3 }]);
    let script = Script::default();
    script.answer(201, answer("s1", "7", &[]));
    let executor = executor(&script, Arc::new(Open));
    let execution = run(&executor, &secret, Action::Create, None).await;
    assert_eq!(result(&execution), Ok(Done::Created));
    assert_eq!(script.asked()[0].body.get("data"), Some(&json!({"password": "eHh4"})));
    assert_eq!(executor.index.see(&secret.id), Seen::Unwatched);

    let script = Script::default();
    script.answer(200, answer("s1", "7", &[]));
    let second = super::tests::executor(&script, Arc::new(Open));
    let execution = run(&second, &secret, Action::Compare { uid: "s1".into() }, Some(("s1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Verified));
    assert_eq!(script.asked()[0].accept, METADATA_ONLY);

    let script = Script::default();
    script.answer(404, not_found());
    let third = super::tests::executor(&script, Arc::new(Open));
    let execution = run(&third, &secret, Action::Compare { uid: "s1".into() }, Some(("s1", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::NotFound), "a lost Secret is never made anew");
}

fn not_found() -> Value {
    let mut body = status(404, "NotFound", r#"configmaps "settings" not found"#);
    body["details"] = json!({"name": "settings", "kind": "configmaps"});
    body
}

fn live(data: Value, entries: &[Value]) -> Value {
    let mut body = answer("u1", "8", entries);
    body["metadata"]["labels"] = settings().body["metadata"]["labels"].clone();
    body["kind"] = json!("ConfigMap");
    body["apiVersion"] = json!("v1");
    body["data"] = data;
    body
}

#[tokio::test]
async fn a_comparison_reads_once_and_writes_only_what_differs() {
    let ours = || update(json!({"f:data": {"f:a": {}}}));
    let edit =
        || json!({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}});
    let cases = [
        (live(json!({"a": "1"}), &[ours()]), Done::Verified, vec!["GET"]),
        (live(json!({"a": "2"}), &[ours()]), Done::Applied, vec!["GET", "PATCH"]),
        (live(json!({"a": "1", "b": "2"}), &[ours(), edit()]), Done::Replaced, vec!["GET", "PUT"]),
    ];
    for (found, expected, methods) in cases {
        let script = Script::default();
        script.answer(200, found);
        script.answer(200, answer("u1", "9", &[applied(json!({"f:data": {"f:a": {}}}))]));
        let executor = executor(&script, Arc::new(Open));
        let execution =
            run(&executor, &settings(), Action::Compare { uid: "u1".into() }, Some(("u1", 0))).await;
        assert_eq!(result(&execution), Ok(expected));
        let asked = script.asked();
        assert_eq!(asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), methods);
        assert_eq!(asked[0].accept, "application/json");
        assert_eq!(executor.counters.repairs().len(), methods.len() - 1);
        if let Some(put) = asked.iter().find(|asked| asked.method == "PUT") {
            assert_eq!(put.uri, format!("{OBJECT}?fieldManager=tenantry&fieldValidation=Ignore"));
            assert_eq!(put.body["data"], json!({"a": "1"}));
            assert_eq!(put.body["metadata"]["uid"], json!("u1"));
            assert_eq!(put.body["metadata"]["resourceVersion"], json!("8"));
        }
    }
}

#[tokio::test]
async fn an_edit_that_took_a_field_and_added_another_is_repaired_in_both() {
    let edit = || json!({"manager": "x", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}});
    let ours = || applied(json!({"f:data": {"f:a": {}}}));
    let script = Script::default();
    script.answer(200, answer("u1", "9", &[ours(), edit()]));
    script.answer(200, live(json!({"a": "1", "b": "2"}), &[ours(), edit()]));
    script.refuse(503, "ServiceUnavailable", "later");
    let executor = executor(&script, Arc::new(Open));
    let action = || Action::Apply { uid: "u1".into(), why: Cause::Drifted };
    let execution = run(&executor, &settings(), action(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::Unknown));
    // What is only half repaired is no baseline: the next plan must not take it for as intended.
    assert_eq!(executor.index.see(&settings().id), Seen::NotSynced);

    script.answer(200, answer("u1", "9", &[ours(), edit()]));
    script.answer(200, live(json!({"a": "1", "b": "2"}), &[ours(), edit()]));
    script.answer(200, answer("u1", "10", &[ours()]));
    let execution = run(&executor, &settings(), action(), Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Replaced));
    assert_eq!(script.asked()[5].body["data"], json!({"a": "1"}));
    assert_eq!(executor.counters.repairs().values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_replacement_that_loses_a_race_is_made_from_a_new_look() {
    let edit = json!({"manager": "x", "operation": "Update", "fieldsV1": {"f:data": {"f:b": {}}}});
    let script = Script::default();
    let found = live(json!({"a": "1", "b": "2"}), &[edit]);
    script.answer(200, found.clone());
    script.refuse(
        409,
        "Conflict",
        "the object has been modified; please apply your changes to the latest version",
    );
    let mut newer = found;
    newer["metadata"]["resourceVersion"] = json!("9");
    script.answer(200, newer);
    script.answer(200, answer("u1", "10", &[]));
    let executor = executor(&script, Arc::new(Open));
    let execution = run(&executor, &settings(), Action::Compare { uid: "u1".into() }, Some(("u1", 0))).await;
    assert_eq!(result(&execution), Ok(Done::Replaced));
    let asked = script.asked();
    assert_eq!(
        asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(),
        ["GET", "PUT", "GET", "PUT"]
    );
    assert_eq!(asked[3].body["metadata"]["resourceVersion"], json!("9"));
}

#[tokio::test]
async fn a_comparison_of_another_object_writes_nothing() {
    let script = Script::default();
    script.answer(200, live(json!({"a": "2"}), &[]));
    let executor = executor(&script, Arc::new(Open));
    let execution = run(&executor, &settings(), Action::Compare { uid: "u0".into() }, Some(("u0", 0))).await;
    assert_eq!(result(&execution), Err(Verdict::Precondition));
    assert_eq!(script.asked().len(), 1);
}

#[tokio::test]
async fn a_deletion_carries_the_uid_and_absence_is_success() {
    let gone =
        status(409, "Conflict", "Precondition failed: UID in precondition: u1, UID in object meta: u2");
    for (code, body, expected) in [
        (200, json!({"status": "Success"}), Done::Deleting),
        (404, not_found(), Done::Gone),
        (409, gone, Done::Gone),
    ] {
        let script = Script::default();
        script.answer(code, body);
        let executor = executor(&script, Arc::new(Open));
        let execution =
            run(&executor, &settings(), Action::Delete { uid: "u1".into() }, Some(("u1", 0))).await;
        assert_eq!(result(&execution), Ok(expected));
        let asked = script.asked();
        assert_eq!((asked[0].method.as_str(), asked[0].uri.as_str()), ("DELETE", OBJECT));
        assert_eq!(
            asked[0].body,
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
                   "preconditions": {"uid": "u1"}})
        );
        assert_eq!(execution.inventory.objects.is_empty(), expected == Done::Gone);
    }
}

/// Whoever is told of the tenant's objects is not promised one whose deletion may have happened. One that is not seen, because
/// it lost our label, stays on record as it was: nobody else would tell of it.
#[tokio::test]
async fn a_deletion_without_an_answer_is_recorded_of_what_was_seen() {
    for is_seen in [true, false] {
        let script = Script::default();
        script.refuse(503, "ServiceUnavailable", "later");
        let executor = executor(&script, Arc::new(Open));
        let settings = settings();
        executor.index.begin(&settings.id.kind);
        if is_seen {
            let metadata =
                json!({"name": "settings", "namespace": "tenant-acme", "uid": "u1", "resourceVersion": "7"});
            let observed = crate::observed::Metadata::deserialize(metadata).unwrap();
            executor.index.deliver(&settings.id, Observed::of(&settings.id.kind, &observed));
        }
        executor.index.finish(&settings.id.kind);
        let execution = run(&executor, &settings, Action::Delete { uid: "u1".into() }, Some(("u1", 0))).await;
        assert_eq!(result(&execution), Err(Verdict::Unknown));
        assert_eq!(
            execution.inventory.objects[0].state == tenantry_crds::inventory::EntryState::Deleting,
            is_seen
        );
    }
}

#[tokio::test]
async fn an_accepted_deletion_is_known_before_the_watch_tells_of_it() {
    let settings = settings();
    let metadata = |version: &str| {
        json!({"name": "settings", "namespace": "tenant-acme", "uid": "u1", "resourceVersion": version,
               "labels": {"tenantry.io/tenant-id": "t-77"}})
    };
    let mut ending = metadata("9");
    ending["deletionTimestamp"] = json!("2026-11-24T10:00:00Z");
    for (body, is_there) in [
        (json!({"kind": "PartialObjectMetadata", "metadata": ending}), true),
        (json!({"kind": "PartialObjectMetadata", "metadata": metadata("9")}), false),
        (json!({"kind": "Status", "metadata": {}, "status": "Success", "details": {"uid": "u1"}}), false),
    ] {
        let script = Script::default();
        script.answer(200, body);
        let executor = executor(&script, Arc::new(Open));
        let observed = crate::observed::Metadata::deserialize(metadata("7")).unwrap();
        executor.index.begin(&settings.id.kind);
        executor.index.deliver(&settings.id, Observed::of(&settings.id.kind, &observed));
        executor.index.finish(&settings.id.kind);
        run(&executor, &settings, Action::Delete { uid: "u1".into() }, Some(("u1", 0))).await;
        match executor.index.see(&settings.id) {
            Seen::Present(observed, _) => assert!(is_there && observed.deleting),
            other => assert!(!is_there && other == Seen::Absent, "{other:?}"),
        }
    }
}

mod bounds;
mod flow;
mod scale;
