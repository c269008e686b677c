//! The gRPC servers of discovery and identity: plaintext on loopback (15010), TLS for everybody (15012).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::Push;
use super::admission::Admission;
use super::admitted::{Admitted, Guarded};
use crate::identity::{ControlStream, SecureListener};
use crate::limits::{self, Limit};

/// Handshakes and connections that wait to be served.
const WAITING_MAX: usize = 64;
/// After an accept that failed for want of descriptors: no use in trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A proxy that vanished without a word is noticed after this.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How connections of a port are taken.
#[derive(Clone)]
pub(crate) enum Security {
    /// As they are; for loopback only.
    Plaintext,
    /// After a handshake.
    Tls(SecureListener),
}

/// Serves until `stop` turns true; streams are then cut, proxies come back by themselves.
pub(crate) async fn serve(
    listener: TcpListener,
    security: Security,
    push: Push,
    mut stop: watch::Receiver<bool>,
) {
    let (send, connections) = mpsc::channel(WAITING_MAX);
    let accepting = accept(listener, security, push.admission.clone(), send);
    let serving = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_concurrent_streams(limits::CALLS_PER_CONNECTION)
        .add_service(Guarded(push.service()))
        .add_service(Guarded(push.identity.service()))
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::select! {
        () = accepting => {}
        outcome = serving => {
            if let Err(error) = outcome {
                tracing::error!(%error, "the xDS server ended");
            }
        }
        // Whoever could tell being gone is the same as being told.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Takes connections until nobody wants them. A slow handshake keeps nobody waiting but its own place.
async fn accept(
    listener: TcpListener,
    security: Security,
    admission: Admission,
    send: mpsc::Sender<io::Result<Admitted>>,
) {
    let security = Arc::new(security);
    let patience = limits::HANDSHAKE.min(admission.limits().first_request);
    while !send.is_closed() {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "xDS: connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(connection) = admission.connect(peer.ip()) else { continue };
        let (security, send, admission) = (Arc::clone(&security), send.clone(), admission.clone());
        tokio::spawn(async move {
            match open(stream, &security, patience).await {
                Ok(stream) => {
                    // The server is gone: so is the process.
                    let _ = send.send(Ok(Admitted::new(stream, connection))).await;
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::TimedOut {
                        admission.reach(Limit::Handshake, &peer);
                    }
                    tracing::debug!(%error, "xDS: no connection");
                }
            }
        });
    }
}

async fn open(
    stream: TcpStream,
    security: &Security,
    patience: Duration,
) -> io::Result<ControlStream> {
    stream.set_nodelay(true)?;
    match security {
        Security::Plaintext => Ok(ControlStream::Plain(stream)),
        Security::Tls(listener) => listener.accept(stream, patience).await,
    }
}
