//! Nodes by a template: the objects that make them, what is awaited of them, and what is in the way. Needs a client.
//!
//! An object is on record before it is made and until it is gone, and is known by its UID from then on. So a crash between any two
//! requests leaves none that nobody knows. While nothing of them is awaited, nothing is asked.

use super::looks::{Looks, Subject};
use super::nodes::SeenNode;
use super::say::making_condition;
use super::write::{MANAGER, ServersError, send};
use super::{Servers, State};
use crate::controller::context::Context;
use http::{Method, Request};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tenantry_checklist::access::TenantId;
use tenantry_crds::ServerPool;
use tenantry_crds::common::Condition;
use tenantry_crds::pool::{MadeNode, NodeMaker, ServerPoolStatus};
use tenantry_servers::making::{MADE_LABEL, Origins, POOL_UID_LABEL, maker, plan, render};
use tenantry_servers::{Mark, Pool};
use tokio::time::Instant;

/// Characters of a pool's name in the name of an object, which is the value of a label as well.
const OF_POOL: usize = 54;
/// Random characters in the name of an object.
const RANDOM: usize = 8;
/// Seconds after which no request is under way any more that could still make an object (the API server's request timeout).
const LATE: i64 = 60;
/// Longest message of others that is told.
const THEIRS: usize = 200;

/// What is known of an object, until the record says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there.
    Exists(String),
    /// It is gone, or was never made.
    Gone,
}

/// What a look at an object comes to.
enum Look {
    Found(Found),
    /// It has to be looked at again; what is in the way, if anything is.
    Again(Option<String>),
}

/// Why there is no answer.
enum Refused {
    NotThere,
    Conflict,
    Why(String),
}

/// Which objects nodes were made by, as they say.
pub(super) fn origins(nodes: &BTreeMap<String, SeenNode>) -> Origins {
    let made =
        nodes.iter().filter_map(|(name, node)| Some((name.clone(), node.labels.get(MADE_LABEL)?.clone())));
    made.collect()
}

/// The objects on record, with what is known of them by now.
pub(super) fn known(state: &State, pool: &str, before: &ServerPoolStatus) -> Vec<MadeNode> {
    let known =
        before.made.iter().filter_map(|one| match state.found.get(&(pool.to_owned(), one.name.clone())) {
            None => Some(one.clone()),
            Some(Found::Gone) => None,
            Some(Found::Exists(uid)) => Some(MadeNode { uid: Some(uid.clone()), ..one.clone() }),
        });
    known.collect()
}

/// Decides which are made and given back, after everybody was settled, and says what is awaited, and of how many nodes; nothing
/// where the pool makes no nodes.
pub(super) fn decide(
    state: &State,
    object: &ServerPool,
    pool: &mut Pool,
    made: &mut Vec<MadeNode>,
    before: &ServerPoolStatus,
    at: &Time,
) -> Option<(Condition, i32)> {
    if object.spec.template.is_none() && made.is_empty() {
        return None;
    }
    let origins = origins(&state.nodes);
    let more = plan(pool, &object.spec, made, &origins, at.0.as_second());
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if let Some((kind, namespace)) = maker(&object.spec) {
        let fresh = (0..more).filter_map(|_| fresh(name));
        made.extend(fresh.map(|name| MadeNode {
            name,
            kind,
            namespace: namespace.clone(),
            uid: None,
            since: at.clone(),
            removing: false,
        }));
    }
    let awaited: Vec<String> = made.iter().filter_map(|one| awaited(one, pool, &origins)).collect();
    let in_the_way = state.obstacles.iter().filter(|((of, _), _)| of == name);
    let in_the_way: BTreeSet<&str> = in_the_way.map(|(_, why)| why.as_str()).collect();
    let most = object.spec.template.as_ref().map_or(0, |template| template.max_nodes);
    let is_full =
        awaited.is_empty() && !pool.waiting.is_empty() && made.len() >= usize::try_from(most).unwrap_or(0);
    let full = is_full.then_some(most);
    let generation = object.metadata.generation.unwrap_or_default();
    let condition = making_condition(&awaited, &in_the_way, full, generation, &before.conditions, at);
    Some((condition, i32::try_from(awaited.len()).unwrap_or(i32::MAX)))
}

/// A name that no object has; nothing where the system gives no random bytes.
fn fresh(pool: &str) -> Option<String> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).ok()?;
    let random: String = TenantId::from_random(bytes).as_str().chars().take(RANDOM).collect();
    let pool: String = pool.chars().take(OF_POOL).collect();
    Some(format!("{}-{random}", pool.trim_end_matches(['-', '.'])))
}

