//! What the engine believes about the API server, proved on a real one: uid guards, drift tokens, taking over fields,
//! additions, labels and namesakes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly; clippy's own exception covers test functions but not what they call"
)]

#[path = "real/bench.rs"]
mod bench;

use std::collections::BTreeMap;

use bench::{Bench, Tenant};
use serde_json::{Value, json};
use tenantry_apply::classify::Verdict;
use tenantry_apply::counters::Verb;
use tenantry_apply::executor::Done;
use tenantry_apply::object::{ObjectId, Stage};
use tenantry_apply::plan::{Action, Cause};
use tenantry_control_plane::{Cluster, Profile};

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_on_a_real_api_server() {
    let cluster = Cluster::acquire(Profile::P1).await.unwrap();
    let bench = Bench::new(cluster.client().await.unwrap()).await;
    a_new_tenant_costs_one_post_per_object_and_then_nothing(&bench).await;
    a_change_costs_one_apply_per_object_and_a_dropped_field_two_more(&bench).await;
    what_excludes_what_was_there_takes_its_place(&bench).await;
    status_scale_and_labels_are_no_drift(&bench).await;
    foreign_edits_are_repaired(&bench).await;
    a_sidecar_and_an_extra_key_are_taken_out(&bench).await;
    our_managers_name_protects_nothing(&bench).await;
    a_stripped_label_comes_back_and_a_deleted_object_is_made_anew(&bench).await;
    a_namesake_is_left_untouched(&bench).await;
    a_foreign_namespace_is_left_untouched(&bench).await;
    a_tenant_goes_with_its_namespace(&bench).await;
    cluster.stop().await.unwrap();
}

fn settings(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data})
}

fn web(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "app", "image": image, "ports": [{"containerPort": 8080}],
                    "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
                }]},
            },
        },
    })
}

/// One object of every kind the engine treats in a way of its own, with this text somewhere in each.
fn want_everything(tenant: &mut Tenant<'_>, text: &str) -> BTreeMap<&'static str, ObjectId> {
    let annotated = |mut body: Value| {
        body["metadata"]["annotations"] = json!({"example.com/text": text});
        body
    };
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
                      "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
                         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                         "subjects": [{"kind": "User", "name": "x"}]});
    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"},
                        "spec": {"limits": [{"type": "Container", "default": {"cpu": "1000m"}}]}});
    let deny = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
                      "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
                               "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 53}]}]}});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
                         "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
                       "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                     "spec": {"template": {"spec": {"restartPolicy": "Never",
                                                     "containers": [{"name": "a", "image": "x"}]}}}});
    let stateful = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
                          "spec": {"serviceName": "db", "replicas": 1, "selector": {"matchLabels": {"app": "db"}},
                                   "template": {"metadata": {"labels": {"app": "db"}},
                                                "spec": {"containers": [{"name": "db", "image": "x"}]}}}});
    let disruption = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"},
                            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
                        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"},
                                 "minReplicas": 1, "maxReplicas": 2}});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
                       "spec": {"hard": {"pods": "10", "requests.cpu": "4000m"}}});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"},
                         "automountServiceAccountToken": false});
    BTreeMap::from([
        ("namespace", tenant.want_namespace()),
        ("deny", tenant.want(Stage::Foundation, annotated(deny))),
        ("limits", tenant.want(Stage::Foundation, annotated(limits))),
        ("role", tenant.want(Stage::Ordinary, annotated(role))),
        ("account", tenant.want(Stage::Ordinary, annotated(account))),
        ("settings", tenant.want(Stage::Ordinary, annotated(settings(json!({"a": "1"}))))),
        ("secret", tenant.want_generated_secret()),
        ("claim", tenant.want(Stage::Ordinary, annotated(claim))),
        ("service", tenant.want(Stage::Ordinary, annotated(service))),
        ("web", tenant.want(Stage::Ordinary, annotated(web("x:1")))),
        ("db", tenant.want(Stage::Ordinary, annotated(stateful))),
        ("job", tenant.want(Stage::Ordinary, annotated(job))),
        ("disruption", tenant.want(Stage::Ordinary, annotated(disruption))),
        ("scaler", tenant.want(Stage::Ordinary, annotated(scaler))),
        ("quota", tenant.want(Stage::Quota, annotated(quota))),
        ("binding", tenant.want(Stage::Access, annotated(binding))),
    ])
}

