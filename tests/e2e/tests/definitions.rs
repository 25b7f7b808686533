//! Definitions that are edited into nonsense, raised or deleted while tenants run on them, on a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::core::v1::{ResourceQuota, Service};
use kube::Resource;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tenantry_control_plane::Mark;
use tenantry_crds::{
    Blueprint, HostedApplication, HostedApplicationVersion, ServicePlan, TenantSubscription,
};
use tenantry_e2e::holdings::holdings;
use tenantry_e2e::meddling::lose;
use tenantry_e2e::orders::{erp, mail, with};
use tenantry_e2e::traffic::{mark, writes_in};
use tenantry_e2e::wait::{is_live, refusal};
use tenantry_e2e::{Setup, World, wait, world};

/// The tenants, each with the Service that the tests take away from it.
const TENANTS: [(&str, &str); 2] = [("steady", "mail"), ("books", "web")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_run_on_accepted_revisions_whatever_becomes_of_definitions() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    let steady = with(mail("steady"), "spec.network.hosts", json!(["mail.steady.example"]));
    world.apply_all(&[steady, erp("books")]).await.unwrap();
    for (name, _) in TENANTS {
        world.until(name, is_live).await.unwrap();
    }
    nonsense(&mut world).await;
    a_raised_entitlement(&world).await;
    deleted(&mut world).await;
}

/// A definition of the examples.
fn definition(kind: &str, name: &str) -> Value {
    let all = world::definitions().unwrap();
    let found = all.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("the examples have no {kind} {name}"))
}

fn definitions<K>(world: &World) -> Api<DynamicObject>
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
{
    Api::all_with(world.client.clone(), &ApiResource::erase::<K>(&()))
}

/// What every tenant has.
async fn everything(world: &World) -> BTreeMap<&'static str, BTreeMap<String, Value>> {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    let mut all = BTreeMap::new();
    for (name, _) in TENANTS {
        let subscription = subscriptions.get(name).await.unwrap();
        all.insert(name, holdings(&world.client, &subscription).await.unwrap());
    }
    all
}

/// Takes a Service away from every tenant, waits for the repair, and proves that nothing else was written since `mark`
/// and that everything else is as it was.
async fn only_drift_is_repaired(world: &World, mark: Mark, before: &BTreeMap<&str, BTreeMap<String, Value>>) {
    for (name, service) in TENANTS {
        lose::<Service>(&world.client, &format!("tenant-{name}"), service).await.unwrap();
        world.until(name, is_live).await.unwrap();
    }
    let after = everything(world).await;
    for (name, service) in TENANTS {
        let written: Vec<String> = writes_in(world, mark, &format!("tenant-{name}"))
            .await
            .unwrap()
            .iter()
            .map(|event| format!("{} {}/{}", event.verb, event.resource, event.name))
            .collect();
        assert_eq!(written, [format!("create services/{service}")], "{name}");
        let (before, after) = (&before[name], &after[name]);
        assert!(before.keys().eq(after.keys()), "{name}: {:?} became {:?}", before.keys(), after.keys());
        let changed: Vec<&String> =
            before.iter().filter(|(object, value)| after[*object] != **value).map(|(o, _)| o).collect();
        assert_eq!(changed, [&format!("v1/Service {service}")], "{name}");
    }
}

