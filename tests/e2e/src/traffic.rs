//! What the controller asked and wrote, counted from the API server's audit log. Needs a client and a clock.

use crate::{CONTROLLER_USER, World};
use anyhow::{Result, bail};
use std::time::Duration;
use tenantry_control_plane::{AuditEvent, Mark};

/// A time in which whatever is looked at every second would show.
const REST: Duration = Duration::from_secs(6);
/// So many such times what is still on its way may take.
const RESTS: usize = 6;

/// Kinds whose statuses the controller writes besides those of tenants.
const DEFINITIONS: [&str; 4] =
    ["serviceplans", "blueprints", "hostedapplications", "hostedapplicationversions"];

/// This moment in the audit log.
///
/// # Errors
/// When the API server does not answer.
pub async fn mark(world: &World) -> Result<Mark> {
    world.cluster.audit().await?.mark().await
}

/// Every request of the controller since `mark`.
///
/// # Errors
/// When the API server does not answer.
pub async fn by_controller(world: &World, mark: Mark) -> Result<Vec<AuditEvent>> {
    world.cluster.audit().await?.since_by(mark, CONTROLLER_USER).await
}

/// Successful writes of the controller since `mark` to subscriptions and to objects of tenants. Those of its lease, of
/// definitions and of events are left out: an event tells of each transition that a status write shows, so their number
/// depends on how often the status was written.
///
/// # Errors
/// When the API server does not answer.
pub async fn writes(world: &World, mark: Mark) -> Result<Vec<AuditEvent>> {
    let mut events = by_controller(world, mark).await?;
    events.retain(|event| event.is_successful_write() && is_of_a_tenant(event));
    Ok(events)
}

/// [`writes`] inside one namespace, or of the namespace itself.
///
/// # Errors
/// When the API server does not answer.
pub async fn writes_in(world: &World, mark: Mark, namespace: &str) -> Result<Vec<AuditEvent>> {
    let mut events = writes(world, mark).await?;
    events.retain(|event| event.namespace == namespace || is_namespace(event, namespace));
    Ok(events)
}

/// At rest nothing is asked but watches and the lease: after what is still on its way there soon is a time without.
///
/// # Errors
/// When there is none, with what was asked last; when the API server does not answer.
pub async fn at_rest(world: &World) -> Result<()> {
    let mut lines = Vec::new();
    for _ in 0..RESTS {
        let mark = mark(world).await?;
        tokio::time::sleep(REST).await;
        let events = by_controller(world, mark).await?;
        let asked = events.iter().filter(|event| event.verb != "watch" && event.resource != "leases");
        lines = asked.map(line).collect();
        if lines.is_empty() {
            return Ok(());
        }
    }
    bail!("the controller is not at rest: {lines:?}")
}

/// One request as a line for messages of failed tests.
#[must_use]
pub fn line(event: &AuditEvent) -> String {
    let AuditEvent { verb, resource, subresource, namespace, name, code, .. } = event;
    format!("{verb} {resource}/{subresource} {namespace}/{name}: {code}")
}

fn is_of_a_tenant(event: &AuditEvent) -> bool {
    let apart = ["leases", "events", "controllerrevisions"];
    !apart.contains(&event.resource.as_str()) && !DEFINITIONS.contains(&event.resource.as_str())
}

fn is_namespace(event: &AuditEvent, namespace: &str) -> bool {
    event.resource == "namespaces" && event.name == namespace
}
