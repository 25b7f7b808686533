//! Suspension: who is suspended is not let in, runs nothing and is told why; several suspensions hold at once and each lifts its
//! own part; and resume restores exactly what was there, whoever crashes in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry_crds::subscription::{ItemState, OperationKind, Phase};
use tenantry_crds::{TenantSubscription, TenantSuspension};
use tenantry_e2e::census::{Census, differences};
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::wait::{is_live, stands};
use tenantry_e2e::{Setup, World, wait, world};

const NAMESPACE: &str = "tenant-acme";
const WHY: &str = "Invoice 7 <is> not paid & late; pay it";

fn order() -> Value {
    let ada = json!({"name": "ada", "email": "ada@acme.example", "roles": ["administrator"]});
    let order = with(erp("acme"), "spec.users", json!([ada]));
    with(order, "spec.network.hosts", json!(["acme.erp.example"]))
}

fn is_suspended(subscription: &TenantSubscription) -> bool {
    wait::is_true(subscription, "Suspended")
}

fn is_back(subscription: &TenantSubscription) -> bool {
    is_live(subscription) && wait::condition(subscription, "Suspended").is_none()
}

/// The definitions of the examples, with web servers whose number the application leaves to others, as to an autoscaler.
fn autoscaled() -> Vec<Value> {
    let mut definitions = world::definitions().unwrap();
    let erp = definitions.iter_mut().find(|one| one["metadata"]["name"] == "erp-4.2.1").unwrap();
    let manifests = erp["spec"]["manifests"].as_array_mut().unwrap();
    let web = manifests.iter_mut().find(|manifest| manifest["name"] == "web.yaml").unwrap();
    let template = web["template"].as_str().unwrap();
    let kept: Vec<&str> = template.lines().filter(|line| !line.contains("replicas: {%")).collect();
    assert_eq!(kept.len() + 1, template.lines().count());
    web["template"] = json!(kept.join("\n") + "\n");
    definitions
}

/// What visitors of a suspended tenant see.
fn pages(world: &World) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.envoyproxy.io", "v1alpha1", "HTTPRouteFilter");
    Api::namespaced_with(world.client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

async fn route(world: &World) -> Value {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    let api: Api<DynamicObject> =
        Api::namespaced_with(world.client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind));
    api.get("public").await.unwrap().data["spec"]["rules"].clone()
}

async fn replicas(world: &World, name: &str) -> i32 {
    let api: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
    api.get(name).await.unwrap().spec.unwrap().replicas.unwrap()
}

