//! A proxy between one controller and the API server that disturbs requests as a plan says. Needs a client, sockets and
//! a clock.
//!
//! Towards the controller it is an API server on loopback with an authority of its own; towards the API server it passes
//! on the controller's token, so that rights, policies and the audit log are those of the controller. It does nothing
//! that the contract of the API forbids: within one watch nothing is lost or reordered, a GET is never answered with an
//! old object, and no success is told that did not happen.

mod exchange;
mod frames;
mod tls;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use tenantry_apply::connection::connect;
use tenantry_control_plane::config_from;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::process::Slot;
use crate::wire::Wire;
use exchange::Exchanger;
use tls::Identity;

/// A running proxy. Ends when dropped, with all its connections.
pub struct Proxy {
    kubeconfig: PathBuf,
    task: JoinHandle<()>,
}

/// What a proxy is made from.
pub struct Setup<'a> {
    /// Name of the replica behind it.
    pub replica: &'a str,
    /// The kubeconfig that the controller would use without it.
    pub original: &'a Path,
    /// Where to write the kubeconfig that leads to it.
    pub directory: &'a Path,
    /// Journal and armed fault.
    pub wire: Arc<Wire>,
    /// The process to kill when the plan says so.
    pub victim: Arc<Slot>,
    /// A client of the administrator, for rivals and for the present revision.
    pub administrator: Client,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy on a free port.
    ///
    /// # Errors
    /// When the kubeconfig cannot be read or no port can be had.
    pub async fn start(setup: Setup<'_>) -> Result<Self> {
        let identity = Identity::create()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address: SocketAddr = listener.local_addr()?;
        let kubeconfig = setup.directory.join(format!("{}.kubeconfig", setup.replica));
        identity.kubeconfig(setup.original, address, &kubeconfig)?;
        let exchanger = Arc::new(Exchanger {
            replica: setup.replica.to_owned(),
            upstream: anonymous(setup.original).await?,
            administrator: setup.administrator,
            wire: setup.wire,
            victim: setup.victim,
        });
        let acceptor = TlsAcceptor::from(identity.server);
        let task = tokio::spawn(accept(listener, acceptor, exchanger));
        Ok(Self { kubeconfig, task })
    }

    /// The kubeconfig that leads to it.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that adds no identity of its own: the controller's requests bring theirs.
async fn anonymous(kubeconfig: &Path) -> Result<Client> {
    let mut config = config_from(kubeconfig).await?;
    config.auth_info = kube::config::AuthInfo::default();
    Ok(connect(config)?)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, exchanger: Arc<Exchanger>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that cannot be accepted is the client's to open again.
                if let Ok((stream, _)) = accepted {
                    // Answers leave at once, as the API server's do.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&exchanger)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, exchanger: Arc<Exchanger>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let exchanger = Arc::clone(&exchanger);
        async move { exchanger.exchange(request).await }
    });
    // An error of the service closes the connection without an answer: that is how messages are lost here.
    let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
