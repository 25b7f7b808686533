//! The end of a subscription on a real API server: what is kept and handed over, in which order everything goes, and that nothing
//! which is broken outside holds it up for ever.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::fs;
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::{ItemState, JobState, OperationKind, Phase};
use tenantry_e2e::clock::Clock;
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::process::journal;
use tenantry_e2e::wait::{condition, is_live, stands};
use tenantry_e2e::{NAMESPACE as SYSTEM, Setup, World, metrics, wait, world};

const NAMESPACE: &str = "tenant-acme";

/// The definitions of the examples, with a step of the end that waits for others for this long.
fn definitions(timeout: &str) -> Vec<Value> {
    let mut definitions = world::definitions().unwrap();
    let standard = definitions
        .iter_mut()
        .find(|one| one["kind"] == "Blueprint" && one["metadata"]["name"] == "standard");
    standard.unwrap()["spec"]["exit"] =
        json!({"timeout": timeout, "export": {"retry": {"attempts": 2, "backoff": "1s"}}});
    definitions
}

fn order(policy: &str) -> Value {
    let ada = json!({"name": "ada", "email": "ada@acme.example", "roles": ["administrator"]});
    let order = with(erp("acme"), "spec.users", json!([ada]));
    let order = with(order, "spec.network.hosts", json!(["acme.erp.example"]));
    with(order, "spec.deletionPolicy", json!(policy))
}

async fn start(timeout: &str, orders: &[Value]) -> World {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_all(&definitions(timeout)).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(orders).await.unwrap();
    for order in orders {
        world.until(order["metadata"]["name"].as_str().unwrap(), is_live).await.unwrap();
    }
    world
}

fn subscriptions(world: &World) -> Api<TenantSubscription> {
    Api::all(world.client.clone())
}

async fn delete(world: &World, name: &str) {
    subscriptions(world).delete(name, &DeleteParams::default()).await.unwrap();
}

async fn names<K>(api: Api<K>) -> Vec<String>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let all = api.list(&ListParams::default()).await.unwrap();
    all.items.iter().filter_map(|object| object.meta().name.clone()).collect()
}

async fn routes(world: &World) -> Vec<String> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let kind = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), NAMESPACE, &kind);
    let all = api.list(&ListParams::default()).await.unwrap();
    all.items.iter().filter_map(|object| object.metadata.name.clone()).collect()
}

/// States of the steps, in their order.
fn steps(subscription: &TenantSubscription) -> Vec<(String, ItemState)> {
    let checklist = &subscription.status.as_ref().unwrap().checklist;
    let steps = checklist.iter().filter(|entry| entry.name.starts_with("exit-"));
    steps.map(|entry| (entry.name.clone(), entry.state)).collect()
}

fn step(subscription: &TenantSubscription, name: &str, state: ItemState) -> bool {
    steps(subscription).contains(&(name.to_owned(), state))
}

fn is_archived(subscription: &TenantSubscription) -> bool {
    subscription.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Archived))
}

/// `Delete` takes everything, and the finalizer goes only after it; `Retain` leaves the namespace and takes the doors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_subscription_ends_as_its_policy_says() {
    let stays = with(mail("stays"), "spec.deletionPolicy", json!("Retain"));
    let world = start("10m", &[mail("goes"), stays]).await;
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    for name in ["goes", "stays"] {
        delete(&world, name).await;
        wait::gone(subscriptions(&world), name).await.unwrap();
    }
    for (name, policy) in [("goes", "Delete"), ("stays", "Retain")] {
        let history = History::of(world.identity(), world.directory(), name).await.unwrap();
        assert_eq!(history.outcomes("Operation", ""), ["Began", "Completed", "Began", "Completed"]);
        let end = history.0.last().unwrap();
        assert!(end.outcome == "Ended" && end.evidence.contains(policy), "{history:#?}");
        assert_eq!(history.outcomes("Document", "receipt.jws"), ["Kept"]);
    }
    let log = world.controller.as_ref().unwrap().log().unwrap();
    assert!(namespaces.get_opt("tenant-goes").await.unwrap().is_none(), "{log}");
    assert!(namespaces.get_opt("tenant-stays").await.unwrap().is_some());
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), "tenant-stays");
    let left = names(bindings).await;
    assert!(left.is_empty(), "nobody has access any more: {left:#?}");
}

