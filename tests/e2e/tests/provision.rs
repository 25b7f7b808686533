//! From manifest to Live on a real API server, and everything it costs, counted by the audit log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use tenantry_crds::TenantSubscription;
use tenantry_e2e::orders::{erp, with};
use tenantry_e2e::people::{Signer, asked};
use tenantry_e2e::traffic::{by_controller, mark, writes};
use tenantry_e2e::wait::is_live;
use tenantry_e2e::{Setup, World, install, wait, world};

/// Objects of a tenant by its record, our own role binding among them.
fn objects(subscription: &TenantSubscription) -> usize {
    subscription.status.as_ref().unwrap().inventory.as_ref().unwrap().objects.len()
}

async fn live_world() -> (World, Vec<String>) {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.definitions_accepted().await.unwrap();
    let mut names = Vec::new();
    for tenant in install::directory(&world::examples().join("tenants")).unwrap() {
        let before = mark(&world).await.unwrap();
        world.apply_all(std::slice::from_ref(&tenant)).await.unwrap();
        let name = tenant["metadata"]["name"].as_str().unwrap().to_owned();
        if !tenant["spec"]["training"].is_null() {
            trained(&world, &name).await;
        }
        let live = world.until(&name, is_live).await.unwrap();
        let events = writes(&world, before).await.unwrap();
        let written = events.len();
        // The record counts our own role binding, which the budget of n + 4 has besides the n objects.
        let budget = objects(&live) - 1 + 4;
        // A tenant that takes longer than a second may write its status once a second.
        let checklist = &live.status.as_ref().unwrap().checklist;
        let seconds = checklist.iter().map(|entry| entry.since.0.as_second());
        let allowance = usize::try_from(seconds.clone().max().unwrap() - seconds.min().unwrap()).unwrap();
        // What people say comes one by one, and each word shows in the status.
        let signed = checklist.iter().filter(|entry| entry.sign_off.is_some()).count();
        // A run is recorded before its Job is made; then come its result, its pod that is let go, and that it was.
        let runs = 4 * checklist.iter().filter(|entry| entry.job.is_some()).count();
        assert!(
            written <= budget + allowance + signed + runs,
            "{name}: {written} writes, budget {budget} + {allowance} + {signed} + {runs}: {events:#?}"
        );
        names.push(name);
    }
    (world, names)
}