/// A tenant with a ConfigMap and a Deployment, in place and seen by the watches.
async fn small<'a>(bench: &'a Bench, name: &str) -> (Tenant<'a>, ObjectId, ObjectId) {
    let mut tenant = bench.tenant(name);
    tenant.want_namespace();
    let map = tenant.want(Stage::Ordinary, settings(json!({"a": "1"})));
    let deployment = tenant.want(Stage::Ordinary, web("x:1"));
    tenant.done().await;
    // The Deployment's controller has written its status: nothing of that is drift.
    settled(bench, &deployment).await;
    let version = bench.get(&deployment).await.metadata.resource_version.unwrap().parse().unwrap();
    tenant.sees(&deployment, version).await;
    assert_eq!(tenant.actions(), []);
    (tenant, map, deployment)
}

/// Waits until the Deployment's controller has nothing more to say.
async fn settled(bench: &Bench, deployment: &ObjectId) {
    let mut last = String::new();
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let object = bench.get(deployment).await;
        let version = object.metadata.resource_version.clone().unwrap();
        let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
        if observed == object.metadata.generation && version == last {
            return;
        }
        last = version;
    }
    panic!("the Deployment's controller never came to rest");
}

fn applied(kind: &str) -> (String, Done) {
    (kind.to_owned(), Done::Applied)
}

async fn a_new_tenant_costs_one_post_per_object_and_then_nothing(bench: &Bench) {
    let mut tenant = bench.tenant("new");
    let ids = want_everything(&mut tenant, "one");
    let before = bench.requests();
    let done = tenant.done().await;
    assert!(done.iter().all(|(_, done)| *done == Done::Created), "{done:?}");
    assert_eq!(done.len(), ids.len());
    let after = bench.requests();
    let posts =
        after.get(&Verb::Create).copied().unwrap_or(0) - before.get(&Verb::Create).copied().unwrap_or(0);
    assert_eq!(posts, ids.len() as u64);
    assert_eq!(after.get(&Verb::Get), None);
    assert_eq!(tenant.actions(), [], "right after its own writes");
    settled(bench, &ids["web"]).await;
    for id in ids.values().filter(|id| !id.kind.is_secret()) {
        let version = bench.get(id).await.metadata.resource_version.unwrap().parse().unwrap();
        tenant.sees(id, version).await;
    }
    assert_eq!(tenant.actions(), [], "when the controllers have written what they write");
    // As after a restart: the record alone, without what this process remembers.
    let restarted = Bench::new(bench.client.clone()).await;
    let mut again = restarted.tenant("new");
    want_everything(&mut again, "one");
    again.inventory = tenant.inventory.clone();
    assert_eq!(again.done().await, []);
}

