//! The gRPC servers of discovery and identity: plaintext on loopback (15010), TLS for everybody (15012).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::Push;
use crate::identity::{ControlStream, SecureListener};

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
    let accepting = accept(listener, security, send);
    let serving = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_service(push.service())
        .add_service(push.identity.service())
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

/// Takes connections until nobody wants them. A slow handshake keeps nobody waiting.
async fn accept(
    listener: TcpListener,
    security: Security,
    send: mpsc::Sender<io::Result<ControlStream>>,
) {
    let security = Arc::new(security);
    while !send.is_closed() {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "xDS: connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (security, send) = (Arc::clone(&security), send.clone());
        tokio::spawn(async move {
            match open(stream, &security).await {
                Ok(stream) => {
                    // The server is gone: so is the process.
                    let _ = send.send(Ok(stream)).await;
                }
                Err(error) => tracing::debug!(%error, "xDS: no connection"),
            }
        });
    }
}

async fn open(stream: TcpStream, security: &Security) -> io::Result<ControlStream> {
    stream.set_nodelay(true)?;
    match security {
        Security::Plaintext => Ok(ControlStream::Plain(stream)),
        Security::Tls(listener) => listener.accept(stream).await,
    }
}
