//! Other hands on a tenant's objects, on a real API server: what is ours is repaired, what is theirs is left alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::Discovery;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry_crds::TenantSubscription;
use tenantry_e2e::holdings::holdings;
use tenantry_e2e::meddling::lose;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::traffic::{by_controller, line, mark, writes, writes_in};
use tenantry_e2e::wait::{condition, is_live, is_true};
use tenantry_e2e::{Setup, World, install, wait};

/// Name under which the controller writes fields.
const OUR_MANAGER: &str = "tenantry";
/// How often the other controller of [`a_fight_is_one_write_for_one`] undoes a repair.
const REWRITES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ours_is_repaired_and_what_is_theirs_is_left_alone() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let hosted = |name: &str| with(erp(name), "spec.network.hosts", json!([format!("erp.{name}.example")]));
    let later = with(mail("later"), "spec.network.hosts", json!(["mail.later.example"]));
    let later = with(later, "spec.goLive.notBefore", json!("2099-01-01T00:00:00Z"));
    world.apply_all(&[hosted("updated"), hosted("applied"), erp("decorated"), later]).await.unwrap();
    for name in ["updated", "applied", "decorated"] {
        world.until(name, is_live).await.unwrap();
    }
    world.until("later", |s| is_true(s, "Ready")).await.unwrap();
    decorations_stay(&world).await;
    a_fight_is_one_write_for_one(&world).await;
    in_our_managers_name(&world).await;
    a_namesake_before_ours(&world).await;
    a_namesake_in_place_of_ours(&mut world).await;
    a_copy_in_place_of_ours(&mut world).await;
}

fn services(world: &World, tenant: &str) -> Api<Service> {
    wait::namespaced(&world.client, &format!("tenant-{tenant}"))
}

/// Fields of others that contradict nothing cost nothing and stay, also when the object is changed for its order.
async fn decorations_stay(world: &World) {
    let before = mark(world).await.unwrap();
    let deployments: Api<Deployment> = wait::namespaced(&world.client, "tenant-decorated");
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    let theirs = json!({"annotations": {"argocd.example/tracking": "yes"}, "labels": {"team": "blue"}});
    let theirs = json!({"metadata": theirs});
    let restarted =
        json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-24T10:00:00Z"}}});
    let by_others = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let both = json!({"metadata": theirs["metadata"], "spec": {"template": restarted}});
    deployments.patch("web", &by_others, &Patch::Merge(both)).await.unwrap();
    services(world, "decorated").patch("web", &by_others, &Patch::Merge(theirs.clone())).await.unwrap();
    namespaces.patch("tenant-decorated", &by_others, &Patch::Merge(theirs.clone())).await.unwrap();
    // A run that repairs something has looked at everything.
    lose::<Service>(&world.client, "tenant-decorated", "worker").await.unwrap();
    world.until("decorated", is_live).await.unwrap();
    let written: Vec<String> =
        writes_in(world, before, "tenant-decorated").await.unwrap().iter().map(line).collect();
    assert_eq!(written, ["create services/ tenant-decorated/worker: 201"]);

    world.patch("decorated", json!({"spec": {"parameters": {"language": "fr"}}})).await.unwrap();
    world.until("decorated", is_live).await.unwrap();
    let web = serde_json::to_value(deployments.get("web").await.unwrap()).unwrap();
    let variables = web.pointer("/spec/template/spec/containers/0/env").and_then(Value::as_array).unwrap();
    assert!(variables.contains(&json!({"name": "LANG", "value": "fr"})), "{variables:?}");
    let rolled_out = [&web["status"]["observedGeneration"], &web["status"]["updatedReplicas"]];
    let wanted = [&web["metadata"]["generation"], &web["spec"]["replicas"]];
    assert_eq!(rolled_out, wanted, "nobody is live before the new pods are there: {:#}", web["status"]);
    let service = serde_json::to_value(services(world, "decorated").get("web").await.unwrap()).unwrap();
    let namespace = serde_json::to_value(namespaces.get("tenant-decorated").await.unwrap()).unwrap();
    for object in [&web, &service, &namespace] {
        assert_eq!(object["metadata"]["labels"]["team"], "blue", "{object:#}");
        assert_eq!(object["metadata"]["annotations"]["argocd.example/tracking"], "yes", "{object:#}");
    }
    let template = &web["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(template["kubectl.kubernetes.io/restartedAt"], "2026-11-24T10:00:00Z");
}

/// A controller that undoes every repair gets one write for each of its own, and nothing else is stirred up by it.
async fn a_fight_is_one_write_for_one(world: &World) {
    let other = PatchParams { field_manager: Some("other-controller".to_owned()), ..PatchParams::default() };
    let start = mark(world).await.unwrap();
    let services = services(world, "decorated");
    let ours = services.get("web").await.unwrap().spec.unwrap().selector;
    let configs: Api<ConfigMap> = wait::namespaced(&world.client, "tenant-decorated");
    for _ in 0..REWRITES {
        let theirs = Patch::Merge(json!({"spec": {"selector": {"app": "elsewhere"}}}));
        services.patch("web", &other, &theirs).await.unwrap();
        let repaired = |found: Option<&Service>| {
            found.is_some_and(|found| found.spec.as_ref().unwrap().selector == ours)
        };
        wait::until(services.clone(), "web", repaired).await.unwrap();
        let theirs = Patch::Merge(json!({"data": {"more.txt": "theirs"}}));
        configs.patch("erp-settings", &other, &theirs).await.unwrap();
        let repaired = |found: Option<&ConfigMap>| {
            found.is_some_and(|found| !found.data.as_ref().unwrap().contains_key("more.txt"))
        };
        wait::until(configs.clone(), "erp-settings", repaired).await.unwrap();
    }
    world.until("decorated", is_live).await.unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in writes(world, start).await.unwrap() {
        *counts.entry(format!("{} {}", event.resource, event.name)).or_default() += 1;
    }
    let once_each = [("configmaps erp-settings", REWRITES), ("services web", REWRITES)];
    assert_eq!(counts, once_each.map(|(what, count)| (what.to_owned(), count)).into());
    let reads = by_controller(world, start).await.unwrap().iter().filter(|event| event.verb == "get").count();
    assert!(reads <= 2 * REWRITES, "{reads} reads for {REWRITES} rewrites of two objects");
}

/// Values that somebody puts in the place of ours, by kind, name where there are several, and patch.
fn tampering() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("apps/v1/Deployment", "worker", json!({"spec": {"replicas": 5}})),
        ("v1/ConfigMap", "erp-settings", json!({"data": {"intruder": "yes"}})),
        ("v1/Service", "web", json!({"spec": {"selector": {"app": "elsewhere"}}})),
        ("networking.k8s.io/v1/NetworkPolicy", "allow-same-namespace", json!({"spec": {"egress": [{}]}})),
        ("v1/ResourceQuota", "", json!({"spec": {"hard": {"pods": "5000"}}})),
        ("v1/ServiceAccount", "workload", json!({"automountServiceAccountToken": true})),
        (
            "gateway.networking.k8s.io/v1/HTTPRoute",
            "public",
            json!({"spec": {"hostnames": ["x.stolen.example"]}}),
        ),
        ("monitoring.coreos.com/v1/ServiceMonitor", "application", json!({"spec": {"sampleLimit": 1}})),
        (
            "v1/Namespace",
            "",
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ),
    ]
}

