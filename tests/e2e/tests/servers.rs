//! Servers: every pod runs where it may and nowhere else; the last share is given once; who finds no room waits, and is served the
//! moment there is; who moves between shared servers and its own takes its data along, and what it leaves is not given to others
//! before it was cleaned.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tenantry_crds::common::Condition;
use tenantry_crds::pool::{ServerPool, ServerPoolStatus};
use tenantry_crds::subscription::ItemState;
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_e2e::hall::{self, CLASS, HALL, OWN, TENANT, nodes_of as servers, on, own_nodes, pool};
use tenantry_e2e::traffic::at_rest;
use tenantry_e2e::wait::{entry, is_live, is_true, stands};
use tenantry_e2e::{Setup, World, wait};

const TAINT: &str = "node-restriction.kubernetes.io/tenantry-dedicated";

fn plan(name: &str, servers: Value) -> Value {
    hall::plan(name, servers).unwrap()
}

fn shared() -> Value {
    pool("hall-shared", json!({"tenancy": "Shared", "overcommit": {"cpu": "2", "memory": "2"}}))
}

fn own() -> Value {
    pool("hall-own", json!({"tenancy": "Dedicated", "nodeLabels": own_nodes()}))
}

async fn add_shared(world: &World, name: &str) {
    world.cluster.add_node(name, &[(CLASS, HALL)], &[]).await.unwrap();
}

async fn add_own(world: &World, name: &str) {
    world.cluster.add_node(name, &[(CLASS, HALL), OWN], &[]).await.unwrap();
}

async fn start(plans: &[Value], pools: &[Value]) -> World {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.apply_all(plans).await.unwrap();
    world.apply_all(pools).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(plans).await.unwrap();
    world
}

async fn until_pool(
    world: &World,
    name: &str,
    holds: impl Fn(&ServerPoolStatus) -> bool,
) -> ServerPoolStatus {
    hall::until_pool(world, name, holds).await.unwrap()
}

/// Where every pod of every tenant is: with its tenant, and nowhere else. Gives the number of pods by subscription.
async fn proven(world: &World) -> BTreeMap<String, usize> {
    let all = ListParams::default();
    let nodes: Api<Node> = Api::all(world.client.clone());
    let nodes: BTreeMap<String, Node> = nodes
        .list(&all)
        .await
        .unwrap()
        .into_iter()
        .map(|node| (node.metadata.name.clone().unwrap(), node))
        .collect();
    let plans: Api<ServicePlan> = Api::all(world.client.clone());
    let whole: BTreeSet<String> = plans
        .list(&all)
        .await
        .unwrap()
        .into_iter()
        .filter(|plan| plan.spec.servers.dedicated_nodes.is_some())
        .map(|plan| plan.metadata.name.unwrap())
        .collect();
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    let orders: BTreeMap<String, TenantSubscription> = orders
        .list(&all)
        .await
        .unwrap()
        .into_iter()
        .map(|order| (format!("tenant-{}", order.metadata.name.clone().unwrap()), order))
        .collect();
    let pods: Api<Pod> = Api::all(world.client.clone());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods.list(&all).await.unwrap() {
        let namespace = pod.metadata.namespace.clone().unwrap();
        let (Some(order), Some(on)) = (orders.get(&namespace), pod.spec.and_then(|spec| spec.node_name))
        else {
            continue;
        };
        // With its node it is gone, whatever is still said of it.
        let Some(node) = nodes.get(&on) else { continue };
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let taints = node.spec.clone().and_then(|spec| spec.taints).unwrap_or_default();
        let taint = taints.into_iter().find(|taint| taint.key == TAINT).and_then(|taint| taint.value);
        let id = order.status.as_ref().unwrap().tenant.as_ref().unwrap().id.clone();
        assert_eq!(labels.get(CLASS).map(String::as_str), Some(HALL), "{namespace} on {on}");
        let is_whole = whole.contains(&order.spec.plan_ref.name);
        let expected = is_whole.then_some(id);
        assert_eq!(
            (labels.get(TENANT), taint.as_ref()),
            (expected.as_ref(), expected.as_ref()),
            "{namespace} on {on}"
        );
        *counts.entry(order.metadata.name.clone().unwrap()).or_default() += 1;
    }
    counts
}