async fn a_change_costs_one_apply_per_object_and_a_dropped_field_two_more(bench: &Bench) {
    let mut tenant = bench.tenant("change");
    let ids = want_everything(&mut tenant, "one");
    tenant.done().await;
    let before = bench.requests();
    want_everything(&mut tenant, "two");
    let done = tenant.done().await;
    // The namespace and the generated Secret hold nothing that changed.
    assert_eq!(done.len(), ids.len() - 2);
    assert!(done.iter().all(|(_, done)| *done == Done::Applied), "{done:?}");
    let after = bench.requests();
    let count = |verb| after.get(&verb).copied().unwrap_or(0) - before.get(&verb).copied().unwrap_or(0);
    assert_eq!((count(Verb::Apply), count(Verb::Takeover)), (ids.len() as u64 - 2, 0), "defaults are known");

    // A key, a container's port and an annotation leave the intent.
    let before = bench.requests();
    tenant.want(Stage::Ordinary, settings(json!({"b": "2"})));
    let mut smaller = web("x:1");
    smaller["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("ports");
    tenant.want(Stage::Ordinary, smaller);
    assert_eq!(tenant.done().await.len(), 2);
    let after = bench.requests();
    let count = |verb| after.get(&verb).copied().unwrap_or(0) - before.get(&verb).copied().unwrap_or(0);
    assert_eq!((count(Verb::Apply), count(Verb::Takeover)), (4, 2));
    let map = bench.get(&ids["settings"]).await;
    assert_eq!(map.data.get("data"), Some(&json!({"b": "2"})));
    assert_eq!(map.metadata.annotations, None);
    let deployment = bench.get(&ids["web"]).await;
    assert_eq!(deployment.data.pointer("/spec/template/spec/containers/0/ports"), None);
    assert_eq!(tenant.actions(), []);

    // The second time it costs nothing more.
    tenant.want(Stage::Ordinary, settings(json!({"c": "3"})));
    tenant.done().await;
    assert_eq!(bench.requests().get(&Verb::Takeover), after.get(&Verb::Takeover));
    assert_eq!(bench.get(&ids["settings"]).await.data.get("data"), Some(&json!({"c": "3"})));
}

/// One source of a volume instead of another, one of a variable, one way to replace pods: with what was there, and what the server filled in
/// when it was made, each would be refused.
async fn what_excludes_what_was_there_takes_its_place(bench: &Bench) {
    let made = |volume: &Value, variable: &Value, strategy: &Value| {
        let mut made = web("x:1");
        made["spec"]["strategy"] = strategy.clone();
        let pod = &mut made["spec"]["template"]["spec"];
        pod["volumes"] = json!([volume]);
        pod["containers"][0]["env"] = json!([variable]);
        made
    };
    let rolling =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}});
    let [first, second] = [
        (json!({"name": "v", "emptyDir": {}}), json!({"name": "A", "value": "1"})),
        (
            json!({"name": "v", "configMap": {"name": "settings"}}),
            json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}),
        ),
    ];
    let mut tenant = bench.tenant("instead");
    tenant.want_namespace();
    let id = tenant.want(Stage::Ordinary, made(&first.0, &first.1, &json!({})));
    tenant.done().await;
    for (turn, (volume, variable), strategy, takes_over) in [
        (1, &second, json!({"type": "Recreate"}), 1),
        (2, &first, rolling, 0),
        (3, &second, json!({"type": "Recreate"}), 0),
    ] {
        let before = bench.requests();
        tenant.want(Stage::Ordinary, made(volume, variable, &strategy));
        assert_eq!(tenant.done().await, [applied("Deployment")], "{turn}");
        let after = bench.requests();
        let count = |verb| after.get(&verb).copied().unwrap_or(0) - before.get(&verb).copied().unwrap_or(0);
        let asked = (count(Verb::Apply), count(Verb::Takeover), count(Verb::Get));
        assert_eq!(asked, (1, takes_over, takes_over), "{turn}: what is refused is not counted");
        let live = bench.get(&id).await.data;
        assert_eq!(live.pointer("/spec/strategy"), Some(&strategy), "{turn}");
        let source = volume.as_object().unwrap().keys().find(|key| *key != "name").unwrap();
        let has = live.pointer("/spec/template/spec/volumes/0").and_then(Value::as_object).unwrap();
        assert!(has.contains_key(source) && has.len() == 2, "{turn}: {has:?}");
        assert_eq!(tenant.actions(), []);
    }
}

async fn status_scale_and_labels_are_no_drift(bench: &Bench) {
    let (mut tenant, map, deployment) = small(bench, "quiet").await;
    let version =
        bench.meddle(&deployment, "somebody", json!({"metadata": {"labels": {"team": "blue"}}})).await;
    tenant.sees(&deployment, version).await;
    assert_eq!(tenant.actions(), [], "a foreign label on a kind with generation");

    // Scaling, a restart and a label on a kind without generation cost one look each, and no write.
    let restart = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}});
    let labelled = bench.meddle(&map, "somebody", json!({"metadata": {"labels": {"team": "blue"}}})).await;
    let scaled = bench.scale(&deployment, 3).await;
    let restarted = bench.meddle(&deployment, "kubectl-rollout", restart).await;
    tenant.sees(&map, labelled).await;
    tenant.sees(&deployment, scaled.max(restarted)).await;
    let writes = |requests: BTreeMap<Verb, u64>| -> u64 {
        requests.iter().filter(|(verb, _)| **verb != Verb::Get).map(|(_, count)| count).sum()
    };
    let before = writes(bench.requests());
    let mut done = tenant.done().await;
    done.sort_by(|one, two| one.0.cmp(&two.0));
    assert_eq!(done, [("ConfigMap".to_owned(), Done::Verified), ("Deployment".to_owned(), Done::Verified)]);
    assert_eq!(writes(bench.requests()), before);
    let live = bench.get(&deployment).await;
    assert_eq!(live.data.pointer("/spec/replicas"), Some(&json!(3)));
    assert_eq!(live.metadata.labels.unwrap().get("team").map(String::as_str), Some("blue"));
    settled(bench, &deployment).await;
    assert_eq!(tenant.actions(), []);
}