/// Everything but what people say is done; the training is signed and the client kit is confirmed.
async fn trained(world: &World, name: &str) {
    let waits = |subscription: &TenantSubscription| asked(subscription) == ["client", "training"];
    let waiting = world.until(name, waits).await.unwrap();
    assert!(wait::is_true(&waiting, "Ready") && !is_live(&waiting), "{:#?}", waiting.status);
    Signer::new(world.cluster.kubeconfig()).look(&waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_tenants_live_rest_survive_and_are_repaired() {
    let (mut world, names) = live_world().await;
    assert_eq!(names.len(), 3);
    rest(&world).await;
    drift(&world).await;
    restart(&mut world, &names).await;
    stripped_label(&world).await;
    refusals(&world).await;
    foreign_namespace(&world).await;
    deletion(&world).await;
}

/// The event follows the status that it tells of.
async fn told_live(world: &World, name: &str) {
    let is_told = |event: &Event| {
        event.action.as_deref() == Some("Live")
            && event.regarding.as_ref().is_some_and(|regarding| regarding.name.as_deref() == Some(name))
    };
    wait::told(&world.client, is_told).await.unwrap();
}

/// At rest nothing is asked but watches are renewed and the lease is held.
async fn rest(world: &World) {
    told_live(world, "corvus").await;
    let before = mark(world).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let events = by_controller(world, before).await.unwrap();
    let other: Vec<_> = events
        .iter()
        .filter(|event| event.resource != "leases" && event.verb != "watch")
        .map(|event| format!("{} {} {}", event.verb, event.resource, event.name))
        .collect();
    assert!(other.is_empty(), "{other:?}");
}

/// Somebody changes and deletes objects of a tenant: one write repairs each.
async fn drift(world: &World) {
    let services: Api<Service> = Api::namespaced(world.client.clone(), "tenant-acme");
    let before = mark(world).await.unwrap();
    let web = services.get("web").await.unwrap();
    let uid = web.metadata.uid.clone().unwrap();
    services.delete("web", &DeleteParams::default()).await.unwrap();
    let again = wait::until(services.clone(), "web", |service| {
        service.is_some_and(|service| service.metadata.uid.as_ref() != Some(&uid))
    });
    again.await.unwrap();
    let selector = web.spec.unwrap().selector.unwrap();
    let patch = json!({"spec": {"selector": {"app": "elsewhere"}}});
    services.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    wait::until(services, "web", |service| {
        service.is_some_and(|service| service.spec.as_ref().unwrap().selector.as_ref() == Some(&selector))
    })
    .await
    .unwrap();
    world.until("acme", is_live).await.unwrap();
    let repairs: Vec<_> = writes(world, before)
        .await
        .unwrap()
        .into_iter()
        .filter(|event| event.resource == "services")
        .collect();
    assert_eq!(repairs.len(), 2, "{repairs:#?}");
}

/// A restart finds everything as it was and writes nothing.
async fn restart(world: &mut World, names: &[String]) {
    world.kill_controller().unwrap();
    let before = mark(world).await.unwrap();
    world.run_controller(&[]).unwrap();
    // The restarted controller has looked at everything once it repairs something new.
    let configs: Api<ConfigMap> = Api::namespaced(world.client.clone(), "tenant-corvus");
    let config = configs.list(&Default::default()).await.unwrap().items.into_iter().find(|config| {
        config.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("tenantry.io/tenant-id"))
    });
    let name = config.expect("corvus has a ConfigMap").metadata.name.unwrap();
    let patch = json!({"data": {"intruder": "yes"}});
    configs.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    wait::until(configs, &name, |config| {
        config.is_some_and(|config| !config.data.as_ref().unwrap().contains_key("intruder"))
    })
    .await
    .unwrap();
    for name in names {
        world.until(name, is_live).await.unwrap();
    }
    let written: Vec<_> = writes(world, before)
        .await
        .unwrap()
        .into_iter()
        .map(|event| format!("{} {} {}/{}", event.verb, event.resource, event.namespace, event.name))
        .filter(|line| !line.contains(&name))
        .collect();
    let expected_none: Vec<_> = written.iter().filter(|line| !line.contains("tenantsubscriptions")).collect();
    assert!(expected_none.is_empty(), "{written:#?}");
}

/// A stripped label is put back on the same object.
async fn stripped_label(world: &World) {
    let services: Api<Service> = Api::namespaced(world.client.clone(), "tenant-bolt");
    let service = services.list(&Default::default()).await.unwrap().items.remove(0);
    let (name, uid) = (service.metadata.name.unwrap(), service.metadata.uid.unwrap());
    let patch = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    services.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    wait::until(services, &name, |service| {
        service.is_some_and(|service| {
            service.metadata.uid.as_ref() == Some(&uid)
                && service
                    .metadata
                    .labels
                    .as_ref()
                    .is_some_and(|labels| labels.contains_key("app.kubernetes.io/managed-by"))
        })
    })
    .await
    .unwrap();
}

fn order(name: &str, plan: &str, parameters: serde_json::Value, hosts: &[&str]) -> serde_json::Value {
    let order = with(erp(name), "spec.planRef.name", json!(plan));
    with(with(order, "spec.parameters", parameters), "spec.network.hosts", json!(hosts))
}

/// What is wrong is refused with its field, nothing is made, and correcting it is enough.
async fn refusals(world: &World) {
    let good = json!({"edition": "standard"});
    let cases = [
        (order("no-plan", "titanium", good.clone(), &[]), "PlanNotFound", "spec.planRef.name"),
        (
            order("bad-edition", "gold", json!({"edition": "nope"}), &[]),
            "ParameterInvalid",
            "spec.parameters",
        ),
        (
            order("taken-host", "gold", good.clone(), &["erp.acme.example"]),
            "HostTaken",
            "spec.network.hosts[0]",
        ),
    ];
    for (order, reason, field) in &cases {
        let name = order["metadata"]["name"].as_str().unwrap();
        world.apply_all(std::slice::from_ref(order)).await.unwrap();
        let refused = world
            .until(name, |s| {
                wait::condition(s, "Accepted")
                    .is_some_and(|c| c.status == tenantry_crds::common::ConditionStatus::False)
            })
            .await
            .unwrap();
        let condition = wait::condition(&refused, "Accepted").unwrap();
        assert!(condition.message.contains(field), "{reason}: {}", condition.message);
        assert!(!condition.message.contains("acme"), "nobody learns who holds a host: {}", condition.message);
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        assert!(
            namespaces.get_opt(&format!("tenant-{name}")).await.unwrap().is_none(),
            "{name}: nothing is made"
        );
        assert!(refused.metadata.finalizers.unwrap_or_default().is_empty(), "{name}: no finalizer");
    }
    world.patch("no-plan", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    world.until("no-plan", is_live).await.unwrap();
}

/// A namespace that is not ours is left alone, and the subscription says so.
async fn foreign_namespace(world: &World) {
    let foreign =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: tenant-squatted, labels: {owner: somebody}}\n";
    world.apply(foreign).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let before = namespaces.get("tenant-squatted").await.unwrap();
    world.apply_all(&[order("squatted", "gold", json!({"edition": "standard"}), &[])]).await.unwrap();
    let told =
        |s: &TenantSubscription| wait::condition(s, "Stalled").is_some_and(|c| c.reason == "NameConflict");
    world.until("squatted", told).await.unwrap();
    let after = namespaces.get("tenant-squatted").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
}

/// A protected subscription is not deleted; one that may be goes with everything it had.
async fn deletion(world: &World) {
    let api: Api<TenantSubscription> = Api::all(world.client.clone());
    let refused = api.delete("acme", &DeleteParams::default()).await.unwrap_err();
    assert!(refused.to_string().contains("deletionProtection"), "{refused}");
    api.delete("no-plan", &DeleteParams::default()).await.unwrap();
    wait::gone(api.clone(), "no-plan").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    assert!(namespaces.get_opt("tenant-no-plan").await.unwrap().is_none());
    api.delete("squatted", &DeleteParams::default()).await.unwrap();
    wait::gone(api, "squatted").await.unwrap();
    assert!(namespaces.get_opt("tenant-squatted").await.unwrap().is_some(), "it was never ours");
}
