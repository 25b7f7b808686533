//! One HTTP request and its answer, bounded in time and size. Needs the network.
//!
//! Redirects are not followed: who is configured is who is told.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

use crate::Trouble;

/// Deadline of a request, its answer included.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// The most that is read of an answer.
const MOST: usize = 4 << 20;
/// The most that is shown of an answer that says what failed.
const SHOWN: usize = 300;
/// The longest that somebody may want to be left alone.
const LONGEST: Duration = Duration::from_secs(3600);

/// Sends requests to one system.
#[derive(Clone)]
pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: Uri,
    headers: Vec<(&'static str, String)>,
    deadline: Duration,
}

/// An answer of success.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header `Location`.
    pub location: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// What a request says beside its address.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// Statuses that are no failure although they are no success.
    pub admits: Vec<StatusCode>,
}

// === impl Caller ===

impl Caller {
    /// For a system at `base`, sending `headers` with every request.
    ///
    /// # Errors
    /// An address that is none, and one on another machine without TLS: a document and a password would be on the wire.
    pub fn new(
        base: &str,
        headers: Vec<(&'static str, String)>,
        deadline: Duration,
    ) -> Result<Self, Trouble> {
        if !is_private(&address(base)?) {
            return Err(Trouble::refused(format!(
                "url: {base:?} would be called without TLS; write an https address"
            )));
        }
        Self::open(base, headers, deadline)
    }

    /// The same without TLS where the address says so: for whom nothing is sent that nobody else may read.
    ///
    /// # Errors
    /// An address that is none.
    pub fn open(
        base: &str,
        headers: Vec<(&'static str, String)>,
        deadline: Duration,
    ) -> Result<Self, Trouble> {
        let uri = address(base)?;
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| Trouble::later(format!("this machine's certificates cannot be read: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { client, base: uri, headers, deadline })
    }

    /// Sends a request below the base.
    ///
    /// # Errors
    /// No answer in time, or one that says that it failed.
    pub async fn send(&self, method: Method, path: &str, ask: Ask) -> Result<Answer, Trouble> {
        let Ask { headers, body, admits } = ask;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base.to_string().trim_end_matches('/')));
        for (name, value) in self.headers.iter().chain(&headers) {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Trouble::refused(format!("the request cannot be written: {error}")))?;
        let exchange = async {
            let response =
                self.client.request(request).await.map_err(|error| Trouble::later(no_answer(&error)))?;
            Self::read(response, &admits).await
        };
        let late = || Trouble::later(format!("no answer within {} s", self.deadline.as_secs_f32()));
        timeout(self.deadline, exchange).await.map_err(|_| late())?
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// As [`Caller::send`]; and an answer that is none.
    pub async fn json(&self, method: Method, path: &str, ask: Ask) -> Result<Value, Trouble> {
        let answer = self.send(method, path, ask).await?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| Trouble::later(format!("the answer is no JSON: {error}")))
    }

    async fn read(response: Response<Incoming>, admits: &[StatusCode]) -> Result<Answer, Trouble> {
        let status = response.status();
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, after) = (text(http::header::LOCATION), text(RETRY_AFTER));
        let body = Limited::new(response.into_body(), MOST)
            .collect()
            .await
            .map_err(|error| Trouble::later(format!("the answer broke off: {error}")))?
            .to_bytes();
        if status.is_success() || admits.contains(&status) {
            return Ok(Answer { status, location, body });
        }
        let said: String =
            String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let after = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        Err(Trouble {
            reason: format!("it answered {status}: {said}"),
            is_final: !may_pass(status),
            was_answered: true,
            after: after.map(|wait| wait.min(LONGEST)),
        })
    }
}

/// An address with scheme and host. What it may have of a user and a password would be shown with it.
fn address(base: &str) -> Result<Uri, Trouble> {
    let uri = base.trim_end_matches('/').parse::<Uri>().ok();
    let is_whole = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    };
    uri.filter(is_whole).ok_or_else(|| {
        // What was written may have a password, so it is not shown.
        Trouble::refused(
            "url: it is no address; write one such as https://billing.example.org/in, without a user and a question mark",
        )
    })
}

/// Whether nobody on the way reads what is sent to an address: it goes through TLS, or stays on this machine.
#[must_use]
pub fn is_private(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match address.scheme_str() {
        Some("https") => true,
        Some("http") => is_here,
        _ => false,
    }
}

/// Whether a status may be another one later.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            // A wrong password is put right at either end: giving up would leave documents behind.
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::CONFLICT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Every cause of an error, because the outermost says only that it failed.
fn no_answer(error: &dyn std::error::Error) -> String {
    let mut text = format!("no answer: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_goes_through_tls_and_an_address_is_whole() {
        let one = |url: &str| Caller::new(url, Vec::new(), DEADLINE).err().map(|trouble| trouble.reason);
        let open = |url: &str| Caller::open(url, Vec::new(), DEADLINE).err().map(|trouble| trouble.reason);
        for url in ["https://host/in/", "http://127.0.0.1:9090", "http://[::1]:9090", "http://localhost"] {
            assert_eq!((one(url), open(url)), (None, None), "{url}");
        }
        let plain = "http://prometheus.monitoring:9090";
        assert!(one(plain).is_some_and(|reason| reason.contains("without TLS")));
        assert_eq!(open(plain), None);
        for url in ["host:9090", "/in", "ftp://host", "https://ada:secret@host", "https://host?a=b", ""] {
            assert!(open(url).is_some_and(|reason| reason.contains("is no address")), "{url}");
        }
    }
}
