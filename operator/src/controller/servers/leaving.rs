//! Whether what was a tenant's is free of everything that was its: pods and volumes. Needs a client.
//!
//! A share is given to others only after that was seen. What is asked here is asked when somebody leaves, and never at rest.

use super::Standing;
use super::write::DEADLINE;
use crate::controller::context::Context;
use crate::controller::reconcile::prepare::Prepared;
use crate::controller::reconcile::suspension::RUNNING;
use crate::controller::roots::RootObject;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeSpec, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::BTreeSet;
use std::time::Duration;
use tenantry_apply::object::TENANT_ID_LABEL;
use tenantry_checklist::access::NAMESPACE_PREFIX;
use tenantry_crds::pool::{PoolReservation, Tenancy};
use tenantry_servers::{Reservation, Traces};
use thiserror::Error;
use tokio::time::timeout;

/// Label of a node's name that volumes are pinned by.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Wait before a tenant that moved is looked at again while something of it is where it was.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The same of one that is suspended: all that can be left of it is a volume, which nobody takes away meanwhile.
const LOOK_AT_REST: Duration = Duration::from_secs(300);

/// Why it cannot be said.
#[derive(Debug, Error)]
pub(crate) enum LookError {
    /// No answer in time.
    #[error("no answer in {} s", DEADLINE.as_secs())]
    Timeout,
    /// The API server refused.
    #[error("{0}")]
    Request(#[from] kube::Error),
}

/// Gives back what a tenant has in other pools than the one it is in by now, when everything is as it shall be and nothing of it
/// is there any more. Gives when to look again, where something is.
pub(crate) async fn leave_others(
    context: &Context,
    prepared: &Prepared,
    standing: &Standing,
) -> Option<Duration> {
    if !standing.granted {
        return None;
    }
    let tenant = prepared.owner.tenant_id.as_ref();
    let here = standing.has.as_ref().map(|has| has.pool.as_str());
    let others: Vec<(String, Tenancy, PoolReservation)> = context
        .servers
        .pools()
        .iter()
        .filter_map(|pool| {
            let name = pool.metadata.name.clone().filter(|name| Some(name.as_str()) != here)?;
            let held = pool.status.as_ref()?.reservations.iter().find(|held| held.tenant == tenant)?;
            Some((name, pool.spec.tenancy, held.clone()))
        })
        .collect();
    if others.is_empty() {
        return None;
    }
    let own: BTreeSet<&str> =
        standing.has.iter().flat_map(|has| has.nodes.iter().map(String::as_str)).collect();
    let wait = if standing.idle { LOOK_AT_REST } else { LOOK_AGAIN };
    let mut again = None;
    for (pool, tenancy, held) in others {
        let namespace = &prepared.owner.namespace;
        let found = match tenancy {
            Tenancy::Dedicated => is_off(context, namespace, &nodes_of(&held)).await,
            Tenancy::Shared => runs_only_on(context, namespace, &own).await,
        };
        match found {
            Ok(true) => context.servers.has_left(&pool, tenant),
            Ok(false) => again = Some(wait),
            Err(error) => {
                let subscription = &prepared.owner.subscription;
                tracing::warn!(%subscription, pool, %error, "what a tenant left cannot be looked at yet");
                again = Some(wait);
            }
        }
    }
    again
}

/// Whether everything of a tenant whose subscription nobody knows any more is gone.
pub(super) async fn is_gone(
    context: &Context,
    held: &PoolReservation,
    tenancy: Tenancy,
) -> Result<bool, LookError> {
    let subscriptions: Api<RootObject> = Api::all(context.client.clone());
    let there = answer(subscriptions.get_metadata_opt(&held.subscription)).await?;
    if there.is_some_and(|there| there.metadata.uid.as_deref() == Some(&held.uid)) {
        return Ok(false);
    }
    let name = format!("{NAMESPACE_PREFIX}{}", held.subscription);
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    let namespace = answer(namespaces.get_metadata_opt(&name)).await?;
    let labels = namespace.and_then(|namespace| namespace.metadata.labels).unwrap_or_default();
    let is_its = labels.get(TENANT_ID_LABEL).is_some_and(|id| *id == held.tenant);
    if is_its && !nodes_with_pods(context, &name).await?.is_empty() {
        return Ok(false);
    }
    let nodes = nodes_of(held);
    Ok(tenancy == Tenancy::Shared || !has_volumes_on(context, &name, &nodes).await?)
}

/// Whether nothing runs on a node but what runs on every one.
pub(super) async fn is_empty(context: &Context, node: &str) -> Result<bool, LookError> {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let on_it = ListParams::default().fields(&format!("spec.nodeName={node},{RUNNING}"));
    let found = answer(pods.list_metadata(&on_it)).await?;
    let belongs_to_nodes = |owner: &str| owner == "DaemonSet" || owner == "Node";
    Ok(found.items.iter().all(|pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| belongs_to_nodes(&owner.kind))
    }))
}

