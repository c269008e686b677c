//! What stands between a port and its services: a connection that holds its place, and calls that know theirs.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tonic::transport::server::Connected;

use super::admission::Connection;
use crate::identity::{Caller, CertificateService, ControlStream};

/// A connection with its place. One on which nothing is asked for in time ends with `TimedOut`.
pub(super) struct Admitted {
    stream: ControlStream,
    connection: Arc<Connection>,
    /// `None` once somebody was met.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What every call on a connection carries as an extension.
#[derive(Clone)]
pub(super) struct Arrived {
    caller: Caller,
    connection: Arc<Connection>,
}

impl Admitted {
    pub(super) fn new(stream: ControlStream, connection: Arc<Connection>) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(connection.patience())));
        Self { stream, connection, deadline }
    }

    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        if self.connection.is_met() {
            self.deadline = None;
        } else if deadline.as_mut().poll(cx).is_ready() {
            self.connection.give_up();
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was asked for in time"));
        }
        Ok(())
    }
}

impl Connected for Admitted {
    type ConnectInfo = Arrived;

    fn connect_info(&self) -> Arrived {
        Arrived { caller: self.stream.connect_info(), connection: Arc::clone(&self.connection) }
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A service whose calls are answered with a status where their connection has no place.
#[derive(Clone)]
pub(super) struct Guarded<S>(pub(super) S);

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> tower::Service<http::Request<B>> for Guarded<S>
where
    S: NamedService
        + tower::Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let Some(Arrived { caller, connection }) = request.extensions_mut().remove() else {
            return Box::pin(self.0.call(request));
        };
        if let Some(status) = connection.refusal() {
            return Box::pin(async move { Ok(status.into_http()) });
        }
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(Arc::clone(&connection));
        let call = self.0.call(request);
        Box::pin(async move {
            let response = call.await?;
            // A refusal has its status in the head. A stream has not asked for anything by being there.
            if S::NAME == CertificateService::NAME
                && !response.headers().contains_key("grpc-status")
            {
                connection.meet();
            }
            Ok(response)
        })
    }
}
