//! HTTP/2 peers that this project did not write: the `h2` crate at both ends.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// No exchange of these tests takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// One client connection.
#[derive(Clone)]
pub(crate) struct Client {
    sender: SendRequest<Bytes>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // How it ends is seen by its streams.
            let _ = connection.await;
        });
        Self { sender }
    }

    /// Begins a request; its body goes through the stream.
    pub(crate) async fn begin(
        &mut self,
        request: Request<()>,
        is_end: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        sender.send_request(request, is_end).unwrap()
    }

    /// A whole request, and its whole response.
    pub(crate) async fn call(
        &mut self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Received, h2::Error> {
        let is_end = body.is_empty() && trailers.is_none();
        let (response, stream) = self.begin(request, is_end).await;
        let sent = async {
            if !is_end {
                send(stream, Bytes::copy_from_slice(body), trailers).await;
            }
        };
        let received = async {
            let (parts, body) = response.await?.into_parts();
            let (body, trailers) = read(body).await?;
            let (status, headers) = (parts.status.as_u16(), parts.headers);
            Ok(Received { status, headers, body, trailers })
        };
        timeout(PATIENCE, async { tokio::join!(sent, received).1 }).await.expect("an answer")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Received, h2::Error> {
        self.call(request("GET", path), b"", None).await
    }
}

/// A request without anything special.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://x{path}")).body(()).unwrap()
}

/// Sends a whole body as the windows allow.
pub(crate) async fn send(
    mut stream: SendStream<Bytes>,
    mut body: Bytes,
    trailers: Option<HeaderMap>,
) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        // A stream that was reset takes nothing more; the reader sees why.
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return;
        };
        let piece = body.split_to(room.min(body.len()));
        if stream.send_data(piece, body.is_empty() && trailers.is_none()).is_err() {
            return;
        }
    }
    match trailers {
        Some(trailers) => drop(stream.send_trailers(trailers)),
        None => drop(stream.send_data(Bytes::new(), true)),
    }
}

/// Reads a whole body.
pub(crate) async fn read(mut body: RecvStream) -> Result<(Bytes, Option<HeaderMap>), h2::Error> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok((whole.freeze(), body.trailers().await?))
}

/// Serves each request of each connection by `serve`, until the test ends.
pub(crate) async fn origin<F, S>(serve: S) -> SocketAddr
where
    S: Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    address
}

/// An origin that sends back what it got, trailers too.
pub(crate) async fn echo() -> SocketAddr {
    origin(|request, mut respond| async move {
        let (parts, body) = request.into_parts();
        let Ok((body, trailers)) = read(body).await else { return };
        let mut response = Response::builder().header("x-method", parts.method.as_str());
        for (name, value) in &parts.headers {
            response = response.header(format!("got-{name}"), value);
        }
        let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
        let response = response.header("got-authority", authority).body(()).unwrap();
        let Ok(stream) = respond.send_response(response, false) else { return };
        send(stream, body, trailers).await;
    })
    .await
}
