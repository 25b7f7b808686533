//! What a tenant has in the cluster, object by object. Needs a client.

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::discovery::{Scope, verbs};
use kube::{Client, Discovery};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tenantry_crds::TenantSubscription;
use tenantry_crds::inventory::EntryState;

/// Every recorded object that exists, by kind and name, without what its own controllers report: no status, no resource
/// version, no owners of subresources. It is equal as long as nobody wrote to the object itself.
///
/// # Errors
/// When a kind is not served or the API server does not answer.
pub async fn holdings(client: &Client, subscription: &TenantSubscription) -> Result<BTreeMap<String, Value>> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let status = subscription.status.as_ref().context("the subscription has no status")?;
    let namespace = &status.tenant.as_ref().context("nothing runs for the subscription")?.namespace;
    let inventory = status.inventory.as_ref().context("nothing is recorded for the subscription")?;
    let mut found = BTreeMap::new();
    for entry in inventory.objects.iter().filter(|entry| entry.state != EntryState::Pending) {
        let (api_version, kind) = entry.kind.rsplit_once('/').context("a kind without a version")?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
        let (resource, capabilities) =
            discovery.resolve_gvk(&gvk).with_context(|| format!("{} is not served", entry.kind))?;
        let api = within(client, &resource, &capabilities.scope, namespace);
        if let Some(object) = api.get_opt(&entry.name).await? {
            found.insert(format!("{} {}", entry.kind, entry.name), essence(object)?);
        }
    }
    Ok(found)
}

/// Every object of any kind that carries this label, such as `tenantry.io/subscription=acme`.
///
/// # Errors
/// When the API server does not answer.
pub async fn labelled(client: &Client, selector: &str) -> Result<Vec<String>> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let mut found = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let names = names(&api, selector).await?;
            found.extend(names.into_iter().map(|name| format!("{} {name}", resource.kind)));
        }
    }
    Ok(found)
}

async fn names(api: &Api<DynamicObject>, selector: &str) -> Result<Vec<String>> {
    loop {
        match api.list_metadata(&ListParams::default().labels(selector)).await {
            Ok(listed) => {
                return Ok(listed.items.into_iter().filter_map(|object| object.metadata.name).collect());
            }
            // The cache of a kind whose definition is new: the server says when to ask again.
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                tokio::time::sleep(Duration::from_secs(seconds.into())).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn within(client: &Client, resource: &ApiResource, scope: &Scope, namespace: &str) -> Api<DynamicObject> {
    match scope {
        Scope::Cluster => Api::all_with(client.clone(), resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

fn essence(object: DynamicObject) -> Result<Value> {
    let mut value = serde_json::to_value(object)?;
    if let Some(members) = value.as_object_mut() {
        members.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        if let Some(owners) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
            owners.retain(|owner| owner.get("subresource").is_none());
        }
    }
    Ok(value)
}
