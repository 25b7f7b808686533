//! Servers that are made by a template: objects of Karpenter and of Cluster API, by their real definitions. The test plays the
//! cloud: it makes the nodes that such an object asks for, and takes them away when it goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry_control_plane::{Crd, Taint};
use tenantry_crds::TenantSubscription;
use tenantry_crds::common::ConditionStatus;
use tenantry_crds::pool::{ServerPool, ServerPoolStatus};
use tenantry_crds::subscription::ItemState;
use tenantry_e2e::hall::{self, CLASS, HALL, OWN, TENANT, nodes_of as servers, on, own_nodes, plan, pool};
use tenantry_e2e::traffic::at_rest;
use tenantry_e2e::wait::{entry, is_live, stands};
use tenantry_e2e::{Setup, World, journal, wait};

const MADE: &str = "node-restriction.kubernetes.io/tenantry-made";
const POOL: &str = "hall-own";

fn own(template: Value) -> Value {
    pool(
        POOL,
        json!({"tenancy": "Dedicated", "priceKey": "hall-whole", "template": template, "nodeLabels": own_nodes()}),
    )
}

fn node_pool() -> Value {
    json!({"template": {"spec": {
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "large"},
        "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}],
    }}})
}

fn machine_deployment() -> Value {
    json!({"namespace": "machines", "spec": {"clusterName": "hall", "template": {"spec": {
        "clusterName": "hall",
        "version": "v1.37.2",
        "bootstrap": {"configRef": {"apiGroup": "bootstrap.cluster.x-k8s.io", "kind": "KubeadmConfigTemplate", "name": "hall"}},
        "infrastructureRef": {"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "DockerMachineTemplate", "name": "hall"},
    }}}})
}

/// Objects that make nodes, of one kind.
fn makers(world: &World, kind: &str) -> Api<DynamicObject> {
    let (group, version) = match kind {
        "NodePool" => ("karpenter.sh", "v1"),
        _ => ("cluster.x-k8s.io", "v1beta2"),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match kind {
        "NodePool" => Api::all_with(world.client.clone(), &resource),
        _ => Api::namespaced_with(world.client.clone(), "machines", &resource),
    }
}

async fn until_pool(world: &World, holds: impl Fn(&ServerPoolStatus) -> bool) -> ServerPoolStatus {
    hall::until_pool(world, POOL, holds).await.unwrap()
}

/// What the pool says of the nodes that are made.
fn said(status: &ServerPoolStatus) -> String {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "NodesMade");
    condition.map(|one| format!("{:?} {} {}", one.status, one.reason, one.message)).unwrap_or_default()
}

async fn start(template: Value) -> World {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    let mut plans = [plan("side", json!({})).unwrap(), plan("alone", json!({"dedicatedNodes": 1})).unwrap()];
    plans[1]["spec"]["downgradableTo"] = json!(["side"]);
    world.apply_all(&plans).await.unwrap();
    world.apply_all(&[own(template)]).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&plans).await.unwrap();
    world
}