fn nodes_of(held: &PoolReservation) -> BTreeSet<&str> {
    held.nodes.iter().map(|node| node.name.as_str()).collect()
}

/// Whether nothing of a namespace is on these nodes: no pod and no volume.
async fn is_off(context: &Context, namespace: &str, nodes: &BTreeSet<&str>) -> Result<bool, LookError> {
    let with_pods = nodes_with_pods(context, namespace).await?;
    if with_pods.iter().any(|node| nodes.contains(node.as_str())) {
        return Ok(false);
    }
    Ok(!has_volumes_on(context, namespace, nodes).await?)
}

/// Whether pods of a namespace run on these nodes only.
async fn runs_only_on(context: &Context, namespace: &str, nodes: &BTreeSet<&str>) -> Result<bool, LookError> {
    Ok(nodes_with_pods(context, namespace).await?.iter().all(|node| nodes.contains(node.as_str())))
}

/// Nodes that pods of a namespace run on.
async fn nodes_with_pods(context: &Context, namespace: &str) -> Result<BTreeSet<String>, LookError> {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let found = answer(pods.list(&ListParams::default().fields(RUNNING))).await?;
    Ok(found.items.into_iter().filter_map(|pod| pod.spec?.node_name).collect())
}

/// What is on the servers of a tenant that are its own.
pub(super) async fn traces(context: &Context, held: &Reservation) -> Result<Traces, LookError> {
    let namespace = format!("{NAMESPACE_PREFIX}{}", held.subscription);
    let own: BTreeSet<&str> = held.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut pods = nodes_with_pods(context, &namespace).await?;
    pods.retain(|node| own.contains(node.as_str()));
    let volumes = nodes_with_volumes(&context.client, &namespace).await?;
    Ok(Traces { pods, volumes })
}

/// Whether a volume that a claim of a namespace has can only be used on one of these nodes.
async fn has_volumes_on(
    context: &Context,
    namespace: &str,
    nodes: &BTreeSet<&str>,
) -> Result<bool, LookError> {
    let pinned = nodes_with_volumes(&context.client, namespace).await?;
    Ok(pinned.iter().any(|node| nodes.contains(node.as_str())))
}

/// Nodes that volumes which claims of a namespace have can only be used on.
pub(crate) async fn nodes_with_volumes(
    client: &Client,
    namespace: &str,
) -> Result<BTreeSet<String>, LookError> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let found = answer(volumes.list(&ListParams::default())).await?;
    let is_its = |spec: &PersistentVolumeSpec| {
        spec.claim_ref.as_ref().and_then(|claim| claim.namespace.as_deref()) == Some(namespace)
    };
    let specs = found.items.into_iter().filter_map(|volume| volume.spec).filter(is_its);
    let hosts = specs.flat_map(|spec| {
        let terms = spec
            .node_affinity
            .and_then(|affinity| affinity.required)
            .map(|required| required.node_selector_terms);
        terms
            .into_iter()
            .flatten()
            .flat_map(|term| term.match_expressions.unwrap_or_default())
            .filter(|expression| expression.key == HOSTNAME)
            .flat_map(|expression| expression.values.unwrap_or_default())
    });
    Ok(hosts.collect())
}

async fn answer<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LookError> {
    Ok(timeout(DEADLINE, request).await.map_err(|_| LookError::Timeout)??)
}

// === impl Servers ===

impl super::Servers {
    /// Nothing of a tenant is in a pool any more: its share there is given back.
    pub(super) fn has_left(&self, pool: &str, tenant: &str) {
        self.lock().left.insert((pool.to_owned(), tenant.to_owned()));
        self.changed.notify_one();
    }

    /// What was seen on the own servers of a tenant, and those on which nothing new could get at that moment.
    pub(super) fn has_traces(&self, pool: &str, tenant: &str, traces: Traces, closed: BTreeSet<String>) {
        let mut state = self.lock();
        let (seen, known) = state.traces.entry(pool.to_owned()).or_default();
        seen.insert(tenant.to_owned(), traces);
        known.extend(closed);
        drop(state);
        self.changed.notify_one();
    }
}
