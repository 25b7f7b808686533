//! What every serving role has: health, readiness, metrics, faults, and its two addresses. Needs the network.

use crate::fault::{Fault, FaultArgs, strike};
use crate::server::{self, Stop};
use anyhow::Result;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use clap::Args;
use futures::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Says whether a role can do its work, or why not.
pub(crate) type Ready = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Where a role is asked for its health.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdminArgs {
    /// Address of /healthz, /readyz and /metrics; in a pod 0.0.0.0:9090
    #[arg(long, env = "ERP_ADMIN_LISTEN", default_value = "127.0.0.1:9090", value_name = "IP:PORT")]
    admin_listen: SocketAddr,
    #[command(flatten)]
    faults: FaultArgs,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: u16,
}

/// Metrics of one process, in the OpenMetrics text format.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<CodeLabel, Counter>,
    ready: Gauge,
}

/// Health, metrics and faults of a role that runs.
pub(crate) struct Admin {
    pub(crate) faults: Arc<FaultArgs>,
    metrics: Metrics,
    ready: Ready,
}

// === impl Metrics ===

impl Metrics {
    /// Metrics of a role of a version of the application.
    pub(crate) fn new(role: &'static str, version: &str) -> Self {
        let mut registry = Registry::with_prefix("erp");
        let (requests, ready) = (Family::default(), Gauge::default());
        registry.register("requests", "Requests answered, by status code", requests.clone());
        registry.register("ready", "One if the role was ready when it was last asked", ready.clone());
        let build = Info::new([("role", role.to_owned()), ("version", version.to_owned())]);
        registry.register("application", "What runs", build);
        Self { registry, requests, ready }
    }

    /// A further counter.
    pub(crate) fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.registry.register(name, help, counter.clone());
        counter
    }

    /// A further gauge.
    pub(crate) fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.registry.register(name, help, gauge.clone());
        gauge
    }
}

// === impl AdminArgs ===

impl AdminArgs {
    /// Serves a role until the process shall end: its routes on `listen`, where it has any, and its health.
    ///
    /// # Errors
    /// When an address cannot be had.
    pub(crate) async fn serve(
        self,
        routes: Option<(SocketAddr, Router, usize)>,
        metrics: Metrics,
        ready: Ready,
        stop: Stop,
    ) -> Result<()> {
        let admin = Arc::new(Admin { faults: Arc::new(self.faults), metrics, ready });
        let acting = tokio::spawn(Arc::clone(&admin.faults).act());
        let health = server::listen(self.admin_listen, "--admin-listen").await?;
        let mut said = BTreeMap::from([("admin", health.local_addr()?)]);
        let mut application = None;
        if let Some((address, router, longest_body)) = routes {
            let listener = server::listen(address, "--listen").await?;
            said.insert("http", listener.local_addr()?);
            let router = router.layer(middleware::from_fn_with_state(Arc::clone(&admin.faults), strike));
            let router = server::bounded(router, longest_body)
                .layer(middleware::from_fn_with_state(Arc::clone(&admin), count));
            application = Some(server::serve(listener, router, stop.clone()));
        }
        // The one line on the standard output: with port 0 nobody else knows where to ask.
        println!("{}", serde_json::to_string(&said)?);
        let health = server::serve(health, server::bounded(admin.router(), 0), stop);
        match application {
            Some(application) => drop(tokio::join!(application, health)),
            None => health.await,
        }
        acting.abort();
        tracing::info!("ended");
        Ok(())
    }

    /// The faults of the role.
    pub(crate) fn faults(&self) -> FaultArgs {
        self.faults.clone()
    }
}

async fn count(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let label = CodeLabel { code: response.status().as_u16() };
    admin.metrics.requests.get_or_create(&label).inc();
    response
}

// === impl Admin ===

impl Admin {
    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

async fn healthz(State(admin): State<Arc<Admin>>) -> Response {
    if admin.faults.current() == Fault::Unhealthy {
        return (StatusCode::SERVICE_UNAVAILABLE, "the fault `unhealthy` is set\n").into_response();
    }
    "ok\n".into_response()
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let ready = match admin.faults.current() {
        Fault::Unready => Err(anyhow::anyhow!("the fault `unready` is set")),
        _ => (admin.ready)().await,
    };
    admin.metrics.ready.set(ready.is_ok().into());
    match ready {
        Ok(()) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")).into_response(),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match encode(&mut text, &admin.metrics.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
