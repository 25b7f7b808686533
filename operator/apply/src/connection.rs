//! The connection to the API server; makes a client.

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// A client whose requests leave at once, and that never sends one again by itself.
///
/// kube's own stack leaves Nagle's algorithm on (kube-client 5.0, `client/builder.rs`): the second part of a request then
/// waits until the server has acknowledged the first, which a server that waits for the whole request does only after 40
/// ms. This is the same stack without it, without the retries, which would repeat a write minutes later, past the lease,
/// and without limits of its own on reading and writing: whoever sends has a deadline. Through a proxy kube's own is used.
///
/// # Errors
/// When the configuration holds credentials or certificates that cannot be used.
pub fn connect(mut config: Config) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        config.default_retry = false;
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(config.connect_timeout);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}
