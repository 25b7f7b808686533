//! Who works beside the controller: customers who correct, declare and sign, and nodes on which the pods of runs come to their
//! end. What they ask for goes to the API server itself and is no place at which a fault can strike. Needs a client.

pub(crate) mod acts;

use std::time::Duration;

use anyhow::{Context, Result};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::history::SUBSCRIPTIONS;
use crate::recorder::Recorder;
use acts::{Act, SIGN_OFFS, acts};

/// Kinds that they look at.
const SEEN: [&str; 5] = ["namespaces", "pods", "secrets", SUBSCRIPTIONS, SIGN_OFFS];
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
        task.spawn(play(client, recorder, name));
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

async fn play(client: Client, recorder: Recorder, name: String) {
    let some = |all: Vec<Act>| (!all.is_empty()).then_some(all);
    loop {
        for act in recorder.first(|state| some(acts(state, &name))).await {
            // Whatever was refused is looked at again: the state may be another by now, or the API server be back.
            if perform(&client, &act).await.is_err() {
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