/// The name under which fields are written proves nothing: whoever uses ours is undone all the same.
async fn in_our_managers_name(world: &World) {
    let update = PatchParams { field_manager: Some(OUR_MANAGER.to_owned()), ..PatchParams::default() };
    let apply = PatchParams::apply(OUR_MANAGER).force();
    let discovery = Discovery::new(world.client.clone()).run_aggregated().await.unwrap();
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    for (tenant, parameters) in [("updated", update), ("applied", apply.clone())] {
        let subscription = subscriptions.get(tenant).await.unwrap();
        let before = holdings(&world.client, &subscription).await.unwrap();
        for (kind, name, patch) in tampering() {
            let found = before.iter().find(|(object, _)| object.starts_with(&format!("{kind} {name}")));
            let (what, object) = found.unwrap_or_else(|| panic!("{tenant} has no {kind} {name}"));
            tamper(world, &discovery, &parameters, object, patch)
                .await
                .unwrap_or_else(|error| panic!("{tenant}: {what}: {error:#}"));
        }
        world.until(tenant, is_live).await.unwrap();
    }
    // Our apply holds all of it now: an apply that says nothing of the rest takes it all away, our labels included.
    let subscription = subscriptions.get("applied").await.unwrap();
    let before = holdings(&world.client, &subscription).await.unwrap();
    let nothing = json!({"data": {"intruder": "yes"}});
    tamper(world, &discovery, &apply, &before["v1/ConfigMap erp-settings"], nothing).await.unwrap();
}

/// Puts a value in the place of ours and waits until the very same object is as it was.
async fn tamper(
    world: &World,
    discovery: &Discovery,
    parameters: &PatchParams,
    before: &Value,
    patch: Value,
) -> anyhow::Result<()> {
    let api = install::api_for(&world.client, discovery, before)?;
    let name = before["metadata"]["name"].as_str().unwrap();
    let mut body = patch;
    body["apiVersion"] = before["apiVersion"].clone();
    body["kind"] = before["kind"].clone();
    let patch = if parameters.force { Patch::Apply(body) } else { Patch::Merge(body) };
    let tampered = api.patch(name, parameters, &patch).await?;
    anyhow::ensure!(content(&serde_json::to_value(&tampered)?) != content(before), "nothing was changed");
    let is_repaired = |found: Option<&DynamicObject>| {
        found.is_some_and(|found| content(&serde_json::to_value(found).unwrap()) == content(before))
    };
    wait::until(api, name, is_repaired).await?;
    Ok(())
}

