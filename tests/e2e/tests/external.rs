//! An item that waits for what somebody else makes, on a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use tenantry_crds::subscription::ItemState;
use tenantry_crds::{Blueprint, TenantSubscription};
use tenantry_e2e::orders::mail;
use tenantry_e2e::wait::{condition, is_live, stands};
use tenantry_e2e::{Setup, World, world};

/// A kind that a company has for its lines to the customer, and that Tenantry knows nothing of.
fn lines() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "lines.carrier.example"},
        "spec": {
            "group": "carrier.example", "scope": "Namespaced",
            "names": {"plural": "lines", "singular": "line", "kind": "Line"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("carrier.example", "v1", "Line"))
}

/// The shipped definitions, with a checklist that waits for the line before it opens.
fn definitions() -> Vec<Value> {
    let mut definitions = world::definitions().unwrap();
    for object in definitions.iter_mut().filter(|object| object["kind"] == "Blueprint") {
        object["spec"]["items"].as_array_mut().unwrap().push(json!({
            "name": "line", "title": "The line to the customer", "category": "Network", "owner": "Partner",
            "dependsOn": ["security"],
            "external": {"apiVersion": "carrier.example/v1", "kind": "Line", "name": "uplink",
                         "until": "object.status.up && object.status.mbits >= 100.0"},
        }));
    }
    definitions
}

/// Without rights to look at the kind an order is refused with the role that gives them; then the item follows the object:
/// not there, not as it should be, as it should be, and not any more. Nothing is ever written to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_follows_what_somebody_else_makes() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_all(&[lines()]).await.unwrap();
    let definitions = definitions();
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    world.apply_all(&[mail("acme")]).await.unwrap();
    let refused = |acme: &TenantSubscription| {
        condition(acme, "Accepted").is_some_and(|accepted| accepted.reason == "MissingRights")
    };
    let acme = world.until("acme", refused).await.unwrap();
    let message = &condition(&acme, "Accepted").unwrap().message;
    let (_, roles) = message.split_once("apply ").unwrap();
    let roles: Value = serde_json::from_str(roles).unwrap();
    assert_eq!(
        roles["items"].as_array().unwrap().len(),
        1,
        "looking takes no right in the tenant's namespace: {roles}"
    );
    world.apply_all(roles["items"].as_array().unwrap()).await.unwrap();

    let acme = world.until("acme", stands("line", ItemState::Waiting, "ExternalMissing")).await.unwrap();
    assert_eq!(acme.status.as_ref().unwrap().waiting_for, "Partner: line");
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "tenant-acme", &resource());
    let line = |status: Value| -> DynamicObject {
        let object = json!({"apiVersion": "carrier.example/v1", "kind": "Line", "metadata": {"name": "uplink"}, "status": status});
        serde_json::from_value(object).unwrap()
    };
    api.create(&PostParams::default(), &line(json!({}))).await.unwrap();
    world.until("acme", stands("line", ItemState::Waiting, "ExternalPending")).await.unwrap();
    let put = async |status: Value| {
        let patch = Patch::Merge(json!({"status": status}));
        api.patch("uplink", &PatchParams::default(), &patch).await.unwrap()
    };
    put(json!({"up": true, "mbits": 10.0})).await;
    put(json!({"up": "yes", "mbits": 100.0})).await;
    world.until("acme", stands("line", ItemState::Waiting, "ExternalUnreadable")).await.unwrap();
    let up = put(json!({"up": true, "mbits": 100.0})).await;
    world
        .until("acme", |acme| is_live(acme) && stands("line", ItemState::Done, "ObjectsObserved")(acme))
        .await
        .unwrap();
    put(json!({"up": false, "mbits": 100.0})).await;
    world
        .until("acme", |acme| !is_live(acme) && stands("line", ItemState::Waiting, "ExternalPending")(acme))
        .await
        .unwrap();
    put(json!({"up": true, "mbits": 100.0})).await;
    world.until("acme", is_live).await.unwrap();

    // A controller that starts says nothing of it before it has looked.
    let before = world.until("acme", is_live).await.unwrap();
    world.stop_controller().unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[mail("next")]).await.unwrap();
    world.until("next", stands("line", ItemState::Waiting, "ExternalMissing")).await.unwrap();
    let after = world.until("acme", is_live).await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "a restart is no news");

    api.delete("uplink", &DeleteParams::default()).await.unwrap();
    world.until("acme", stands("line", ItemState::Waiting, "ExternalMissing")).await.unwrap();
    let managers: Vec<String> = up
        .metadata
        .managed_fields
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| entry.manager)
        .collect();
    assert!(managers.iter().all(|manager| !manager.starts_with("tenantry")), "{managers:?}");
    let blueprints: Api<Blueprint> = Api::all(world.client.clone());
    let standard = blueprints.get("standard").await.unwrap();
    assert!(standard.spec.items.iter().any(|item| item.external.is_some()));
}
