//! Speaking to the store and to the web page. Needs the network and a clock.

use crate::names::Name;
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;

pub use crate::store::volume::Entry;

/// In which a request has to be answered: longer than a server of ours takes to give up itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// Longest answer that is read: a value of the store, or a page of its keys.
const LONGEST_ANSWER: usize = 9 << 20;
/// Keys asked for at once.
const PAGE: usize = 1000;

/// An answer, read in full.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    authorization: Option<HeaderValue>,
}

/// A client of the store.
#[derive(Clone, Debug)]
pub struct Store {
    http: Http,
    snapshot: Option<Name>,
}

// === impl Http ===

impl Http {
    /// A client of the server at an address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build_http();
        Self { client, address, authorization: None }
    }

    /// One request, with the cookie where there is one. Paths begin with a slash.
    ///
    /// # Errors
    /// When no answer arrives in time. An answer of any status is none.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<Answer> {
        let what = format!("{method} http://{}{path}", self.address);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let authorization = self.authorization.as_ref().map(|value| (AUTHORIZATION, value));
        for (name, value) in authorization.into_iter().chain(cookie.map(|value| (COOKIE, value))) {
            request.headers_mut().insert(name, value.clone());
        }
        let answered = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body =
                Limited::new(body, LONGEST_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
            Ok::<_, anyhow::Error>(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answered).await;
        answer
            .context("no answer in time")
            .and_then(|answer| answer)
            .with_context(|| format!("{what} failed"))
    }
}

// === impl Answer ===

impl Answer {
    /// The answer, if its status is a success.
    ///
    /// # Errors
    /// When it is not; the message quotes the beginning of what the server said.
    pub fn success(self, what: &str) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        let said: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
        bail!("{what} was refused with {}: {}", self.status, said.trim())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is no such JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).context("the answer is not what was asked for")
    }
}

// === impl Store ===

impl Store {
    /// A client of the store at an address.
    ///
    /// # Errors
    /// When the password cannot stand in a header.
    pub fn new(address: SocketAddr, password: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {password}"))
            .ok()
            .context("the store's password has control characters; take a plain one")?;
        value.set_sensitive(true);
        Ok(Self { http: Http { authorization: Some(value), ..Http::new(address) }, snapshot: None })
    }

    /// The value of a key, or nothing.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn get(&self, bucket: &Name, key: &Name) -> Result<Option<Bytes>> {
        let path = self.path(bucket, Some(key));
        let answer = self.http.send(Method::GET, &path, None, Bytes::new()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.success(&format!("reading {bucket}/{key}"))?.body))
    }

    /// Stores a value; it is on disk when this returns.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn put(&self, bucket: &Name, key: &Name, value: impl Into<Bytes>) -> Result<()> {
        ensure!(self.snapshot.is_none(), "a snapshot is only read");
        let answer = self.http.send(Method::PUT, &self.path(bucket, Some(key)), None, value.into()).await?;
        answer.success(&format!("writing {bucket}/{key}")).map(drop)
    }

    /// Removes a key, or a whole bucket. Gives whether it was there.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn delete(&self, bucket: &Name, key: Option<&Name>) -> Result<bool> {
        ensure!(self.snapshot.is_none(), "a snapshot is only read");
        let answer = self.http.send(Method::DELETE, &self.path(bucket, key), None, Bytes::new()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        answer.success(&format!("deleting from {bucket}")).map(|_| true)
    }

    /// Names of all buckets, sorted.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn buckets(&self) -> Result<Vec<Name>> {
        let path = format!("/v1/buckets{}", self.query('?'));
        let answer = self.http.send(Method::GET, &path, None, Bytes::new()).await?;
        answer.success("listing buckets")?.json()
    }

    /// Up to `limit` keys of a bucket after a key, sorted, and whether there are more.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn page(
        &self,
        bucket: &Name,
        after: Option<&Name>,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool)> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/v1/buckets/{bucket}/keys?limit={limit}{after}{}", self.query('&'));
        let answer = self.http.send(Method::GET, &path, None, Bytes::new()).await?;
        answer.success(&format!("listing {bucket}"))?.json()
    }

    /// All keys of a bucket, sorted.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn keys(&self, bucket: &Name) -> Result<Vec<Entry>> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.key.clone());
            let (entries, more) = self.page(bucket, after.as_ref(), PAGE).await?;
            let none = entries.is_empty();
            all.extend(entries);
            if !more || none {
                return Ok(all);
            }
        }
    }

    /// The store as it is now, under a name, read-only. An earlier snapshot of the name is replaced.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn snapshot(&self, name: Name) -> Result<Self> {
        let path = format!("/v1/snapshots/{name}");
        self.http.send(Method::PUT, &path, None, Bytes::new()).await?.success("taking a snapshot")?;
        Ok(Self { snapshot: Some(name), ..self.clone() })
    }

    /// Gives up a snapshot that [`Store::snapshot`] took.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn forget(self) -> Result<()> {
        let Some(name) = &self.snapshot else { return Ok(()) };
        let path = format!("/v1/snapshots/{name}");
        self.http
            .send(Method::DELETE, &path, None, Bytes::new())
            .await?
            .success("dropping a snapshot")
            .map(drop)
    }

    /// Whether this reads a snapshot and not the present.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    fn path(&self, bucket: &Name, key: Option<&Name>) -> String {
        match key {
            Some(key) => format!("/v1/buckets/{bucket}/keys/{key}{}", self.query('?')),
            None => format!("/v1/buckets/{bucket}"),
        }
    }

    fn query(&self, before: char) -> String {
        self.snapshot.as_ref().map(|name| format!("{before}snapshot={name}")).unwrap_or_default()
    }
}
