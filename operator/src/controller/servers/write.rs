//! Writes to pools and nodes: JSON patches that test which object, in which state, they were made from. Needs a client.

use super::nodes::{NodeObject, SeenNode};
use crate::controller::context::Context;
use http::{Method, Request};
use kube::Resource;
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tenantry_crds::pool::ServerPoolStatus;
use tenantry_crds::{ServerPool, ServerPoolSpec};
use tenantry_servers::Mark;
use thiserror::Error;
use tokio::time::timeout;

/// Field manager of pools' statuses, of what we put on nodes, and of the objects that make them.
pub(super) const MANAGER: &str = "tenantry-servers";
/// Deadline of one request.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// Why something about servers was not written or read.
#[derive(Debug, Error)]
pub(super) enum ServersError {
    /// This process may not write any more.
    #[error("the lease is not held any more")]
    NotLeader,
    /// Somebody else wrote meanwhile: what was to be written was made from an old view.
    #[error("it is newer than what was looked at")]
    Outdated,
    /// No answer in time.
    #[error("no answer in {} s", DEADLINE.as_secs())]
    Timeout,
    /// The API server refused.
    #[error("{0}")]
    Request(Box<kube::Error>),
    /// What was to be written has no JSON form.
    #[error("it cannot be written as JSON")]
    Content(#[from] serde_json::Error),
    /// The request cannot be made: a fault of this build.
    #[error("it cannot be asked for")]
    Malformed(#[from] http::Error),
}

/// Writes the record of a pool over the one it was made from. Gives the pool as it is then.
pub(super) async fn record(
    context: &Context,
    pool: &ServerPool,
    status: &ServerPoolStatus,
) -> Result<ServerPool, ServersError> {
    let before = serde_json::to_value(pool.status.clone().unwrap_or_default())?;
    let mut operations = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": pool.metadata.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": pool.metadata.resource_version}),
    ];
    let after = serde_json::to_value(status)?;
    match &pool.status {
        None => operations.push(json!({"op": "add", "path": "/status", "value": after})),
        Some(_) => operations.extend(changes(&before, &after)),
    }
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    let path = format!("{}/{name}/status", ServerPool::url_path(&(), None));
    patch(context, &path, &operations).await
}

/// Puts a mark on a node. Gives the node as it is then.
pub(super) async fn mark(
    context: &Context,
    name: &str,
    node: &SeenNode,
    mark: &Mark,
) -> Result<Option<SeenNode>, ServersError> {
    let path = format!("{}/{name}", NodeObject::url_path(&(), None));
    let object: NodeObject = patch(context, &path, &node.patch(mark)).await?;
    Ok(object.seen().map(|(_, seen)| seen))
}

async fn patch<T: DeserializeOwned>(
    context: &Context,
    path: &str,
    operations: &impl Serialize,
) -> Result<T, ServersError> {
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("{path}?fieldManager={MANAGER}"))
        .header(http::header::CONTENT_TYPE, "application/json-patch+json")
        .body(serde_json::to_vec(operations)?)?;
    send(context, request).await.map_err(|error| match error.status() {
        // A test that fails is answered as what cannot be processed.
        Some(status) if matches!(status.code, 404 | 409 | 422) => {
            tracing::debug!(%error, path, "was made from an old view");
            ServersError::Outdated
        }
        _ => error,
    })
}

/// Sends a request, if this process may write, and for no longer than it may.
pub(super) async fn send<T: DeserializeOwned>(
    context: &Context,
    request: Request<Vec<u8>>,
) -> Result<T, ServersError> {
    let gate = &context.executor.gate;
    if !gate.may_write() {
        return Err(ServersError::NotLeader);
    }
    let answer = timeout(DEADLINE.min(gate.remaining()), context.client.request::<T>(request)).await;
    answer.map_err(|_| ServersError::Timeout)?.map_err(|error| ServersError::Request(Box::new(error)))
}

// === impl ServersError ===

impl ServersError {
    /// What the API server answered, where it refused.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Request(error) => match &**error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The operations that turn one record into another. A record holds thousands of entries of which one changes, so of the lists
/// only what changed is sent. Entries that stay are in the same order in both.
fn changes(before: &Value, after: &Value) -> Vec<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return Vec::new() };
    let mut operations = Vec::new();
    for (field, value) in after {
        let path = format!("/status/{field}");
        match before.get(field) {
            Some(known) if known == value => {}
            None => operations.push(json!({"op": "add", "path": path, "value": value})),
            Some(known) => match (key_of(field), known.as_array(), value.as_array()) {
                (Some(key), Some(known), Some(value)) => operations.extend(entries(&path, key, known, value)),
                _ => operations.push(json!({"op": "replace", "path": path, "value": value})),
            },
        }
    }
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        operations.push(json!({"op": "remove", "path": format!("/status/{field}")}));
    }
    operations
}