/// Whose application was never made has no data, so his end waits for no export.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_never_had_data_ends_without_an_export() {
    let world = start("10m", &[]).await;
    let hold = json!([{"item": "platform", "reason": "the contract is not signed"}]);
    world.apply_all(&[with(order("ExportThenDelete"), "spec.holds", hold)]).await.unwrap();
    let is_held = stands("platform", ItemState::Waiting, "OnHold");
    world.until("acme", is_held).await.unwrap();
    delete(&world, "acme").await;
    let kept = world.until("acme", is_archived).await.unwrap();
    assert!(step(&kept, "exit-export", ItemState::Skipped), "{:?}", steps(&kept));
    let export = wait::entry(&kept, "exit-export").unwrap();
    assert!(export.job.is_none() && export.message.contains("nothing that could hold data"), "{export:#?}");
    world.tenantry(&["exit", "acme", "--end-keeping"]).await.unwrap();
    wait::gone(subscriptions(&world), "acme").await.unwrap();
}

/// A tenant that is suspended, with a quota of no pods, gets his data exported all the same. Then nobody gets in and nothing runs,
/// the data stays until its time, and what is handed over proves it. The controller is killed on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_is_exported_and_kept_before_anything_is_deleted() {
    let mut world = start("10m", &[order("ExportThenDelete"), mail("bolt")]).await;
    let bystander = world.versions("bolt").await.unwrap();
    let message = "invoice 7 is not paid";
    world.tenantry(&["suspend", "acme", "--reason", "billing", "--message", message]).await.unwrap();
    world.until("acme", |acme| wait::is_true(acme, "Suspended")).await.unwrap();
    assert_eq!(world.running(NAMESPACE).await.unwrap(), 0);
    let said = world.tenantry(&["exit", "acme"]).await.unwrap();
    assert!(said.contains("is not being deleted") && said.contains("kubectl delete"), "{said}");
    let early = world.tenantry(&["exit", "acme", "--end-keeping"]).await;
    assert!(early.unwrap_err().to_string().contains("is not being deleted"));

    delete(&world, "acme").await;
    world.until("acme", |acme| step(acme, "exit-access", ItemState::Done)).await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    let kept = world.until("acme", is_archived).await.unwrap();
    let [done, waiting, pending] = [ItemState::Done, ItemState::Waiting, ItemState::Pending];
    let expected = [
        ("exit-access", done),
        ("exit-export", done),
        ("exit-stop", done),
        ("exit-keep", waiting),
        ("exit-removal", pending),
    ];
    assert_eq!(steps(&kept), expected.map(|(name, state)| (name.to_owned(), state)), "{kept:#?}");
    let export = wait::entry(&kept, "exit-export").unwrap().job.clone().unwrap();
    assert_eq!((export.attempt, export.state), (1, JobState::Succeeded), "{export:#?}");
    let status = kept.status.clone().unwrap();
    let operation = status.operation.unwrap();
    assert_eq!((operation.kind, operation.cause.as_str()), (OperationKind::Offboard, "ExportThenDelete"));
    let requested = kept.metadata.deletion_timestamp.clone().unwrap().0;
    assert_eq!(status.purge_at.unwrap().0.duration_since(requested).as_hours(), 720);

    assert_eq!((world.running(NAMESPACE).await.unwrap(), routes(&world).await.len()), (0, 0));
    let people: Vec<String> = names::<RoleBinding>(Api::namespaced(world.client.clone(), NAMESPACE)).await;
    assert_eq!(people, ["tenantry-manager"], "nobody but the controller gets in");
    let volumes: Vec<String> =
        names::<PersistentVolumeClaim>(Api::namespaced(world.client.clone(), NAMESPACE)).await;
    assert!(volumes.contains(&"archive".to_owned()), "{volumes:?}");
    let said = world.tenantry(&["exit", "acme"]).await.unwrap();
    assert!(said.contains("Kept until") && said.contains("--end-keeping"), "{said}");

    // Nothing is written while it is kept, nor when a controller starts.
    let before = (kept.metadata.resource_version.clone(), world.versions("acme").await.unwrap());
    world.stop_controller().unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[mail("later")]).await.unwrap();
    world.until("later", is_live).await.unwrap();
    let again = world.until("acme", is_archived).await.unwrap();
    assert_eq!((again.metadata.resource_version.clone(), world.versions("acme").await.unwrap()), before);

    world.tenantry(&["exit", "acme", "--end-keeping"]).await.unwrap();
    wait::gone(subscriptions(&world), "acme").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    assert!(namespaces.get_opt(NAMESPACE).await.unwrap().is_none());
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
    handed_over(&world).await;
}