/// What stands in the objects of a tenant, but for how often each was edited.
async fn content(world: &World, name: &str) -> BTreeMap<String, Value> {
    let subscription = world.until(name, |_| true).await.unwrap();
    let mut content = Census::of(&world.client, &subscription).await.unwrap().content().unwrap();
    for metadata in content.values_mut().filter_map(|object| object.get_mut("metadata")?.as_object_mut()) {
        metadata.remove("generation");
    }
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_suspended_and_gets_back_exactly_what_it_had() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_all(&autoscaled()).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[order(), mail("bolt")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    world.until("bolt", is_live).await.unwrap();
    // As an autoscaler would, which no template knows of.
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
    let five = Patch::Merge(json!({"spec": {"replicas": 5}}));
    deployments.patch("web", &PatchParams::default(), &five).await.unwrap();
    let five_ready =
        |web: Option<&Deployment>| web.and_then(|web| web.status.as_ref()?.available_replicas) == Some(5);
    wait::until(deployments, "web", five_ready).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    let (before, bystander) = (content(&world, "acme").await, world.versions("bolt").await.unwrap());

    suspended(&mut world).await;
    two_at_once(&world).await;

    world.tenantry(&["resume", "acme", "--all"]).await.unwrap();
    let back = world.until("acme", is_back).await.unwrap();
    assert_eq!(back.status.as_ref().unwrap().suspension, None);
    assert_eq!(replicas(&world, "web").await, 5, "what was there, not what the template says");
    assert_eq!(differences(&before, &content(&world, "acme").await), BTreeMap::new());
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
    recorded(&world).await;

    paused(&world).await;
    moved_meanwhile(&world).await;
    before_it_was_opened(&world).await;
    made_meanwhile(&world).await;
}

/// Nobody gets in, nothing runs, the customer is told, and a controller that is killed on the way goes on where it was.
async fn suspended(world: &mut World) {
    let opened = world.until("acme", |_| true).await.unwrap().status.unwrap().go_live;
    world.tenantry(&["suspend", "acme", "--reason", "billing", "--message", WHY]).await.unwrap();
    world.until("acme", |acme| wait::condition(acme, "Suspended").is_some()).await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    let acme = world.until("acme", is_suspended).await.unwrap();
    let status = acme.status.clone().unwrap();
    assert_eq!((status.phase, status.go_live.clone()), (Some(Phase::Suspended), opened));
    assert!(wait::is_false(&acme, "Ready", "Suspended") && wait::is_false(&acme, "Live", "Suspended"));
    let operation = status.operation.unwrap();
    assert_eq!((operation.kind, operation.completed_at.is_some()), (OperationKind::Suspend, true));
    let remembered = status.suspension.unwrap().remembered;
    let web = remembered.iter().find(|scale| scale.name == "web").unwrap();
    assert_eq!((web.replicas, remembered.len()), (5, 3), "{remembered:?}");

    assert_eq!((world.running(NAMESPACE).await.unwrap(), replicas(world, "web").await), (0, 0));
    let rules = route(world).await;
    assert_eq!(rules[0]["filters"][0]["extensionRef"]["name"], "suspended", "{rules}");
    assert!(rules[0].get("backendRefs").is_none(), "{rules}");
    let page = pages(world).get("suspended").await.unwrap().data;
    let page = page["spec"]["directResponse"]["body"]["inline"].as_str().unwrap().to_owned();
    assert!(page.contains("Invoice 7 &lt;is&gt; not paid &amp; late; pay it"), "{page}");
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), NAMESPACE);
    let people = bindings.get("tenantry-access-administrator").await.unwrap();
    assert_eq!(people.subjects.unwrap_or_default(), [], "nobody has access");

    // Whoever tries to run something all the same is refused by the quota.
    let pod = json!({
        "metadata": {"name": "sneaky"},
        "spec": {"containers": [{"name": "a", "image": "example/a", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]},
    });
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    let refused =
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("exceeded quota"), "{refused}");

    let told = world.tenantry(&["describe", "acme"]).await.unwrap();
    assert!(told.contains(WHY) && told.contains("the provider can lift it"), "{told}");
}

/// Two suspensions hold at once; the first that is lifted takes only its own part with it.
async fn two_at_once(world: &World) {
    let first = only(world).await;
    world
        .tenantry(&[
            "suspend",
            "acme",
            "--reason",
            "customer",
            "--scope",
            "network",
            "--message",
            "on holiday",
        ])
        .await
        .unwrap();
    let both = |acme: &TenantSubscription| {
        let holds = acme.status.as_ref().and_then(|status| status.suspension.as_ref());
        is_suspended(acme) && holds.is_some_and(|suspension| suspension.holds.len() == 2)
    };
    world.until("acme", both).await.unwrap();
    let said = world.tenantry(&["resume", "acme", &first]).await.unwrap();
    assert!(said.contains("acme stays suspended by"), "{said}");
    let runs = |acme: &TenantSubscription| {
        let suspension = acme.status.as_ref().and_then(|status| status.suspension.as_ref());
        is_suspended(acme)
            && suspension.is_some_and(|left| left.holds.len() == 1 && left.remembered.is_empty())
    };
    world.until("acme", runs).await.unwrap();
    assert_eq!(replicas(world, "web").await, 5, "everything runs again");
    assert_eq!(route(world).await[0]["filters"][0]["type"], "ExtensionRef", "and nobody gets in");
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client.clone(), NAMESPACE);
    let pods = quotas.get("tenantry-quota-pods").await.unwrap().spec.unwrap().hard.unwrap()["pods"].0.clone();
    assert_ne!(pods, "0");
}

