//! One request of the controller on its way to the API server and back.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use thiserror::Error;

use crate::plan::{Act, After, Refusal};
use crate::process::Slot;
use crate::site::{Named, RequestLine, Verb, name};
use crate::wire::{Ticket, Wire};

/// Body of an answer.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Broken>>;

/// The connection ends without an answer.
#[derive(Debug, Error)]
#[error("the connection is broken on purpose, or the API server broke it")]
pub(super) struct Broken;

/// What one proxy works with.
pub(super) struct Exchanger {
    pub(super) replica: String,
    pub(super) upstream: Client,
    pub(super) administrator: Client,
    pub(super) wire: Arc<Wire>,
    pub(super) victim: Arc<Slot>,
}

/// A request, read to its end.
#[derive(Clone)]
pub(super) struct Whole {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer, read to its end.
struct Read {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Counts a request as under way for as long as it lives.
struct UnderWay<'a>(&'a Wire);

// === impl Exchanger ===

impl Exchanger {
    /// Passes one request on, or does what the plan says.
    pub(super) async fn exchange(&self, request: Request<Incoming>) -> Result<Answer, Broken> {
        let whole = Whole::read(request).await?;
        if self.wire.is_away() {
            return Err(Broken);
        }
        let body: Option<Value> = serde_json::from_slice(&whole.body).ok();
        let Some(named) = whole.name(body.as_ref()) else { return self.pass(&whole).await };
        match named.site.verb {
            Verb::Watch => self.watch(&whole, &named).await,
            Verb::List => {
                let whole = self.wire.frozen().and_then(|at| whole.at_revision(at)).unwrap_or(whole);
                self.list(&whole, &named).await
            }
            _ => {
                let kept_back = self.wire.holds.pass(&self.replica, &named).await;
                let uid = body.as_ref().and_then(uid_of);
                // The lease is renewed all the time, so it says nothing about work.
                let _under_way =
                    (!named.site.resource.starts_with("leases.")).then(|| UnderWay::begin(&self.wire));
                self.one(&whole, &named, uid, kept_back).await
            }
        }
    }

    /// A list. One whose pages expire is given in small pages first, as a server may.
    async fn list(&self, whole: &Whole, named: &Named) -> Result<Answer, Broken> {
        if !self.wire.has_expiring_pages(&named.site) {
            return self.one(whole, named, None, false).await;
        }
        let ticket = self.wire.note(&self.replica, named);
        if whole.is_continued() {
            self.wire.strike(ticket, None);
            return Ok(refused(&Refusal::expired()));
        }
        let whole = whole.in_small_pages().ok_or(Broken)?;
        self.forward(&whole, ticket).await.map(Read::answer)
    }

    async fn one(
        &self,
        whole: &Whole,
        named: &Named,
        uid: Option<String>,
        kept_back: bool,
    ) -> Result<Answer, Broken> {
        let (ticket, act) = self.wire.take(&self.replica, named, uid.clone());
        if kept_back {
            self.wire.kept_back(ticket);
        }
        match act {
            Act::Forward => self.forward(whole, ticket).await.map(Read::answer),
            Act::Drop => {
                self.wire.strike(ticket, None);
                Err(Broken)
            }
            Act::Kill => {
                self.victim.kill();
                self.wire.strike(ticket, None);
                Err(Broken)
            }
            Act::KillThenForwardLate => {
                self.victim.kill();
                self.wire.strike(ticket, None);
                self.forward_late(whole, ticket);
                Err(Broken)
            }
            Act::Answer(refusal) => {
                self.wire.strike(ticket, None);
                Ok(refused(&refusal))
            }
            Act::ForwardThen(after) => {
                let read = self.forward(whole, ticket).await?;
                // What was refused has no effect that could get lost; of a read that nothing is there is an answer like another.
                let is_refused = !read.status.is_success() && named.site.verb.is_write();
                if is_refused { Ok(read.answer()) } else { self.after(&after, ticket).await }
            }
            Act::Twice => {
                self.wire.strike(ticket, None);
                self.forward(whole, ticket).await?;
                let (again, _) = self.wire.take(&self.replica, named, uid);
                self.forward(whole, again).await.map(Read::answer)
            }
            Act::RivalThenForward => {
                self.rival(whole).await.map_err(|_| Broken)?;
                self.wire.strike(ticket, None);
                self.forward(whole, ticket).await.map(Read::answer)
            }
            Act::WaitThenForward => {
                self.wire.strike(ticket, None);
                self.wire.opened().await;
                self.forward(whole, ticket).await.map(Read::answer)
            }
            Act::JumpThenForward(seconds) => {
                self.victim.jump(seconds).map_err(|_| Broken)?;
                self.wire.strike(ticket, None);
                self.forward(whole, ticket).await.map(Read::answer)
            }
            Act::NoteThenForward => {
                let present = self.present().await.map_err(|_| Broken)?;
                self.wire.strike(ticket, Some(present));
                self.forward(whole, ticket).await.map(Read::answer)
            }
        }
    }