/// What tells the entries of a list apart.
fn key_of(field: &str) -> Option<&'static str> {
    match field {
        "reservations" | "waiting" => Some("tenant"),
        "quarantined" => Some("node"),
        "made" => Some("name"),
        _ => None,
    }
}

fn entries(path: &str, key: &str, before: &[Value], after: &[Value]) -> Vec<Value> {
    let name = |entry: &Value| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let wanted: BTreeMap<String, &Value> = after.iter().map(|entry| (name(entry), entry)).collect();
    let mut operations = Vec::new();
    let mut stay = Vec::new();
    for (at, known) in before.iter().enumerate().rev() {
        match wanted.get(&name(known)) {
            None => operations.push(json!({"op": "remove", "path": format!("{path}/{at}")})),
            Some(_) => stay.push(known),
        }
    }
    stay.reverse();
    for (at, known) in stay.iter().enumerate() {
        if let Some(wanted) = wanted.get(&name(known)).filter(|wanted| **wanted != *known) {
            operations.push(json!({"op": "replace", "path": format!("{path}/{at}"), "value": wanted}));
        }
    }
    for new in after.iter().skip(stay.len()) {
        operations.push(json!({"op": "add", "path": format!("{path}/-"), "value": new}));
    }
    operations
}

/// Specs of pools by name, for saying which nodes are whose.
pub(super) fn specs<'a>(
    pools: impl IntoIterator<Item = &'a ServerPool>,
) -> impl Iterator<Item = (&'a str, &'a ServerPoolSpec)> {
    pools.into_iter().filter_map(|pool| Some((pool.metadata.name.as_deref()?, &pool.spec)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6902, as far as it is used.
    fn apply(mut target: Value, operations: &[Value]) -> Value {
        for operation in operations {
            let path = operation["path"].as_str().unwrap();
            let (parent, key) = path.rsplit_once('/').unwrap();
            match (target.pointer_mut(parent).unwrap(), operation["op"].as_str().unwrap()) {
                (Value::Object(map), "remove") => drop(map.remove(key).unwrap()),
                (Value::Object(map), _) => drop(map.insert(key.to_owned(), operation["value"].clone())),
                (Value::Array(list), "add") if key == "-" => list.push(operation["value"].clone()),
                (Value::Array(list), "remove") => drop(list.remove(key.parse().unwrap())),
                (Value::Array(list), "replace") => {
                    list[key.parse::<usize>().unwrap()] = operation["value"].clone();
                }
                other => panic!("{other:?}"),
            }
        }
        target
    }

    /// Tenants with a number each, in the order of a record: those of before first.
    fn list(entries: &BTreeMap<u8, u8>, before: &BTreeMap<u8, u8>) -> Value {
        let mut keys: Vec<&u8> = entries.keys().collect();
        keys.sort_by_key(|key| (!before.contains_key(key), **key));
        json!(
            keys.iter()
                .map(|key| json!({"tenant": format!("t{key}"), "n": entries[key]}))
                .collect::<Vec<_>>()
        )
    }

    proptest! {
        #[test]
        fn the_operations_turn_one_record_into_the_other(
            before in prop::collection::btree_map(0_u8..12, 0_u8..3, 0..8),
            after in prop::collection::btree_map(0_u8..12, 0_u8..3, 0..8),
            count in 0_u8..3,
        ) {
            let status = |entries: &BTreeMap<u8, u8>, count: u8| {
                let mut status = json!({"tenants": count});
                if !entries.is_empty() {
                    status["reservations"] = list(entries, &before);
                }
                status
            };
            let (old, new) = (status(&before, 0), status(&after, count));
            let operations = changes(&old, &new);
            let target = apply(json!({"status": old}), &operations);
            prop_assert_eq!(&target["status"], &new);
            prop_assert_eq!(operations.is_empty(), old == new);
        }
    }

    #[test]
    fn one_tenant_more_is_one_entry_more() {
        let entries: Vec<Value> = (0..100).map(|at| json!({"tenant": format!("t{at}")})).collect();
        let more: Vec<Value> = entries.iter().cloned().chain([json!({"tenant": "new"})]).collect();
        let operations = changes(&json!({"reservations": entries}), &json!({"reservations": more}));
        assert_eq!(
            operations,
            [json!({"op": "add", "path": "/status/reservations/-", "value": {"tenant": "new"}})]
        );
    }
}
