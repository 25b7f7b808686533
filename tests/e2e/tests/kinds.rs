//! Kinds of other projects that come and go while tenants need them, on a real API server and without a restart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tenantry_control_plane::Crd;
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::{ChecklistEntry, ItemState};
use tenantry_e2e::meddling::lose;
use tenantry_e2e::orders::{mail, with};
use tenantry_e2e::traffic::{line, mark, writes_in};
use tenantry_e2e::wait::{is_live, is_true};
use tenantry_e2e::{Setup, World, metrics, wait};

/// Runs that two new kinds are worth for four tenants: for each when the kinds come, when each is listed, when its objects
/// are there, and as many again for what else happens. Who asks again and again has many times more.
const MOST_RUNS: f64 = 40.0;

/// Everything optional and needed is missing at first: what can do without is done, what cannot waits and says for what.
/// Each kind is picked up when it is installed; when it is removed again, whoever needs it says so and nothing breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_are_picked_up_and_missed_without_a_restart() {
    let mut world = World::start(Setup { optional_kinds: &[], ..Setup::default() }).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let hosted = |name: &str| with(mail(name), "spec.network.hosts", json!([format!("mail.{name}.example")]));
    let fenced = with(hosted("fenced"), "spec.network.allowFrom", json!(["203.0.113.0/24"]));
    let leaver = with(hosted("leaver"), "spec.deletionPolicy", json!("Retain"));
    world.apply_all(&[mail("quiet"), hosted("plain"), fenced, leaver]).await.unwrap();
    nothing_is_installed(&world).await;
    optional_kinds_come(&world).await;
    needed_kinds_come(&world).await;
    kinds_go(&world).await;
    a_tenant_ends_while_its_kind_is_missing(&world).await;
    kinds_come_back(&world).await;
    assert!(world.controller.as_mut().unwrap().is_running().unwrap(), "it is still the first process");
    a_kind_that_only_the_record_knows(&mut world).await;
}

fn item<'a>(subscription: &'a TenantSubscription, name: &str) -> Option<&'a ChecklistEntry> {
    subscription.status.as_ref()?.checklist.iter().find(|entry| entry.name == name)
}

fn is(subscription: &TenantSubscription, name: &str, state: ItemState, reason: &str) -> bool {
    item(subscription, name).is_some_and(|entry| entry.state == state && entry.reason == reason)
}

fn api(world: &World, crd: Crd, namespace: &str) -> Api<DynamicObject> {
    let (group, version) = match crd {
        Crd::HttpRoute => ("gateway.networking.k8s.io", "v1"),
        Crd::HttpRouteFilter | Crd::SecurityPolicy => ("gateway.envoyproxy.io", "v1alpha1"),
        Crd::ServiceMonitor | Crd::PrometheusRule => ("monitoring.coreos.com", "v1"),
        Crd::NodePool => ("karpenter.sh", "v1"),
        Crd::MachineDeployment => ("cluster.x-k8s.io", "v1beta2"),
    };
    let definition = definition(crd);
    let names = &definition["spec"]["names"];
    let gvk = GroupVersionKind::gvk(group, version, names["kind"].as_str().unwrap());
    let resource = ApiResource::from_gvk_with_plural(&gvk, names["plural"].as_str().unwrap());
    Api::namespaced_with(world.client.clone(), namespace, &resource)
}

fn definition(crd: Crd) -> Value {
    tenantry_e2e::install::documents(crd.yaml()).unwrap().remove(0)
}

async fn remove(world: &World, crd: Crd) {
    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let name = definition(crd)["metadata"]["name"].as_str().unwrap().to_owned();
    definitions.delete(&name, &DeleteParams::default()).await.unwrap();
    wait::gone(definitions, &name).await.unwrap();
}

async fn nothing_is_installed(world: &World) {
    let quiet = world.until("quiet", is_live).await.unwrap();
    for (name, kinds) in [("monitoring", "ServiceMonitor and PrometheusRule"), ("platform", "Schedule")] {
        assert!(is(&quiet, name, ItemState::Done, "NotInstalled"), "{:?}", item(&quiet, name));
        let message = &item(&quiet, name).unwrap().message;
        assert_eq!(*message, format!("without {kinds}, which this cluster does not have installed"));
    }
    let closed = |s: &TenantSubscription| {
        is_true(s, "Ready") && is(s, "go-live", ItemState::Waiting, "KindNotInstalled")
    };
    let plain = world.until("plain", closed).await.unwrap();
    let message = &item(&plain, "go-live").unwrap().message;
    assert!(
        message.contains("HTTPRoute public needs the kind gateway.networking.k8s.io/v1/HTTPRoute"),
        "{message}"
    );
    // Without what keeps strangers out, not even the application is there.
    let held = |s: &TenantSubscription| is(s, "network", ItemState::Waiting, "KindNotInstalled");
    let fenced = world.until("fenced", held).await.unwrap();
    let message = &item(&fenced, "network").unwrap().message;
    assert!(message.contains("needs the kind gateway.envoyproxy.io/v1alpha1/SecurityPolicy"), "{message}");
    for name in ["application", "go-live"] {
        assert!(is(&fenced, name, ItemState::Pending, "DependenciesOpen"), "{:?}", item(&fenced, name));
    }
}