/// What the provider hands over: documents whose checksums the signed receipt names.
async fn handed_over(world: &World) {
    let to = world.directory().join("handover");
    let database = journal(world.directory());
    let arguments = ["handover", "acme", "--to", to.to_str().unwrap(), "--database", &database];
    let listed = world.tenantry(&arguments).await.unwrap();
    let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
    let accounts: Value = serde_json::from_str(&read("accounts.json")).unwrap();
    assert_eq!(accounts[0]["email"], "ada@acme.example");
    let subscription: Value = serde_json::from_str(&read("subscription.json")).unwrap();
    assert_eq!(subscription["order"]["planRef"]["name"], "gold");
    let manifests: Value = serde_json::from_str(&read("manifests.json")).unwrap();
    let kinds: Vec<&str> =
        manifests["items"].as_array().unwrap().iter().filter_map(|object| object["kind"].as_str()).collect();
    assert!(kinds.contains(&"Deployment") && kinds.contains(&"PersistentVolumeClaim"), "{kinds:?}");
    let password = secret_values(&manifests);
    assert!(password.is_empty(), "no value of a Secret is handed over: {password:?}");

    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), SYSTEM);
    let public = secrets.get("tenantry-receipt-key").await.unwrap().data.unwrap()["public.pem"].clone();
    let key = to.join("key.pem");
    fs::write(&key, public.0).unwrap();
    let receipt = to.join("receipt.jws");
    let verify = ["receipt", receipt.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let says: Value = serde_json::from_str(&world.tenantry(&verify).await.unwrap()).unwrap();
    assert_eq!((&says["sub"], &says["deletionPolicy"]), (&json!("acme"), &json!("ExportThenDelete")));
    assert_eq!((&says["export"]["state"], &says["leftovers"]), (&json!("Succeeded"), &json!([])));
    for document in says["documents"].as_array().unwrap() {
        let (name, sum) = (document["name"].as_str().unwrap(), document["sha256"].as_str().unwrap());
        assert!(listed.contains(&format!("{sum}  {}", to.join(name).display())), "{name}: {listed}");
    }
    assert_eq!(says["documents"].as_array().unwrap().len(), 3, "{says}");
    fs::write(&receipt, read("receipt.jws").replacen('.', ".A", 1)).unwrap();
    let forged = world.tenantry(&verify).await.unwrap_err().to_string();
    assert!(forged.contains("was changed") || forged.contains("no receipt"), "{forged}");
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Item", "exit-keep"), ["Done"]);
    assert_eq!(history.outcomes("Run", "exit-export"), ["Succeeded"]);
    assert!(history.0.iter().all(|fact| !fact.evidence.contains("\"content\"")), "{history:#?}");
}

