//! What people decide on a tenant's checklist, on a real API server: signatures, confirmations, holds, a pause, due times.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use std::path::PathBuf;
use tenantry_crds::blueprint::Party;
use tenantry_crds::common::Condition;
use tenantry_crds::subscription::{ChecklistEntry, ItemState, OperationStatus, SizingVerdict};
use tenantry_crds::{TenantSignOff, TenantSubscription};
use tenantry_e2e::meddling::lose;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::people::{asked, tenantry};
use tenantry_e2e::process::journal;
use tenantry_e2e::traffic::{mark, writes_in};
use tenantry_e2e::wait::{is_live, is_true, stands};
use tenantry_e2e::{Setup, World, http, wait, world};

/// A world whose mail application runs on a checklist that asks people for more than the shipped one does.
async fn asking_world() -> World {
    let mut world = World::start(Setup::default()).await.unwrap();
    let mut definitions = world::definitions().unwrap();
    for object in &mut definitions {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if kind == "Blueprint" {
            ask(object["spec"]["items"].as_array_mut().unwrap());
        }
    }
    world.apply_all(&definitions).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.accepted(&definitions).await.unwrap();
    world
}

/// The customer confirms the network, and the provider signs the contract with proof, within no time.
fn ask(items: &mut Vec<Value>) {
    let network = items.iter_mut().find(|item| item["name"] == "network").unwrap();
    network["confirm"] = json!({"by": "Customer", "when": "order.network.hosts.size() > 0"});
    items.push(json!({
        "name": "terms", "title": "Terms beyond the plan", "category": "Customization", "owner": "Provider",
        "signOff": {"by": "Provider", "evidence": "Required"}, "runs": "OnChange",
        "due": {"after": "Order", "lag": "0s"},
    }));
}

fn operation(subscription: &TenantSubscription) -> OperationStatus {
    subscription.status.as_ref().unwrap().operation.clone().unwrap()
}

fn entry<'a>(subscription: &'a TenantSubscription, name: &str) -> &'a ChecklistEntry {
    wait::entry(subscription, name).unwrap()
}