async fn only(world: &World) -> String {
    let api: Api<TenantSuspension> = Api::all(world.client.clone());
    let mut all = api.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 1);
    all.pop().unwrap().metadata.name.unwrap()
}

/// Who was suspended why, and when that was over, is on record.
async fn recorded(world: &World) {
    let history = History::of(world.identity(), world.directory(), "acme").await.unwrap();
    let of = |outcome: &str| {
        let of_suspensions = history.0.iter().filter(|fact| fact.subject == "Suspension");
        of_suspensions.filter(|fact| fact.outcome == outcome).count()
    };
    assert_eq!((of("Suspended"), of("Lifted")), (2, 2), "{history:#?}");
    let operations = history.outcomes("Operation", "");
    assert_eq!(operations.iter().filter(|outcome| **outcome == "Completed").count(), 5, "{history:#?}");
}

/// Who is paused keeps what he has, and is suspended and resumed all the same.
async fn paused(world: &World) {
    let before = content(world, "acme").await;
    world.tenantry(&["pause", "acme", "--reason", "a migration"]).await.unwrap();
    world.tenantry(&["suspend", "acme", "--reason", "abuse", "--message", "stop it"]).await.unwrap();
    world.until("acme", is_suspended).await.unwrap();
    assert_eq!(world.running(NAMESPACE).await.unwrap(), 0);
    assert_eq!(route(world).await[0]["filters"][0]["type"], "ExtensionRef");
    assert!(content(world, "acme").await.keys().any(|key| key.contains("httproutefilters")), "with its page");
    world.tenantry(&["resume", "acme"]).await.unwrap();
    let back = |acme: &TenantSubscription| {
        acme.status
            .as_ref()
            .is_some_and(|status| status.suspension.is_none() && status.phase == Some(Phase::Live))
    };
    world.until("acme", back).await.unwrap();
    assert_eq!(replicas(world, "web").await, 5);
    // The page goes when things may go again; nobody sees it meanwhile.
    let mut after = content(world, "acme").await;
    after.retain(|key, _| !key.contains("httproutefilters"));
    assert_eq!(differences(&before, &after), BTreeMap::new());
    world.tenantry(&["unpause", "acme"]).await.unwrap();
    // A pause is no change of the order, so the status of the paused tenant would do for one that goes on.
    wait::until(pages(world), "suspended", |page| page.is_none()).await.unwrap();
    world.until("acme", is_back).await.unwrap();
    assert_eq!(differences(&before, &content(world, "acme").await), BTreeMap::new());
}

/// Who is suspended may move to another plan: nothing runs the more for it, and what he gets back is what the new plan gives, with as
/// many pods as he had.
async fn moved_meanwhile(world: &World) {
    let order = with(mail("emil"), "spec.network.hosts", json!(["emil.example"]));
    world.apply_all(&[order]).await.unwrap();
    world.until("emil", is_live).await.unwrap();
    world.tenantry(&["suspend", "emil", "--reason", "billing", "--message", WHY]).await.unwrap();
    world.until("emil", is_suspended).await.unwrap();
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client.clone(), "tenant-emil");
    let bounds = async || quotas.get("tenantry-quota").await.unwrap().spec.unwrap().hard.unwrap();
    let before = bounds().await;
    world.patch("emil", json!({"spec": {"planRef": {"name": "gold"}}})).await.unwrap();
    let has_moved = |emil: &TenantSubscription| {
        let plan = emil.status.as_ref().and_then(|status| status.plan.clone());
        plan.is_some_and(|plan| plan.current == "gold" && plan.leaving.is_empty()) && is_suspended(emil)
    };
    world.until("emil", has_moved).await.unwrap();
    let after = bounds().await;
    assert_eq!((after["pods"].0.as_str(), world.running("tenant-emil").await.unwrap()), ("0", 0));
    assert_ne!(after["requests.storage"], before["requests.storage"], "the rest of the plan has come");
    world.tenantry(&["resume", "emil", "--all"]).await.unwrap();
    world.until("emil", is_back).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), "tenant-emil");
    assert_eq!(deployments.get("mail").await.unwrap().spec.unwrap().replicas, Some(1));
    assert_ne!(bounds().await["pods"].0, "0");
    // The change is over when the customer has what the new plan gives, which is after the suspension: it is one operation.
    let are_over = |history: &History| history.outcomes("Operation", "") == ["Began", "Completed"].repeat(3);
    History::until(world.identity(), world.directory(), "emil", are_over).await.unwrap();
}

