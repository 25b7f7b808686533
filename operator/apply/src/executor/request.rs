//! Single requests: how they look, their deadline, the gate before each try, and the few refusals that are retried.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request};
use kube::Resource;
use kube::core::{ApiResource, DynamicObject};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::Executor;
use crate::classify::{Failure, Verdict, classify};
use crate::counters::{Ending, Verb};
use crate::object::{FIELD_MANAGER, ObjectId};

/// Deadline of one try. Long enough for a busy server, shorter than the lease.
const DEADLINE: Duration = Duration::from_secs(10);
/// Asks for metadata only: the answer of a write need not carry the object back.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// Field manager of who gives a workload back the pods that it had.
const SCALE_MANAGER: &str = "tenantry-scale";
/// Tries of a write that lost a race against another writer.
const MAX_CONTENDED: u32 = 5;
/// First pause after a refusal that may be the authorizer's lag behind our own role binding.
const FIRST_LAG_PAUSE: Duration = Duration::from_millis(5);
/// How long such refusals are retried in all.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Longest pause the server may ask for within a step; a longer one is left to the queue.
const MAX_PATIENCE: Duration = Duration::from_secs(2);

/// One request for one object.
pub(super) struct Call {
    pub(super) verb: Verb,
    /// Whether it names the resource version that it is about: the same request would lose a race again.
    is_exact: bool,
    request: Request<Vec<u8>>,
}

/// A request that failed, and with which code.
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) code: u16,
}

/// What was tried so far.
struct Tries {
    started: Instant,
    contended: u32,
    lagging: u32,
    throttled: bool,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}

// === impl Call ===

impl Call {
    /// POST of a new object. Built by hand: kube has no creation that answers with metadata only.
    pub(super) fn create(resource: &ApiResource, id: &ObjectId, body: &Value) -> Result<Self, Failure> {
        let query = format!("fieldManager={FIELD_MANAGER}&fieldValidation=Ignore");
        let path = format!("{}?{query}", collection(resource, id));
        Self::new(Verb::Create, Method::POST, &path, "application/json", METADATA_ONLY, body)
    }

    /// Server-side apply, taking over fields others hold. The body must carry the uid, and may carry a resource version.
    pub(super) fn apply(resource: &ApiResource, id: &ObjectId, body: &Value) -> Result<Self, Failure> {
        let query = format!("fieldManager={FIELD_MANAGER}&force=true&fieldValidation=Ignore");
        let path = format!("{}?{query}", object(resource, id));
        let is_exact = body.pointer("/metadata/resourceVersion").is_some();
        let call = Self::new(
            Verb::Apply,
            Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            METADATA_ONLY,
            body,
        )?;
        Ok(Self { is_exact, ..call })
    }

    /// JSON patch of the list of field owners.
    pub(super) fn takeover(resource: &ApiResource, id: &ObjectId, body: &Value) -> Result<Self, Failure> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", object(resource, id));
        Self::new(Verb::Takeover, Method::PATCH, &path, "application/json-patch+json", METADATA_ONLY, body)
    }

    /// PUT of a repaired object, with its uid and resource version in the body.
    pub(super) fn replace(resource: &ApiResource, id: &ObjectId, body: &Value) -> Result<Self, Failure> {
        let query = format!("fieldManager={FIELD_MANAGER}&fieldValidation=Ignore");
        let path = format!("{}?{query}", object(resource, id));
        let call = Self::new(Verb::Replace, Method::PUT, &path, "application/json", METADATA_ONLY, body)?;
        Ok(Self { is_exact: true, ..call })
    }

    /// Sets how many pods a workload has, with its uid as precondition. By a manager of its own: what an object is rendered from
    /// stays as it is, and so do the fields that are ours by it.
    pub(super) fn scale(
        resource: &ApiResource,
        id: &ObjectId,
        uid: &str,
        replicas: i32,
    ) -> Result<Self, Failure> {
        let path = format!("{}?fieldManager={SCALE_MANAGER}", object(resource, id));
        let body = serde_json::json!({"metadata": {"uid": uid}, "spec": {"replicas": replicas}});
        Self::new(Verb::Apply, Method::PATCH, &path, "application/merge-patch+json", METADATA_ONLY, &body)
    }

    /// DELETE with the uid as precondition; dependents go in the background.
    pub(super) fn delete(resource: &ApiResource, id: &ObjectId, uid: &str) -> Result<Self, Failure> {
        let body = serde_json::json!({
            "kind": "DeleteOptions", "apiVersion": "v1",
            "propagationPolicy": "Background", "preconditions": {"uid": uid},
        });
        Self::new(
            Verb::Delete,
            Method::DELETE,
            &object(resource, id),
            "application/json",
            METADATA_ONLY,
            &body,
        )
    }

    /// GET of an object, in full or its metadata only.
    pub(super) fn get(resource: &ApiResource, id: &ObjectId, in_full: bool) -> Result<Self, Failure> {
        let accept = if in_full { "application/json" } else { METADATA_ONLY };
        Self::build(Verb::Get, Method::GET, &object(resource, id), "application/json", accept, Vec::new())
    }

    fn new(
        verb: Verb,
        method: Method,
        path: &str,
        content: &str,
        accept: &str,
        body: &Value,
    ) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| unbuildable(&error))?;
        Self::build(verb, method, path, content, accept, body)
    }

    fn build(
        verb: Verb,
        method: Method,
        path: &str,
        content: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Self, Failure> {
        let request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, content).header(ACCEPT, accept);
        let request = request.body(body).map_err(|error| unbuildable(&error))?;
        Ok(Self { verb, is_exact: false, request })
    }
}

