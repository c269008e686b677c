//! Where proxies join: ADS and certificates as gRPC, on plaintext loopback (15010) and on TLS (15012).

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::front_door::stopped;
use crate::identity::{ControlStream, SecureListener};

/// Handshakes that are done and not yet taken over.
const OPENED_MAX: usize = 64;
/// A proxy that is gone without a word is noticed within this and the next.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors: no use in trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `routes` until `stop` turns true. Streams are cut then: proxies go on with what they have and come back.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<SecureListener>,
    routes: Routes,
    mut stop: watch::Receiver<bool>,
) {
    let (opened, connections) = mpsc::channel(OPENED_MAX);
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
        .add_routes(routes)
        .serve_with_incoming(ReceiverStream::new(connections));
    tokio::select! {
        () = accept(&listener, tls, opened) => {}
        outcome = server => {
            if let Err(error) = outcome {
                tracing::error!(%error, "discovery ended");
            }
        }
        () = stopped(&mut stop) => {}
    }
}

/// Takes connections in; a slow handshake holds up nobody else.
async fn accept(
    listener: &TcpListener,
    tls: Option<SecureListener>,
    opened: mpsc::Sender<io::Result<ControlStream>>,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "discovery: connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and a proxy waits for each.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls.clone() else {
            if opened.send(Ok(ControlStream::Plain(stream))).await.is_err() {
                return;
            }
            continue;
        };
        let opened = opened.clone();
        tokio::spawn(async move {
            match tls.accept(stream).await {
                // The server being gone is the end of the process.
                Ok(stream) => drop(opened.send(Ok(stream)).await),
                Err(error) => tracing::debug!(%error, "discovery: no handshake"),
            }
        });
    }
}