/// A person with these rights on one subscription, and no others.
async fn person(world: &World, user: &str, name: &str, verbs: &[&str]) -> PathBuf {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user},
        "rules": [
            {"apiGroups": ["tenantry.io"], "resources": ["tenantsubscriptions"], "resourceNames": [name], "verbs": verbs},
            {"apiGroups": ["tenantry.io"], "resources": ["tenantsignoffs"], "verbs": ["create"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    world.apply_all(&[role, binding]).await.unwrap();
    world.cluster.kubeconfig_for(user, &[]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_confirm_hold_and_pause() {
    let world = asking_world().await;
    let order = with(mail("acme"), "spec.network.hosts", json!(["mail.acme.example"]));
    let order =
        with(order, "spec.holds", json!([{"item": "monitoring", "reason": "the customer brings their own"}]));
    world.apply_all(&[order]).await.unwrap();
    held(&world).await;
    overdue(&world).await;
    signed(&world).await;
    lapsed(&world).await;
    paused(&world).await;
    too_small(&world).await;
    ended(&world).await;
}

/// With the tenant go the signatures for it, and for nobody else; the journal has them.
async fn ended(world: &World) {
    let signatures: Api<TenantSignOff> = Api::all(world.client.clone());
    let of = async |name: &str| {
        let all = signatures.list(&ListParams::default()).await.unwrap().items;
        all.into_iter().filter(|signed| signed.spec.subscription_ref.name == name).count()
    };
    let (given, others) = (of("acme").await, of("books").await);
    assert!(given > 0 && others > 0, "{given} and {others}");
    let api: Api<TenantSubscription> = Api::all(world.client.clone());
    api.delete("acme", &DeleteParams::default()).await.unwrap();
    wait::gone(api, "acme").await.unwrap();
    assert_eq!((of("acme").await, of("books").await), (0, others));
    let database = journal(world.directory());
    let told = tenantry(world.identity(), &["history", "acme", "--database", &database]).await.unwrap();
    assert!(told.lines().filter(|line| line.contains("Signed")).count() >= 2, "{told}");
}

/// What is held gets nothing, everything else goes on, and going live waits.
async fn held(world: &World) {
    let on_hold = stands("monitoring", ItemState::Waiting, "OnHold");
    let done = stands("application", ItemState::Done, "ObjectsObserved");
    let acme = world.until("acme", |acme| on_hold(acme) && done(acme)).await.unwrap();
    let monitoring = entry(&acme, "monitoring");
    assert_eq!(monitoring.objects, 0);
    let promised = operation(&acme);
    assert!(
        promised.promise.as_ref().unwrap().machine_seconds >= 180,
        "the application alone takes three minutes: {promised:?}"
    );
    assert_eq!(promised.estimated_completion, None, "while something is held nobody can say");
    assert!(monitoring.message.contains("the customer brings their own"), "{}", monitoring.message);
    assert!(!is_true(&acme, "Ready"), "monitoring is part of the service");
    world.patch("acme", json!({"spec": {"holds": null}})).await.unwrap();
    let ready = |acme: &TenantSubscription| is_true(acme, "Ready") && asked(acme) == ["network", "terms"];
    let acme = world.until("acme", ready).await.unwrap();
    assert!(!is_live(&acme));
    assert_eq!(operation(&acme).promise, promised.promise);
    assert!(operation(&acme).estimated_completion.is_some() && operation(&acme).completed_at.is_none());
    assert!(is_true(&acme, "NetworkReady"), "a confirmation holds only going live");
    assert_eq!(entry(&acme, "network").owner, Party::Customer);
    assert_eq!(entry(&acme, "go-live").state, ItemState::Pending);
}

/// An item that should be done already is told once, by an event, and counted by a metric.
async fn overdue(world: &World) {
    let acme = world.until("acme", |acme| entry(acme, "terms").overdue).await.unwrap();
    assert!(entry(&acme, "terms").due.is_some() && entry(&acme, "network").due.is_none());
    let is_told = |event: &Event| event.reason.as_deref() == Some("Overdue");
    let found = wait::told(&world.client, is_told).await.unwrap();
    assert_eq!(found, 1);
    let admin = world.controller.as_ref().unwrap().admin();
    let metrics = http::get(admin, "/metrics").unwrap().body;
    assert!(metrics.contains("tenantry_overdue_items{owner=\"provider\"} 1"), "{metrics}");
    assert!(metrics.contains("tenantry_overdue_items{owner=\"customer\"} 0"), "{metrics}");
    let board = tenantry(&world.cluster.kubeconfig(), &["board", "--late"]).await.unwrap();
    let line = board.lines().find(|line| line.starts_with("acme")).unwrap();
    assert!(line.contains("terms") && line.contains("Customer: network"), "{board}");
}

/// Everybody signs for themselves, with the right and the proof that are asked for, and nobody for anybody else.
async fn signed(world: &World) {
    let cora = person(world, "cora", "acme", &["get", "signoff-customer"]).await;
    let otto = person(world, "otto", "acme", &["get", "signoff-provider"]).await;
    let stranger = person(world, "stranger", "acme", &["get"]).await;
    let refused = tenantry(&stranger, &["sign-off", "acme", "network"]).await.unwrap_err().to_string();
    assert!(refused.contains("ask the provider for the verb signoff-customer"), "{refused}");
    let refused =
        tenantry(&cora, &["sign-off", "acme", "terms", "--commit", "4f2a"]).await.unwrap_err().to_string();
    assert!(refused.contains("you may not sign for the Provider of acme"), "{refused}");
    let refused = tenantry(&otto, &["sign-off", "acme", "terms"]).await.unwrap_err().to_string();
    assert!(refused.contains("asks for proof; add --document FILE"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let terms = folder.path().join("terms.pdf");
    std::fs::write(&terms, "as negotiated").unwrap();
    let document = terms.to_str().unwrap();
    tenantry(&otto, &["sign-off", "acme", "terms", "--document", document]).await.unwrap();
    let acme = world.until("acme", stands("terms", ItemState::Done, "SignedOff")).await.unwrap();
    let terms = entry(&acme, "terms");
    assert_eq!(terms.sign_off.as_ref().unwrap().signature.as_ref().unwrap().by, "otto");
    assert!(!terms.overdue && terms.due.is_none());
    assert!(!is_live(&acme), "the customer did not confirm yet");
    tenantry(&cora, &["sign-off", "acme", "network", "--note", "works"]).await.unwrap();
    let acme = world.until("acme", is_live).await.unwrap();
    let by = entry(&acme, "network").sign_off.as_ref().unwrap().signature.as_ref().unwrap().by.clone();
    assert_eq!(by, "cora");
    let done = operation(&acme);
    assert!(done.completed_at.is_some() && done.estimated_completion.is_none(), "{done:?}");
    let signed_by = acme.status.as_ref().unwrap().go_live.as_ref().unwrap().signed_by.clone();
    assert_eq!(signed_by, ["network: cora", "terms: otto"]);
    let again = tenantry(&cora, &["sign-off", "acme", "network"]).await.unwrap_err().to_string();
    assert!(again.contains("is signed already, by cora"), "{again}");
}

/// What was signed changed, so the signature counts no more. The tenant stays live.
async fn lapsed(world: &World) {
    let before = mark(world).await.unwrap();
    world.patch("acme", json!({"spec": {"organization": {"name": "Acme Holding"}}})).await.unwrap();
    let acme = world.until("acme", stands("terms", ItemState::Waiting, "SignOffLapsed")).await.unwrap();
    assert!(entry(&acme, "terms").message.contains("signed by otto"), "{}", entry(&acme, "terms").message);
    assert!(is_live(&acme) && is_true(&acme, "Ready"), "a signature that lapses closes nothing");
    let go_live = acme.status.as_ref().unwrap().go_live.as_ref().unwrap();
    assert_eq!(go_live.signed_by.len(), 2, "what was signed when it opened stays on record");
    assert!(operation(&acme).completed_at.is_some());
    let made = writes_in(world, before, "tenant-acme").await.unwrap();
    assert!(!made.iter().any(|event| event.verb == "delete"), "{made:#?}");
    let otto = world.cluster.kubeconfig_for("otto", &[]).unwrap();
    tenantry(&otto, &["sign-off", "acme", "terms", "--commit", "4f2a"]).await.unwrap();
    world.until("acme", stands("terms", ItemState::Done, "SignedOff")).await.unwrap();
}

/// While a person says so nothing new begins, and what is there is kept and repaired.
async fn paused(world: &World) {
    let admin = world.cluster.kubeconfig();
    tenantry(&admin, &["pause", "acme", "--reason", "migration of the gateway"]).await.unwrap();
    let before = mark(world).await.unwrap();
    world.patch("acme", json!({"spec": {"parameters": {"greeting": "Moved"}}})).await.unwrap();
    let waits = |acme: &TenantSubscription| {
        let conditions = acme.status.iter().flat_map(|status| &status.conditions);
        let is_paused = |c: &&Condition| c.type_ == "Reconciling" && c.reason == "Paused";
        let paused = conditions.into_iter().find(is_paused);
        paused.is_some_and(|c| Some(c.observed_generation) == acme.metadata.generation)
    };
    let acme = world.until("acme", waits).await.unwrap();
    assert!(is_live(&acme), "a pause takes nothing away");
    lose::<Service>(&world.client, "tenant-acme", "mail").await.unwrap();
    world.until("acme", |acme| is_live(acme) && waits(acme)).await.unwrap();
    let made = writes_in(world, before, "tenant-acme").await.unwrap();
    let lines: Vec<String> = made.iter().map(|event| format!("{} {}", event.verb, event.resource)).collect();
    assert_eq!(lines, ["create services"], "only the lost Service was made again");
    tenantry(&admin, &["unpause", "acme"]).await.unwrap();
    let changed = |acme: &TenantSubscription| {
        let status = acme.status.as_ref().unwrap();
        status.accepted_order.as_ref().is_some_and(|order| order.contains("Moved"))
    };
    world.until("acme", |acme| changed(acme) && !waits(acme)).await.unwrap();
}

/// What the customer's business needs is compared with the plan; where it is too small the provider has to approve.
async fn too_small(world: &World) {
    let inputs = |users: i64| json!({"concurrentUsers": users, "dataGiB": 80, "yearlyGrowthPercent": 20});
    world.apply_all(&[with(erp("books"), "spec.inputs", inputs(300))]).await.unwrap();
    let books = world.until("books", stands("sizing", ItemState::Waiting, "SignOffMissing")).await.unwrap();
    let sizing = books.status.as_ref().unwrap().sizing.clone().unwrap();
    assert_eq!(
        (sizing.verdict, sizing.smallest_plan.as_deref()),
        (SizingVerdict::DoesNotFit, Some("platinum"))
    );
    assert_eq!(
        (sizing.results[0].needed.as_str(), sizing.results[0].entitled.as_deref()),
        ("12500m", Some("8"))
    );
    let message = &entry(&books, "sizing").message;
    assert!(message.contains("12500m CPU of 8") && message.contains("platinum"), "{message}");
    assert_eq!(entry(&books, "sizing").owner, Party::Provider);
    assert!(!is_true(&books, "Ready"));
    let approver = person(world, "otto-of-books", "books", &["get", "signoff-provider"]).await;
    tenantry(&approver, &["sign-off", "books", "sizing", "--note", "until the new servers come"])
        .await
        .unwrap();
    world.until("books", |books| is_true(books, "SizingReady")).await.unwrap();
    // A business that fits needs nobody, and the approval of another size says nothing about it.
    world.patch("books", json!({"spec": {"inputs": {"concurrentUsers": 40}}})).await.unwrap();
    let books = world.until("books", stands("sizing", ItemState::Done, "OrderValid")).await.unwrap();
    let sizing = books.status.as_ref().unwrap().sizing.clone().unwrap();
    assert_eq!((sizing.verdict, sizing.months), (SizingVerdict::FitsForMonths, Some(30)));
    assert_eq!(entry(&books, "sizing").sign_off, None);
}
