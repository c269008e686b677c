//! The front door: one listener for the live page, the management API and the Kubernetes-style API.
//!
//! TLS and plaintext on one port, told apart by the first byte: tools with a token want TLS, a browser on this host does
//! not. Bounded: so many connections, so long for a head. On shutdown it takes nothing new and lets exchanges finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::util::MapRequest;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;
/// A client that takes longer for the head of its request is cut off.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// What is still open this long after shutdown began is cut off.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// After an accept that failed for want of descriptors: no use in trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a request reached the front door; in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Over a loopback address at both ends: from this machine.
    pub(crate) is_local: bool,
    /// Over TLS.
    pub(crate) is_tls: bool,
}

/// Serves `router` until `stop` turns true and open exchanges are done.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = async {
            // The semaphore is never closed.
            let slot = slot.await.ok();
            (slot, listener.accept().await)
        };
        tokio::select! {
            (slot, accepted) = accepted => match accepted {
                Ok((stream, peer)) => {
                    let connection = begin((stream, peer), tls.clone(), router.clone(), stop.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "front door: connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_PATIENCE, drained).await.is_err() {
        connections.abort_all();
    }
}

/// Waits until the process is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could tell being gone is the same as being told.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn begin(
    (stream, peer): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let is_local = is_loopback(peer) && stream.local_addr().is_ok_and(is_loopback);
    let plain = Arrival { is_local, is_tls: false };
    let Some(tls) = tls else { return serve_connection(stream, router, plain, stop).await };
    let opened = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0] == TLS_HANDSHAKE {
            tls.accept(stream).await.map(Opened::Tls)
        } else {
            Ok(Opened::Plain(stream))
        }
    };
    match tokio::time::timeout(HEAD_PATIENCE, opened).await {
        Ok(Ok(Opened::Plain(stream))) => serve_connection(stream, router, plain, stop).await,
        Ok(Ok(Opened::Tls(stream))) => {
            let secure = Arrival { is_tls: true, ..plain };
            Box::pin(serve_connection(stream, router, secure, stop)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "front door: no connection"),
        Err(_) => {}
    }
}

#[expect(clippy::large_enum_variant, reason = "moved once, at the start of a connection")]
enum Opened {
    Plain(TcpStream),
    Tls(TlsStream<TcpStream>),
}

/// The first byte of a TLS record with a handshake; no HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    arrival: Arrival,
    mut stop: watch::Receiver<bool>,
) {
    let marked = MapRequest::new(router, move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(arrival);
        request
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    builder.http2().timer(TokioTimer::new());
    let stream = TokioIo::new(stream);
    let connection =
        builder.serve_connection_with_upgrades(stream, TowerToHyperService::new(marked));
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error, "front door: connection ended");
    }
}
