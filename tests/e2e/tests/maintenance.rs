//! Maintenance windows: what interrupts the service of a tenant that is live begins while one is open, and not before; who has none
//! is worked on at any time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use jiff::Timestamp;
use jiff::tz::Offset;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use tenantry_crds::subscription::{PlanChangeWait, PlanStatus};
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_e2e::hall::{CLASS, HALL, OWN, nodes_of, on, own_nodes, plan, pool};
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::with;
use tenantry_e2e::process::binary;
use tenantry_e2e::wait::{is_live, refusal};
use tenantry_e2e::{Setup, World, wait, world};

/// One hour a day, twelve hours from now.
fn closed() -> Value {
    let hour = (Offset::UTC.to_datetime(Timestamp::now()).hour() + 12) % 24;
    json!([{"schedule": format!("0 {hour} * * *"), "duration": "1h"}])
}

/// Open all the time.
fn open() -> Value {
    json!([{"schedule": "* * * * *", "duration": "2m"}])
}

fn plan_of(subscription: &TenantSubscription) -> PlanStatus {
    subscription.status.as_ref().and_then(|status| status.plan.clone()).unwrap_or_default()
}

fn revision(subscription: &TenantSubscription) -> String {
    subscription.status.as_ref().unwrap().accepted.clone().unwrap().plan
}

async fn ask_for_windows(world: &World, windows: Value) {
    world.patch("acme", json!({"spec": {"maintenanceWindows": windows}})).await.unwrap();
}

/// Whether the change waits for a window, and the tenant goes on as it was.
fn waits(subscription: &TenantSubscription) -> bool {
    let plan = plan_of(subscription);
    plan.waits_for == Some(PlanChangeWait::MaintenanceWindow)
        && plan.pending.as_deref() == Some("alone")
        && is_live(subscription)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_interrupts_begins_while_a_window_is_open() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    let mut side = plan("side", json!({})).unwrap();
    let mut alone = plan("alone", json!({"dedicatedNodes": 1})).unwrap();
    side["spec"]["upgradableTo"] = json!(["alone"]);
    alone["spec"]["downgradableTo"] = json!(["side"]);
    let plans = [side.clone(), alone];
    world.apply_all(&plans).await.unwrap();
    let shared = pool("hall-shared", json!({"tenancy": "Shared", "overcommit": {"cpu": "2", "memory": "2"}}));
    let own = pool("hall-own", json!({"tenancy": "Dedicated", "nodeLabels": own_nodes()}));
    world.apply_all(&[shared, own]).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&plans).await.unwrap();
    world.cluster.add_node("s-0", &[(CLASS, HALL)], &[]).await.unwrap();
    for node in ["o-0", "o-1", "o-2"] {
        world.cluster.add_node(node, &[(CLASS, HALL), OWN], &[]).await.unwrap();
    }
    let windows = closed();
    let acme = with(on("side", "acme"), "spec.maintenanceWindows", windows.clone());
    world.apply_all(&[acme, on("side", "bolt")]).await.unwrap();
    for name in ["acme", "bolt"] {
        world.until(name, is_live).await.expect("nobody is served yet, so nothing waits");
    }

    waits_for_its_window(&mut world).await;
    moves_with_the_provider_when_it_opens(&world, side).await;
    what_cannot_be_understood_is_refused(&world).await;
    who_has_data_on_a_node_stays_with_it(&world).await;
    pods_that_would_wait_for_each_other_are_told_before(&world).await;
}

