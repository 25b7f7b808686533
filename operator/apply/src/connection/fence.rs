//! Connections that carry nothing while this process may not write: the last look at the gate, right before the bytes
//! are handed to the kernel. Wraps a connector.
//!
//! Whoever sends asks the gate before each request. Between that answer and the bytes lie a queue, a pool of connections,
//! perhaps a handshake, and several tasks; a process that is stopped there (SIGSTOP, a frozen machine) and goes on after
//! another leads would send what it was allowed long ago. A request that is cut off here was not sent whole, and a server
//! does not perform half a request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::Service;

use crate::gate::WriteGate;

/// Makes connections that carry nothing while the gate is closed.
#[derive(Clone)]
pub(super) struct FencedConnector<C> {
    inner: C,
    gate: Arc<dyn WriteGate>,
}

/// A connection that carries nothing while the gate is closed.
pub(super) struct Fenced<T> {
    inner: T,
    gate: Arc<dyn WriteGate>,
}

impl<C> FencedConnector<C> {
    /// Fences every connection that `inner` makes.
    pub(super) fn new(inner: C, gate: Arc<dyn WriteGate>) -> Self {
        Self { inner, gate }
    }
}

impl<C> Service<Uri> for FencedConnector<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: 'static,
    C::Error: 'static,
{
    type Response = Fenced<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let gate = Arc::clone(&self.gate);
        self.inner.call(uri).map_ok(|inner| Fenced { inner, gate }).boxed()
    }
}

impl<T> Fenced<T> {
    fn look(&self) -> io::Result<()> {
        if self.gate.may_write() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not sent: this process may not write now"))
    }
}

impl<T: Connection> Connection for Fenced<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<T: Read + Unpin> Read for Fenced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Fenced<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.inner).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }
}