/// Makes the node of an object, as its maker does: with labels and taints of the template, as far as the maker hands them on.
async fn play(world: &World, object: &DynamicObject, node: &str, handed_on: impl Fn(&str) -> bool) {
    let api = makers(world, &object.types.as_ref().unwrap().kind);
    let finalizer = json!({"metadata": {"finalizers": ["example.org/machine"]}});
    let name = object.metadata.name.as_deref().unwrap();
    api.patch(name, &PatchParams::default(), &Patch::Merge(finalizer)).await.unwrap();
    let template = &object.data["spec"]["template"];
    let labels = template["metadata"]["labels"].as_object().unwrap();
    let mut labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .filter(|(key, _)| handed_on(key))
        .collect();
    // What the maker does not hand on, the machine says itself when it joins.
    if !labels.iter().any(|(key, _)| *key == CLASS) {
        labels.extend([(CLASS, HALL), OWN]);
    }
    let text = |taint: &'_ Value, field: &str| taint[field].as_str().unwrap().to_owned();
    let taints: Vec<[String; 3]> = template["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|taint| ["key", "value", "effect"].map(|field| text(taint, field)))
        .collect();
    let taints: Vec<Taint<'_>> =
        taints.iter().map(|[key, value, effect]| Taint { key, value, effect }).collect();
    world.cluster.add_node(node, &labels, &taints).await.unwrap();
}

/// Takes the machine of an object that is given back, and then lets the object go.
async fn take_away(world: &World, kind: &str, name: &str, node: &str) {
    let api = makers(world, kind);
    let goes = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| object.metadata.deletion_timestamp.is_some())
    };
    if let Err(error) = wait::until(api.clone(), name, goes).await {
        let pool = until_pool(world, |_| true).await;
        panic!("{}; {pool:#?}", error.to_string().lines().next().unwrap());
    }
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete(node, &DeleteParams::default()).await.unwrap();
    let none = json!({"metadata": {"finalizers": null}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
}

/// The nodes on which a tenant's pods are.
async fn nodes_of(world: &World, name: &str) -> BTreeSet<String> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &format!("tenant-{name}"));
    let pods = pods.list(&ListParams::default()).await.unwrap();
    pods.into_iter().filter_map(|pod| pod.spec?.node_name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn karpenter_makes_a_node_for_who_waits_and_takes_it_back_after_him() {
    let mut world = start(json!({"maxNodes": 2, "nodePool": {}})).await;
    let pools: Api<ServerPool> = Api::all(world.client.clone());
    // What has changed is tried at once.
    let change = async |field: &str, value: Value| {
        let patch = Patch::Merge(json!({"spec": {field: value}}));
        pools.patch(POOL, &PatchParams::default(), &patch).await.unwrap();
    };
    // What is in the way is said with its remedy, to the pool and to who waits.
    world.apply_all(&[on("alone", "acme")]).await.unwrap();
    let waits = |text: &'static str| {
        move |sub: &TenantSubscription| {
            stands("servers", ItemState::Waiting, "OutOfCapacity")(sub)
                && entry(sub, "servers").is_some_and(|entry| entry.message.contains(text))
        }
    };
    let told = world.until("acme", waits("tenantry manifests karpenter")).await.unwrap();
    let operation = told.status.as_ref().unwrap().operation.as_ref().unwrap();
    assert_eq!(operation.estimated_completion, None, "nobody knows when");
    let described = world.tenantry(&["describe", "acme"]).await.unwrap();
    assert!(described.contains("it waits for servers, and nobody can say until when"), "{described}");
    let rights = world.tenantry(&["manifests", "karpenter"]).await.unwrap();
    world.apply(&rights).await.unwrap();
    change("chipPower", json!("1.1")).await;
    world.until("acme", waits("install Karpenter")).await.unwrap();
    let recorded = until_pool(&world, |status| said(status).contains("Hindered")).await;
    assert_eq!(
        (recorded.made.len(), recorded.made[0].uid.as_deref()),
        (1, None),
        "recorded before it is made"
    );
    world.cluster.install_crds(&[Crd::NodePool]).await.unwrap();
    change("chipPower", json!("1.2")).await;
    world.until("acme", waits("correct spec.template of the pool")).await.unwrap();
    change("template", json!({"nodePool": node_pool()})).await;

    // Who would order as well is told what would come of it.
    let file = world.directory().join("bolt.yaml");
    std::fs::write(&file, serde_json::to_string(&on("alone", "bolt")).unwrap()).unwrap();
    let preview = ["preview", "-f", file.to_str().unwrap(), "-o", "json"];
    let shown: Value = serde_json::from_str(&world.tenantry(&preview).await.unwrap()).unwrap();
    let room = &shown["tenants"][0]["servers"];
    assert_eq!(
        (&room["pool"], &room["fits"], &room["nodesMade"], &room["lacks"]["nodes"]),
        (&json!(POOL), &json!(false), &json!(1), &json!("1")),
        "{shown:#}"
    );

    // It is made as its template and the pool say, by the real definition.
    let status = until_pool(&world, |status| status.made.iter().any(|one| one.uid.is_some())).await;
    let name = status.made[0].name.clone();
    let object = makers(&world, "NodePool").get(&name).await.unwrap();
    assert_eq!(object.metadata.uid, status.made[0].uid);
    assert_eq!(object.data["spec"]["replicas"], json!(1));
    world.until("acme", waits("has no node yet")).await.unwrap();
    let text = world.tenantry(&["capacity"]).await.unwrap();
    assert!(text.contains(&format!("NodePool {name} has no node yet")), "{text}");
    // What Karpenter says of it is told.
    let broken = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "NodeClassNotFound",
        "message": "NodeClass large is not there", "lastTransitionTime": "2026-12-01T06:00:00Z"}]}});
    makers(&world, "NodePool")
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(broken))
        .await
        .unwrap();
    world.until("acme", waits("NodeClass large is not there")).await.unwrap();

    // A controller that knows nothing of the answer finds what it made, and makes no second one.
    world.kill_controller().unwrap();
    let lost =
        json!({"status": {"made": [{"name": name, "kind": "NodePool", "since": status.made[0].since}]}});
    pools.patch_status(POOL, &PatchParams::default(), &Patch::Merge(lost)).await.unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    let status = until_pool(&world, |status| status.made.first().is_some_and(|one| one.uid.is_some())).await;
    assert_eq!((status.made.len(), &status.made[0].uid), (1, &object.metadata.uid));

    play(&world, &object, "k-0", |_| true).await;
    let live = world.until("acme", |sub| is_live(sub) && servers(sub) == ["k-0"]).await.unwrap();
    assert_eq!(nodes_of(&world, "acme").await, BTreeSet::from(["k-0".to_owned()]));
    let nodes: Api<Node> = Api::all(world.client.clone());
    let labels = nodes.get("k-0").await.unwrap().metadata.labels.unwrap();
    let has = live.status.as_ref().unwrap();
    assert_eq!(labels.get(TENANT), Some(&has.tenant.as_ref().unwrap().id));
    assert_eq!(labels.get(MADE), Some(&name));
    let told = has.servers.as_ref().unwrap();
    assert_eq!((told.price_key.as_deref(), told.number), (Some("hall-whole"), 1));
    let shown = world.tenantry(&["capacity", POOL, "-o", "json"]).await.unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown[0]["made"][0], &shown[0]["makable"]), (&json!(name), &json!(1)), "{shown:#}");
    assert_ne!(shown[0]["used"]["pods"], json!("0"), "{shown:#}");
    at_rest(&world).await.unwrap();

    // Another price key is another fact, told once.
    change("priceKey", json!("hall-whole-2027")).await;
    let second = |sub: &TenantSubscription| {
        sub.status.as_ref().and_then(|status| status.servers.as_ref()).is_some_and(|has| has.number == 2)
    };
    world.until("acme", second).await.unwrap();

    // With the tenant the machine goes, and with it what was on its disk: nothing has to be cleaned.
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    orders.delete("acme", &DeleteParams::default()).await.unwrap();
    wait::gone(orders.clone(), "acme").await.unwrap();
    until_pool(&world, |status| status.made.iter().all(|one| one.removing) && status.tenants == 0).await;
    let goes = until_pool(&world, |status| !status.quarantined.is_empty()).await;
    assert_eq!(goes.free_nodes, 0, "nobody gets it meanwhile");
    take_away(&world, "NodePool", &name, "k-0").await;
    until_pool(&world, |status| status.made.is_empty() && status.quarantined.is_empty()).await;
    let history = journal::History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Servers", ""), ["Obtained", "Changed", "Released"], "{history:#?}");
    at_rest(&world).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_api_makes_as_many_as_may_be() {
    let world = start(json!({"maxNodes": 1, "machineDeployment": machine_deployment()})).await;
    world.cluster.install_crds(&[Crd::MachineDeployment]).await.unwrap();
    world.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: machines}\n").await.unwrap();
    let rights = ["manifests", "cluster-api", "--machines-namespace", "machines"];
    let rights = world.tenantry(&rights).await.unwrap();
    world.apply(&rights).await.unwrap();
    world.apply_all(&[on("alone", "acme")]).await.unwrap();
    let status = until_pool(&world, |status| status.made.iter().any(|one| one.uid.is_some())).await;
    let name = status.made[0].name.clone();
    let object = makers(&world, "MachineDeployment").get(&name).await.unwrap();
    assert_eq!(object.data["spec"]["selector"]["matchLabels"], json!({MADE: name}));
    // Cluster API hands on labels of some domains only.
    play(&world, &object, "m-0", |key| key.starts_with("node-restriction.kubernetes.io/")).await;
    world.until("acme", |sub| is_live(sub) && servers(sub) == ["m-0"]).await.unwrap();
    assert_eq!(nodes_of(&world, "acme").await, BTreeSet::from(["m-0".to_owned()]));

    // There may be no other one: that is said, and the next is served by it once the first has gone.
    world.apply_all(&[on("alone", "bolt")]).await.unwrap();
    let full = until_pool(&world, |status| said(status).contains("AtTheMost")).await;
    assert!(said(&full).contains("raise spec.template.maxNodes"), "{full:?}");
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    // Who goes to shared servers leaves it as well, and is told before whether there is room.
    world.cluster.add_node("s-0", &[(CLASS, HALL)], &[]).await.unwrap();
    world.apply_all(&[pool("hall-shared", json!({"tenancy": "Shared"}))]).await.unwrap();
    hall::until_pool(&world, "hall-shared", |status| status.nodes == 1).await.unwrap();
    let preview = ["preview", "acme", "--plan", "side"];
    let shown = world.tenantry(&preview).await.unwrap();
    assert!(shown.contains("pool hall-shared has room for it now"), "{shown}");
    world.patch("acme", json!({"spec": {"planRef": {"name": "side"}}})).await.unwrap();
    take_away(&world, "MachineDeployment", &name, "m-0").await;
    let status = until_pool(&world, |status| {
        status.made.iter().any(|one| one.name != name && one.uid.is_some()) && status.quarantined.is_empty()
    })
    .await;
    let next = status.made.iter().find(|one| one.name != name).unwrap().name.clone();
    let object = makers(&world, "MachineDeployment").get(&next).await.unwrap();
    play(&world, &object, "m-1", |key| key.starts_with("node-restriction.kubernetes.io/")).await;
    world.until("bolt", |sub| is_live(sub) && servers(sub) == ["m-1"]).await.unwrap();
    let done = until_pool(&world, |status| status.queue == 0 && status.made.len() == 1).await;
    let condition = done.conditions.iter().find(|condition| condition.type_ == "NodesMade").unwrap();
    assert_eq!(condition.status, ConditionStatus::True, "{condition:?}");
    // Somebody who took the object away by hand took nothing that anybody waits for.
    makers(&world, "MachineDeployment").delete(&next, &DeleteParams::default()).await.unwrap();
    orders.delete("bolt", &DeleteParams::default()).await.unwrap();
    wait::gone(orders.clone(), "bolt").await.unwrap();
    take_away(&world, "MachineDeployment", &next, "m-1").await;
    until_pool(&world, |status| status.made.is_empty() && status.quarantined.is_empty()).await;
}
