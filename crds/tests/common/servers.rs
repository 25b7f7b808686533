//! Requests for nodes, for pods of tenants and for pools of servers, by which nobody gets on another's servers; data, but for
//! making what the requests need.

use serde_json::{Value, json};

use crate::attempts::{Attempt, CORE, Who, attempt, delete, namespace, patch, post};
use crate::objects::base;
use crate::server::{Speaker, path};

const TENANT: &str = "node-restriction.kubernetes.io/tenantry-tenant";
const TAINT: &str = "node-restriction.kubernetes.io/tenantry-dedicated";
const NODE: &str = "/api/v1/nodes/n-1";
const MADE: &str = "node-restriction.kubernetes.io/tenantry-made";
/// Whose servers these are.
const ID: &str = "d4n5e6r7";

/// Makes a node that is somebody's, a tenant that has servers of its own, and a pool that is in use.
pub(crate) async fn prepare(admin: &Speaker) {
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n-1", "labels": {TENANT: ID, "example.org/hall": "2"}},
        "spec": {"taints": [taint(ID), others()]}});
    admin.create(&node).await;
    let labels = json!({"app.kubernetes.io/managed-by": "tenantry", "tenantry.io/tenant-id": ID,
        "tenantry.io/tenancy": "dedicated"});
    admin.create(&namespace("tenant-dune", labels)).await;
    for name in ["tenant-dune", "tenant-acme"] {
        let account = format!("{CORE}/{name}/serviceaccounts/default");
        admin.until(&account, "the account of the namespace", |answer| answer.accepted()).await;
    }
    let pool = base("ServerPool");
    admin.create(&pool).await;
    let status = json!({"status": {"tenants": 1}});
    admin.call(&http::Method::PATCH, &format!("{}/status", path(&pool)), Some(&status)).await.good();
    let mut unused = pool;
    unused["metadata"]["name"] = json!("unused");
    admin.create(&unused).await;
}

fn taint(value: &str) -> Value {
    json!({"key": TAINT, "value": value, "effect": "NoSchedule"})
}

fn others() -> Value {
    json!({"key": "example.org/spot", "value": "true", "effect": "NoSchedule"})
}

/// Every attempt that is about servers.
pub(crate) fn servers() -> Vec<Attempt> {
    let mut all = nodes();
    all.extend(pods());
    all.extend(pools());
    all
}

fn nodes() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-nodes";
    const LABELS: &str = "labels of nodes that start with node-restriction.kubernetes.io/tenantry-";
    const TAINTS: &str = "taints of nodes that start with node-restriction.kubernetes.io/tenantry-";
    const OWN: &str = "the controller makes no nodes";
    const ONLY: &str = "the controller sets only its own label and taint";
    let label = |key: &str, value: Value| patch(NODE, json!({"metadata": {"labels": {key: value}}}));
    let taints = |list: Value| patch(NODE, json!({"spec": {"taints": list}}));
    let by = |what, who, request| attempt(POLICY, what, who, request);
    let node = |name: &str, labels: Value| {
        post(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}))
    };
    let born = |taint: Value, labels: Value| {
        post(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n-3", "labels": labels},
            "spec": {"taints": [taint]}}))
    };
    vec![
        by("tenant changed", Who::Staff, label(TENANT, json!("k7w3q9m2"))).refused(LABELS),
        by("tenant dropped", Who::Staff, label(TENANT, Value::Null)).refused(LABELS),
        by("tenant of a new node", Who::Staff, node("n-2", json!({TENANT: ID}))).refused(LABELS),
        by("taint dropped", Who::Staff, taints(json!([others()]))).refused(TAINTS),
        by("taint changed", Who::Staff, taints(json!([taint("free"), others()]))).refused(TAINTS),
        by("other label", Who::Staff, label("example.org/hall", json!("3"))),
        by("other taint", Who::Staff, taints(json!([taint(ID)]))),
        by("cordoned", Who::Staff, patch(NODE, json!({"spec": {"unschedulable": true}}))),
        by("a new node that is nobody's", Who::Staff, born(taint("enrolling"), json!({MADE: "hall-own-k7"}))),
        by("a new node that is somebody's", Who::Staff, born(taint(ID), json!({}))).refused(TAINTS),
        by("a new node that is free at once", Who::Staff, born(taint("free"), json!({}))).refused(TAINTS),
        by("made by an object", Who::Staff, label(MADE, json!("hall-own-k7"))),
        by("a new node", Who::Staff, node("n-2", json!({"example.org/hall": "2"}))),
        by("tenant changed by an administrator", Who::Admin, label(TENANT, Value::Null)),
        by("tenant changed by the controller", Who::Controller, label(TENANT, json!("k7w3q9m2"))),
        by("taint changed by the controller", Who::Controller, taints(json!([others(), taint("free")]))),
        by("other label by the controller", Who::Controller, label("example.org/hall", json!("3")))
            .refused(OWN),
        by("other taint dropped by the controller", Who::Controller, taints(json!([taint(ID)])))
            .refused(ONLY),
        by(
            "cordoned by the controller",
            Who::Controller,
            patch(NODE, json!({"spec": {"unschedulable": true}})),
        )
        .refused(ONLY),
        by(
            "annotated by the controller",
            Who::Controller,
            patch(NODE, json!({"metadata": {"annotations": {"a": "b"}}})),
        )
        .refused(ONLY),
    ]
}

