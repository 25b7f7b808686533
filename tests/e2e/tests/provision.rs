//! From manifest to Live on a real API server, counted by its audit log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly")]

use tenantry_e2e::{CONTROLLER_USER, Setup, World, install, wait, world};

/// The objects that a tenant has, by its record.
fn objects(subscription: &tenantry_crds::TenantSubscription) -> usize {
    subscription.status.as_ref().unwrap().inventory.as_ref().unwrap().objects.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_tenants_go_live_within_their_budget() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let audit = world.cluster.audit().await.unwrap();
    let tenants = install::directory(&world::examples().join("tenants")).unwrap();
    assert_eq!(tenants.len(), 3);
    for tenant in &tenants {
        let mark = audit.mark().await.unwrap();
        world.apply_all(std::slice::from_ref(tenant)).await.unwrap();
        let name = tenant["metadata"]["name"].as_str().unwrap();
        let live = world.until(name, |subscription| wait::is_true(subscription, "Live")).await.unwrap();
        assert!(wait::is_true(&live, "Ready"), "{live:#?}");
        let tally = audit.count(mark, CONTROLLER_USER).await.unwrap();
        let count = objects(&live);
        println!("{name}: {count} objects, {tally:?}");
    }
}