fn names(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{what}-{at:02}")).collect()
}

async fn cordon(world: &World, node: &str, is_cordoned: bool) {
    let nodes: Api<Node> = Api::all(world.client.clone());
    let patch = json!({"spec": {"unschedulable": is_cordoned}});
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

async fn delete_pods(world: &World, name: &str) {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), &format!("tenant-{name}"));
    pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_tenants_run_where_they_may_and_nowhere_else() {
    let plans = [plan("side", json!({})), plan("alone", json!({"dedicatedNodes": 1}))];
    let world = start(&plans, &[shared(), own()]).await;
    for name in ["s-0", "s-1"] {
        add_shared(&world, name).await;
    }
    for name in names("o", 9) {
        add_own(&world, &name).await;
    }
    let (sharing, alone) = (names("side", 42), names("alone", 8));
    let orders: Vec<Value> = sharing.iter().map(|name| on("side", name)).collect();
    world.apply_all(&orders).await.unwrap();
    let orders: Vec<Value> = alone.iter().map(|name| on("alone", name)).collect();
    world.apply_all(&orders).await.unwrap();
    for name in sharing.iter().chain(&alone) {
        world.until(name, is_live).await.unwrap();
    }
    let counts = proven(&world).await;
    assert_eq!(counts.len(), 50, "each has pods: {counts:?}");
    let of_shared = until_pool(&world, "hall-shared", |status| status.tenants == 42).await;
    assert_eq!((of_shared.queue, of_shared.nodes), (0, 2));
    let of_own = until_pool(&world, "hall-own", |status| status.tenants == 8 && status.free_nodes == 1).await;
    let given: BTreeSet<&str> = of_own
        .reservations
        .iter()
        .flat_map(|held| held.nodes.iter().map(|node| node.name.as_str()))
        .collect();
    assert_eq!(given.len(), 8, "no node is given twice");
    refused_elsewhere(&world).await;
    completed(&world).await;
    at_rest(&world).await.unwrap();

    // Pods that go come again, and where they may.
    for name in ["side-00", "side-17", "alone-03"] {
        delete_pods(&world, name).await;
    }
    for name in ["side-00", "side-17", "alone-03"] {
        world.until(name, is_live).await.unwrap();
    }
    assert_eq!(proven(&world).await.len(), 50);

    // While its node is drained its pods are nowhere else, and it is said.
    let drained = servers(&world.until("alone-03", is_live).await.unwrap())[0].clone();
    cordon(&world, &drained, true).await;
    delete_pods(&world, "alone-03").await;
    let open = world
        .until("alone-03", |sub| entry(sub, "servers").is_some_and(|e| e.state != ItemState::Done))
        .await;
    let said = entry(&open.unwrap(), "servers").unwrap().message.clone();
    assert!(said.contains(&format!("{drained} is cordoned")), "{said}");
    assert_eq!(proven(&world).await.get("alone-03"), None);
    cordon(&world, &drained, false).await;
    world.until("alone-03", is_live).await.unwrap();

    // A node that is lost is replaced by a free one.
    let lost = servers(&world.until("alone-05", is_live).await.unwrap())[0].clone();
    let nodes: Api<Node> = Api::all(world.client.clone());
    nodes.delete(&lost, &DeleteParams::default()).await.unwrap();
    let moved =
        world.until("alone-05", |sub| servers(sub).first().is_some_and(|node| *node != lost)).await.unwrap();
    assert_ne!(servers(&moved)[0], drained);
    delete_pods(&world, "alone-05").await;
    world.until("alone-05", |sub| is_live(sub) && servers(sub) == servers(&moved)).await.unwrap();
    assert_eq!(proven(&world).await.len(), 50);
    // There is no other one: the next loss is said.
    let lost = servers(&world.until("alone-06", is_live).await.unwrap())[0].clone();
    nodes.delete(&lost, &DeleteParams::default()).await.unwrap();
    let is_told = |sub: &TenantSubscription| {
        entry(sub, "servers").is_some_and(|entry| {
            entry.reason == "NodesNotReady"
                && entry.message.contains("no free node takes its place, so add one")
        })
    };
    world.until("alone-06", is_told).await.unwrap();
    add_own(&world, "o-99").await;
    world.until("alone-06", |sub| servers(sub) == ["o-99"]).await.unwrap();
}