/// What is awaited of an object before somebody can have its node.
fn awaited(one: &MadeNode, pool: &Pool, origins: &Origins) -> Option<String> {
    if one.removing {
        return None;
    }
    let what = format!("{:?} {}", one.kind, one.name);
    let nodes: Vec<&String> =
        origins.iter().filter(|(_, by)| **by == one.name).map(|(node, _)| node).collect();
    if nodes.is_empty() {
        let made = if one.uid.is_some() { "has no node yet" } else { "is being made" };
        return Some(format!("{what} {made}"));
    }
    let of_pool = nodes.iter().find_map(|name| Some((*name, pool.nodes.get(*name)?)));
    let Some((name, node)) = of_pool else {
        let names = nodes.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        return Some(format!(
            "{what} made {names}, which has not the labels and the size that the pool asks for"
        ));
    };
    match &node.mark {
        _ if !node.ready => Some(format!("node {name} of {what} is not ready")),
        Mark::None | Mark::Enrolling => Some(format!("node {name} of {what} was not seen empty yet")),
        Mark::Free | Mark::Tenant(_) | Mark::Leaving(_) | Mark::Quarantined => None,
    }
}

/// Makes and removes what the record says, and looks after what is awaited. Gives when to look again.
pub(super) async fn carry_out(
    looks: &mut Looks,
    context: &Context,
    object: &ServerPool,
    status: &ServerPoolStatus,
) -> Option<Instant> {
    let pool = object.metadata.name.as_deref().unwrap_or_default();
    let there: BTreeSet<String> = origins(&context.servers.lock().nodes).into_values().collect();
    let subject = |one: &MadeNode| Subject::Made {
        pool: pool.to_owned(),
        object: one.name.clone(),
        generation: object.metadata.generation.unwrap_or_default(),
        removing: one.removing,
    };
    let made: Vec<Subject> = status.made.iter().map(subject).collect();
    looks.keep_made(pool, &made);
    let mut next = None;
    for (one, what) in status.made.iter().zip(made) {
        let key = (pool.to_owned(), one.name.clone());
        if one.uid.is_some() && !one.removing && there.contains(&one.name) {
            context.servers.hinders(key, None);
            looks.forget(&what);
            continue;
        }
        if !looks.is_due(&what, &mut next) {
            continue;
        }
        match look(context, object, one).await {
            Look::Found(found) => {
                let is_there = matches!(found, Found::Exists(_));
                context.servers.found(key, found);
                // Its node takes a while.
                match is_there {
                    true => looks.again(what, &mut next),
                    false => looks.forget(&what),
                }
            }
            Look::Again(why) => {
                if let Some(why) = &why {
                    tracing::debug!(pool, object = one.name, why, "a node is not made or given back yet");
                }
                context.servers.hinders(key, why);
                looks.again(what, &mut next);
            }
        }
    }
    next
}

async fn look(context: &Context, pool: &ServerPool, one: &MadeNode) -> Look {
    let uid = pool.metadata.uid.as_deref().unwrap_or_default();
    let name = pool.metadata.name.as_deref().unwrap_or_default();
    if one.uid.is_none()
        && !one.removing
        && let Some(body) = render(name, uid, &pool.spec, one)
    {
        return match request::<Value>(context, Method::POST, &collection(one), Some(&body)).await {
            Ok(made) => {
                text(&made, "/metadata/uid").map_or(Look::Again(None), |uid| Look::Found(Found::Exists(uid)))
            }
            // It was made before, by a request whose answer was lost.
            Err(Refused::Conflict) => find(context, uid, one).await,
            Err(Refused::NotThere) => Look::Again(Some(not_served(one))),
            Err(Refused::Why(why)) => {
                Look::Again(Some(format!("{:?} {} is not made: {why}", one.kind, one.name)))
            }
        };
    }
    find(context, uid, one).await
}

/// Looks at an object that may be there, and removes one that is to be given back.
async fn find(context: &Context, pool_uid: &str, one: &MadeNode) -> Look {
    let path = format!("{}/{}", collection(one), one.name);
    let what = format!("{:?} {}", one.kind, one.name);
    let live = match request::<Value>(context, Method::GET, &path, None).await {
        Ok(live) => live,
        Err(Refused::NotThere) => return missing(one),
        Err(Refused::Conflict) => return Look::Again(None),
        Err(Refused::Why(why)) => return Look::Again(Some(format!("{what} cannot be read: {why}"))),
    };
    let uid = text(&live, "/metadata/uid").unwrap_or_default();
    let is_ours = text(&live, &format!("/metadata/labels/{}", POOL_UID_LABEL.replace('/', "~1"))).as_deref()
        == Some(pool_uid);
    if one.uid.as_ref().is_some_and(|known| *known != uid) || (one.uid.is_none() && !is_ours) {
        // Ours is gone, or was never made: this is another one of that name.
        return Look::Found(Found::Gone);
    }
    if !one.removing {
        return match &one.uid {
            None => Look::Found(Found::Exists(uid)),
            Some(_) => Look::Again(complaint(&live).map(|why| format!("{what} says: {why}"))),
        };
    }
    if live.pointer("/metadata/deletionTimestamp").is_none() {
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        if let Err(Refused::Why(why)) = request::<Value>(context, Method::DELETE, &path, Some(&body)).await {
            return Look::Again(Some(format!("{what} is not removed: {why}")));
        }
    }
    Look::Again(None)
}