fn unbuildable(error: &dyn std::error::Error) -> Failure {
    Failure::new(Verdict::Invalid, &format!("the request cannot be built: {error}"))
}

fn collection(resource: &ApiResource, id: &ObjectId) -> String {
    DynamicObject::url_path(resource, id.namespace.as_deref())
}

fn object(resource: &ApiResource, id: &ObjectId) -> String {
    // Names are checked when a desired object is made and when the API server accepts it: no escaping is needed.
    format!("{}/{}", collection(resource, id), id.name)
}

// === impl Executor ===

impl Executor {
    /// Sends a call, retrying the refusals that say "not yet", and reads the answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, id: &ObjectId, call: &Call) -> Result<T, Refusal> {
        let mut tries = Tries { started: Instant::now(), contended: 0, lagging: 0, throttled: false };
        loop {
            let refusal = match self.try_once(id, call).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            let is_lag_possible = self.bindings.is_fresh(id.namespace.as_ref(), Instant::now());
            match tries.pause(&refusal.failure, call.is_exact, is_lag_possible, id) {
                Some(pause) => sleep(pause).await,
                None => return Err(refusal),
            }
        }
    }

    async fn try_once<T: DeserializeOwned>(&self, id: &ObjectId, call: &Call) -> Result<T, Refusal> {
        let refused = |verdict, what: &str| Refusal { failure: Failure::new(verdict, what), code: 0 };
        let _permit = self.permits.acquire().await;
        // Asked last of all, so that no wait lies between the answer and the request.
        let remaining = self.gate.remaining();
        if remaining.is_zero() {
            return Err(refused(Verdict::NotLeader, "not sent: this process may not write now"));
        }
        let answer = timeout(remaining.min(DEADLINE), self.client.request_text(call.request.clone())).await;
        let (result, ending) = match answer {
            Ok(Ok(text)) => match serde_json::from_str(&text) {
                Ok(answer) => (Ok(answer), Ending::Done),
                // Not the text itself: it may hold what must not be in a log.
                Err(error) => {
                    (Err(refused(Verdict::Unknown, &format!("unreadable answer: {error}"))), Ending::Unknown)
                }
            },
            Ok(Err(error)) => {
                let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
                let failure = classify(&error, self.gate.is_fresh());
                let ending =
                    if failure.verdict == Verdict::Unknown { Ending::Unknown } else { Ending::Refused };
                (Err(Refusal { failure, code }), ending)
            }
            Err(_) => {
                (Err(refused(Verdict::Unknown, "no answer from the API server in time")), Ending::Unknown)
            }
        };
        self.counters.request(call.verb, id.kind.to_string(), ending);
        result
    }
}

// === impl Tries ===

impl Tries {
    /// How long to wait before the next try, or nothing when there is none.
    fn pause(
        &mut self,
        failure: &Failure,
        is_exact: bool,
        is_lag_possible: bool,
        id: &ObjectId,
    ) -> Option<Duration> {
        match failure.verdict {
            Verdict::Forbidden | Verdict::RolesUnread
                if is_lag_possible && self.started.elapsed() < MAX_LAG =>
            {
                self.lagging += 1;
                Some(FIRST_LAG_PAUSE * 2_u32.saturating_pow(self.lagging - 1))
            }
            Verdict::Contention if !is_exact && self.contended + 1 < MAX_CONTENDED => {
                self.contended += 1;
                Some(jitter(id, self.contended))
            }
            Verdict::Throttled if !self.throttled => {
                self.throttled = true;
                let asked = failure.retry_after.unwrap_or(Duration::from_secs(1));
                (asked <= MAX_PATIENCE).then_some(asked)
            }
            _ => None,
        }
    }
}

/// Between 50 and 500 ms, spread by name so that the objects of a wave do not meet again.
fn jitter(id: &ObjectId, attempt: u32) -> Duration {
    let hash = blake3::hash(format!("{id:?}#{attempt}").as_bytes());
    Duration::from_millis(50 + crate::fields::first_eight(&hash) % 450)
}
