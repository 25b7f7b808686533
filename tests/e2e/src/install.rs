//! Objects from YAML into a cluster, by server-side apply. Needs a client.

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::discovery::Scope;
use kube::{Client, Discovery};
use serde_json::Value;
use std::path::Path;

/// Field manager of everything that tests and the demo install.
pub const MANAGER: &str = "tenantry-e2e";

/// The documents of a YAML text.
///
/// # Errors
/// When the text is not YAML.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Applies every document of `text`, in order, for the kinds that `discovery` knows.
///
/// # Errors
/// When a kind is not served or the API server refuses an object.
pub async fn apply(
    client: &Client,
    discovery: &Discovery,
    documents: &[Value],
) -> Result<Vec<DynamicObject>> {
    let mut applied = Vec::new();
    for document in documents {
        let api = api_for(client, discovery, document)?;
        let name =
            document.pointer("/metadata/name").and_then(Value::as_str).context("an object has no name")?;
        let parameters = PatchParams::apply(MANAGER).force();
        let object = api
            .patch(name, &parameters, &Patch::Apply(document))
            .await
            .with_context(|| format!("{} {name} was refused", document["kind"]))?;
        applied.push(object);
    }
    Ok(applied)
}

/// The API for the kind of `document`, in its namespace.
///
/// # Errors
/// When the kind is not served.
pub fn api_for(client: &Client, discovery: &Discovery, document: &Value) -> Result<Api<DynamicObject>> {
    let api_version = document["apiVersion"].as_str().unwrap_or_default();
    let kind = document["kind"].as_str().unwrap_or_default();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
    let (resource, capabilities) =
        discovery.resolve_gvk(&gvk).with_context(|| format!("{api_version} {kind} is not served"))?;
    Ok(match (capabilities.scope, document.pointer("/metadata/namespace").and_then(Value::as_str)) {
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), namespace, &resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
    })
}

/// The documents of every YAML file in a directory, by file name.
///
/// # Errors
/// When a file cannot be read or is not YAML.
pub fn directory(path: &Path) -> Result<Vec<Value>> {
    let mut files: Vec<_> = std::fs::read_dir(path)
        .with_context(|| format!("{} cannot be read", path.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        all.extend(documents(&text).with_context(|| file.display().to_string())?);
    }
    Ok(all)
}
