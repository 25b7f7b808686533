//! The controller dies between any two requests, as in a power cut, and the next one ends where it would have ended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_control_plane::{AuditEvent, Follower, Mark};
use tenantry_crds::TenantSubscription;
use tenantry_e2e::census::{Census, differences, key_of};
use tenantry_e2e::journal::History;
use tenantry_e2e::report::is_for;
use tenantry_e2e::seed::Seed;
use tenantry_e2e::{Setup, World, wait};

/// Crashes while a tenant is made.
const CRASHES: usize = 10;
/// Writes that surely end a tenant: the deletion of its namespace, then the status that says so or, where the namespace
/// went at once, the finalizer.
const END_WRITES: usize = 2;

/// An order with everything the example has: two Secrets, a volume, three workloads, people, a route, an allow-list.
fn order(name: &str) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSubscription",
        "metadata": {"name": name},
        "spec": {
            "organization": {"name": "Crash & Söhne 株式会社", "country": "DE"},
            "contacts": [{"role": "Technical", "name": "Ada", "email": "ada@crash.example"}],
            "planRef": {"name": "gold"},
            "applicationRef": {"name": "erp", "version": "4.2.1"},
            "parameters": {"edition": "standard"},
            "users": [
                {"name": "ada", "email": "ada@crash.example", "roles": ["administrator", "user"]},
                {"name": "bo", "email": "bo@crash.example", "roles": ["viewer"]},
            ],
            "network": {"hosts": [format!("{name}.example")], "allowFrom": ["203.0.113.0/24"]},
            "deletionPolicy": "Delete",
            "deletionProtection": false,
        },
    })
}

fn is_live(subscription: &TenantSubscription) -> bool {
    wait::is_true(subscription, "Live") && wait::is_true(subscription, "Ready")
}

fn is_write_for(name: &str) -> impl Fn(&AuditEvent) -> bool {
    move |event| event.is_successful_write() && is_for(event, name)
}

/// Objects of a tenant by its record: kind, name, UID. What the cluster does not serve is recorded and never made.
fn recorded(subscription: &TenantSubscription) -> BTreeSet<(String, String, String)> {
    let inventory = subscription.status.as_ref().unwrap().inventory.as_ref().unwrap();
    let made = inventory.objects.iter().filter(|entry| entry.kind != "k8up.io/v1/Schedule");
    made.map(|entry| {
        let uid = entry.uid.clone().unwrap_or_else(|| panic!("{} {} is not made", entry.kind, entry.name));
        (entry.kind.clone(), entry.name.clone(), uid)
    })
    .collect()
}

async fn mark(world: &World) -> Mark {
    world.cluster.audit().await.unwrap().mark().await.unwrap()
}

