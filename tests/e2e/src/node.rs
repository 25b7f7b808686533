//! The real node: the image its pods run, and what tenants answer there. Needs a client, processes and the network.

use crate::http::{self, Answer};
use crate::install;
use crate::world::{self, examples};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tenantry_control_plane::node::REAL_NODE;
use tenantry_control_plane::{Cluster, Image};
use tenantry_crds::TenantSubscription;

/// The server class of the real node.
pub const CLASS: &str = "standard";
/// The image that the examples' workloads run, without its tag.
const IMAGE: &str = "tenantry.example/demo-app";

/// Puts the real node into its server class, and makes the images of every version of the examples' applications: all are
/// the one demo application.
///
/// # Errors
/// When the demo application cannot be built, or the node does not take it.
pub async fn prepare(cluster: &Cluster, client: &Client) -> Result<()> {
    let label = json!({"metadata": {"labels": {"tenantry.io/server-class": CLASS}}});
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch(REAL_NODE, &PatchParams::default(), &Patch::Merge(label)).await?;
    let binary = tokio::task::spawn_blocking(demo_app).await??;
    for version in definitions("HostedApplicationVersion")? {
        let version = text(&version, "/spec/version")?.to_owned();
        cluster.import(Image::of(&format!("{IMAGE}:{version}"), &binary)?).await?;
    }
    Ok(())
}

/// The subscriptions of the examples whose servers the real node has.
///
/// # Errors
/// When the examples cannot be read.
pub fn subscriptions() -> Result<Vec<Value>> {
    let plans = definitions("ServicePlan")?;
    let has_our_class = |subscription: &Value| {
        let name = subscription.pointer("/spec/planRef/name");
        let plan = plans.iter().find(|plan| plan.pointer("/metadata/name") == name);
        plan.is_some_and(|plan| is(plan, "/spec/servers/class", CLASS))
    };
    let mut all = install::directory(&examples().join("tenants"))?;
    all.retain(has_our_class);
    Ok(all)
}

/// What a tenant's first endpoint answers to a request for one of its pages, such as `/`, through its Service.
///
/// # Errors
/// When there is no such Service, or it does not answer.
pub async fn page(client: &Client, tenant: &str, path: &'static str) -> Result<Answer> {
    let subscriptions: Api<TenantSubscription> = Api::all(client.clone());
    let application = subscriptions.get(tenant).await?.spec.application_ref;
    let (application, version) = (application.name, application.version);
    let is_meant = |one: &Value| {
        is(one, "/spec/applicationRef/name", &application) && is(one, "/spec/version", &version)
    };
    let definition = definitions("HostedApplicationVersion")?.into_iter().find(is_meant);
    let definition = definition.with_context(|| format!("there is no {application} {version}"))?;
    let name = text(&definition, "/spec/endpoints/0/serviceRef/name")?;
    let port = definition.pointer("/spec/endpoints/0/serviceRef/port").and_then(Value::as_u64);
    let port = u16::try_from(port.context("an endpoint without a port")?)?;
    let services: Api<Service> = Api::namespaced(client.clone(), &format!("tenant-{tenant}"));
    let service = services.get(name).await?;
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    let address = address.with_context(|| format!("{} has no address", service.name_any()))?.parse()?;
    tokio::task::spawn_blocking(move || http::get(SocketAddr::new(address, port), path)).await?
}

/// The demo application as one static file. Blocks.
fn demo_app() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/demo-app");
    let built = Command::new(script).stderr(Stdio::inherit()).output()?;
    ensure!(built.status.success(), "scripts/demo-app: {}", built.status);
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}

fn definitions(kind: &str) -> Result<Vec<Value>> {
    let mut all = world::definitions()?;
    all.retain(|document| is(document, "/kind", kind));
    Ok(all)
}

fn is(document: &Value, pointer: &str, text: &str) -> bool {
    document.pointer(pointer).and_then(Value::as_str) == Some(text)
}

fn text<'a>(document: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = document.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("a definition has no {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_node_has_the_servers_of_two_examples() {
        let names: Vec<Value> =
            subscriptions().unwrap().into_iter().map(|one| one["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["acme", "bolt"]);
    }
}