async fn foreign_edits_are_repaired(bench: &Bench) {
    let (mut tenant, map, deployment) = small(bench, "edits").await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
                      "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let role = tenant.want(Stage::Ordinary, role);
    tenant.done().await;
    let containers = json!([{"name": "app", "image": "x:9", "ports": [{"containerPort": 8080}]}]);
    let edits = [
        (&map, json!({"data": {"a": "9"}})),
        (&deployment, json!({"spec": {"template": {"spec": {"containers": containers}}}})),
        (&role, json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})),
    ];
    for (id, patch) in edits {
        let version = bench.meddle(id, "kubectl-edit", patch).await;
        tenant.sees(id, version).await;
    }
    let mut done = tenant.done().await;
    done.sort_by(|one, two| one.0.cmp(&two.0));
    assert_eq!(done, [applied("ConfigMap"), applied("Deployment"), applied("Role")]);
    assert_eq!(bench.get(&map).await.data.get("data"), Some(&json!({"a": "1"})));
    let live = bench.get(&deployment).await;
    assert_eq!(live.data.pointer("/spec/template/spec/containers/0/image"), Some(&json!("x:1")));
    assert_eq!(bench.get(&role).await.data.pointer("/rules/0/verbs"), Some(&json!(["get"])));
    assert_eq!(tenant.actions(), []);
}

async fn a_sidecar_and_an_extra_key_are_taken_out(bench: &Bench) {
    let (mut tenant, map, deployment) = small(bench, "added").await;
    let mut containers =
        bench.get(&deployment).await.data.pointer("/spec/template/spec/containers").cloned().unwrap();
    containers.as_array_mut().unwrap().push(json!({"name": "sidecar", "image": "y"}));
    let sidecar = json!({"spec": {"template": {"spec": {"containers": containers, "hostNetwork": true}}}});
    let key = bench.meddle(&map, "kubectl-patch", json!({"data": {"b": "2"}})).await;
    let sidecar = bench.meddle(&deployment, "kubectl-edit", sidecar).await;
    tenant.sees(&map, key).await;
    tenant.sees(&deployment, sidecar).await;
    let mut done = tenant.done().await;
    done.sort_by(|one, two| one.0.cmp(&two.0));
    assert_eq!(done, [("ConfigMap".to_owned(), Done::Replaced), ("Deployment".to_owned(), Done::Replaced)]);
    assert_eq!(bench.get(&map).await.data.get("data"), Some(&json!({"a": "1"})));
    let live = bench.get(&deployment).await;
    let containers =
        live.data.pointer("/spec/template/spec/containers").and_then(Value::as_array).unwrap().len();
    assert_eq!(containers, 1);
    assert_eq!(live.data.pointer("/spec/template/spec/hostNetwork"), None);
    assert_eq!(tenant.actions(), []);

    // One edit that takes a value of ours and adds one beside it.
    let version = bench.meddle(&map, "kubectl-edit", json!({"data": {"a": "9", "b": "2"}})).await;
    tenant.sees(&map, version).await;
    assert_eq!(tenant.done().await, [("ConfigMap".to_owned(), Done::Replaced)]);
    assert_eq!(bench.get(&map).await.data.get("data"), Some(&json!({"a": "1"})));
    settled(bench, &deployment).await;
    assert_eq!(tenant.actions(), []);
}

async fn our_managers_name_protects_nothing(bench: &Bench) {
    let (mut tenant, map, deployment) = small(bench, "spoofed").await;
    // A value of ours, changed in our name: no field changes hands.
    let version = bench.meddle(&map, "tenantry", json!({"data": {"a": "9"}})).await;
    tenant.sees(&map, version).await;
    assert_eq!(tenant.done().await, [applied("ConfigMap")]);
    assert_eq!(bench.get(&map).await.data.get("data"), Some(&json!({"a": "1"})));
    assert_eq!(tenant.actions(), []);

    // A sidecar, added in our name.
    let mut containers =
        bench.get(&deployment).await.data.pointer("/spec/template/spec/containers").cloned().unwrap();
    containers.as_array_mut().unwrap().push(json!({"name": "sidecar", "image": "y"}));
    let sidecar = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let version = bench.meddle(&deployment, "tenantry", sidecar).await;
    tenant.sees(&deployment, version).await;
    assert_eq!(tenant.done().await, [applied("Deployment")]);
    let live = bench.get(&deployment).await;
    let containers =
        live.data.pointer("/spec/template/spec/containers").and_then(Value::as_array).unwrap().len();
    assert_eq!(containers, 1);

    // The list of owners, wiped.
    let version =
        bench.meddle(&map, "x", json!({"metadata": {"managedFields": [{}]}, "data": {"a": "9"}})).await;
    tenant.sees(&map, version).await;
    assert_eq!(tenant.done().await, [applied("ConfigMap")]);
    assert_eq!(bench.get(&map).await.data.get("data"), Some(&json!({"a": "1"})));
    settled(bench, &deployment).await;
    assert_eq!(tenant.actions(), []);
}

