//! Another plan: more comes at once, less when the term ends and only to who fits; what was asked for can be taken back until then;
//! and there is room for everything that stands at every moment, whoever crashes in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tenantry_control_plane::Mark;
use tenantry_crds::TenantSubscription;
use tenantry_crds::subscription::{OperationKind, PlanStatus};
use tenantry_e2e::census::key_of;
use tenantry_e2e::clock::Clock;
use tenantry_e2e::journal::History;
use tenantry_e2e::orders::{mail, with};
use tenantry_e2e::process::binary;
use tenantry_e2e::wait::{is_live, refusal};
use tenantry_e2e::{CONTROLLER_USER, Setup, World, wait, world};
use tokio::sync::watch as channel;

const NAMESPACE: &str = "tenant-acme";
const QUOTA: &str = "resourcequotas/tenantry-quota";
const LIMITS: &str = "limitranges/tenantry-limits";
const WORKLOAD: &str = "deployments.apps/mail";
/// Longer than a month, shorter than two.
const SECONDS_OF_A_TERM: i64 = 32 * 86_400;

fn plan_of(subscription: &TenantSubscription) -> PlanStatus {
    subscription.status.as_ref().and_then(|status| status.plan.clone()).unwrap_or_default()
}

/// Whether the tenant runs a plan, nothing waits, and nothing of another plan stands any more.
fn runs(plan: &'static str) -> impl Fn(&TenantSubscription) -> bool {
    move |subscription| {
        let found = plan_of(subscription);
        let operation = subscription.status.as_ref().and_then(|status| status.operation.as_ref());
        found.current == plan
            && found.pending.is_none()
            && found.leaving.is_empty()
            && operation.is_some_and(|operation| operation.completed_at.is_some())
            && is_live(subscription)
    }
}

/// Whether it goes on under one plan, with another one that waits.
fn waits(plan: &'static str, pending: &'static str) -> impl Fn(&TenantSubscription) -> bool {
    move |subscription| {
        let found = plan_of(subscription);
        found.current == plan && found.pending.as_deref() == Some(pending) && is_live(subscription)
    }
}

fn does_not_fit(subscription: &TenantSubscription) -> bool {
    refusal(subscription).is_some_and(|(reason, _)| reason == "DowngradeDoesNotFit")
}

async fn ask(world: &World, name: &str, plan: &str) {
    world.patch(name, json!({"spec": {"planRef": {"name": plan}}})).await.unwrap();
}

/// What the preview says of another plan for acme.
async fn preview(world: &World, plan: &str) -> Value {
    let output = tokio::process::Command::new(binary("tenantry").unwrap())
        .env("KUBECONFIG", world.cluster.kubeconfig())
        .args(["preview", "acme", "--plan", plan, "-o", "json"])
        .output()
        .await
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["tenants"][0].clone()
}

async fn mark(world: &World) -> Mark {
    world.cluster.audit().await.unwrap().mark().await.unwrap()
}

/// What the controller wrote to a namespace, in order.
async fn writes(world: &World, since: Mark, namespace: &str) -> Vec<String> {
    let events = world.cluster.audit().await.unwrap().since_by(since, CONTROLLER_USER).await.unwrap();
    let written = events.iter().filter(|event| event.is_successful_write() && event.namespace == namespace);
    written.filter(|event| event.subresource.is_empty()).map(key_of).collect()
}

fn at(writes: &[String], key: &str) -> usize {
    let found: Vec<usize> = (0..writes.len()).filter(|at| writes[*at] == key).collect();
    assert_eq!(found.len(), 1, "{key} is written once: {writes:?}");
    found[0]
}

