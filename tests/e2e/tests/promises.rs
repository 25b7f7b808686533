//! What a running tenant is promised: a refused edit and a lowered plan take nothing from it, and its application gets
//! the rights that the provider granted, no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota, Service};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use tenantry_crds::common::ConditionStatus;
use tenantry_crds::{ServicePlan, TenantSubscription};
use tenantry_e2e::{Setup, World, install, wait};

fn mail(name: &str, application: &str, version: &str) -> Value {
    json!({
        "apiVersion": "tenantry.io/v1alpha1",
        "kind": "TenantSubscription",
        "metadata": {"name": name},
        "spec": {
            "organization": {"name": "Promised Ltd", "country": "DE"},
            "contacts": [{"role": "Technical", "name": "Pia", "email": "pia@promised.example"}],
            "planRef": {"name": "silver"},
            "applicationRef": {"name": application, "version": version},
            "parameters": {"domain": format!("{name}.example")},
            "deletionPolicy": "Delete",
            "deletionProtection": false,
        },
    })
}

fn is_live(subscription: &TenantSubscription) -> bool {
    wait::is_true(subscription, "Live") && wait::is_true(subscription, "Ready")
}

/// Deletes an object and waits until it is there again.
async fn repaired<K>(api: Api<K>, name: &str)
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let before = api.get(name).await.unwrap().uid();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    let is_new = |object: Option<&K>| object.is_some_and(|object| object.uid() != before);
    wait::until(api, name, is_new).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_keeps_what_it_was_promised() {
    let mut world = World::start(Setup::default()).await.unwrap();
    world.apply_definitions().await.unwrap();
    world.run_controller(&[]).unwrap();
    world.apply_all(&[mail("kept", "mail", "1.8.0")]).await.unwrap();
    world.until("kept", is_live).await.unwrap();
    refused_edit(&mut world).await;
    lowered_plan(&world).await;
    rights_of_an_application(&world).await;
}

/// An edit that is refused changes nothing, and the tenant is looked after on the order that was accepted, also by a
/// controller that never saw that order.
async fn refused_edit(world: &mut World) {
    let services: Api<Service> = wait::namespaced(&world.client, "tenant-kept");
    world.patch("kept", json!({"spec": {"parameters": {"mailboxGiB": 0}}})).await.unwrap();
    let refused = |s: &TenantSubscription| wait::is_false(s, "Accepted", "ParameterInvalid");
    let status = world.until("kept", refused).await.unwrap().status.unwrap();
    assert_eq!(status.phase, Some(tenantry_crds::subscription::Phase::Live), "the customer still works");
    repaired(services.clone(), "mail").await;
    world.kill_controller().unwrap();
    world.run_controller(&[]).unwrap();
    repaired(services, "mail").await;
    let still = |s: &TenantSubscription| refused(s) && wait::is_true(s, "Live") && wait::is_true(s, "Ready");
    world.until("kept", still).await.unwrap();
    world.patch("kept", json!({"spec": {"parameters": {"mailboxGiB": 11}}})).await.unwrap();
    world.until("kept", |s| is_live(s) && wait::is_true(s, "Accepted")).await.unwrap();
}

/// A plan that takes something from its tenants moves none of them before the provider says that they were told; what
/// gives them more moves them at once.
async fn lowered_plan(world: &World) {
    let plans: Api<ServicePlan> = Api::all(world.client.clone());
    let quotas: Api<ResourceQuota> = wait::namespaced(&world.client, "tenant-kept");
    let quota = quotas.list(&Default::default()).await.unwrap().items.remove(0);
    let (name, version) = (quota.name_any(), quota.resource_version());
    let edit = |cpu: &str| Patch::Merge(json!({"spec": {"servers": {"cpu": cpu}}}));
    plans.patch("silver", &PatchParams::default(), &edit("1900m")).await.unwrap();
    let condition = |plan: &ServicePlan| {
        let generation = plan.metadata.generation?;
        let conditions = &plan.status.as_ref()?.conditions;
        let found =
            conditions.iter().find(|c| c.type_ == "RolledOut" && c.observed_generation == generation)?;
        Some(found.clone())
    };
    let held = wait::until(plans.clone(), "silver", |plan| {
        plan.and_then(condition).is_some_and(|c| c.reason == "NoticeRequired")
    });
    let plan = held.await.unwrap().unwrap();
    let message = condition(&plan).unwrap().message;
    let accepted = plan.status.unwrap().accepted.unwrap();
    assert!(message.contains("servers.cpu from 2 to 1900m"), "{message}");
    assert!(message.contains(&format!("tenantry.io/notice-given={accepted}")), "{message}");
    assert_eq!(quotas.get(&name).await.unwrap().resource_version(), version, "nothing was taken");
    let told = json!({"metadata": {"annotations": {"tenantry.io/notice-given": accepted}}});
    plans.patch("silver", &PatchParams::default(), &Patch::Merge(told)).await.unwrap();
    let hard_cpu = |quota: &ResourceQuota| {
        let hard = quota.spec.as_ref()?.hard.as_ref()?.get("requests.cpu")?;
        Some(hard.0.clone())
    };
    wait::until(quotas.clone(), &name, |quota| quota.and_then(hard_cpu).is_some_and(|cpu| cpu == "1900m"))
        .await
        .unwrap();
    let all_moved = |plan: Option<&ServicePlan>| {
        plan.and_then(condition).is_some_and(|c| c.status == ConditionStatus::True)
    };
    wait::until(plans.clone(), "silver", all_moved).await.unwrap();
    plans.patch("silver", &PatchParams::default(), &edit("3")).await.unwrap();
    wait::until(quotas, &name, |quota| quota.and_then(hard_cpu).is_some_and(|cpu| cpu == "3")).await.unwrap();
}