/// Plan, blueprint and application make no sense any more: nothing of the tenants changes, drift is repaired, also after
/// a restart, and new orders are carried out by what was accepted last.
async fn nonsense(world: &mut World) {
    refused_by_the_api_server(world).await;
    let before = everything(world).await;
    let start = mark(world).await.unwrap();
    let plan = with(definition("ServicePlan", "silver"), "spec.serviceLevel.availability", json!("101"));
    let plan = with(plan, "spec.servers.cpu", json!("64"));
    let mut blueprint = definition("Blueprint", "standard");
    let items = blueprint["spec"]["items"].as_array_mut().unwrap();
    let security = items.iter_mut().find(|item| item["name"] == "security").unwrap();
    security["manifests"][0]["template"] = json!("apiVersion: v1\nkind: {{ tenant.\n");
    blueprint["spec"]["settings"]["dnsNamespace"] = json!("elsewhere");
    let schema = json!({"type": "nonsense"});
    let application = with(definition("HostedApplication", "mail"), "spec.parametersSchema", schema);
    world.apply_all(&[plan, blueprint, application]).await.unwrap();
    let client = &world.client;
    for (told, field, kept) in [
        (
            wait::definition::<ServicePlan>(client, "silver", false).await,
            "spec.serviceLevel.availability",
            "silver@",
        ),
        (wait::definition::<Blueprint>(client, "standard", false).await, "service-account.yaml", "standard@"),
        (
            wait::definition::<HostedApplication>(client, "mail", false).await,
            "spec.parametersSchema",
            "mail@",
        ),
    ] {
        let told = told.unwrap();
        assert!(told.contains(field) && told.contains(&format!("tenants stay on {kept}")), "{told}");
    }
    only_drift_is_repaired(world, start, &before).await;

    world.apply_all(&[mail("newcomer")]).await.unwrap();
    let newcomer = world.until("newcomer", is_live).await.unwrap();
    assert_eq!(cpu(world, "newcomer").await, "2", "the last accepted state of the plan");
    let (old, new) = (accepted_plan(world, "steady").await, newcomer.status.unwrap().accepted.unwrap().plan);
    assert_eq!(old, new);

    let before = everything(world).await;
    world.stop_controller().unwrap();
    let start = mark(world).await.unwrap();
    world.run_controller(&[]).unwrap();
    only_drift_is_repaired(world, start, &before).await;

    let before = everything(world).await;
    let start = mark(world).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.definitions_accepted().await.unwrap();
    wait::definition::<Blueprint>(&world.client, "standard", true).await.unwrap();
    wait::definition::<ServicePlan>(&world.client, "silver", true).await.unwrap();
    only_drift_is_repaired(world, start, &before).await;
}

/// What the schema can say is refused at once, and what tenants run of a version cannot be edited at all.
async fn refused_by_the_api_server(world: &World) {
    let no_amount = with(definition("ServicePlan", "silver"), "spec.servers.cpu", json!("lots"));
    let refused = format!("{:#}", world.apply_all(&[no_amount]).await.unwrap_err());
    assert!(refused.contains("spec.servers.cpu"), "{refused}");
    let mut version = definition("HostedApplicationVersion", "mail-1.8.0");
    version["spec"]["manifests"][0]["template"] = json!("{% nonsense");
    let refused = format!("{:#}", world.apply_all(&[version]).await.unwrap_err());
    assert!(
        refused.contains("manifests of a published version cannot be changed; make a new version"),
        "{refused}"
    );
}

async fn cpu(world: &World, name: &str) -> String {
    let quotas: Api<ResourceQuota> = wait::namespaced(&world.client, &format!("tenant-{name}"));
    let quotas = quotas.list(&Default::default()).await.unwrap().items;
    let hard = quotas[0].spec.clone().unwrap().hard.unwrap();
    hard["requests.cpu"].0.clone()
}

async fn accepted_plan(world: &World, name: &str) -> String {
    let subscriptions: Api<TenantSubscription> = Api::all(world.client.clone());
    subscriptions.get(name).await.unwrap().status.unwrap().accepted.unwrap().plan
}

/// The smallest plan with more CPU than before.
fn raised() -> Value {
    with(definition("ServicePlan", "silver"), "spec.servers.cpu", json!("4"))
}