async fn a_stripped_label_comes_back_and_a_deleted_object_is_made_anew(bench: &Bench) {
    let (mut tenant, map, _) = small(bench, "label").await;
    let uid = bench.get(&map).await.metadata.uid.unwrap();
    bench.meddle(&map, "x", json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}})).await;
    bench.until("the object leaves the index", || bench.is_absent(&map)).await;
    let missing = Action::Apply { uid: uid.clone(), why: Cause::Missing };
    assert_eq!(tenant.actions(), [("ConfigMap".to_owned(), missing)]);
    assert_eq!(tenant.done().await, [applied("ConfigMap")]);
    let live = bench.get(&map).await;
    assert_eq!(live.metadata.uid.as_deref(), Some(&*uid));
    assert!(live.metadata.labels.unwrap().contains_key("app.kubernetes.io/managed-by"));
    tenant.sees(&map, live.metadata.resource_version.unwrap().parse().unwrap()).await;
    assert_eq!(tenant.actions(), []);

    bench.delete(&map).await;
    bench.until("the object leaves the index", || bench.is_absent(&map)).await;
    assert_eq!(tenant.done().await, [("ConfigMap".to_owned(), Done::Created)]);
    assert_ne!(bench.get(&map).await.metadata.uid.as_deref(), Some(&*uid));
    assert_eq!(tenant.actions(), []);
}

async fn a_namesake_is_left_untouched(bench: &Bench) {
    let (mut tenant, map, _) = small(bench, "namesake").await;
    bench.delete(&map).await;
    bench.create(&map, settings(json!({"theirs": "yes"}))).await;
    bench.until("the object leaves the index", || bench.is_absent(&map)).await;
    let execution = tenant.pass().await;
    let verdicts: Vec<_> =
        execution.outcomes.iter().map(|outcome| outcome.result.clone().unwrap_err().verdict).collect();
    assert_eq!(verdicts, [Verdict::NameConflict]);
    let live = bench.get(&map).await;
    assert_eq!(live.data.get("data"), Some(&json!({"theirs": "yes"})));
    assert_eq!(live.metadata.labels, None);
    // It goes, and ours comes back.
    bench.delete(&map).await;
    assert_eq!(tenant.done().await, [("ConfigMap".to_owned(), Done::Created)]);
}

async fn a_foreign_namespace_is_left_untouched(bench: &Bench) {
    let mut tenant = bench.tenant("foreign");
    let namespace = tenant.want_namespace();
    let map = tenant.want(Stage::Ordinary, settings(json!({"a": "1"})));
    bench
        .create(
            &namespace,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant-foreign"}}),
        )
        .await;
    let before = bench.get(&namespace).await.metadata.resource_version;
    let execution = tenant.pass().await;
    let verdicts: Vec<_> =
        execution.outcomes.iter().map(|outcome| outcome.result.clone().unwrap_err().verdict).collect();
    assert_eq!(verdicts, [Verdict::NameConflict, Verdict::Skipped]);
    assert_eq!(bench.get(&namespace).await.metadata.resource_version, before);
    assert!(bench.is_absent(&map));
}

async fn a_tenant_goes_with_its_namespace(bench: &Bench) {
    let (mut tenant, map, _) = small(bench, "leaving").await;
    let namespace = tenant.desired[0].id.clone();
    let first = tenant.remove().await;
    assert_eq!(first.steps.len(), 1);
    bench.until("the namespace is gone", || bench.is_absent(&namespace)).await;
    for _ in 0..3 {
        tenant.remove().await;
    }
    assert!(tenant.inventory.objects.is_empty(), "{:?}", tenant.inventory);
    bench.until("what was in it is gone", || bench.is_absent(&map)).await;
}
