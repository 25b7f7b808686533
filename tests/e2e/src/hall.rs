//! The hall: a class of servers with pools of its own, of which tenants have a share or whole servers. Needs a client and a clock.

use crate::orders::{mail, with};
use crate::{World, wait, world};
use anyhow::{Context, Result};
use kube::api::Api;
use serde_json::{Value, json};
use tenantry_crds::TenantSubscription;
use tenantry_crds::pool::{ServerPool, ServerPoolStatus};

/// The class.
pub const HALL: &str = "hall";
/// Label of a node's class.
pub const CLASS: &str = "tenantry.io/server-class";
/// Label of a node that is one tenant's.
pub const TENANT: &str = "node-restriction.kubernetes.io/tenantry-tenant";
/// Label of the nodes that are given as a whole.
pub const OWN: (&str, &str) = ("example.org/use", "own");
/// So many of the controller's last lines are shown when a pool does not become what was waited for.
const LAST_WORDS: usize = 25;

/// A plan like the smallest one in the hall, with these servers. Whoever leaves it does so at once.
///
/// # Errors
/// When a file of the examples cannot be read, or there is no such plan in them.
pub fn plan(name: &str, servers: Value) -> Result<Value> {
    let is_silver = |object: &Value| object.pointer("/metadata/name").is_some_and(|name| name == "silver");
    let silver = world::definitions()?.into_iter().find(is_silver).context("no silver plan")?;
    let mut plan = with(with(silver, "metadata.name", json!(name)), "spec.servers.class", json!(HALL));
    for (field, value) in servers.as_object().context("servers are fields")? {
        plan = with(plan, &format!("spec.servers.{field}"), value.clone());
    }
    Ok(with(plan, "spec.downgrade", json!({"effective": "Immediately"})))
}

/// A pool of the hall, with these fields.
#[must_use]
pub fn pool(name: &str, spec: Value) -> Value {
    let pool = json!({"apiVersion": "tenantry.io/v1alpha1", "kind": "ServerPool", "metadata": {"name": name}, "spec": spec});
    with(pool, "spec.class", json!(HALL))
}

/// Which nodes are given as a whole.
#[must_use]
pub fn own_nodes() -> Value {
    json!([{"key": OWN.0, "value": OWN.1}])
}

/// An order of the mail service on a plan.
#[must_use]
pub fn on(plan: &str, name: &str) -> Value {
    with(mail(name), "spec.planRef.name", json!(plan))
}

/// The nodes that a tenant is told to have.
#[must_use]
pub fn nodes_of(subscription: &TenantSubscription) -> Vec<String> {
    let has = subscription.status.as_ref().and_then(|status| status.servers.clone());
    has.map(|has| has.nodes).unwrap_or_default()
}

/// Waits until a pool says something.
///
/// # Errors
/// When it does not in time; the message shows its last state and the controller's last words.
pub async fn until_pool(
    world: &World,
    name: &str,
    holds: impl Fn(&ServerPoolStatus) -> bool,
) -> Result<ServerPoolStatus> {
    let api: Api<ServerPool> = Api::all(world.client.clone());
    let found = wait::until(api, name, |pool| pool.and_then(|pool| pool.status.as_ref()).is_some_and(&holds));
    let found = found.await.with_context(|| {
        let log = world.controller.as_ref().and_then(|controller| controller.log().ok()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(LAST_WORDS).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("the controller's last words: {lines:#?}")
    })?;
    found.and_then(|pool| pool.status).context("the pool is gone")
}