/// Another plan on servers of its own ends the pods of a tenant before their successors start.
async fn waits_for_its_window(world: &mut World) {
    let told = world.tenantry(&["preview", "acme", "--plan", "alone"]).await.unwrap();
    assert!(told.contains("would take effect on") && told.contains("stays under plan side"), "{told}");
    for name in ["acme", "bolt"] {
        world.patch(name, json!({"spec": {"planRef": {"name": "alone"}}})).await.unwrap();
    }
    let acme = world.until("acme", waits).await.unwrap();
    let at = Timestamp::from_second(plan_of(&acme).effective_at.unwrap().0.as_second()).unwrap();
    let ahead = at.duration_since(Timestamp::now()).as_secs();
    assert!((10 * 3600..=12 * 3600).contains(&ahead) && at.as_second() % 3600 == 0, "{at}");
    assert_eq!(acme.status.as_ref().unwrap().servers.as_ref().unwrap().pool, "hall-shared");
    let accepted = wait::condition(&acme, "Accepted").unwrap();
    assert!(accepted.message.contains("when a maintenance window opens"), "{}", accepted.message);
    // Who has no windows is moved at once.
    world.until("bolt", |bolt| is_live(bolt) && nodes_of(bolt).len() == 1).await.unwrap();
    // It waits on record: whoever leads next waits as well.
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    assert_eq!(plan_of(&world.until("acme", waits).await.unwrap()), plan_of(&acme));
}

/// What the provider changes reaches a tenant in its window, and others at once.
async fn moves_with_the_provider_when_it_opens(world: &World, side: Value) {
    world.patch("bolt", json!({"spec": {"planRef": {"name": "side"}}})).await.unwrap();
    let is_back = |bolt: &TenantSubscription| is_live(bolt) && nodes_of(bolt).is_empty();
    let before = revision(&world.until("bolt", is_back).await.unwrap());
    let edited = with(side, "spec.displayName", json!("Side by side"));
    world.apply_all(std::slice::from_ref(&edited)).await.unwrap();
    world.until("bolt", |bolt| is_live(bolt) && revision(bolt) != before).await.unwrap();
    let plans: Api<ServicePlan> = Api::all(world.client.clone());
    let waits_for_windows = |plan: Option<&ServicePlan>| {
        let conditions = plan.and_then(|plan| plan.status.as_ref()).map(|status| &status.conditions);
        conditions.into_iter().flatten().any(|c| c.type_ == "RolledOut" && c.reason == "WaitingForWindows")
    };
    wait::until(plans.clone(), "side", waits_for_windows).await.unwrap();
    let acme = world.until("acme", waits).await.unwrap();
    assert_eq!(revision(&acme), before, "it stays on the revision that it runs");

    ask_for_windows(world, open()).await;
    world.until("acme", |acme| is_live(acme) && nodes_of(acme).len() == 1).await.unwrap();
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("PlanChange", ""), ["Requested", "TookEffect"]);
    world.patch("acme", json!({"spec": {"planRef": {"name": "side"}}})).await.unwrap();
    let is_back = |acme: &TenantSubscription| is_live(acme) && nodes_of(acme).is_empty();
    assert_ne!(revision(&world.until("acme", is_back).await.unwrap()), before);
}

async fn what_cannot_be_understood_is_refused(world: &World) {
    ask_for_windows(world, json!([{"schedule": "0 22 * * SAT", "duration": "4h", "timeZone": "Berlin"}]))
        .await;
    let refused = world.until("acme", |acme| refusal(acme).is_some()).await.unwrap();
    let (reason, message) = refusal(&refused).unwrap();
    assert_eq!(reason, "MaintenanceWindowInvalid");
    assert!(
        message.contains("spec.maintenanceWindows[0].timeZone") && message.contains("Europe/Berlin"),
        "{message}"
    );
    assert!(is_live(&refused), "it goes on as it was accepted before");
}