/// What an object says, and which object it is.
fn content(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = json!({"uid": object["metadata"]["uid"], "labels": object["metadata"]["labels"]});
    let members = object.as_object_mut().unwrap();
    // An object in a list does not repeat its kind.
    for other in ["status", "apiVersion", "kind"] {
        members.remove(other);
    }
    members.insert("metadata".to_owned(), metadata);
    object
}

/// Waits until the subscription says that an object of somebody else stands in its way.
async fn conflict(world: &World, name: &str, object: &str) {
    let named = |s: &TenantSubscription| names_conflict(s, object);
    let told = world.until(name, named).await.unwrap();
    let message = &condition(&told, "Stalled").unwrap().message;
    assert!(
        message.contains("exists and was not created for this") && message.contains("remove"),
        "{message}"
    );
}

fn names_conflict(subscription: &TenantSubscription, object: &str) -> bool {
    condition(subscription, "Stalled")
        .is_some_and(|c| c.reason == "NameConflict" && c.message.contains(object))
}

/// An object that the tenant will need is there already when its time comes: it is nobody's business but its owner's.
async fn a_namesake_before_ours(world: &World) {
    let gvk = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let resource = ApiResource::from_gvk(&gvk);
    let routes: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), "tenant-later", &resource);
    let mut theirs = DynamicObject::new("public", &resource);
    theirs.data = json!({"spec": {"hostnames": ["theirs.example"]}});
    let theirs = routes.create(&PostParams::default(), &theirs).await.unwrap();
    world.patch("later", json!({"spec": {"goLive": {"notBefore": null}}})).await.unwrap();
    conflict(world, "later", "HTTPRoute public").await;
    let now = routes.get("public").await.unwrap();
    assert_eq!((&now.metadata.uid, &now.data["spec"]), (&theirs.metadata.uid, &theirs.data["spec"]));
    assert_eq!(now.metadata.labels, None);
    routes.delete("public", &DeleteParams::default()).await.unwrap();
    let live = world.until("later", is_live).await.unwrap();
    assert!(condition(&live, "Stalled").is_none());
}

/// An object of ours is deleted and another one takes its name while nobody looks: it is left untouched and named, for as
/// long as it is there; what else drifts is repaired meanwhile; when it goes, ours comes back.
async fn a_namesake_in_place_of_ours(world: &mut World) {
    let services = services(world, "updated");
    let ours = services.get("worker").await.unwrap();
    world.stop_controller().unwrap();
    services.delete("worker", &DeleteParams::default()).await.unwrap();
    let theirs = json!({"metadata": {"name": "worker"}, "spec": {"ports": [{"port": 1}]}});
    let theirs: Service = serde_json::from_value(theirs).unwrap();
    let theirs = services.create(&PostParams::default(), &theirs).await.unwrap();
    world.run_controller(&[]).unwrap();
    conflict(world, "updated", "Service worker").await;

    let mut always_told = true;
    let tried_again = |s: &TenantSubscription| {
        always_told &= names_conflict(s, "Service worker");
        s.status.as_ref().is_some_and(|status| status.checklist.iter().any(|entry| entry.attempts >= 2))
    };
    let (tried, lost) = tokio::join!(
        world.until("updated", tried_again),
        lose::<ConfigMap>(&world.client, "tenant-updated", "dashboard")
    );
    tried.unwrap();
    lost.unwrap();
    assert!(always_told, "the conflict was forgotten while it lasted");
    let now = services.get("worker").await.unwrap();
    assert_eq!(now.metadata.resource_version, theirs.metadata.resource_version);

    services.delete("worker", &DeleteParams::default()).await.unwrap();
    world.until("updated", is_live).await.unwrap();
    let again = services.get("worker").await.unwrap();
    assert_eq!(again.metadata.labels, ours.metadata.labels);
    assert_eq!(again.spec.unwrap().selector, ours.spec.unwrap().selector);
}

/// A copy of our object with our labels on it, as a restored backup is, is not our object either.
async fn a_copy_in_place_of_ours(world: &mut World) {
    let configs: Api<ConfigMap> = wait::namespaced(&world.client, "tenant-applied");
    let mut copy = configs.get("dashboard").await.unwrap();
    world.stop_controller().unwrap();
    configs.delete("dashboard", &DeleteParams::default()).await.unwrap();
    let labels = copy.metadata.labels.take();
    copy.metadata = Default::default();
    copy.metadata.name = Some("dashboard".to_owned());
    copy.metadata.labels = labels;
    copy.data.as_mut().unwrap().insert("dashboard.json".to_owned(), "{}".to_owned());
    let copy = configs.create(&PostParams::default(), &copy).await.unwrap();
    world.run_controller(&[]).unwrap();
    conflict(world, "applied", "ConfigMap dashboard").await;
    let now = configs.get("dashboard").await.unwrap();
    assert_eq!(now.metadata.resource_version, copy.metadata.resource_version);
    lose::<ConfigMap>(&world.client, "tenant-applied", "dashboard").await.unwrap();
    world.until("applied", is_live).await.unwrap();
}
