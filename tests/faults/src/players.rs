//! Who works beside the controller: customers who correct, declare and sign, nodes on which the pods of runs come to their end,
//! and, where tenants have servers, a scheduler, their nodes, and a person who cleans them. What they ask for goes to the API server itself and is no place at which a fault can strike. Needs a client.

pub(crate) mod acts;
mod nodes;

use std::time::Duration;

use anyhow::{Context, Result};
use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::hall::{NODES, POOLS};
use crate::history::{SUBSCRIPTIONS, State};
use crate::recorder::Recorder;
use acts::{Act, SIGN_OFFS, acts};

/// Kinds that they look at.
const SEEN: [&str; 5] = ["namespaces", "pods", "secrets", SUBSCRIPTIONS, SIGN_OFFS];
/// Kinds that those look at who see to servers.
const HOUSED: [&str; 3] = [NODES, "pods", POOLS];
/// How often they look whether the time of a pod is over.
const TICK: Duration = Duration::from_millis(200);
/// Between two tries while the API server is away.
const PAUSE: Duration = Duration::from_millis(100);

/// Those who play. They end when this is dropped.
pub(crate) struct Players {
    _task: JoinSet<()>,
}

// === impl Players ===

impl Players {
    /// Lets them begin.
    ///
    /// # Errors
    /// When what they look at cannot be listed, or the API server does not say who they are.
    pub(crate) async fn start(client: Client) -> Result<Self> {
        let recorder = Recorder::of(client.clone(), |plural| SEEN.contains(&plural)).await?;
        let name = who_am_i(&client).await?;
        let mut task = JoinSet::new();
        task.spawn(async move { play(&client, &recorder, |state| acts(state, &name), None).await });
        Ok(Self { _task: task })
    }

    /// Lets those begin who see to servers.
    ///
    /// # Errors
    /// When what they look at cannot be listed, or the API server does not say who they are.
    pub(crate) async fn housekeepers(client: Client) -> Result<Self> {
        let recorder = Recorder::of(client.clone(), |plural| HOUSED.contains(&plural)).await?;
        let name = who_am_i(&client).await?;
        let mut task = JoinSet::new();
        let look = move |state: &State| nodes::acts(state, &name, Timestamp::now());
        task.spawn(async move { play(&client, &recorder, look, Some(TICK)).await });
        Ok(Self { _task: task })
    }
}

/// The name that signatures must bear: nobody signs as somebody else.
pub(crate) async fn who_am_i(client: &Client) -> Result<String> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(serde_json::to_vec(&review)?)?;
    let answer: Value = client.request(request).await.context("cannot ask who we are")?;
    let name = answer.pointer("/status/userInfo/username").and_then(Value::as_str);
    Ok(name.context("the API server does not say who we are")?.to_owned())
}

/// Does what is to be done, for ever. What depends on the time of day is looked at every so often.
async fn play(
    client: &Client,
    recorder: &Recorder,
    look: impl Fn(&State) -> Vec<Act>,
    tick: Option<Duration>,
) {
    let some = |all: Vec<Act>| (!all.is_empty()).then_some(all);
    loop {
        let next = recorder.first(|state| some(look(state)));
        let found = match tick {
            Some(tick) => tokio::time::timeout(tick, next).await.unwrap_or_default(),
            None => next.await,
        };
        if found.is_empty() {
            continue;
        }
        for act in found {
            // Whatever was refused is looked at again: the state may be another by now, or the API server be back.
            if perform(client, &act).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        // What was done is seen before it is looked again, or it would be done once more.
        if recorder.settle(|_| true).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        recorder.begin();
    }
}

async fn perform(client: &Client, act: &Act) -> Result<()> {
    let content = if act.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(act.method)
        .uri(&act.path)
        .header(http::header::CONTENT_TYPE, content)
        .body(serde_json::to_vec(&act.body)?)?;
    client.request_text(request).await?;
    Ok(())
}
