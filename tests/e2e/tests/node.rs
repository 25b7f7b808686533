//! The ERP example on a real node, whose pods are containers. Needs root on Linux; elsewhere it is skipped by name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, LogParams};
use std::collections::BTreeMap;
use std::time::Duration;
use tenantry_control_plane::{Profile, skipped};
use tenantry_e2e::orders::erp;
use tenantry_e2e::{Setup, World, node, wait};

/// Which programs run, and how often.
async fn running(pods: &Api<Pod>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
        let is_up = |of: &k8s_openapi::api::core::v1::ContainerStatus| {
            of.ready && of.state.as_ref().is_some_and(|state| state.running.is_some())
        };
        if statuses.unwrap_or_default().iter().all(is_up) {
            *all.entry(pod.labels().get("app").cloned().unwrap_or_default()).or_default() += 1;
        }
    }
    all
}

/// The tenant is live when its programs run; its page is there, and tells whose it is; and what is killed comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_erp_runs_in_containers() {
    if let Some(missing) = tenantry_control_plane::node::missing() {
        return skipped("the_erp_runs_in_containers", &missing);
    }
    let mut world = World::start(Setup { profile: Profile::P3, ..Setup::default() }).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[erp("acme")]).await.unwrap();
    world.until("acme", |subscription| wait::is_true(subscription, "Live")).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "tenant-acme");
    let all = running(&pods).await;
    assert_eq!(all.keys().map(String::as_str).collect::<Vec<_>>(), ["database", "web", "worker"], "{all:?}");
    let page = node::page(&world.client, "acme", "/").await.unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("acme Ltd"), "{}", page.body);

    let database = "database-0";
    let before = pods.get(database).await.unwrap().uid();
    assert!(!pods.logs(database, &LogParams::default()).await.unwrap().is_empty());
    pods.delete(database, &DeleteParams::default().grace_period(0)).await.unwrap();
    wait::until(pods.clone(), database, |pod| {
        let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
        let is_ready =
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"));
        is_ready && pod.and_then(ResourceExt::uid) != before
    })
    .await
    .unwrap();
    world.until("acme", |subscription| wait::is_true(subscription, "Ready")).await.unwrap();
    // The node hears of the new pod's address a moment later, and there is no watch for what it does then.
    let again = async {
        let mut moments = tokio::time::interval(Duration::from_millis(100));
        while node::page(&world.client, "acme", "/").await.unwrap().status != 200 {
            moments.tick().await;
        }
    };
    tokio::time::timeout(wait::PATIENCE, again).await.expect("the page does not come back");
}