/// What is made while nothing shall run, and changed before that is over, runs afterwards: that it has no pods meanwhile is
/// nothing that it had.
async fn made_meanwhile(world: &World) {
    let hold = json!([{"item": "application", "reason": "not yet"}]);
    world.apply_all(&[with(erp("drago"), "spec.holds", hold)]).await.unwrap();
    world.until("drago", stands("application", ItemState::Waiting, "OnHold")).await.unwrap();
    world
        .tenantry(&["suspend", "drago", "--reason", "billing", "--scope", "compute", "--message", WHY])
        .await
        .unwrap();
    world.until("drago", is_suspended).await.unwrap();
    world.patch("drago", json!({"spec": {"holds": null}})).await.unwrap();
    let speaks = |language: &'static str| {
        let api: Api<Deployment> = Api::namespaced(world.client.clone(), "tenant-drago");
        wait::until(api, "web", move |web: Option<&Deployment>| {
            let told = web.map(|web| serde_json::to_string(&web.spec).unwrap_or_default());
            let is_it = |told: &String| told.contains(&format!(r#"{{"name":"LANG","value":"{language}"}}"#));
            told.as_ref().is_some_and(|told| is_it(told) && told.contains(r#""replicas":0"#))
        })
    };
    speaks("en").await.unwrap();
    world.patch("drago", json!({"spec": {"parameters": {"language": "fr"}}})).await.unwrap();
    speaks("fr").await.unwrap();
    let drago = world.until("drago", is_suspended).await.unwrap();
    let remembered = drago.status.unwrap().suspension.unwrap().remembered;
    assert!(remembered.iter().all(|scale| scale.replicas != 0), "{remembered:?}");
    world.tenantry(&["resume", "drago"]).await.unwrap();
    world.until("drago", is_back).await.unwrap();
    let api: Api<Deployment> = Api::namespaced(world.client.clone(), "tenant-drago");
    assert_eq!(api.get("web").await.unwrap().spec.unwrap().replicas, Some(1), "as many as Kubernetes gives");
}

/// Who is suspended before he was ever let in is let in when that is over.
async fn before_it_was_opened(world: &World) {
    let hold = json!([{"item": "monitoring", "reason": "not yet"}]);
    world
        .apply_all(&[with(
            with(mail("corvus"), "spec.network.hosts", json!(["corvus.example"])),
            "spec.holds",
            hold,
        )])
        .await
        .unwrap();
    world.until("corvus", stands("monitoring", ItemState::Waiting, "OnHold")).await.unwrap();
    world
        .tenantry(&[
            "suspend",
            "corvus",
            "--reason",
            "fraud",
            "--scope",
            "network",
            "--message",
            "who are you?",
        ])
        .await
        .unwrap();
    world.until("corvus", is_suspended).await.unwrap();
    world.patch("corvus", json!({"spec": {"holds": null}})).await.unwrap();
    let waits = stands("go-live", ItemState::Waiting, "Suspended");
    let corvus = world.until("corvus", |corvus| waits(corvus) && is_suspended(corvus)).await.unwrap();
    let status = corvus.status.unwrap();
    assert_eq!((status.go_live, status.operation.unwrap().kind), (None, OperationKind::Provision));
    let routes: Api<ConfigMap> = Api::namespaced(world.client.clone(), "tenant-corvus");
    assert!(!routes.list(&ListParams::default()).await.unwrap().items.is_empty(), "it goes on");
    world.tenantry(&["resume", "corvus"]).await.unwrap();
    let corvus = world.until("corvus", is_back).await.unwrap();
    assert!(corvus.status.unwrap().operation.unwrap().completed_at.is_some());
}