    async fn after(&self, after: &After, ticket: Ticket) -> Result<Answer, Broken> {
        if *after == After::Kill {
            self.victim.kill();
        }
        self.wire.strike(ticket, None);
        match after {
            After::Kill | After::Drop => Err(Broken),
            After::Hang => std::future::pending().await,
            After::Answer(refusal) => Ok(refused(refusal)),
        }
    }

    /// Sends a request to the API server and reads its whole answer.
    async fn forward(&self, whole: &Whole, ticket: Ticket) -> Result<Read, Broken> {
        let response = self.upstream.send(whole.request()).await.map_err(|_| Broken)?;
        let (parts, body) = response.into_parts();
        let body = body.collect_bytes().await.map_err(|_| Broken)?;
        let revision = serde_json::from_slice::<Value>(&body).ok().as_ref().and_then(revision_of);
        self.wire.answered(ticket, parts.status.as_u16(), revision);
        Ok(Read { status: parts.status, headers: parts.headers, body })
    }

    /// Sends a request when nobody waits for its answer any more: the connection it came over is gone, and with it
    /// whatever is done on its behalf, so a task of its own does it.
    fn forward_late(&self, whole: &Whole, ticket: Ticket) {
        let (whole, upstream, wire) = (whole.clone(), self.upstream.clone(), Arc::clone(&self.wire));
        tokio::spawn(async move {
            wire.opened().await;
            let code = upstream.send(whole.request()).await.map_or(0, |answer| answer.status().as_u16());
            wire.answered(ticket, code, None);
        });
    }

    /// A request that is about no kind goes through untouched.
    async fn pass(&self, whole: &Whole) -> Result<Answer, Broken> {
        let response = self.upstream.send(whole.request()).await.map_err(|_| Broken)?;
        let (parts, body) = response.into_parts();
        let body = body.collect_bytes().await.map_err(|_| Broken)?;
        Ok(Read { status: parts.status, headers: parts.headers, body }.answer())
    }

    /// Somebody else changes the object that the request is about.
    async fn rival(&self, whole: &Whole) -> Result<()> {
        let path = whole.uri.path().trim_end_matches("/status").to_owned();
        let stamp = format!("{:?}", std::time::SystemTime::now());
        let patch = json!({"metadata": {"annotations": {crate::mask::RIVAL: stamp}}});
        let request = Request::patch(&path)
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(serde_json::to_vec(&patch)?)?;
        self.administrator.request_text(request).await.context("the rival was refused")?;
        Ok(())
    }