fn secret_values(manifests: &Value) -> Vec<&Value> {
    let secrets = manifests["items"].as_array().unwrap().iter().filter(|object| object["kind"] == "Secret");
    secrets
        .flat_map(|secret| [&secret["data"], &secret["stringData"]])
        .filter(|data| !data.is_null())
        .collect()
}

/// An export that fails stops the end before anything is deleted, until a person says otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_fails_keeps_the_data_until_a_person_decides() {
    let mut world = World::start(Setup::default()).await.unwrap();
    let mut definitions = definitions("10m");
    let erp = definitions.iter_mut().find(|one| one["metadata"]["name"] == "erp-4.2.1").unwrap();
    let jobs = erp["spec"]["jobs"].as_array_mut().unwrap();
    let export = jobs.iter_mut().find(|job| job["role"] == "Export").unwrap();
    let template = export["template"].as_str().unwrap();
    let fails = "labels: {app: export}\n      annotations: {kwok.x-k8s.io/termination-message: '{\"outcome\": \"Failed\", \"message\": \"the disk is full\"}'}";
    let failing = template.replace("labels: {app: export}", fails);
    assert_ne!(template, failing);
    export["template"] = json!(failing);
    // Without its trial, which would fail as well and keep the tenant from opening.
    let standard = definitions.iter_mut().find(|one| one["metadata"]["name"] == "standard").unwrap();
    let items = standard["spec"]["items"].as_array_mut().unwrap();
    items.retain(|item| item["name"] != "export-trial");
    for depends_on in items.iter_mut().filter_map(|item| item.get_mut("dependsOn")?.as_array_mut()) {
        depends_on.retain(|name| name != "export-trial");
    }
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[order("ExportThenDelete")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();

    delete(&world, "acme").await;
    let failed =
        |acme: &TenantSubscription| condition(acme, "Stalled").is_some_and(|c| c.reason == "ExportFailed");
    let stalled = world.until("acme", failed).await.unwrap();
    let told = &condition(&stalled, "Stalled").unwrap().message;
    assert!(told.contains("the disk is full") && told.contains("--skip-export"), "{told}");
    assert_eq!(wait::entry(&stalled, "exit-export").unwrap().job.as_ref().unwrap().attempt, 2);
    assert!(step(&stalled, "exit-stop", ItemState::Pending));
    let volumes: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), NAMESPACE);
    assert!(volumes.get_opt("archive").await.unwrap().is_some());
    assert!(world.running(NAMESPACE).await.unwrap() > 0, "what the export needs still runs");

    world.tenantry(&["retry", "acme", "exit-export"]).await.unwrap();
    let again = |acme: &TenantSubscription| {
        let attempt = wait::entry(acme, "exit-export").and_then(|entry| Some(entry.job.as_ref()?.attempt));
        attempt == Some(4) && failed(acme)
    };
    world.until("acme", again).await.unwrap();
    world.tenantry(&["exit", "acme", "--skip-export"]).await.unwrap();
    let kept = world.until("acme", is_archived).await.unwrap();
    assert!(step(&kept, "exit-export", ItemState::Skipped), "{kept:#?}");
    world.tenantry(&["exit", "acme", "--end-keeping"]).await.unwrap();
    wait::gone(subscriptions(&world), "acme").await.unwrap();
}