/// Runs of the reconciler so far.
fn runs(world: &World) -> f64 {
    metrics::total(world.controller.as_ref().unwrap().admin(), "tenantry_reconciles_total").unwrap()
}

async fn optional_kinds_come(world: &World) {
    let before = mark(world).await.unwrap();
    let runs_before = runs(world);
    world.cluster.install_crds(&[Crd::ServiceMonitor, Crd::PrometheusRule]).await.unwrap();
    for name in ["quiet", "plain"] {
        let observed = |s: &TenantSubscription| is(s, "monitoring", ItemState::Done, "ObjectsObserved");
        let watched = world.until(name, observed).await.unwrap();
        assert_eq!(item(&watched, "monitoring").unwrap().objects, 3, "with the dashboard");
        let namespace = format!("tenant-{name}");
        for crd in [Crd::ServiceMonitor, Crd::PrometheusRule] {
            api(world, crd, &namespace).get("application").await.unwrap();
        }
        let mut written: Vec<String> =
            writes_in(world, before, &namespace).await.unwrap().iter().map(line).collect();
        written.sort();
        let expected = ["prometheusrules", "servicemonitors"]
            .map(|resource| format!("create {resource}/ {namespace}/application: 201"));
        assert_eq!(written, expected);
    }
    let runs = runs(world) - runs_before;
    assert!(runs <= MOST_RUNS, "{runs} runs, while the API server prepared the new kinds");
}

async fn needed_kinds_come(world: &World) {
    world.cluster.install_crds(&[Crd::HttpRoute]).await.unwrap();
    for name in ["plain", "leaver"] {
        world.until(name, is_live).await.unwrap();
    }
    world.cluster.install_crds(&[Crd::SecurityPolicy]).await.unwrap();
    world.until("fenced", is_live).await.unwrap();
    api(world, Crd::SecurityPolicy, "tenant-fenced").get("allow-list").await.unwrap();
}

/// With a definition go all its objects: optional ones are missed and nothing else, a route is missed by the customer.
async fn kinds_go(world: &World) {
    remove(world, Crd::ServiceMonitor).await;
    let without = |s: &TenantSubscription| is(s, "monitoring", ItemState::Done, "NotInstalled") && is_live(s);
    for name in ["quiet", "plain", "fenced"] {
        let found = world.until(name, without).await.unwrap();
        let message = &item(&found, "monitoring").unwrap().message;
        assert_eq!(*message, "without ServiceMonitor, which this cluster does not have installed");
    }
    remove(world, Crd::HttpRoute).await;
    let closed = |s: &TenantSubscription| {
        is(s, "go-live", ItemState::Waiting, "KindNotInstalled") && is_true(s, "Ready") && !is_true(s, "Live")
    };
    for name in ["plain", "fenced", "leaver"] {
        world.until(name, closed).await.unwrap();
    }
    let quiet = world.until("quiet", |_| true).await.unwrap();
    assert!(is_live(&quiet), "it has no route");
    for name in ["quiet", "plain"] {
        lose::<Service>(&world.client, &format!("tenant-{name}"), "mail").await.unwrap();
    }
}

async fn a_tenant_ends_while_its_kind_is_missing(world: &World) {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    for name in ["leaver", "quiet"] {
        subscriptions.delete(name, &DeleteParams::default()).await.unwrap();
        wait::gone(subscriptions.clone(), name).await.unwrap();
    }
}

async fn kinds_come_back(world: &World) {
    world.cluster.install_crds(&[Crd::HttpRoute, Crd::ServiceMonitor]).await.unwrap();
    for name in ["plain", "fenced"] {
        let whole =
            |s: &TenantSubscription| is(s, "monitoring", ItemState::Done, "ObjectsObserved") && is_live(s);
        world.until(name, whole).await.unwrap();
        let namespace = format!("tenant-{name}");
        api(world, Crd::HttpRoute, &namespace).get("public").await.unwrap();
        // The watch of the kind is a new one: it sees what happens to the new objects.
        let monitors = api(world, Crd::ServiceMonitor, &namespace);
        let uid = monitors.get("application").await.unwrap().metadata.uid;
        monitors.delete("application", &DeleteParams::default()).await.unwrap();
        wait::until(monitors, "application", |found| found.is_some_and(|found| found.metadata.uid != uid))
            .await
            .unwrap();
    }
}

/// The last object of a kind that nobody asks for any more is removed by a process that never made one.
async fn a_kind_that_only_the_record_knows(world: &mut World) {
    world.stop_controller().unwrap();
    world.patch("fenced", json!({"spec": {"network": {"allowFrom": null}}})).await.unwrap();
    world.run_controller(&[]).unwrap();
    wait::gone(api(world, Crd::SecurityPolicy, "tenant-fenced"), "allow-list").await.unwrap();
    let kind = "gateway.envoyproxy.io/v1alpha1/SecurityPolicy";
    let forgotten = |s: &TenantSubscription| {
        let recorded = s.status.as_ref().and_then(|status| status.inventory.as_ref());
        is_live(s) && recorded.is_some_and(|recorded| recorded.objects.iter().all(|entry| entry.kind != kind))
    };
    world.until("fenced", forgotten).await.unwrap();
}
