//! Who asks the billing address: ServiceAccounts with a token, and a role of ours. Needs a client.

use crate::{NAMESPACE, World};
use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::json;
use std::path::PathBuf;

/// A token of a ServiceAccount, for the API server itself or for another audience.
///
/// # Errors
/// When the API server gives none.
pub async fn token(world: &World, namespace: &str, name: &str, audience: Option<&str>) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), namespace);
    let audiences = audience.iter().map(|audience| (*audience).to_owned()).collect();
    let spec = TokenRequestSpec { audiences, ..TokenRequestSpec::default() };
    let asked = TokenRequest { spec, ..TokenRequest::default() };
    let token = accounts.create_token_request(name, &PostParams::default(), &asked).await?;
    Ok(token.status.context("a token request without an answer")?.token)
}

/// Somebody who has a role of ours, or none. Gives the file with his token.
///
/// # Errors
/// When the API server refuses, or the file cannot be written.
pub async fn person(world: &World, name: &str, role: Option<&str>) -> Result<PathBuf> {
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE});
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
    })];
    if let Some(role) = role {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }));
    }
    world.apply_all(&objects).await?;
    let file = world.directory().join(format!("{name}.token"));
    std::fs::write(&file, token(world, NAMESPACE, name, None).await?)?;
    Ok(file)
}