/// Another controller in the place of one that is killed.
async fn restart(world: &mut World, clock: &Clock) {
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller_by(clock).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_goes_up_at_once_and_down_when_its_term_ends() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    let clock = Clock::find(world.directory()).unwrap();
    clock.set(0).unwrap();
    world.run_controller_by(&clock).unwrap();
    world.apply_all(&[mail("acme"), mail("bolt")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    world.until("bolt", runs("silver")).await.unwrap();
    let bystander = world.versions("bolt").await.unwrap();

    up(&world).await;
    other_volumes(&world).await;
    not_on_offer(&world).await;
    asked_for_and_taken_back(&world).await;
    too_large(&world).await;
    down(&mut world, &clock).await;
    recorded(&world).await;
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
}

/// More comes at once, and room for it before anything grows.
async fn up(world: &World) {
    let told = preview(world, "gold").await;
    assert_eq!(told["planChange"], json!({"from": "silver", "to": "gold", "direction": "Upgrade"}));
    let since = mark(world).await;
    ask(world, "acme", "gold").await;
    let acme = world.until("acme", runs("gold")).await.unwrap();
    let operation = acme.status.unwrap().operation.unwrap();
    assert_eq!((operation.kind, operation.cause.as_str()), (OperationKind::ChangePlan, "silver to gold"));
    let writes = writes(world, since, NAMESPACE).await;
    for bound in [QUOTA, LIMITS] {
        assert!(at(&writes, bound) < at(&writes, WORKLOAD), "room before pods: {writes:?}");
    }
}

/// A plan that gives more, and asks for another class of a volume that is there, is refused before anything of it is written.
async fn other_volumes(world: &World) {
    let gold = world::definitions().unwrap().into_iter().find(|one| one["metadata"]["name"] == "gold");
    let mut platinum = with(gold.unwrap(), "metadata.name", json!("platinum"));
    platinum["spec"]["upgradableTo"] = json!([]);
    platinum["spec"]["downgradableTo"] = json!(["gold"]);
    let classes = platinum["spec"]["storage"]["classes"].as_array_mut().unwrap();
    let premium = with(classes[0].clone(), "name", json!("premium"));
    classes.insert(0, premium);
    world.apply_all(std::slice::from_ref(&platinum)).await.unwrap();
    world.accepted(std::slice::from_ref(&platinum)).await.unwrap();
    let before = world.versions("acme").await.unwrap();
    ask(world, "acme", "platinum").await;
    let acme = world.until("acme", |acme| refusal(acme).is_some()).await.unwrap();
    let (reason, message) = refusal(&acme).unwrap();
    assert_eq!(reason, "VolumeCannotChange", "{message}");
    assert!(
        message.contains("has the class standard and would need premium under plan platinum"),
        "{message}"
    );
    assert_eq!(plan_of(&acme).current, "gold");
    let told = preview(world, "platinum").await;
    assert!(told["refused"].to_string().contains("would need premium"), "{told:#}");
    ask(world, "acme", "gold").await;
    world.until("acme", runs("gold")).await.unwrap();
    assert_eq!(world.versions("acme").await.unwrap(), before, "and nothing was written");
}

/// What a plan does not offer is refused with what it offers, and the rest of the order with it.
async fn not_on_offer(world: &World) {
    let mut bronze =
        world::definitions().unwrap().into_iter().find(|one| one["metadata"]["name"] == "silver");
    let bronze = bronze.as_mut().unwrap();
    bronze["metadata"]["name"] = json!("bronze");
    world.apply_all(std::slice::from_ref(bronze)).await.unwrap();
    world.accepted(std::slice::from_ref(bronze)).await.unwrap();
    ask(world, "acme", "bronze").await;
    let acme = world.until("acme", |acme| refusal(acme).is_some()).await.unwrap();
    let (reason, message) = refusal(&acme).unwrap();
    assert_eq!(reason, "PlanChangeNotOffered");
    assert!(message.contains("it offers platinum (more) and silver (less)"), "{message}");
    assert_eq!(plan_of(&acme).current, "gold");
    let told = preview(world, "bronze").await;
    assert!(told["refused"].to_string().contains("does not offer the change to bronze"), "{told:#}");
    ask(world, "acme", "gold").await;
    world.until("acme", runs("gold")).await.unwrap();
}

/// Less waits for the end of the term. Until then everything is as it was, the rest of the order holds, and naming the present
/// plan again ends it.
async fn asked_for_and_taken_back(world: &World) {
    let told = preview(world, "silver").await;
    assert_eq!(told["planChange"]["direction"], "Downgrade");
    let before = world.versions("acme").await.unwrap();
    ask(world, "acme", "silver").await;
    let acme = world.until("acme", waits("gold", "silver")).await.unwrap();
    let status = acme.status.unwrap();
    let plan = status.plan.unwrap();
    let live = status.go_live.unwrap().at.0;
    let effective = plan.effective_at.unwrap();
    assert_eq!(serde_json::to_value(&effective).unwrap(), told["planChange"]["effectiveAt"]);
    let days = effective.0.duration_since(live).as_hours() / 24;
    assert!((28..=31).contains(&days), "a month after {live}: {}", effective.0);
    assert_eq!(world.versions("acme").await.unwrap(), before, "nothing changes yet");
    let told = world.tenantry(&["describe", "acme"]).await.unwrap();
    assert!(told.contains("from gold to silver on"), "{told}");

    world.patch("acme", json!({"spec": {"parameters": {"greeting": "Servus"}}})).await.unwrap();
    let settings: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let says = |settings: Option<&ConfigMap>| {
        settings
            .and_then(|settings| settings.data.as_ref())
            .is_some_and(|data| data["settings.json"].contains("Servus"))
    };
    wait::until(settings, "mail-settings", says).await.unwrap();
    let acme = world.until("acme", waits("gold", "silver")).await.unwrap();
    assert_eq!(plan_of(&acme).effective_at, Some(effective), "another edit moves nothing");

    ask(world, "acme", "gold").await;
    world.until("acme", runs("gold")).await.unwrap();
    let mut after = world.versions("acme").await.unwrap();
    let edited = "configmaps/mail-settings".to_owned();
    assert_ne!(after.insert(edited.clone(), before[&edited].clone()), before.get(&edited).cloned());
    assert_eq!(after, before, "and nothing changed");
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "example/a", "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}]},
    }))
    .unwrap()
}

