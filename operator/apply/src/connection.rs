//! The connection to the API server; makes clients.

use std::sync::Arc;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};

use crate::gate::{Open, WriteGate};

mod fence;
#[cfg(test)]
mod tests;

use fence::FencedConnector;

/// How long the API server may keep silent.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Until an answer begins. Writes have a shorter deadline of their own; this is for lists, and for starts of watches.
    answer: Duration,
    /// Between two parts of what comes over a connection. It is longer than a watch lasts (`streams`), at whose end the API
    /// server says so: one that heard nothing for so long is one whose other end is gone.
    silence: Duration,
}

const PATIENCE: Patience = Patience { answer: Duration::from_secs(20), silence: Duration::from_secs(300) };

/// A client whose requests leave at once, and that never sends one again by itself.
///
/// kube's own stack leaves Nagle's algorithm on (kube-client 5.0, `client/builder.rs`): the second part of a request then
/// waits until the server has acknowledged the first, which a server that waits for the whole request does only after 40
/// ms. This is the same stack without it, without the retries, which would repeat a write minutes later, past the lease,
/// and with a patience of its own: a list that is never answered would otherwise be waited for for minutes, and a watch whose
/// other end is gone for ever. Through a proxy kube's own is used.
///
/// # Errors
/// When the configuration holds credentials or certificates that cannot be used.
pub fn connect(config: Config) -> Result<Client, kube::Error> {
    connect_fenced(config, Arc::new(Open))
}

/// As [`connect`], and nothing leaves while `gate` is closed, not even the rest of a request that was begun before: it
/// then ends with an error. For everything that is sent as the leader. Through a proxy, where kube's own stack is used,
/// only those who send ask the gate.
///
/// # Errors
/// When the configuration holds credentials or certificates that cannot be used.
pub fn connect_fenced(mut config: Config, gate: Arc<dyn WriteGate>) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        config.default_retry = false;
        return Client::try_from(config);
    }
    connect_patiently(config, gate, PATIENCE)
}

fn connect_patiently(
    config: Config,
    gate: Arc<dyn WriteGate>,
    patience: Patience,
) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(FencedConnector::new(connector, gate))?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_read_timeout(Some(patience.silence));
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(patience.answer))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