/// What somebody else makes in a tenant's namespace does not get where it may not either.
async fn refused_elsewhere(world: &World) {
    let pods =
        |tenant: &str| -> Api<Pod> { Api::namespaced(world.client.clone(), &format!("tenant-{tenant}")) };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let anywhere = json!({"tolerations": [{"operator": "Exists"}]});
    let others = json!({"tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}]});
    for (tenant, spec, why) in [
        ("side-00", anywhere.clone(), "tolerate no servers of others"),
        ("side-00", others.clone(), "tolerate no servers of others"),
        ("side-00", json!({"nodeName": "o-00"}), "goes past the scheduler"),
        ("alone-00", json!({}), "has servers of its own"),
        ("alone-00", json!({"nodeSelector": {TENANT: "another"}}), "has servers of its own"),
        ("alone-00", others, "tolerate no servers of others"),
    ] {
        let refusal = pods(tenant).create(&dry, &stranger(spec.clone())).await.unwrap_err().to_string();
        assert!(refusal.contains(why), "{tenant} {spec}: {refusal}");
    }
}

/// Where the API server can, what others make in the namespace of a tenant with its own servers is completed.
async fn completed(world: &World) {
    let policies = world.tenantry(&["manifests", "mutating"]).await.unwrap();
    world.apply(&policies).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "tenant-alone-00");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let id = world.until("alone-00", is_live).await.unwrap().status.unwrap().tenant.unwrap().id;
    let began = Instant::now();
    let made = loop {
        // Policies take effect within about a second of their creation.
        match pods.create(&dry, &stranger(json!({}))).await {
            Ok(made) => break made.spec.unwrap(),
            Err(error) => assert!(began.elapsed() < wait::PATIENCE, "{error}"),
        }
    };
    assert_eq!(made.node_selector.unwrap().get(TENANT), Some(&id));
    let tolerations = made.tolerations.unwrap();
    assert!(
        tolerations.iter().any(|one| one.key.as_deref() == Some(TAINT) && one.value.as_ref() == Some(&id))
    );
    // What is wrong is refused all the same.
    let others = json!({"tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}]});
    let refusal = pods.create(&dry, &stranger(others)).await.unwrap_err().to_string();
    assert!(refusal.contains("tolerate no servers of others"), "{refusal}");
}

fn stranger(spec: Value) -> Pod {
    let mut all = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": "example.org/a:1",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({"metadata": {"name": "stranger"}, "spec": all})).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_no_room_waits_and_is_served_the_moment_there_is() {
    let plans = [plan("large", json!({"cpu": "30"})), plan("small", json!({"cpu": "2"}))];
    let world = start(&plans, &[shared()]).await;
    add_shared(&world, "s-0").await;
    for name in ["one", "two"] {
        world.apply_all(&[on("large", name)]).await.unwrap();
        world.until(name, is_live).await.unwrap();
    }
    world.apply_all(&[on("large", "three")]).await.unwrap();
    let waits = stands("servers", ItemState::Waiting, "OutOfCapacity");
    let three = world.until("three", |sub| waits(sub) && accounts_done(sub)).await.unwrap();
    let said = &entry(&three, "servers").unwrap().message;
    assert!(said.contains("pool hall-shared lacks cpu 26") && said.contains("add nodes"), "{said}");
    let application = entry(&three, "application").unwrap();
    assert_eq!((application.state, application.reason.as_str()), (ItemState::Waiting, "ServersOpen"));
    let operation = three.status.as_ref().unwrap().operation.as_ref().unwrap();
    assert_eq!(operation.estimated_completion, None, "nobody knows when there is room");
    assert_eq!(world.running("tenant-three").await.unwrap(), 0);
    // Who comes later and would fit does not go ahead of who lacks the same.
    world.apply_all(&[on("small", "four")]).await.unwrap();
    let four = world.until("four", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    let said = &entry(&four, "servers").unwrap().message;
    assert!(said.contains("who waits longer; 1 waits before it"), "{said}");
    let status = until_pool(&world, "hall-shared", |status| status.queue == 2).await;
    let available = status.conditions.iter().find(|condition| condition.type_ == "Available").unwrap();
    assert!(available.message.contains("waiting for a share: 2"), "{available:?}");
    let shown = world.tenantry(&["capacity"]).await.unwrap();
    assert!(shown.contains("hall-shared") && shown.contains("60/64"), "{shown}");
    let told: Value =
        serde_json::from_str(&world.tenantry(&["capacity", "-o", "json"]).await.unwrap()).unwrap();
    assert_eq!(
        (&told[0]["waiting"], &told[0]["forecast"][0]["fits"]),
        (&json!(2), &json!(false)),
        "{told:#}"
    );
    at_rest(&world).await.unwrap();

    // What somebody gives back is had at once: the share is on record within a second of the end.
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    orders.delete("one", &DeleteParams::default()).await.unwrap();
    wait::gone(orders.clone(), "one").await.unwrap();
    let began = Instant::now();
    until_pool(&world, "hall-shared", |status| status.queue == 0 && status.tenants == 3).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?} after the end");
    for name in ["two", "three", "four"] {
        world.until(name, is_live).await.unwrap();
    }
    // And so is what is added.
    world.apply_all(&[on("large", "five")]).await.unwrap();
    world.until("five", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    add_shared(&world, "s-1").await;
    let began = Instant::now();
    until_pool(&world, "hall-shared", |status| status.queue == 0).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?} after the node is ready", began.elapsed());
    world.until("five", is_live).await.unwrap();
    proven(&world).await;
}

fn accounts_done(subscription: &TenantSubscription) -> bool {
    ["network", "platform", "accounts", "monitoring"]
        .iter()
        .all(|name| entry(subscription, name).is_some_and(|entry| entry.state == ItemState::Done))
}

/// Twelve orders at once for three shares: at no moment is more promised than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_share_is_given_once() {
    let plans = [plan("third", json!({"cpu": "20"}))];
    let mut world = start(&plans, &[shared()]).await;
    add_shared(&world, "s-0").await;
    until_pool(&world, "hall-shared", |status| status.nodes == 1).await;
    let api: Api<ServerPool> = Api::all(world.client.clone());
    let watched = tokio::spawn(async move {
        let pools = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
        let mut pools = std::pin::pin!(pools);
        let mut versions = 0;
        while let Some(pool) = pools.try_next().await.unwrap() {
            let status = pool.status.unwrap_or_default();
            let tenants: BTreeSet<&str> =
                status.reservations.iter().map(|held| held.tenant.as_str()).collect();
            assert_eq!(tenants.len(), status.reservations.len());
            assert!(tenants.len() <= 3, "{tenants:?}");
            versions += 1;
            if status.queue == 9 && tenants.len() == 3 {
                break;
            }
        }
        versions
    });
    let orders: Vec<Value> = names("rush", 12).iter().map(|name| on("third", name)).collect();
    world.apply_all(&orders).await.unwrap();
    until_pool(&world, "hall-shared", |status| status.tenants == 3 && status.queue == 9).await;
    // A controller that is killed knows nothing else, and gives nothing again.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    let versions = tokio::time::timeout(wait::PATIENCE, watched).await.unwrap().unwrap();
    assert!(versions > 1);
    let status = until_pool(&world, "hall-shared", |status| status.queue == 9).await;
    for held in &status.reservations {
        world.until(&held.subscription, is_live).await.unwrap();
    }
    for wish in &status.waiting {
        let waits = world.until(&wish.subscription, |sub| entry(sub, "servers").is_some()).await.unwrap();
        assert!(!is_true(&waits, "Ready"));
        assert_eq!(world.running(&format!("tenant-{}", wish.subscription)).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_moves_takes_its_data_along_and_leaves_nothing_to_others() {
    let mut side = plan("side", json!({}));
    let mut alone = plan("alone", json!({"dedicatedNodes": 1}));
    side["spec"]["upgradableTo"] = json!(["alone"]);
    alone["spec"]["downgradableTo"] = json!(["side"]);
    let world = start(&[side, alone], &[shared(), own()]).await;
    add_shared(&world, "s-0").await;
    world.apply_all(&[on("side", "acme")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), "tenant-acme");
    let uids = |list: Vec<PersistentVolumeClaim>| -> BTreeSet<Option<String>> {
        list.into_iter().map(|claim| claim.metadata.uid).collect()
    };
    let data = uids(claims.list(&ListParams::default()).await.unwrap().items);
    assert!(!data.is_empty());

    // There is no server of its own yet: it stays where it is, with all that it has.
    world.patch("acme", json!({"spec": {"planRef": {"name": "alone"}}})).await.unwrap();
    let waits = world.until("acme", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    assert_eq!(waits.status.unwrap().servers.unwrap().pool, "hall-shared");
    delete_pods(&world, "acme").await;
    until_running(&world, "tenant-acme", "s-0").await;
    // Who waits is suspended all the same, and goes on when there is room.
    world.tenantry(&["suspend", "acme", "--reason", "billing", "--message", "pay invoice 7"]).await.unwrap();
    world.until("acme", |sub| is_true(sub, "Suspended")).await.unwrap();
    assert_eq!(world.running("tenant-acme").await.unwrap(), 0);
    world.tenantry(&["resume", "acme", "--all"]).await.unwrap();
    add_own(&world, "o-0").await;
    world.until("acme", |sub| is_live(sub) && servers(sub) == ["o-0"]).await.unwrap();
    until_pool(&world, "hall-shared", |status| status.tenants == 0).await;
    assert!(proven(&world).await["acme"] > 0);

    // And back: its server is nobody's before it was cleaned, whoever waits for one.
    world.patch("acme", json!({"spec": {"planRef": {"name": "side"}}})).await.unwrap();
    let left =
        until_pool(&world, "hall-own", |status| status.tenants == 0 && !status.quarantined.is_empty()).await;
    let quarantined = left.quarantined[0].clone();
    world.until("acme", |sub| is_live(sub) && servers(sub).is_empty()).await.unwrap();
    assert_eq!(uids(claims.list(&ListParams::default()).await.unwrap().items), data, "its data went along");
    assert!(proven(&world).await["acme"] > 0);
    world.apply_all(&[on("alone", "bolt")]).await.unwrap();
    world.until("bolt", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    let pools: Api<ServerPool> = Api::all(world.client.clone());
    let act = json!({"spec": {"cleaned": [{"node": "o-0", "tenant": quarantined.tenant, "by": "kubernetes-admin"}]}});
    pools.patch("hall-own", &PatchParams::default(), &Patch::Merge(act)).await.unwrap();
    world.until("bolt", |sub| is_live(sub) && servers(sub) == ["o-0"]).await.unwrap();
    assert!(proven(&world).await["bolt"] > 0);

    // What the record loses is put back from tenants and nodes before anybody else gets it.
    let nothing = Patch::Merge(json!({"status": {"reservations": null, "tenants": 0}}));
    pools.patch_status("hall-own", &PatchParams::default(), &nothing).await.unwrap();
    let back = until_pool(&world, "hall-own", |status| status.reservations.len() == 1).await;
    assert_eq!(
        (back.reservations[0].subscription.as_str(), back.reservations[0].nodes[0].name.as_str()),
        ("bolt", "o-0")
    );

    // With the tenant its share goes, and its server is quarantined.
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    orders.delete("bolt", &DeleteParams::default()).await.unwrap();
    wait::gone(orders.clone(), "bolt").await.unwrap();
    let left = until_pool(&world, "hall-own", |status| status.tenants == 0).await;
    assert_eq!(left.quarantined.len(), 1);
    orders.delete("acme", &DeleteParams::default()).await.unwrap();
    wait::gone(orders.clone(), "acme").await.unwrap();
    until_pool(&world, "hall-shared", |status| status.tenants == 0).await;
}

/// Waits until a pod of a namespace runs on a node.
async fn until_running(world: &World, namespace: &str, node: &str) {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), namespace);
    let stream = watcher(pods, watcher::Config::default()).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    let found = async {
        while let Some(pod) = stream.try_next().await.unwrap() {
            let is_there = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node);
            let runs = pod.status.and_then(|status| status.phase).as_deref() == Some("Running");
            if is_there && runs && pod.metadata.deletion_timestamp.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(wait::PATIENCE, found).await.unwrap();
}

/// A tenant that has too many servers gives back at once what is empty and the rest when its pods have gone; one that does not
/// work is exchanged when a person says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_servers_are_given_back_and_exchanged() {
    let mut three = plan("three", json!({"dedicatedNodes": 3}));
    let one = plan("one", json!({"dedicatedNodes": 1}));
    three["spec"]["downgradableTo"] = json!(["one"]);
    let world = start(&[three, one], &[own()]).await;
    for name in names("o", 3) {
        add_own(&world, &name).await;
    }
    world.apply_all(&[on("three", "acme")]).await.unwrap();
    let live = world.until("acme", |sub| is_live(sub) && servers(sub).len() == 3).await.unwrap();
    let id = live.status.unwrap().tenant.unwrap().id;
    let nodes: Api<Node> = Api::all(world.client.clone());

    // Fewer: the plan is another one, and what is left of three is one.
    world.patch("acme", json!({"spec": {"planRef": {"name": "one"}}})).await.unwrap();
    world.until("acme", |sub| is_live(sub) && servers(sub).len() == 1).await.unwrap();
    let kept = servers(&world.until("acme", is_live).await.unwrap())[0].clone();
    // What ran on the others goes on running there until it is replaced, and then it is on the one that is left.
    delete_pods(&world, "acme").await;
    world.until("acme", is_live).await.unwrap();
    let left = until_pool(&world, "hall-own", |status| status.quarantined.len() == 2).await;
    assert_eq!(left.reservations[0].nodes.len(), 1);
    assert!(left.quarantined.iter().all(|known| known.tenant == id && known.node != kept), "{left:?}");
    assert!(proven(&world).await["acme"] > 0);
    at_rest(&world).await.unwrap();

    // One that is cordoned is kept until somebody says otherwise, and then there has to be another one.
    cordon(&world, &kept, true).await;
    let told = |text: &'static str| {
        move |sub: &TenantSubscription| {
            entry(sub, "servers")
                .is_some_and(|entry| entry.reason == "NodesNotReady" && entry.message.contains(text))
        }
    };
    world.until("acme", told("name it in spec.exchange of the pool")).await.unwrap();
    let pools: Api<ServerPool> = Api::all(world.client.clone());
    let act = json!({"spec": {"exchange": [{"node": kept, "tenant": id, "by": "kubernetes-admin"}]}});
    pools.patch("hall-own", &PatchParams::default(), &Patch::Merge(act)).await.unwrap();
    world.until("acme", told("another takes its place when one is free")).await.unwrap();
    add_own(&world, "o-98").await;
    world.until("acme", |sub| is_live(sub) && servers(sub) == ["o-98"]).await.unwrap();
    let both = until_pool(&world, "hall-own", |status| status.reservations[0].nodes.len() == 2).await;
    assert!(both.reservations[0].nodes.iter().any(|node| node.name == kept && node.leaving), "{both:?}");
    let old = nodes.get(&kept).await.unwrap().metadata.labels.unwrap_or_default();
    assert_eq!(old.get(TENANT), None, "nothing new gets there");
    // It is drained, as its provider would.
    delete_pods(&world, "acme").await;
    world.until("acme", is_live).await.unwrap();
    let left = until_pool(&world, "hall-own", |status| status.quarantined.len() == 3).await;
    let has: Vec<&str> = left.reservations[0].nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(has, ["o-98"]);
    assert!(proven(&world).await["acme"] > 0);
}

/// Who is suspended keeps its share for as long as its plan says. Then it is told, others have it, and only then it may have to wait
/// when it is resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_for_too_long_gives_its_share_back_and_is_told() {
    let plans =
        [plan("half", json!({"cpu": "30", "suspendedGrace": "4s"})), plan("kept", json!({"cpu": "30"}))];
    let world = start(&plans, &[shared()]).await;
    add_shared(&world, "s-0").await;
    world.apply_all(&[on("half", "one"), on("kept", "two")]).await.unwrap();
    for name in ["one", "two"] {
        world.until(name, is_live).await.unwrap();
    }
    world.apply_all(&[on("half", "three")]).await.unwrap();
    world.until("three", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    // Without a grace the share is kept, however long it takes: the one that has one is suspended later and gives it back first.
    for name in ["two", "one"] {
        world
            .tenantry(&["suspend", name, "--reason", "billing", "--message", "pay invoice 7"])
            .await
            .unwrap();
        world.until(name, |sub| is_true(sub, "Suspended")).await.unwrap();
    }
    let said = world.until("one", stands("servers", ItemState::Waiting, "ServersReleased")).await.unwrap();
    assert!(is_true(&said, "Suspended") && said.status.as_ref().unwrap().servers.is_none());
    let told = &entry(&said, "servers").unwrap().message;
    assert!(told.contains("its plan keeps servers for 4s"), "{told}");
    let conditions = &said.status.as_ref().unwrap().conditions;
    let is_told =
        |one: &Condition| one.type_ == "ServersReady" && one.message.contains("its share was given back");
    assert!(conditions.iter().any(is_told), "{conditions:?}");
    world.until("three", is_live).await.unwrap();
    wait::told(&world.client, |event| event.reason.as_deref() == Some("ServersReleased")).await.unwrap();
    let status = until_pool(&world, "hall-shared", |status| status.tenants == 2 && status.queue == 0).await;
    let held: BTreeSet<&str> = status.reservations.iter().map(|held| held.subscription.as_str()).collect();
    assert_eq!(held, BTreeSet::from(["two", "three"]));
    assert!(is_true(&world.until("two", |sub| is_true(sub, "Suspended")).await.unwrap(), "Suspended"));
    at_rest(&world).await.unwrap();
    // Resumed, it waits for its turn with nothing running, and goes on when there is room.
    world.tenantry(&["resume", "one", "--all"]).await.unwrap();
    world.until("one", stands("servers", ItemState::Waiting, "OutOfCapacity")).await.unwrap();
    assert_eq!(world.running("tenant-one").await.unwrap(), 0);
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    orders.delete("three", &DeleteParams::default()).await.unwrap();
    world.until("one", is_live).await.unwrap();
    proven(&world).await;
}
