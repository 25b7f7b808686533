//! What others do to a tenant's objects in tests, and waiting for the repair. Needs a client and a clock.

use crate::wait;
use anyhow::{Context, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;

/// Deletes an object of a tenant and waits until it was made anew.
///
/// # Errors
/// When the object is not there, or is not made anew within [`wait::PATIENCE`].
pub async fn lose<K>(client: &Client, namespace: &str, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    K: Send + 'static,
{
    let api: Api<K> = wait::namespaced(client, namespace);
    let uid = api.get(name).await?.meta().uid.clone().context("an object without a uid")?;
    api.delete(name, &DeleteParams::default()).await?;
    wait::until(api, name, |found| found.is_some_and(|found| found.meta().uid.as_ref() != Some(&uid)))
        .await
        .map(|_| ())
}

/// Makes a ConfigMap in a namespace that keeps the namespace from ending until [`release`].
///
/// # Errors
/// When the API server refuses it.
pub async fn hold(client: &Client, namespace: &str) -> Result<()> {
    let api: Api<ConfigMap> = wait::namespaced(client, namespace);
    let anchor = serde_json::from_value(
        json!({"metadata": {"name": "anchor", "finalizers": ["tests.example/anchor"]}}),
    )?;
    api.create(&Default::default(), &anchor).await?;
    Ok(())
}

/// Lets a namespace end.
///
/// # Errors
/// When nothing holds it.
pub async fn release(client: &Client, namespace: &str) -> Result<()> {
    let api: Api<ConfigMap> = wait::namespaced(client, namespace);
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("anchor", &PatchParams::default(), &free).await?;
    Ok(())
}
