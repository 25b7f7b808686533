//! How every role listens: bounded connections, deadlines, an orderly end. Needs the network, signals and a clock.

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

/// Connections at once on one address. Who comes later waits in the kernel's queue.
const MOST_CONNECTIONS: usize = 256;
/// In which the head of a request has to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// In which a request has to be answered, its body included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// In which requests under way may end after the process was asked to.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// Pause after a connection that could not be accepted, mostly because there are too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Becomes true when the process shall end.
pub(crate) type Stop = watch::Receiver<bool>;

/// Becomes true with the first SIGTERM or SIGINT.
///
/// # Errors
/// When signals cannot be caught.
pub(crate) fn stop_signal() -> Result<Stop> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end");
        sender.send_replace(true);
    });
    Ok(receiver)
}

/// Waits until the process shall end.
pub(crate) async fn stopped(stop: &mut Stop) {
    // A sender that is gone can no longer ask, and only goes with the runtime.
    let _asked = stop.wait_for(|stop| *stop).await;
}

/// Listens on an address.
///
/// # Errors
/// When it is taken or not this machine's.
pub(crate) async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose a free address of this machine with {flag}")
    })
}

/// Adds to a router what every one has: a deadline, and a bound on the bodies it reads.
pub(crate) fn bounded(router: Router, longest_body: usize) -> Router {
    router.layer(DefaultBodyLimit::max(longest_body)).layer(middleware::from_fn(deadline))
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_late) => (StatusCode::GATEWAY_TIMEOUT, "the request took too long\n").into_response(),
    }
}

/// Serves until the process shall end, and then until the requests under way are answered.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: Stop) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let under_way = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else { continue };
        let service = TowerToHyperService::new(router.clone());
        let connection = under_way.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_WITHIN, under_way.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _from)) => Some((stream, slot)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_AGAIN).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::{get, put};
    use std::future::pending;
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn no_request_is_without_a_deadline_or_a_bound() {
        let router = Router::new()
            .route("/stuck", get(pending::<&str>))
            .route("/keep", put(|body: String| async move { body }));
        let router = bounded(router, 4);
        let ask = |request: Request| router.clone().oneshot(request);
        let stuck = ask(Request::get("/stuck").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(stuck.status(), StatusCode::GATEWAY_TIMEOUT);
        let endless = Body::from_stream(futures::stream::pending::<Result<&str, std::io::Error>>());
        let slow = ask(Request::put("/keep").body(endless).unwrap()).await.unwrap();
        assert_eq!(slow.status(), StatusCode::GATEWAY_TIMEOUT);
        for (body, status) in [("1234", StatusCode::OK), ("12345", StatusCode::PAYLOAD_TOO_LARGE)] {
            let answer = ask(Request::put("/keep").body(body.into()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), status, "{body}");
        }
    }
}