fn pods() -> Vec<Attempt> {
    const POLICY: &str = "tenantry-placement";
    const OTHERS: &str = "pods of a tenant tolerate no servers of others";
    const OWN: &str = "this tenant has servers of its own, and its pods run nowhere else";
    let pod = |namespace: &str, spec: Value| {
        let mut all = json!({
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "image": "example.org/a:1",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        });
        for (field, value) in spec.as_object().expect("an object") {
            all[field] = value.clone();
        }
        post(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": namespace}, "spec": all}),
        )
    };
    let tolerates = |tolerations: Value| json!({"tolerations": tolerations});
    let own = json!({"key": TAINT, "operator": "Equal", "value": ID, "effect": "NoSchedule"});
    let by = |what, request| attempt(POLICY, what, Who::Staff, request);
    vec![
        by("a pod among others", pod("tenant-acme", json!({}))),
        by("anywhere", pod("tenant-acme", tolerates(json!([{"operator": "Exists"}])))).refused(OTHERS),
        by(
            "wherever it is already",
            pod("tenant-acme", tolerates(json!([{"operator": "Exists", "effect": "NoExecute"}]))),
        ),
        by(
            "a spot",
            pod("tenant-acme", tolerates(json!([{"key": "example.org/spot", "operator": "Exists"}]))),
        ),
        by("on another's", pod("tenant-acme", tolerates(json!([own])))).refused(OTHERS),
        by("on anybody's", pod("tenant-acme", tolerates(json!([{"key": TAINT, "operator": "Exists"}]))))
            .refused(OTHERS),
        by("past the scheduler", pod("tenant-acme", json!({"nodeName": "n-1"})))
            .refused("goes past the scheduler"),
        by("on its own", pod("tenant-dune", json!({"nodeSelector": {TENANT: ID}, "tolerations": [own]}))),
        by("on others", pod("tenant-dune", json!({}))).refused(OWN),
        by("on another's own", pod("tenant-dune", json!({"nodeSelector": {TENANT: "k7w3q9m2"}})))
            .refused(OWN),
        by("no tenant's", pod("kitchen", tolerates(json!([{"operator": "Exists"}])))),
    ]
}

fn pools() -> Vec<Attempt> {
    const IN_USE: &str = "tenantry-pools-in-use";
    const CLEANED: &str = "tenantry-cleaned-nodes";
    let unused = base("ServerPool");
    let used = path(&unused);
    let free = used.replace("/standard", "/unused");
    let cleaned = |by: &str| json!({"spec": {"cleaned": [{"node": "n-1", "tenant": ID, "by": by}]}});
    let exchanged = |by: &str| json!({"spec": {"exchange": [{"node": "n-1", "tenant": ID, "by": by}]}});
    vec![
        attempt(IN_USE, "in use", Who::Staff, delete(used.clone()))
            .refused("tenants have a share of this pool"),
        attempt(IN_USE, "not in use", Who::Staff, delete(free)),
        attempt(CLEANED, "by oneself", Who::Staff, patch(used.clone(), cleaned("oskar"))),
        attempt(CLEANED, "in another's name", Who::Staff, patch(used.clone(), cleaned("ada")))
            .refused("nobody says in another's name that a node was cleaned"),
        attempt(CLEANED, "exchanged by oneself", Who::Staff, patch(used.clone(), exchanged("oskar"))),
        attempt(CLEANED, "exchanged in another's name", Who::Staff, patch(used.clone(), exchanged("ada")))
            .refused("nobody has a node exchanged in another's name"),
        attempt(CLEANED, "something else", Who::Staff, patch(used, json!({"spec": {"reserveNodes": 2}}))),
    ]
}
