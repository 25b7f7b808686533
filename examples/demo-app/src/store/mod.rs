//! The role `store`: keys and values over HTTP, durable on a volume. Needs the network and the file system.

pub(crate) mod volume;

use crate::admin::{AdminArgs, Metrics, Ready};
use crate::config::password;
use crate::names::Name;
use crate::server::stop_signal;
use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use clap::Args;
use prometheus_client::metrics::counter::Counter;
use ring::{hmac, rand};
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use volume::{Tree, Volume};

/// Longest value.
const LONGEST_VALUE: usize = 8 << 20;
/// Most keys of one answer.
const MOST_KEYS: usize = 1000;

/// Arguments of the role `store`.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreRole {
    /// Address to answer on; in a pod 0.0.0.0:7400
    #[arg(long, env = "ERP_LISTEN", default_value = "127.0.0.1:7400", value_name = "IP:PORT")]
    listen: SocketAddr,
    /// The volume
    #[arg(long, env = "ERP_DATA", default_value = "/var/lib/erp", value_name = "FOLDER")]
    data: PathBuf,
    /// File with the password that clients must know; without it, it is read from DATABASE_PASSWORD
    #[arg(long, env = "ERP_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Version of the application, for its metrics
    #[arg(long, env = "ERP_VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    #[command(flatten)]
    admin: AdminArgs,
}

struct Shared {
    volume: Arc<Volume>,
    /// A key of this process, and what it makes of the right password: comparing takes the same time for any other.
    key: hmac::Key,
    wanted: hmac::Tag,
    reads: Counter,
    writes: Counter,
    written_bytes: Counter,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    snapshot: Option<Name>,
    after: Option<Name>,
    limit: Option<usize>,
}

/// A failure of the volume.
struct Failure(anyhow::Error);

type Answered<T> = Result<T, Failure>;

// === impl StoreRole ===

impl StoreRole {
    /// Serves until the process shall end.
    ///
    /// # Errors
    /// When the volume cannot be written, the password is missing, or an address is taken.
    pub(crate) async fn run(self) -> Result<()> {
        let stop = stop_signal()?;
        let password = password(self.password_file.as_deref(), |name| std::env::var(name).ok())?;
        let volume = Arc::new(Volume::open(&self.data)?);
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .map_err(|_unspecified| anyhow!("the system gives no random bytes"))?;
        let wanted = hmac::sign(&key, format!("Bearer {password}").as_bytes());
        let mut metrics = Metrics::new("store", &self.version);
        let shared = Arc::new(Shared {
            volume: Arc::clone(&volume),
            key,
            wanted,
            reads: metrics.counter("store_reads", "Values read"),
            writes: metrics.counter("store_writes", "Values stored and on disk"),
            written_bytes: metrics.counter("store_written_bytes", "Bytes of the values stored"),
        });
        let ready: Ready = Arc::new(move || {
            let volume = Arc::clone(&volume);
            Box::pin(async move { blocking(move || volume.probe()).await.map_err(|failure| failure.0) })
        });
        self.admin.serve(Some((self.listen, router(shared), LONGEST_VALUE)), metrics, ready, stop).await
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/buckets", get(buckets))
        .route("/v1/buckets/{bucket}", delete(delete_bucket))
        .route("/v1/buckets/{bucket}/keys", get(list))
        .route("/v1/buckets/{bucket}/keys/{key}", get(read).put(write).delete(delete_key))
        .route("/v1/snapshots/{name}", put(snapshot).delete(delete_snapshot))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), authenticate))
        .with_state(shared)
}

async fn authenticate(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    if hmac::verify(&shared.key, given, shared.wanted.as_ref()).is_err() {
        let message = "the password is missing or wrong; send the one of the Secret as a bearer token\n";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], message).into_response();
    }
    next.run(request).await
}

async fn buckets(State(shared): State<Arc<Shared>>, Query(scope): Query<Scope>) -> Answered<Response> {
    let found = on_volume(&shared, move |volume| volume.buckets(&scope.snapshot)).await?;
    Ok(found.map_or_else(not_found, |names| Json(names).into_response()))
}

async fn list(
    State(shared): State<Arc<Shared>>,
    Path(bucket): Path<Name>,
    Query(scope): Query<Scope>,
) -> Answered<Response> {
    let limit = scope.limit.unwrap_or(MOST_KEYS).clamp(1, MOST_KEYS);
    let listing = move |volume: &Volume| volume.list(&scope.snapshot, &bucket, scope.after.as_ref(), limit);
    Ok(Json(on_volume(&shared, listing).await?).into_response())
}

async fn read(
    State(shared): State<Arc<Shared>>,
    Path((bucket, key)): Path<(Name, Name)>,
    Query(scope): Query<Scope>,
) -> Answered<Response> {
    let tree: Tree = scope.snapshot;
    let found = on_volume(&shared, move |volume| volume.get(&tree, &bucket, &key)).await?;
    shared.reads.inc();
    Ok(found.map_or_else(not_found, IntoResponse::into_response))
}

async fn write(
    State(shared): State<Arc<Shared>>,
    Path((bucket, key)): Path<(Name, Name)>,
    value: Bytes,
) -> Answered<StatusCode> {
    let bytes = value.len();
    let new = on_volume(&shared, move |volume| volume.put(&bucket, &key, &value)).await?;
    shared.writes.inc();
    shared.written_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    Ok(if new { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

async fn delete_key(
    State(shared): State<Arc<Shared>>,
    Path((bucket, key)): Path<(Name, Name)>,
) -> Answered<Response> {
    Ok(gone(on_volume(&shared, move |volume| volume.delete(&bucket, &key)).await?))
}

async fn delete_bucket(State(shared): State<Arc<Shared>>, Path(bucket): Path<Name>) -> Answered<Response> {
    Ok(gone(on_volume(&shared, move |volume| volume.delete_bucket(&bucket)).await?))
}

async fn snapshot(State(shared): State<Arc<Shared>>, Path(name): Path<Name>) -> Answered<StatusCode> {
    on_volume(&shared, move |volume| volume.snapshot(&name)).await?;
    Ok(StatusCode::CREATED)
}

async fn delete_snapshot(State(shared): State<Arc<Shared>>, Path(name): Path<Name>) -> Answered<Response> {
    Ok(gone(on_volume(&shared, move |volume| volume.delete_snapshot(&name)).await?))
}

fn gone(was_there: bool) -> Response {
    if was_there { StatusCode::NO_CONTENT.into_response() } else { not_found() }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

async fn on_volume<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Volume) -> io::Result<T> + Send + 'static,
) -> Answered<T> {
    let volume = Arc::clone(&shared.volume);
    blocking(move || work(&volume)).await
}

/// Work with files, on a thread that may wait. It is finished even if the client leaves.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Answered<T> {
    let done = tokio::task::spawn_blocking(work).await.context("the work on the volume broke off");
    done.and_then(|done| done.context("the volume failed")).map_err(Failure)
}

// === impl Failure ===

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(error = format!("{:#}", self.0), "a request failed");
        let kind = self.0.downcast_ref::<io::Error>().map(io::Error::kind);
        let full = matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded));
        let status = if full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, format!("{:#}\n", self.0)).into_response()
    }
}
