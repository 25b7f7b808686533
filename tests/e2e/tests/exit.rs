//! The end of a subscription on a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tenantry_crds::TenantSubscription;
use tenantry_e2e::orders::{mail, with};
use tenantry_e2e::people::tenantry;
use tenantry_e2e::process::journal;
use tenantry_e2e::{Setup, World, wait};

/// `Delete` takes everything, and the finalizer goes only after it; `Retain` leaves the namespace and takes the doors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_subscription_ends_as_its_policy_says() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let stays = with(mail("stays"), "spec.deletionPolicy", json!("Retain"));
    world.apply_all(&[mail("goes"), stays]).await.unwrap();
    let api: Api<TenantSubscription> = Api::all(world.client.clone());
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    for name in ["goes", "stays"] {
        world.until(name, |s| wait::is_true(s, "Live")).await.unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        wait::gone(api.clone(), name).await.unwrap();
    }
    let database = journal(world.directory());
    for (name, policy) in [("goes", "Delete"), ("stays", "Retain")] {
        let told = tenantry(world.identity(), &["history", name, "--database", &database, "-o", "wide"])
            .await
            .unwrap();
        let end = told.lines().last().unwrap_or_default();
        assert!(end.contains("Ended") && end.contains(policy), "{told}");
    }
    let log = world.controller.as_ref().unwrap().log().unwrap();
    assert!(namespaces.get_opt("tenant-goes").await.unwrap().is_none(), "{log}");
    assert!(namespaces.get_opt("tenant-stays").await.unwrap().is_some());
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> =
        Api::namespaced(world.client.clone(), "tenant-stays");
    let left: Vec<_> = bindings.list(&Default::default()).await.unwrap().items;
    assert!(left.is_empty(), "nobody has access any more: {left:#?}");
}
