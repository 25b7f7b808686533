//! `/livez`, `/readyz` and `/metrics` on the administration address. Needs the network, no Kubernetes client.

use super::metrics::Metrics;
use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What the controller still waits for before it can work. Empty means ready.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    waiting: Mutex<BTreeMap<&'static str, String>>,
}

#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
}

// === impl Readiness ===

impl Readiness {
    /// Says that `part` is not ready and why.
    pub(crate) fn wait_for(&self, part: &'static str, reason: impl Into<String>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(part, reason.into());
    }

    /// Says that `part` is ready.
    pub(crate) fn is_ready(&self, part: &'static str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// Everything that is waited for, one line each; empty when ready.
    #[must_use]
    pub(crate) fn report(&self) -> String {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().map(|(part, reason)| format!("{part}: {reason}\n")).collect()
    }
}

/// Serves until `stop` is done.
///
/// # Errors
/// When the address cannot be bound or the server ends on its own.
pub(crate) async fn serve(
    address: SocketAddr,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with --admin-address")
    })?;
    tracing::info!(address = %listener.local_addr()?, "administration address is open");
    axum::serve(listener, router(readiness, metrics)).with_graceful_shutdown(stop).await?;
    Ok(())
}

fn router(readiness: Arc<Readiness>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render_metrics))
        .with_state(Shared { readiness, metrics })
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let report = shared.readiness.report();
    if report.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, report).into_response()
    }
}

async fn render_metrics(State(shared): State<Shared>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::metrics::Counted;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_says_what_it_waits_for() {
        let readiness = Arc::new(Readiness::default());
        let router = router(Arc::clone(&readiness), Arc::new(Metrics::new(Counted::default())));
        readiness.wait_for("crds", "serviceplans.tenantry.io is not installed; run tenantry manifests crds");
        let (status, body) = ask(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "crds: serviceplans.tenantry.io is not installed; run tenantry manifests crds\n");
        assert_eq!(ask(&router, "/livez").await.0, StatusCode::OK, "alive all the same");
        readiness.is_ready("crds");
        assert_eq!(ask(&router, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let metrics = Arc::new(Metrics::new(Counted::default()));
        metrics.reconciled("done", std::time::Duration::from_millis(3));
        let router = router(Arc::new(Readiness::default()), metrics);
        let (status, body) = ask(&router, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("tenantry_reconciles_total{outcome=\"done\"} 1"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
