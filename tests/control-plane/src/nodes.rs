//! Nodes as the API shows them: adding simulated ones, which kwok plays, and waiting until one is usable. Needs a client.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::timeout;

use crate::node::KIND_LABEL;

/// The mark of nodes that kwok plays, as a selector.
pub(crate) const ANNOTATION: &str = "kwok.x-k8s.io/node=fake";
/// On the simulated nodes of a cluster that has a real one, so that only pods that tolerate it are played.
pub const SIMULATED: Taint<'static> =
    Taint { key: "kwok.x-k8s.io/node", value: "fake", effect: "NoSchedule" };
/// kwok answers in milliseconds.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Put on every new node by the API server, taken off by the controller manager once the node is ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// What keeps pods without a matching toleration from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taint<'a> {
    /// Name of the taint.
    pub key: &'a str,
    /// What a toleration may compare.
    pub value: &'a str,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: &'a str,
}

pub(crate) async fn add(
    client: Client,
    name: &str,
    labels: &[(&str, &str)],
    taints: &[Taint<'_>],
) -> Result<()> {
    let mut all_labels = BTreeMap::from([
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        (KIND_LABEL, "simulated"),
    ]);
    all_labels.extend(labels.iter().copied());
    let taints: Vec<_> = taints
        .iter()
        .map(|Taint { key, value, effect }| json!({"key": key, "value": value, "effect": effect}))
        .collect();
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": all_labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": taints},
    }))?;
    let nodes: Api<Node> = Api::all(client);
    nodes.create(&PostParams::default(), &node).await.with_context(|| format!("cannot add node {name}"))?;
    timeout(READY_TIMEOUT, await_usable(nodes, name))
        .await
        .with_context(|| format!("node {name} was not ready after {} s", READY_TIMEOUT.as_secs()))?
}

/// Waits until pods can be scheduled on a node.
pub(crate) async fn await_usable(nodes: Api<Node>, name: &str) -> Result<()> {
    await_condition(nodes, name, is_usable).await?;
    Ok(())
}

fn is_usable(node: Option<&Node>) -> bool {
    let Some(node) = node else { return false };
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        && taints.iter().all(|taint| taint.key != NOT_READY)
}
