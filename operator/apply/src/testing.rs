//! A scripted API server for unit tests: answers in order, and remembers what was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

/// One request as it was received.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) accept: String,
    pub(crate) content: String,
    pub(crate) body: Value,
}

/// Code, body and how long the answer takes; without a body the request is never answered.
type Scripted = (u16, Option<Value>, Duration);

#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Scripted>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    /// The next answer.
    pub(crate) fn answer(&self, code: u16, body: Value) {
        self.answers.lock().unwrap().push_back((code, Some(body), Duration::ZERO));
    }

    /// The next answer comes after so long.
    pub(crate) fn answer_after(&self, takes: Duration, code: u16, body: Value) {
        self.answers.lock().unwrap().push_back((code, Some(body), takes));
    }

    /// The next request is never answered.
    pub(crate) fn silence(&self) {
        self.answers.lock().unwrap().push_back((0, None, Duration::ZERO));
    }

    /// The next answer is a refusal.
    pub(crate) fn refuse(&self, code: u16, reason: &str, message: &str) {
        self.answer(code, status(code, reason, message));
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked so far, as method and path.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line =
            |asked: &Asked| format!("{} {}", asked.method, asked.uri.split('?').next().unwrap_or_default());
        self.asked().iter().map(line).collect()
    }

    /// A client that talks to this script. A request beyond the script is answered with 500.
    pub(crate) fn client(&self) -> Client {
        let script = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move { Ok::<_, Infallible>(script.take(request).await) }
        });
        Client::new(service, "default")
    }

    async fn take(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let header = |name| {
            parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        self.asked.lock().unwrap().push(Asked {
            method: parts.method.to_string(),
            uri: parts.uri.to_string(),
            accept: header(http::header::ACCEPT),
            content: header(http::header::CONTENT_TYPE),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        });
        let next = self.answers.lock().unwrap().pop_front();
        match next {
            Some((code, Some(body), takes)) => {
                tokio::time::sleep(takes).await;
                respond(code, &body)
            }
            Some((_, None, _)) => std::future::pending().await,
            None => respond(500, &status(500, "InternalError", "beyond the script")),
        }
    }
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn respond(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()
}