/// An application that works with the API itself brings a role for its own account. It runs once the provider has
/// installed the rights that the refusal prints.
async fn rights_of_an_application(world: &World) {
    world.apply_all(&with_a_role()).await.unwrap();
    world.apply_all(&[mail("rights", "clustered", "1.8.0")]).await.unwrap();
    let refused = world.until("rights", |s| wait::is_false(s, "Accepted", "MissingRights")).await.unwrap();
    let message = &wait::condition(&refused, "Accepted").unwrap().message;
    let (_, fragment) = message.split_once("; apply ").unwrap_or_else(|| panic!("{message}"));
    assert!(fragment.contains("leases"), "{message}");
    let list: Value = serde_json::from_str(fragment).unwrap();
    world.apply_all(list["items"].as_array().unwrap()).await.unwrap();
    world.until("rights", is_live).await.unwrap();
    let bindings: Api<RoleBinding> = wait::namespaced(&world.client, "tenant-rights");
    let binding = bindings.get("member").await.unwrap();
    let subject = binding.subjects.unwrap().remove(0);
    assert_eq!(subject.namespace.as_deref(), Some("tenant-rights"));
    let configs: Api<ConfigMap> = wait::namespaced(&world.client, "tenant-rights");
    assert!(configs.get("mail-settings").await.is_ok());
    repaired(bindings, "member").await;
}

/// The mail application once more, with an account that may hold a lease.
fn with_a_role() -> Vec<Value> {
    let examples = tenantry_e2e::world::examples().join("packed");
    let mut objects = Vec::new();
    for mut object in install::directory(&examples).unwrap() {
        match object.pointer("/metadata/name").and_then(Value::as_str).unwrap() {
            "standard" => {
                *object.pointer_mut("/metadata/name").unwrap() = json!("clustered");
                let kinds = object.pointer_mut("/spec/allowedKinds").and_then(Value::as_array_mut).unwrap();
                kinds.push(json!({"group": "rbac.authorization.k8s.io", "kinds": ["Role", "RoleBinding"]}));
                let core = kinds.iter_mut().find_map(|group| group.pointer_mut("/kinds")?.as_array_mut());
                core.unwrap().push(json!("ServiceAccount"));
            }
            "mail" => {
                *object.pointer_mut("/metadata/name").unwrap() = json!("clustered");
                *object.pointer_mut("/spec/blueprintRef/name").unwrap() = json!("clustered");
            }
            "mail-1.8.0" => {
                *object.pointer_mut("/metadata/name").unwrap() = json!("clustered-1.8.0");
                *object.pointer_mut("/spec/applicationRef/name").unwrap() = json!("clustered");
                let manifests = object.pointer_mut("/spec/manifests").and_then(Value::as_array_mut).unwrap();
                manifests.push(json!({"name": "member.yaml", "template": MEMBER}));
            }
            _ => continue,
        }
        objects.push(object);
    }
    objects
}

const MEMBER: &str = r#"
- apiVersion: v1
  kind: ServiceAccount
  metadata: {name: member}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: member}
  rules:
    - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update]}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: member}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: member}
  subjects: [{kind: ServiceAccount, name: member}]
"#;