/// A plan that gives more moves its tenants: the objects that show it are written, and no others.
async fn a_raised_entitlement(world: &World) {
    let before = everything(world).await;
    let old = accepted_plan(world, "steady").await;
    let start = mark(world).await.unwrap();
    world.apply_all(&[raised()]).await.unwrap();
    let moved = |s: &TenantSubscription| {
        is_live(s) && s.status.as_ref().and_then(|s| s.accepted.as_ref()).is_some_and(|a| a.plan != old)
    };
    for name in ["steady", "newcomer"] {
        world.until(name, moved).await.unwrap();
        assert_eq!(cpu(world, name).await, "4", "{name}");
        let mut written: Vec<String> = writes_in(world, start, &format!("tenant-{name}"))
            .await
            .unwrap()
            .iter()
            .map(|event| format!("{} {}", event.verb, event.resource))
            .collect();
        written.sort();
        assert_eq!(
            written,
            ["patch configmaps", "patch limitranges", "patch resourcequotas"],
            "{name}: its dashboard, limits and quota"
        );
    }
    assert_eq!(everything(world).await["books"], before["books"], "it is on another plan");
    let plans = definitions::<ServicePlan>(world);
    let is_rolled_out = |plan: Option<&DynamicObject>| {
        let conditions = plan.and_then(|plan| plan.data.pointer("/status/conditions")?.as_array());
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "RolledOut" && c["status"] == "True"))
    };
    wait::until(plans, "silver", is_rolled_out).await.unwrap();
}

/// A definition in use is deleted only on purpose. Its tenants go on: drift is repaired, a customer's change has its
/// effect, also after a restart; new orders say what is missing, and are carried out once it is there again.
async fn deleted(world: &mut World) {
    let before = everything(world).await;
    let start = mark(world).await.unwrap();
    delete::<ServicePlan>(world, "silver").await;
    delete::<HostedApplicationVersion>(world, "mail-1.8.0").await;
    delete::<HostedApplication>(world, "mail").await;
    delete::<Blueprint>(world, "standard").await;
    only_drift_is_repaired(world, start, &before).await;

    world.apply_all(&[mail("homeless")]).await.unwrap();
    let homeless = world.until("homeless", |s| refusal(s).is_some()).await.unwrap();
    let (reason, message) = refusal(&homeless).unwrap();
    assert_eq!(reason, "PlanNotFound");
    for part in ["spec.planRef.name: ", "spec.applicationRef.name: ", "spec.applicationRef.version: "] {
        assert!(message.contains(part), "{message}");
    }

    for (name, host) in [("steady", "first.steady.example"), ("books", "erp.books.example")] {
        world.stop_controller().unwrap();
        world.run_controller(&[]).unwrap();
        world.patch(name, json!({"spec": {"network": {"hosts": [host]}}})).await.unwrap();
        let live = world.until(name, is_live).await.unwrap();
        let endpoint = &live.status.unwrap().tenant.unwrap().endpoints[0].url;
        assert_eq!(*endpoint, format!("https://{host}"));
    }

    let before = everything(world).await;
    let start = mark(world).await.unwrap();
    let mut again = vec![raised()];
    for (kind, name) in
        [("Blueprint", "standard"), ("HostedApplication", "mail"), ("HostedApplicationVersion", "mail-1.8.0")]
    {
        again.push(definition(kind, name));
    }
    world.apply_all(&again).await.unwrap();
    world.until("homeless", is_live).await.unwrap();
    only_drift_is_repaired(world, start, &before).await;
}

/// Is refused with the remedy, and does not happen; with the remedy it does.
async fn delete<K>(world: &World, name: &str)
where
    K: Resource<Scope = ClusterResourceScope, DynamicType = ()>,
{
    let api = definitions::<K>(world);
    let in_use = |found: Option<&DynamicObject>| {
        found.is_some_and(|found| found.data.pointer("/status/inUse") == Some(&json!(true)))
    };
    wait::until(api.clone(), name, in_use).await.unwrap();
    let refused = api.delete(name, &DeleteParams::default()).await.unwrap_err().to_string();
    let plural = K::plural(&());
    let remedy = format!("kubectl annotate {plural}.tenantry.io {name} tenantry.io/allow-delete=true");
    assert!(
        refused.contains(&format!("tenants run {plural}/{name}")) && refused.contains(&remedy),
        "{refused}"
    );
    assert!(api.get(name).await.unwrap().metadata.deletion_timestamp.is_none());
    let allow = json!({"metadata": {"annotations": {"tenantry.io/allow-delete": "true"}}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(allow)).await.unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt(name).await.unwrap().is_none());
}
