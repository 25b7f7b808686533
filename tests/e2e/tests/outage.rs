//! The API server goes away, refusing or silent, in the midst of work: the controller stays, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use std::time::Duration;
use tenantry_crds::TenantSubscription;
use tenantry_e2e::holdings::holdings;
use tenantry_e2e::report::is_for;
use tenantry_e2e::wait::is_live;
use tenantry_e2e::{Setup, World, orders, traffic, wait};

/// How long the API server is away: longer than a lease lasts (15 s), so that leadership runs out meanwhile.
const AWAY: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_goes_away_costs_nothing_but_time() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.definitions_accepted().await.unwrap();
    world.apply_all(&[orders::mail("calm"), orders::mail("edited")]).await.unwrap();
    world.until("calm", is_live).await.unwrap();
    world.until("edited", is_live).await.unwrap();
    let process = world.controller.as_ref().unwrap().id();

    gone(&world).await;
    silent(&world).await;

    let controller = world.controller.as_mut().unwrap();
    assert!(controller.is_running().unwrap(), "the controller ended:\n{}", controller.log().unwrap());
    assert_eq!(controller.id(), process);
}

/// Orders a tenant and gives control back as soon as the controller has written for it a few times.
async fn begun(world: &World, name: &str) {
    let mark = traffic::mark(world).await.unwrap();
    let mut log = world.cluster.audit().await.unwrap().follow(mark).unwrap();
    world.apply_all(&[orders::mail(name)]).await.unwrap();
    let written = log.nth(5, |event| event.is_successful_write() && is_for(event, name));
    tokio::time::timeout(wait::PATIENCE, written).await.expect("the controller writes").unwrap();
}

/// Connections are refused for longer than the lease lasts: the tenant that was being made is finished, one at rest is
/// not touched, and what happens right after the return is done.
async fn gone(world: &World) {
    let calm = world.until("calm", is_live).await.unwrap();
    let before = holdings(&world.client, &calm).await.unwrap();
    begun(world, "cut-off").await;
    world.cluster.stop_apiserver().await.unwrap();
    // The outage itself is what is tested; there is nothing to wait for.
    tokio::time::sleep(AWAY).await;
    world.cluster.start_apiserver().await.unwrap();
    let mark = traffic::mark(world).await.unwrap();
    world.patch("edited", json!({"spec": {"parameters": {"greeting": "Back again"}}})).await.unwrap();
    let services: Api<Service> = wait::namespaced(&world.client, "tenant-edited");
    let uid = services.get("mail").await.unwrap().uid();
    services.delete("mail", &DeleteParams::default()).await.unwrap();
    let again = |service: Option<&Service>| service.is_some_and(|service| service.uid() != uid);
    wait::until(services, "mail", again).await.unwrap();
    world.until("cut-off", is_live).await.unwrap();
    world.until("edited", is_live).await.unwrap();
    created_once(world, "cut-off").await;
    assert_eq!(holdings(&world.client, &calm).await.unwrap(), before);
    let writes = traffic::writes_in(world, mark, "tenant-calm").await.unwrap();
    assert!(writes.is_empty(), "{:?}", writes.iter().map(traffic::line).collect::<Vec<_>>());
}

/// Connections stay open and nothing answers, for longer than a request may take: the same.
async fn silent(world: &World) {
    begun(world, "unanswered").await;
    world.cluster.pause_apiserver().await.unwrap();
    // Longer than the deadline of a request (10 s).
    tokio::time::sleep(Duration::from_secs(12)).await;
    world.cluster.resume_apiserver().await.unwrap();
    world.until("unanswered", is_live).await.unwrap();
    created_once(world, "unanswered").await;
}

/// What exists is what is recorded, each object under the UID of its record: nothing was made twice and forgotten.
async fn created_once(world: &World, name: &str) {
    let subscription: TenantSubscription = Api::all(world.client.clone()).get(name).await.unwrap();
    let id = subscription.status.as_ref().unwrap().tenant.as_ref().unwrap().id.clone();
    let census = tenantry_e2e::census::Census::of(&world.client, &subscription).await.unwrap();
    let recorded = subscription.status.unwrap().inventory.unwrap().objects;
    let recorded: std::collections::BTreeSet<_> =
        recorded.into_iter().filter_map(|entry| Some((entry.kind, entry.name, entry.uid?))).collect();
    assert_eq!(census.labelled(), recorded, "{name} ({id}): what exists and what is recorded");
}