/// A volume on the disk of a node cannot go along to other servers.
async fn who_has_data_on_a_node_stays_with_it(world: &World) {
    let on_a_node = json!({"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["s-0"]}]}]});
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk-of-s-0"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "local": {"path": "/data"}, "nodeAffinity": {"required": on_a_node},
            "claimRef": {"namespace": "tenant-bolt", "name": "on-a-node"},
        },
    });
    world.apply_all(&[volume]).await.unwrap();
    world.patch("bolt", json!({"spec": {"planRef": {"name": "alone"}}})).await.unwrap();
    let refused = world.until("bolt", |bolt| refusal(bolt).is_some()).await.unwrap();
    let (reason, message) = refusal(&refused).unwrap();
    assert_eq!((reason, nodes_of(&refused).len()), ("VolumeCannotMove", 0));
    assert!(message.contains("the disks of s-0") && is_live(&refused), "{message}");
    let preview = tokio::process::Command::new(binary("tenantry").unwrap())
        .env("KUBECONFIG", world.cluster.kubeconfig())
        .args(["preview", "bolt", "--plan", "alone"])
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(preview.stdout).unwrap();
    assert!(told.contains("would be refused") && told.contains("the disks of s-0"), "{told}");
    let volumes: Api<PersistentVolume> = Api::all(world.client.clone());
    volumes.delete("disk-of-s-0", &DeleteParams::default()).await.unwrap();
    world.until("bolt", |bolt| is_live(bolt) && nodes_of(bolt).len() == 1).await.unwrap();
}

/// The mail service in another version, which says something else of how it replaces its pods.
fn version(number: &str, strategy: &str) -> Value {
    let is_it = |object: &Value| object.pointer("/metadata/name") == Some(&json!("mail-1.8.0"));
    let shipped = world::definitions().unwrap().into_iter().find(is_it).unwrap();
    let mut version = with(shipped, "metadata.name", json!(format!("mail-{number}")));
    version = with(version, "spec.version", json!(number));
    let template = version["spec"]["manifests"].as_array_mut().unwrap().iter_mut();
    let server = template.map(|manifest| &mut manifest["template"]);
    let server = server.into_iter().find(|text| text.as_str().unwrap().contains("kind: Deployment")).unwrap();
    let said = server.as_str().unwrap().replace("    strategy: {type: Recreate}\n", strategy);
    *server = json!(said);
    version
}

/// New pods on other servers wait for a volume that old ones keep until the new ones are ready. Whose application insists on that is told
/// before; whose says nothing has its pods ended first, also where it ran the other way before.
async fn pods_that_would_wait_for_each_other_are_told_before(world: &World) {
    // The others' are quarantined until somebody cleans them.
    world.cluster.add_node("o-3", &[(CLASS, HALL), OWN], &[]).await.unwrap();
    let versions = [version("1.8.1", "    strategy: {type: RollingUpdate}\n"), version("1.8.2", "")];
    world.apply_all(&versions).await.unwrap();
    world.accepted(&versions).await.unwrap();
    let order = with(on("side", "mole"), "spec.applicationRef.version", json!("1.8.1"));
    world.apply_all(&[order]).await.unwrap();
    world.until("mole", is_live).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "tenant-mole");
    let strategy = async || {
        let found = deployments.get("mail").await.unwrap().spec.unwrap().strategy.unwrap();
        (found.type_.unwrap(), found.rolling_update.is_some())
    };
    assert_eq!(strategy().await, ("RollingUpdate".to_owned(), true));

    world.patch("mole", json!({"spec": {"planRef": {"name": "alone"}}})).await.unwrap();
    let refused = world.until("mole", |mole| refusal(mole).is_some()).await.unwrap();
    let (reason, message) = refusal(&refused).unwrap();
    assert_eq!((reason, nodes_of(&refused).len()), ("VolumeCannotMove", 0));
    assert!(message.contains("new pods of Deployment mail") && message.contains("Recreate"), "{message}");
    assert!(message.contains("the volume mailboxes") && is_live(&refused), "{message}");

    world.patch("mole", json!({"spec": {"applicationRef": {"version": "1.8.2"}}})).await.unwrap();
    world.until("mole", |mole| is_live(mole) && nodes_of(mole).len() == 1).await.unwrap();
    assert_eq!(strategy().await, ("Recreate".to_owned(), false));
}