/// Waits for the `k`-th write for a tenant and ends the controller at once.
async fn kill_after(world: &mut World, log: &mut Follower, k: usize, name: &str) {
    let nth = tokio::time::timeout(wait::PATIENCE, log.nth(k, is_write_for(name))).await;
    nth.unwrap_or_else(|_| panic!("{name}: there is no write {k}")).unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_after_any_write_loses_nothing_and_repeats_nothing() {
    let mut seed = Seed::fresh();
    println!("to run the same again: {seed}");
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.definitions_accepted().await.unwrap();
    let reference = Reference::make(&world).await;
    let mut tenants = Vec::new();
    for k in seed.distinct(CRASHES, 1..=reference.certain_writes) {
        tenants.push(crashed_while_made(&mut world, &reference, k, &seed).await);
    }
    let mut ended = Vec::new();
    for (k, tenant) in (1..=END_WRITES).zip(tenants) {
        ended.push(crashed_while_ended(&mut world, &tenant, k).await);
    }
    for last in &ended {
        no_remains(&world, last).await;
        remembered(&world, &last.name_any()).await;
    }
}

/// Whatever was cut off: the tenant's way is on record, each step once, with the result of its one run.
async fn remembered(world: &World, name: &str) {
    let history = History::of(world.identity(), world.directory(), name).await.unwrap();
    let (both, twice) = (history.outcomes("Operation", ""), ["Began", "Completed", "Began", "Completed"]);
    assert_eq!(both, twice, "it was provisioned and offboarded: {name}: {history:#?}");
    assert_eq!(history.outcomes("Item", "go-live"), ["Done"], "{name}: {history:#?}");
    assert_eq!(history.outcomes("Run", "testing"), ["Succeeded"], "{name}: {history:#?}");
    assert_eq!(history.outcomes("Tenant", ""), ["Ended"], "{name}: {history:#?}");
}

/// What a tenant is that was made without a crash.
struct Reference {
    content: BTreeMap<String, Value>,
    /// Writes that every tenant costs; more statuses may come, with time.
    certain_writes: usize,
}

impl Reference {
    async fn make(world: &World) -> Self {
        let name = "undisturbed";
        world.apply_all(&[order(name)]).await.unwrap();
        let live = world.until(name, is_live).await.unwrap();
        let census = Census::of(&world.client, &live).await.unwrap();
        assert_eq!(census.labelled(), recorded(&live));
        // Finalizer, record, the objects, and the status that says so.
        let certain_writes = recorded(&live).len() + 3;
        Self { content: census.content().unwrap(), certain_writes }
    }
}

/// Orders a tenant, kills the controller after the `k`-th write for it, and holds what the next controller made of it
/// against the reference.
async fn crashed_while_made(world: &mut World, reference: &Reference, k: usize, seed: &Seed) -> String {
    let name = format!("crash-after-{k}");
    let about = format!("{name}, {seed}");
    let before = mark(world).await;
    let mut log = world.cluster.audit().await.unwrap().follow(before).unwrap();
    world.apply_all(&[order(&name)]).await.unwrap();
    kill_after(world, &mut log, k, &name).await;
    let cut = Api::<TenantSubscription>::all(world.client.clone()).get(&name).await.unwrap();
    // Without an identity nothing was made yet.
    let has_identity = cut.status.as_ref().is_some_and(|status| status.tenant.is_some());
    let secrets = match has_identity {
        true => Census::of(&world.client, &cut).await.unwrap().secrets(),
        false => BTreeMap::new(),
    };
    world.run_controller(&[]).unwrap();
    let live = world.until(&name, is_live).await.unwrap();
    let census = Census::of(&world.client, &live).await.unwrap();

    let unlike = differences(&reference.content, &census.content().unwrap());
    assert!(unlike.is_empty(), "{about}: not as without a crash: {unlike:#?}");
    assert_eq!(census.labelled(), recorded(&live), "{about}: what exists and what is recorded");
    let at_the_end = census.secrets();
    for (secret, as_made) in &secrets {
        assert!(at_the_end.get(secret) == Some(as_made), "{about}: {secret} was generated again");
    }
    created_once(world, before, &name, &census, &about).await;
    name
}

/// Every object was created by us, none of them twice, and none was taken away in between.
///
/// The API server may carry out a creation whose sender is gone. It then logs a failure, because it had nobody to answer.
async fn created_once(world: &World, since: Mark, name: &str, census: &Census, about: &str) {
    let all = world.cluster.audit().await.unwrap().since(since).await.unwrap();
    let of_tenant = |verb: &str| -> Vec<&AuditEvent> {
        all.iter().filter(|event| event.verb == verb && is_for(event, name)).collect()
    };
    assert!(of_tenant("delete").is_empty(), "{about}: nothing is deleted: {:#?}", of_tenant("delete"));
    let asked = of_tenant("create");
    let succeeded = asked.iter().filter(|event| event.is_successful_write());
    let answered: Vec<String> = succeeded.map(|event| key_of(event)).collect();
    let once: BTreeSet<String> = answered.iter().cloned().collect();
    assert_eq!(answered.len(), once.len(), "{about}: something was created twice: {answered:?}");
    // A request that was cut off before its object had arrived names none, and came to nothing.
    let arrived = asked.into_iter().filter(|event| event.is_successful_write() || !event.name.is_empty());
    let asked: BTreeSet<String> = arrived.map(key_of).collect();
    assert_eq!(asked, census.labelled_keys(), "{about}: what was created, and what exists");
}

/// Deletes a tenant's subscription and kills the controller after the `k`-th write that ends it. Gives what it was.
async fn crashed_while_ended(world: &mut World, name: &str, k: usize) -> TenantSubscription {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    let last = subscriptions.get(name).await.unwrap();
    let before = mark(world).await;
    let mut log = world.cluster.audit().await.unwrap().follow(before).unwrap();
    subscriptions.delete(name, &DeleteParams::default()).await.unwrap();
    kill_after(world, &mut log, k, name).await;
    world.run_controller(&[]).unwrap();
    last
}

/// The subscription ends, and by then nothing of the tenant exists.
async fn no_remains(world: &World, last: &TenantSubscription) {
    let name = last.name_any();
    wait::gone(Api::<TenantSubscription>::all(world.client.clone()), &name).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    assert!(
        namespaces.get_opt(&format!("tenant-{name}")).await.unwrap().is_none(),
        "{name}: the namespace is left"
    );
    let left = Census::of(&world.client, last).await.unwrap().labelled();
    assert!(left.is_empty(), "{name}: left: {left:#?}");
}
