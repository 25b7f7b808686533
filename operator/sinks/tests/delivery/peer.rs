//! A server on this machine that does to its callers what they must bear.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It is served.
    None,
    /// It fails and nothing happened.
    Fails,
    /// It is never answered, and nothing happened.
    Hangs,
    /// It takes effect and is never answered.
    HangsAfter,
    /// It takes effect and the connection breaks.
    CutsAfter,
    /// It is to come later.
    Throttles,
    /// It is served twice, as a proxy that repeats does.
    Twice,
}

/// What the peer was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Bytes,
}

/// A system with a state behind its address.
pub(crate) trait System: Send + 'static {
    /// Serves a request: the status, a header `Location`, and the body.
    fn serve(&mut self, asked: &Asked) -> (StatusCode, Value);
    /// Whether answers are remembered by their key.
    fn remembers(&self) -> bool {
        false
    }
}

/// The running server.
pub(crate) struct Peer<S> {
    pub(crate) url: String,
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    system: Mutex<S>,
    mischief: Mutex<VecDeque<Mischief>>,
    remembered: Mutex<HashMap<String, (StatusCode, Value)>>,
    asked: Mutex<Vec<Asked>>,
}

impl Asked {
    /// The fields of a form.
    pub(crate) fn form(&self) -> HashMap<String, String> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }
}

impl<S: System> Peer<S> {
    /// Serves on loopback, with mischief for the first requests.
    pub(crate) async fn start(system: S, mischief: impl IntoIterator<Item = Mischief>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            system: Mutex::new(system),
            mischief: Mutex::new(mischief.into_iter().collect()),
            remembered: Mutex::default(),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(|request| serve(Arc::clone(&shared), request));
                    let _cut = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, shared }
    }

    /// Looks at the state.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.shared.system.lock().unwrap())
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }
}

async fn serve<S: System>(
    shared: Arc<Shared<S>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body: body.collect().await.map_err(|_| Cut)?.to_bytes(),
    };
    shared.asked.lock().unwrap().push(asked.clone());
    let mischief = shared.mischief.lock().unwrap().pop_front().unwrap_or(Mischief::None);
    match mischief {
        Mischief::Fails => {
            let failure = (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "it broke"}));
            shared.remember(&asked, &failure);
            Ok(answer(failure))
        }
        Mischief::Throttles => Ok(answer((StatusCode::TOO_MANY_REQUESTS, json!({"error": "slower"})))),
        Mischief::Hangs => never().await,
        Mischief::HangsAfter => {
            shared.act(&asked);
            never().await
        }
        Mischief::CutsAfter => {
            shared.act(&asked);
            Err(Cut)
        }
        Mischief::Twice => {
            shared.act(&asked);
            Ok(answer(shared.act(&asked)))
        }
        Mischief::None => Ok(answer(shared.act(&asked))),
    }
}

impl<S: System> Shared<S> {
    /// Serves a request, or gives the answer that its key had before.
    fn act(&self, asked: &Asked) -> (StatusCode, Value) {
        if let Some(key) = asked.headers.get("idempotency-key")
            && let Some(known) = self.remembered.lock().unwrap().get(key)
        {
            return known.clone();
        }
        let answer = self.system.lock().unwrap().serve(asked);
        self.remember(asked, &answer);
        answer
    }

    fn remember(&self, asked: &Asked, answer: &(StatusCode, Value)) {
        if self.system.lock().unwrap().remembers()
            && let Some(key) = asked.headers.get("idempotency-key")
        {
            self.remembered.lock().unwrap().entry(key.clone()).or_insert_with(|| answer.clone());
        }
    }
}

/// The connection is cut without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn never() -> Result<Response<Full<Bytes>>, Cut> {
    match std::future::pending::<Infallible>().await {}
}

fn answer((status, body): (StatusCode, Value)) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if status == StatusCode::TOO_MANY_REQUESTS {
        response = response.header("retry-after", "7");
    }
    response.body(Full::new(body.to_string().into())).unwrap()
}