/// What it means that an object is not there: gone if it was known, and else never made once no request can make it any more.
fn missing(one: &MadeNode) -> Look {
    let age = jiff::Timestamp::now().as_second() - one.since.0.as_second();
    match one.uid.is_some() || age > LATE {
        true => Look::Found(Found::Gone),
        false => Look::Again(None),
    }
}

/// What an object says itself that keeps it from having its node.
fn complaint(live: &Value) -> Option<String> {
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array)?;
    let is = |condition: &&Value, field: &str, values: &[&str]| {
        condition.get(field).and_then(Value::as_str).is_some_and(|text| values.contains(&text))
    };
    let failing = conditions
        .iter()
        .find(|one| is(one, "status", &["False"]) && is(one, "type", &["Ready", "Available"]))?;
    let message = failing.get("message").and_then(Value::as_str).filter(|text| !text.is_empty());
    let why = message.or_else(|| failing.get("reason").and_then(Value::as_str))?;
    Some(cut(why, THEIRS))
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn collection(one: &MadeNode) -> String {
    match (one.kind, &one.namespace) {
        (NodeMaker::NodePool, _) => "/apis/karpenter.sh/v1/nodepools".to_owned(),
        (NodeMaker::MachineDeployment, namespace) => format!(
            "/apis/cluster.x-k8s.io/v1beta2/namespaces/{}/machinedeployments",
            namespace.as_deref().unwrap_or_default()
        ),
    }
}

fn not_served(one: &MadeNode) -> String {
    match one.kind {
        NodeMaker::NodePool => {
            "the cluster does not serve NodePools of karpenter.sh/v1; install Karpenter, or take spec.template off the pool"
                .to_owned()
        }
        NodeMaker::MachineDeployment => format!(
            "the cluster does not serve MachineDeployments of cluster.x-k8s.io/v1beta2, or has no namespace {}; install Cluster \
             API, or correct spec.template",
            one.namespace.as_deref().unwrap_or_default()
        ),
    }
}

fn remedy(code: u16, message: &str, path: &str) -> String {
    let message = cut(message, THEIRS);
    let part = if path.contains("karpenter") { "karpenter" } else { "cluster-api" };
    match code {
        403 => format!("{message}; apply what `tenantry manifests {part}` prints"),
        400 | 422 => format!("{message}; correct spec.template of the pool"),
        _ => message,
    }
}

async fn request<T: serde::de::DeserializeOwned>(
    context: &Context,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<T, Refused> {
    let why = |error: ServersError| Refused::Why(error.to_string());
    let body = body.map(serde_json::to_vec).transpose().map_err(|error| why(error.into()))?;
    let query = if method == Method::POST {
        format!("?fieldManager={MANAGER}&fieldValidation=Strict")
    } else {
        String::new()
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}{query}"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.unwrap_or_default())
        .map_err(|error| why(error.into()))?;
    send(context, request).await.map_err(|error| match error.status() {
        Some(status) if status.code == 404 => Refused::NotThere,
        Some(status) if status.code == 409 => Refused::Conflict,
        Some(status) => Refused::Why(remedy(status.code, &status.message, path)),
        None => why(error),
    })
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

// === impl Servers ===

impl Servers {
    fn found(&self, key: (String, String), found: Found) {
        let mut state = self.lock();
        state.obstacles.remove(&key);
        state.found.insert(key, found);
        drop(state);
        self.changed.notify_one();
    }

    /// What is in the way of an object; nothing where nothing is.
    fn hinders(&self, key: (String, String), why: Option<String>) {
        let mut state = self.lock();
        let before = match &why {
            Some(why) => state.obstacles.insert(key, why.clone()),
            None => state.obstacles.remove(&key),
        };
        drop(state);
        if before != why {
            self.changed.notify_one();
        }
    }
}

// === impl State ===

impl State {
    /// The record of a pool says by now what was found.
    pub(super) fn recorded(&mut self, pool: &str, status: &ServerPoolStatus) {
        let stays = |name: &String| status.made.iter().any(|one| one.name == *name);
        self.obstacles.retain(|(of, name), _| of != pool || stays(name));
        self.found.retain(|(of, name), found| {
            of != pool
                || match found {
                    Found::Gone => stays(name),
                    Found::Exists(uid) => {
                        status.made.iter().any(|one| one.name == *name && one.uid.as_ref() != Some(uid))
                    }
                }
        });
    }
}