fn balancer() -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "extra"},
        "spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "selector": {"app": "mail"}, "ports": [{"port": 80}]},
    }))
    .unwrap()
}

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "attic"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard", "resources": {"requests": {"storage": "60Gi"}}},
    }))
    .unwrap()
}

/// Waits until the quota has counted.
async fn counted(world: &World, resource: &'static str, amount: &'static str) {
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client.clone(), NAMESPACE);
    let counts = move |quota: Option<&ResourceQuota>| {
        let used = quota.and_then(|quota| quota.status.as_ref()?.used.as_ref()?.get(resource));
        used.is_some_and(|used| used.0 == amount)
    };
    wait::until(quotas, "tenantry-quota", counts).await.unwrap();
}

/// Who has more people, storage, load balancers and pods than the smaller plan covers is told all of it, keeps everything, and
/// changes when he fits.
async fn too_large(world: &World) {
    let (pods, services, claims): (Api<Pod>, Api<Service>, Api<PersistentVolumeClaim>) = (
        Api::namespaced(world.client.clone(), NAMESPACE),
        Api::namespaced(world.client.clone(), NAMESPACE),
        Api::namespaced(world.client.clone(), NAMESPACE),
    );
    let names: Vec<String> = (0..10).map(|number| format!("extra-{number}")).collect();
    for name in &names {
        pods.create(&PostParams::default(), &pod(name)).await.unwrap();
    }
    services.create(&PostParams::default(), &balancer()).await.unwrap();
    claims.create(&PostParams::default(), &claim()).await.unwrap();
    let people: Vec<Value> = (0..11)
        .map(|n| json!({"name": format!("p{n}"), "email": format!("p{n}@acme.example"), "roles": ["user"]}))
        .collect();
    world.patch("acme", json!({"spec": {"users": people}})).await.unwrap();
    world.until("acme", runs("gold")).await.unwrap();
    counted(world, "pods", "11").await;
    counted(world, "services.loadbalancers", "1").await;
    counted(world, "persistentvolumeclaims", "2").await;

    let told = preview(world, "silver").await["refused"].to_string();
    for part in
        ["names 11 people", "storage of class standard: ", "load balancers: 1 in use", "pods: 11 in use"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (before, since) = (world.versions("acme").await.unwrap(), mark(world).await);
    ask(world, "acme", "silver").await;
    let acme = world.until("acme", does_not_fit).await.unwrap();
    let (_, message) = refusal(&acme).unwrap();
    assert!(message.contains("everything else of the order holds, under plan gold"), "{message}");
    let plan = plan_of(&acme);
    assert_eq!((plan.current.as_str(), plan.pending), ("gold", None), "it does not even wait");
    assert_eq!(world.versions("acme").await.unwrap(), before);
    assert_eq!(writes(world, since, NAMESPACE).await, [""; 0]);
    // The rest of the order holds.
    world.patch("acme", json!({"spec": {"network": {"hosts": ["mail.acme.example"]}}})).await.unwrap();
    let is_known = |acme: &TenantSubscription| {
        does_not_fit(acme) && acme.status.as_ref().is_some_and(|status| !status.hosts.is_empty())
    };
    world.until("acme", is_known).await.unwrap();

    for name in &names {
        pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
    services.delete("extra", &DeleteParams::default()).await.unwrap();
    claims.delete("attic", &DeleteParams::default()).await.unwrap();
    // What Kubernetes itself tells nobody of is looked at again; seats are the customer's to give up.
    world.patch("acme", json!({"spec": {"users": []}})).await.unwrap();
    world.until("acme", waits("gold", "silver")).await.unwrap();
}

/// The term ends: who does not fit then stays until he does, and a controller that is killed amid the change goes on where it was.
async fn down(world: &mut World, clock: &Clock) {
    let services: Api<Service> = Api::namespaced(world.client.clone(), NAMESPACE);
    services.create(&PostParams::default(), &balancer()).await.unwrap();
    counted(world, "services.loadbalancers", "1").await;
    clock.set(SECONDS_OF_A_TERM).unwrap();
    restart(world, clock).await;
    let acme = world.until("acme", does_not_fit).await.unwrap();
    let plan = plan_of(&acme);
    assert_eq!((plan.current.as_str(), plan.pending.as_deref()), ("gold", Some("silver")), "it waits on");

    let since = mark(world).await;
    services.delete("extra", &DeleteParams::default()).await.unwrap();
    world.until("acme", |acme| plan_of(acme).current == "silver").await.unwrap();
    restart(world, clock).await;
    let acme = world.until("acme", runs("silver")).await.unwrap();
    let operation = acme.status.unwrap().operation.unwrap();
    assert_eq!((operation.kind, operation.cause.as_str()), (OperationKind::ChangePlan, "gold to silver"));
    let writes = writes(world, since, NAMESPACE).await;
    // Who was killed may have written what the next one, who finds it not recorded, writes again.
    let smaller = writes.iter().rposition(|key| key == WORKLOAD).unwrap();
    for bound in [QUOTA, LIMITS] {
        let lowered = writes.iter().position(|key| key == bound).unwrap();
        assert!(smaller < lowered, "pods before room: {writes:?}");
    }
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client.clone(), NAMESPACE);
    let hard = quotas.get("tenantry-quota").await.unwrap().spec.unwrap().hard.unwrap();
    assert_eq!((hard["pods"].0.as_str(), hard["requests.cpu"].0.as_str()), ("10", "2"));
}

/// What was asked for and what came of it is on record, each once.
async fn recorded(world: &World) {
    let is_all = |history: &History| {
        let ended = history.outcomes("Operation", "").into_iter().filter(|outcome| *outcome == "Completed");
        ended.count() == 3
    };
    let history = History::until(world.identity(), world.directory(), "acme", is_all).await.unwrap();
    let outcomes = history.outcomes("PlanChange", "");
    let of = |outcome: &str| outcomes.iter().filter(|one| **one == outcome).count();
    assert_eq!((of("Requested"), of("TookEffect"), of("Cancelled")), (3, 2, 1), "{history:#?}");
    // A volume; what is not on offer; what does not fit when it is asked for, and after two edits; and when its time has come.
    assert!((4..=5).contains(&of("Refused")), "{history:#?}");
    let operations: BTreeSet<&str> = history.outcomes("Operation", "").into_iter().collect();
    assert_eq!(operations, BTreeSet::from(["Began", "Completed"]), "{history:#?}");
}

/// What a plan has besides, and where its customers may go.
fn plan(name: &str, to: &str, servers: &[(&str, &str)], bandwidth: &str) -> Value {
    let silver = world::definitions().unwrap().into_iter().find(|one| one["metadata"]["name"] == "silver");
    let mut plan = with(silver.unwrap(), "metadata.name", json!(name));
    for (field, value) in servers {
        plan["spec"]["servers"][*field] = json!(value);
    }
    plan["spec"]["network"]["bandwidth"]["perPod"] = json!({"ingress": bandwidth, "egress": bandwidth});
    plan["spec"]["upgradableTo"] = json!([to]);
    plan
}

/// Everything that a quota ever allowed of cpu and memory, in order.
struct Watched {
    seen: channel::Receiver<Vec<[String; 2]>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    fn start(world: &World, namespace: &str) -> Self {
        let api: Api<ResourceQuota> = Api::namespaced(world.client.clone(), namespace);
        let (sink, seen) = channel::channel(Vec::new());
        let task = tokio::spawn(async move {
            let quotas = watcher(api, watcher::Config::default()).default_backoff().applied_objects();
            let mut quotas = std::pin::pin!(quotas);
            while let Some(quota) = quotas.try_next().await.unwrap() {
                let hard = quota.spec.and_then(|spec| spec.hard).unwrap_or_default();
                let bounds = ["requests.cpu", "requests.memory"].map(|name| hard[name].0.clone());
                sink.send_if_modified(|seen| {
                    let is_new = seen.last() != Some(&bounds);
                    seen.extend(is_new.then(|| bounds.clone()));
                    is_new
                });
            }
        });
        Self { seen, task }
    }

    /// Everything so far, once the last of it is this.
    async fn until(&mut self, last: [&str; 2]) -> Vec<[String; 2]> {
        let arrived = self.seen.wait_for(|seen| seen.last().is_some_and(|seen| seen == &last));
        tokio::time::timeout(wait::PATIENCE, arrived).await.unwrap().unwrap().clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Less of one thing and more of another: the larger of both as long as objects of either plan may stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_gives_and_takes_has_room_for_both_in_between() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    let plans = [
        plan("tall", "wide", &[("cpu", "2"), ("memory", "6Gi")], "50M"),
        plan("wide", "tall", &[("cpu", "4"), ("memory", "4Gi")], "80M"),
    ];
    world.apply_all(&plans).await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[with(mail("acme"), "spec.planRef.name", json!("tall")), mail("bolt")]).await.unwrap();
    world.until("acme", is_live).await.unwrap();
    world.until("bolt", runs("silver")).await.unwrap();
    let bystander = world.versions("bolt").await.unwrap();

    let mut watched = Watched::start(&world, NAMESPACE);
    watched.until(["2", "6Gi"]).await;
    let since = mark(&world).await;
    ask(&world, "acme", "wide").await;
    world.until("acme", |acme| plan_of(acme).current == "wide").await.unwrap();
    world.kill_controller().unwrap();
    world.release_lease().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.until("acme", runs("wide")).await.unwrap();
    let seen = watched.until(["4", "4Gi"]).await;
    assert_eq!(seen, [["2", "6Gi"], ["4", "6Gi"], ["4", "4Gi"]]);
    let writes = writes(&world, since, NAMESPACE).await;
    let of = |key: &str| -> Vec<usize> { (0..writes.len()).filter(|at| writes[*at] == key).collect() };
    let (quota, workload) = (of(QUOTA), of(WORKLOAD));
    // Who was killed may have written what the next one, who finds it not recorded, writes again.
    assert!((2..=3).contains(&quota.len()) && workload.len() == 1, "{writes:?}");
    let (first, last) = (quota[0], quota[quota.len() - 1]);
    assert!(first < workload[0] && workload[0] < last, "{writes:?}");
    assert_eq!(world.versions("bolt").await.unwrap(), bystander, "nobody else is touched");
}
