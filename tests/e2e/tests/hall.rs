//! Two thousand tenants on two hundred servers: everybody has its share, no server is two tenants', and at rest nothing is asked.
//!
//! It takes minutes, so it is run by itself (`make servers`). The nodes are plain objects: what is counted is what the controller
//! asks for, and no pod has to run for that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may fail loudly, and says its figures"
)]

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tenantry_control_plane::Profile;
use tenantry_crds::TenantSubscription;
use tenantry_crds::pool::ServerPool;
use tenantry_e2e::wait::is_true;
use tenantry_e2e::{Setup, World, install, traffic, world};

const TENANTS: usize = 2000;
/// Tenants that have a server of their own, and as many servers.
const ALONE: usize = 150;
/// Servers that the others share.
const SHARED: usize = 50;
/// How long nothing may be asked.
const REST: Duration = Duration::from_secs(60);
/// Longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1500);
/// So many requests of this test at once.
const AT_ONCE: usize = 16;

/// A tenant that runs nothing: what is allocated does not depend on it.
const DEFINITIONS: &str = "
apiVersion: tenantry.io/v1alpha1
kind: HostedApplication
metadata: {name: lodger}
spec: {displayName: Lodger, description: Asks for servers and starts nothing., blueprintRef: {name: lodger}}
---
apiVersion: tenantry.io/v1alpha1
kind: HostedApplicationVersion
metadata: {name: lodger-1.0.0}
spec:
  applicationRef: {name: lodger}
  version: 1.0.0
  lifecycle: Published
  manifests:
    - name: settings.yaml
      template: |
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {company: '{{ order.organization.name }}'}
---
apiVersion: tenantry.io/v1alpha1
kind: Blueprint
metadata: {name: lodger}
spec:
  allowedKinds:
    - {group: '', kinds: [ConfigMap]}
  settings:
    gateway: {name: public, namespace: ingress-system, allowList: None}
    groupPrefix: 'oidc:'
    dnsNamespace: kube-system
    monitoringNamespace: monitoring
  items:
    - {name: contract, title: Plan and application agreed, category: Contract, check: {}}
    - {name: security, title: Namespace and limits, category: Security, dependsOn: [contract], baseline: [Namespace, LimitRange, DefaultDeny], manifests: []}
    - {name: servers, title: Share of the servers, category: Servers, dependsOn: [security], servers: {}}
    - {name: application, title: The application, category: Application, dependsOn: [security], application: {}}
    - {name: accounts, title: Access of people, category: Accounts, dependsOn: [security], baseline: [ResourceQuota, AccessBindings], manifests: []}
";

fn plan(name: &str, nodes: Option<u32>) -> Value {
    let silver =
        world::definitions().unwrap().into_iter().find(|one| one["metadata"]["name"] == "silver").unwrap();
    let mut plan = tenantry_e2e::orders::with(silver, "metadata.name", json!(name));
    plan["spec"]["servers"]["class"] = json!("hall");
    plan["spec"]["servers"]["cpu"] = json!("2");
    plan["spec"]["servers"]["memory"] = json!("4Gi");
    plan["spec"]["servers"]["disk"] = json!("4Gi");
    plan["spec"]["servers"]["pods"] = json!(10);
    if let Some(nodes) = nodes {
        plan["spec"]["servers"]["dedicatedNodes"] = json!(nodes);
    }
    plan
}

fn pool(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "tenantry.io/v1alpha1", "kind": "ServerPool", "metadata": {"name": name}, "spec": spec})
}

fn order(number: usize) -> Value {
    let plan = if number < ALONE { "alone" } else { "side" };
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSubscription",
        "metadata": {"name": format!("t-{number:04}")},
        "spec": {
            "organization": {"name": format!("Company {number}"), "country": "DE"},
            "contacts": [{"role": "Technical", "name": "Ada", "email": "ada@example.test"}],
            "planRef": {"name": plan},
            "applicationRef": {"name": "lodger", "version": "1.0.0"},
            "users": [{"name": "ada", "email": "ada@example.test", "roles": ["administrator"]}],
            "deletionPolicy": "Delete",
        },
    })
}