/// Somebody else's finalizer, whose controller never comes, is given up: the end goes on, what is left is listed, and removed once
/// that is possible, whoever leads by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_holds_is_left_and_removed_later() {
    let mut world = start("2s", &[mail("acme"), mail("bolt")]).await;
    let bystander = world.versions("bolt").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let metadata = ObjectMeta {
        name: Some("held".to_owned()),
        finalizers: Some(vec!["example.org/keep".to_owned()]),
        ..ObjectMeta::default()
    };
    maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();
    delete(&world, "acme").await;
    wait::gone(subscriptions(&world), "acme").await.unwrap();
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Leftover", ""), ["Left"], "{history:#?}");
    assert_eq!(history.outcomes("Item", "exit-removal"), ["Failed"], "{history:#?}");
    let database = journal(world.directory());
    let list = ["leftovers", "--database", &database, "--output", "json"];
    let listed = world.tenantry(&list).await.unwrap_err().to_string();
    assert!(listed.contains("leftovers"), "exit code 1 says that there are some: {listed}");
    let left = metrics::total(world.controller.as_ref().unwrap().admin(), "tenantry_leftovers").unwrap();
    assert!((left - 1.0).abs() < f64::EPSILON, "{left}");

    // The next leader reads it from the journal.
    world.stop_controller().unwrap();
    world.run_controller(&[]).unwrap();
    maps.patch("held", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}})))
        .await
        .unwrap();
    wait::gone(Api::<Namespace>::all(world.client.clone()), NAMESPACE).await.unwrap();
    removed(&world, "acme").await;
    assert_eq!(world.tenantry(&list).await.unwrap().trim(), "[]");
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
}

/// Waits until the journal says that what was left is gone.
async fn removed(world: &World, name: &str) {
    let looked = async {
        loop {
            let history = History::of(world.identity(), world.directory(), name).await.unwrap();
            if history.outcomes("Leftover", "") == ["Left", "Removed"] {
                return;
            }
            // The database tells of nothing by itself.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(wait::PATIENCE, looked).await.expect("what was left is not gone");
}

/// A kind that is no longer installed has no objects, and its absence holds nothing up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_that_is_gone_holds_no_end_up() {
    let world = start("10m", &[order("Delete")]).await;
    assert!(!routes(&world).await.is_empty());
    let kinds: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    let routes = "httproutes.gateway.networking.k8s.io";
    kinds.delete(routes, &DeleteParams::default()).await.unwrap();
    wait::gone(kinds, routes).await.unwrap();
    delete(&world, "acme").await;
    wait::gone(subscriptions(&world), "acme").await.unwrap();
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    assert_eq!(history.outcomes("Leftover", ""), Vec::<&str>::new(), "{history:#?}");
    assert_eq!(history.outcomes("Item", "exit-removal"), ["Done"], "{history:#?}");
}

/// Under `Archive` nothing runs and nothing is exported, and the data stays for the plan's retention, which another controller
/// counts as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_keeps_the_data_until_its_time_has_come() {
    let mut world = start("10m", &[order("Archive"), mail("bolt")]).await;
    let bystander = world.versions("bolt").await.unwrap();
    delete(&world, "acme").await;
    let kept = world.until("acme", is_archived).await.unwrap();
    let requested = kept.metadata.deletion_timestamp.clone().unwrap().0;
    let purge_at = kept.status.as_ref().unwrap().purge_at.clone().unwrap().0;
    let year = purge_at.duration_since(requested);
    assert_eq!(year.as_hours(), 8760);
    assert!(steps(&kept).iter().all(|(name, _)| name != "exit-export"));
    assert_eq!(world.running(NAMESPACE).await.unwrap(), 0);
    let volumes: Api<PersistentVolumeClaim> = Api::namespaced(world.client.clone(), NAMESPACE);
    assert!(volumes.get_opt("archive").await.unwrap().is_some());

    // An hour before its time nothing happens, and a minute after it everything does.
    let clock = Clock::find(world.directory()).unwrap();
    world.stop_controller().unwrap();
    clock.set(year.as_secs() - 3600).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.apply_all(&[mail("later")]).await.unwrap();
    world.until("later", is_live).await.unwrap();
    let again = world.until("acme", is_archived).await.unwrap();
    assert_eq!(again.metadata.resource_version, kept.metadata.resource_version);
    world.stop_controller().unwrap();
    clock.set(year.as_secs() + 60).unwrap();
    world.run_controller_by(&clock).unwrap();
    wait::gone(subscriptions(&world), "acme").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    assert!(namespaces.get_opt(NAMESPACE).await.unwrap().is_none());
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
}