    /// The present revision of the store.
    async fn present(&self) -> Result<u64> {
        let request = Request::get("/api/v1/namespaces?limit=1").body(Vec::new())?;
        let list: Value = self.administrator.request(request).await?;
        revision_of(&list).context("a list without a resource version")
    }
}

// === impl Whole ===

impl Whole {
    async fn read(request: Request<Incoming>) -> Result<Self, Broken> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
        let mut headers = parts.headers;
        // Bodies are looked at, so they must come as they are; the rest belongs to one connection.
        for name in [header::ACCEPT_ENCODING, header::HOST, header::CONNECTION, header::CONTENT_LENGTH] {
            headers.remove(name);
        }
        Ok(Self { method: parts.method, uri: parts.uri, headers, body })
    }

    fn name(&self, body: Option<&Value>) -> Option<Named> {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        name(RequestLine {
            method: self.method.as_str(),
            path: self.uri.path(),
            query: self.uri.query().unwrap_or_default(),
            content_type: content_type.unwrap_or_default(),
            body,
        })
    }

    /// The same list as it was at this revision.
    fn at_revision(&self, revision: u64) -> Option<Self> {
        let kept = self.uri.query().unwrap_or_default().split('&').filter(|pair| {
            !pair.is_empty() && !pair.starts_with("resourceVersion") && !pair.starts_with("continue=")
        });
        let exact = format!("resourceVersion={revision}&resourceVersionMatch=Exact");
        let query: Vec<&str> = kept.chain([exact.as_str()]).collect();
        let uri = format!("{}?{}", self.uri.path(), query.join("&")).parse().ok()?;
        Some(Self { uri, ..self.clone() })
    }

    /// Whether this asks for a further page.
    fn is_continued(&self) -> bool {
        self.uri.query().unwrap_or_default().split('&').any(|pair| pair.starts_with("continue="))
    }

    /// The same list, one object a page.
    fn in_small_pages(&self) -> Option<Self> {
        let kept = self.uri.query().unwrap_or_default().split('&');
        let query: Vec<&str> =
            kept.filter(|pair| !pair.is_empty() && !pair.starts_with("limit=")).chain(["limit=1"]).collect();
        let uri = format!("{}?{}", self.uri.path(), query.join("&")).parse().ok()?;
        Some(Self { uri, ..self.clone() })
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.to_vec()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(header::ACCEPT_ENCODING, http::HeaderValue::from_static("identity"));
        request
    }
}

// === impl Read ===

impl Read {
    fn answer(self) -> Answer {
        let mut answer = Response::new(Full::new(self.body).map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = self.status;
        *answer.headers_mut() = self.headers;
        for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION] {
            answer.headers_mut().remove(name);
        }
        answer
    }
}

// === impl UnderWay ===

impl<'a> UnderWay<'a> {
    fn begin(wire: &'a Wire) -> Self {
        wire.enter();
        Self(wire)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

pub(super) fn streamed(
    status: StatusCode,
    data: impl Stream<Item = Result<Bytes, Broken>> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(StreamBody::new(data.map_ok(Frame::data)).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

/// An error as the API server writes it.
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let Refusal { code, reason, message, retry_after_seconds } = refusal;
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    if let (true, Some(fields)) = (*retry_after_seconds > 0, status.as_object_mut()) {
        fields.insert("details".to_owned(), json!({ "retryAfterSeconds": retry_after_seconds }));
    }
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if *retry_after_seconds > 0 {
        answer.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from(*retry_after_seconds));
    }
    answer
}

/// The UID that a request means: of an apply, a deletion or a JSON patch.
fn uid_of(body: &Value) -> Option<String> {
    let tested = || {
        let tests = body.as_array()?.iter();
        tests
            .filter(|step| step["op"] == "test" && step["path"] == "/metadata/uid")
            .find_map(|step| step["value"].as_str())
    };
    let named = body.pointer("/preconditions/uid").or_else(|| body.pointer("/metadata/uid"));
    named.and_then(Value::as_str).or_else(tested).map(str::to_owned)
}

fn revision_of(body: &Value) -> Option<u64> {
    body.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}
