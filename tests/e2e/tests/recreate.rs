//! A subscription that is deleted and created again under the same name, on a real API server: whatever the order of
//! events, the new tenant is another one, and nothing of it ever lands among what is left of the old.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use tenantry_control_plane::Mark;
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::Phase;
use tenantry_e2e::holdings::labelled;
use tenantry_e2e::meddling::{hold, release};
use tenantry_e2e::orders::{mail, with};
use tenantry_e2e::traffic::{by_controller, line, mark};
use tenantry_e2e::wait::{condition, is_live};
use tenantry_e2e::{Setup, World, wait};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_used_again_names_another_tenant() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let stays = with(mail("kept"), "spec.deletionPolicy", json!("Retain"));
    world.apply_all(&[mail("again"), mail("orphan"), stays]).await.unwrap();
    // Side by side, because a namespace that is held up is looked at again only after many seconds.
    tokio::join!(
        while_the_old_one_exists_and_when_it_is_gone(&world),
        while_the_old_namespace_still_ends(&world),
        beside_a_namespace_that_was_kept(&world),
    );
}

fn subscriptions(world: &World) -> Api<TenantSubscription> {
    Api::all(world.client.clone())
}

fn namespaces(world: &World) -> Api<Namespace> {
    Api::all(world.client.clone())
}

fn tenant_id(subscription: &TenantSubscription) -> String {
    subscription.status.as_ref().unwrap().tenant.as_ref().unwrap().id.clone()
}

async fn create(world: &World, name: &str) -> kube::Result<TenantSubscription> {
    let order = serde_json::from_value(mail(name)).unwrap();
    subscriptions(world).create(&PostParams::default(), &order).await
}

/// The new tenant has another identity and another namespace, and nothing in the cluster carries the old identity.
async fn is_another_one(world: &World, old: &TenantSubscription, old_namespace: &Namespace) {
    let name = old.metadata.name.as_deref().unwrap();
    let new = world.until(name, is_live).await.unwrap();
    assert_ne!(tenant_id(&new), tenant_id(old));
    let namespace = namespaces(world).get(&format!("tenant-{name}")).await.unwrap();
    assert_ne!(namespace.metadata.uid, old_namespace.metadata.uid);
    assert_eq!(namespace.metadata.labels.unwrap()["tenantry.io/tenant-id"], tenant_id(&new));
    let selector = format!("tenantry.io/tenant-id={}", tenant_id(old));
    let left = labelled(&world.client, &selector).await.unwrap();
    assert!(left.is_empty(), "left of the old one: {left:?}");
}

/// While the old object exists nobody can create or change one of that name; then the new one has nothing of the old.
async fn while_the_old_one_exists_and_when_it_is_gone(world: &World) {
    let old = world.until("again", is_live).await.unwrap();
    let namespace = namespaces(world).get("tenant-again").await.unwrap();
    hold(&world.client, "tenant-again").await.unwrap();
    subscriptions(world).delete("again", &DeleteParams::default()).await.unwrap();
    let terminating =
        |s: &TenantSubscription| s.status.as_ref().is_some_and(|s| s.phase == Some(Phase::Terminating));
    world.until("again", terminating).await.unwrap();

    let refused = create(world, "again").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.is_already_exists()), "{refused}");
    // `kubectl apply` of the order, changed or not into another one.
    let other = with(mail("again"), "spec.planRef.name", json!("gold"));
    let refused = format!("{:#}", world.apply_all(&[other]).await.unwrap_err());
    let by_hand = json!({"spec": {"deletionPolicy": "Retain"}});
    let also_refused = format!("{:#}", world.patch("again", by_hand).await.unwrap_err());
    for refused in [refused, also_refused] {
        assert!(
            refused.contains("the subscription again is being deleted and cannot be changed"),
            "{refused}"
        );
        assert!(refused.contains("kubectl wait --for=delete tenantsubscription/again"), "{refused}");
    }
    let unchanged = subscriptions(world).get("again").await.unwrap();
    assert_eq!(unchanged.spec, old.spec);

    release(&world.client, "tenant-again").await.unwrap();
    wait::gone(subscriptions(world), "again").await.unwrap();
    create(world, "again").await.unwrap();
    is_another_one(world, &old, &namespace).await;
}