async fn add_node(nodes: &Api<Node>, number: usize) -> kube::Result<()> {
    let name = format!("n-{number:03}");
    let use_ = if number < ALONE { "own" } else { "all" };
    let node = json!({"metadata": {"name": name, "labels": {"tenantry.io/server-class": "hall", "example.org/use": use_}}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node).expect("a node")).await?;
    let has = json!({"cpu": "96", "memory": "256Gi", "ephemeral-storage": "512Gi", "pods": "500"});
    let status = json!({"status": {"capacity": has, "allocatable": has, "conditions": [{"type": "Ready", "status": "True"}]}});
    nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make servers"]
async fn two_thousand_tenants_on_two_hundred_servers_are_at_rest() {
    let mut world = World::start(Setup { profile: Profile::P1, optional_kinds: &[] }).await.unwrap();
    let mut definitions = install::documents(DEFINITIONS).unwrap();
    definitions.extend([plan("side", None), plan("alone", Some(1))]);
    world.apply_all(&definitions).await.unwrap();
    let own = json!([{"key": "example.org/use", "value": "own"}]);
    let pools = [
        pool("hall-own", json!({"class": "hall", "tenancy": "Dedicated", "nodeLabels": own})),
        pool(
            "hall-shared",
            json!({"class": "hall", "tenancy": "Shared", "overcommit": {"cpu": "2", "memory": "2"}}),
        ),
    ];
    world.apply_all(&pools).await.unwrap();
    let nodes: Api<Node> = Api::all(world.client.clone());
    let made =
        stream::iter(0..ALONE + SHARED).map(|number| add_node(&nodes, number)).buffer_unordered(AT_ONCE);
    made.try_collect::<Vec<()>>().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();

    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    let began = Instant::now();
    let all = stream::iter(0..TENANTS).map(|number| {
        let (orders, order) = (orders.clone(), serde_json::from_value(order(number)).expect("an order"));
        async move { orders.create(&PostParams::default(), &order).await }
    });
    all.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.unwrap();
    let ordered = began.elapsed();
    let mut often = tokio::time::interval(Duration::from_secs(2));
    let ready = loop {
        often.tick().await;
        let found = orders.list(&ListParams::default()).await.unwrap();
        let ready = found.items.iter().filter(|sub| is_true(sub, "Ready")).count();
        if ready == TENANTS {
            break began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{ready} of {TENANTS} are ready after {:?}", began.elapsed());
    };
    are_allocated(&world).await;
    let (rested, asked) = rest(&world).await;
    println!(
        "{TENANTS} orders sent in {:.0} s, all ready after {:.0} s; in {} s of rest {} requests but {asked}",
        ordered.as_secs_f64(),
        ready.as_secs_f64(),
        REST.as_secs(),
        rested.len()
    );
    assert!(rested.is_empty(), "{rested:?}");
}

/// Everybody has its share and what it is told, no server is two tenants', and its label says whose it is.
async fn are_allocated(world: &World) {
    let pools: Api<ServerPool> = Api::all(world.client.clone());
    let of = |pool: ServerPool| pool.status.unwrap_or_default();
    let (own, shared) =
        (of(pools.get("hall-own").await.unwrap()), of(pools.get("hall-shared").await.unwrap()));
    assert_eq!((own.reservations.len(), own.queue), (ALONE, 0));
    assert_eq!((shared.reservations.len(), shared.queue), (TENANTS - ALONE, 0));
    let given: BTreeMap<String, String> = own
        .reservations
        .iter()
        .flat_map(|held| held.nodes.iter().map(|node| (node.name.clone(), held.tenant.clone())))
        .collect();
    assert_eq!(given.len(), ALONE, "no server is two tenants'");
    let nodes: Api<Node> = Api::all(world.client.clone());
    let labelled = nodes.list(&ListParams::default()).await.unwrap().items.into_iter().filter_map(|node| {
        let label = node.metadata.labels?.remove("node-restriction.kubernetes.io/tenantry-tenant")?;
        Some((node.metadata.name?, label))
    });
    assert_eq!(labelled.collect::<BTreeMap<_, _>>(), given);
    let orders: Api<TenantSubscription> = Api::all(world.client.clone());
    let told: BTreeSet<String> = orders
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .into_iter()
        .filter(|sub| sub.status.as_ref().is_some_and(|status| status.servers.is_some()))
        .filter_map(|sub| sub.metadata.name)
        .collect();
    assert_eq!(told.len(), TENANTS, "everybody is told");
}

/// What is asked in a time of rest but watches and the lease, and how many of those there were. What is still on its way is given
/// some such times to come to its end.
async fn rest(world: &World) -> (Vec<String>, String) {
    let mut last = (Vec::new(), String::new());
    for _ in 0..3 {
        let mark = traffic::mark(world).await.unwrap();
        tokio::time::sleep(REST).await;
        let events = traffic::by_controller(world, mark).await.unwrap();
        let (calm, asked): (Vec<_>, Vec<_>) =
            events.iter().partition(|event| event.verb == "watch" || event.resource == "leases");
        let watches = calm.iter().filter(|event| event.verb == "watch").count();
        let told = format!("{} for the lease and {watches} of watches", calm.len() - watches);
        last = (asked.into_iter().map(traffic::line).collect(), told);
        if last.0.is_empty() {
            break;
        }
    }
    last
}