/// Somebody took the finalizer away, so the old object is gone before its namespace is: the new one waits for that and
/// says so, makes nothing in it, and goes on by itself.
async fn while_the_old_namespace_still_ends(world: &World) {
    let old = world.until("orphan", is_live).await.unwrap();
    let namespace = namespaces(world).get("tenant-orphan").await.unwrap();
    hold(&world.client, "tenant-orphan").await.unwrap();
    subscriptions(world).delete("orphan", &DeleteParams::default()).await.unwrap();
    let ends = |found: Option<&Namespace>| found.is_some_and(|n| n.metadata.deletion_timestamp.is_some());
    wait::until(namespaces(world), "tenant-orphan", ends).await.unwrap();
    world.patch("orphan", json!({"metadata": {"finalizers": null}})).await.unwrap();
    wait::gone(subscriptions(world), "orphan").await.unwrap();

    let start = mark(world).await.unwrap();
    create(world, "orphan").await.unwrap();
    let waits = |s: &TenantSubscription| {
        condition(s, "Reconciling").is_some_and(|c| c.reason == "PredecessorTerminating")
    };
    let waiting = world.until("orphan", waits).await.unwrap();
    assert!(condition(&waiting, "Stalled").is_none(), "nobody has to act");
    assert_ne!(tenant_id(&waiting), tenant_id(&old));
    let told = &condition(&waiting, "Reconciling").unwrap().message;
    assert!(told.contains("namespace tenant-orphan of an earlier subscription"), "{told}");
    nothing_is_tried_inside(world, start).await;

    release(&world.client, "tenant-orphan").await.unwrap();
    is_another_one(world, &old, &namespace).await;
    nothing_is_tried_inside(world, start).await;
}

/// Before the new namespace exists, nothing is written into one of that name, nor is the old one touched.
async fn nothing_is_tried_inside(world: &World, start: Mark) {
    let events = by_controller(world, start).await.unwrap();
    let created = |event: &tenantry_control_plane::AuditEvent| {
        event.verb == "create" && event.resource == "namespaces" && event.code == 201
    };
    let tried: Vec<String> = events
        .iter()
        .take_while(|event| !created(event))
        .filter(|event| !event.is_read())
        .filter(|event| event.namespace == "tenant-orphan" || event.name == "tenant-orphan")
        // An attempt to create the namespace itself harms nobody.
        .filter(|event| !(event.resource == "namespaces" && event.verb == "create"))
        .map(line)
        .collect();
    assert!(tried.is_empty(), "{tried:#?}");
}

/// The old tenant's namespace was kept with its data: it is not the new one's, and nobody ends it but the provider.
async fn beside_a_namespace_that_was_kept(world: &World) {
    let old = world.until("kept", is_live).await.unwrap();
    subscriptions(world).delete("kept", &DeleteParams::default()).await.unwrap();
    wait::gone(subscriptions(world), "kept").await.unwrap();
    let before = namespaces(world).get("tenant-kept").await.unwrap();
    create(world, "kept").await.unwrap();
    let told = |s: &TenantSubscription| condition(s, "Stalled").is_some_and(|c| c.reason == "NameConflict");
    let told = world.until("kept", told).await.unwrap();
    let message = &condition(&told, "Stalled").unwrap().message;
    assert!(message.contains("namespace tenant-kept exists") && message.contains("remove it"), "{message}");
    let after = namespaces(world).get("tenant-kept").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);

    namespaces(world).delete("tenant-kept", &DeleteParams::default()).await.unwrap();
    is_another_one(world, &old, &before).await;
}
