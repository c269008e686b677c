//! tungstenite at both ends of a WebSocket, over HTTP/1 and, on the crate h2, over HTTP/2 (RFC 8441).
//!
//! ```text
//! tungstenite-ends server http1|http2     echoes every message; prints its port
//! tungstenite-ends echo http1|http2 URL   sends messages of all kinds and prints what came back
//! ```

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["server", version] => serve(version).await,
        ["echo", "http1", url] => {
            let (socket, _) = tokio_tungstenite::connect_async(url).await?;
            send(socket).await
        }
        ["echo", "http2", url] => send(open(url).await?).await,
        _ => Err("server http1|http2, or echo http1|http2 URL".into()),
    }
}

/// A stream of HTTP/2 as the bytes of a connection.
struct Joined {
    from: RecvStream,
    to: SendStream<Bytes>,
    held: Bytes,
}

impl Joined {
    const fn new(from: RecvStream, to: SendStream<Bytes>) -> Self {
        Self { from, to, held: Bytes::new() }
    }
}

impl AsyncRead for Joined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.held.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(data) => self.held = data.map_err(io::Error::other)?,
            }
        }
        let count = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..count]);
        self.held.advance(count);
        let released = self.from.flow_control().release_capacity(count);
        Poll::Ready(released.map_err(io::Error::other))
    }
}

impl AsyncWrite for Joined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.to.reserve_capacity(bytes.len());
        let room = match ready!(self.to.poll_capacity(cx)) {
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(room) => room.map_err(io::Error::other)?.min(bytes.len()),
        };
        let sent = self.to.send_data(Bytes::copy_from_slice(&bytes[..room]), false);
        Poll::Ready(sent.map(|()| room).map_err(io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was reset needs no end.
        let _ = self.to.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}

async fn serve(version: &str) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let is_http2 = version == "http2";
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // What a peer breaks ends its connection, and nothing else.
        tokio::spawn(async move {
            if is_http2 {
                let _ = serve_streams(stream).await;
            } else if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                echo(socket).await;
            }
        });
    }
}

async fn serve_streams(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection =
        h2::server::Builder::new().enable_connect_protocol().handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
        let is_asked = request.method() == Method::CONNECT && protocol == Some("websocket");
        let mut response = Response::new(());
        if !is_asked {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        let to = respond.send_response(response, !is_asked)?;
        if is_asked {
            tokio::spawn(async move {
                let joined = Joined::new(request.into_body(), to);
                echo(WebSocketStream::from_raw_socket(joined, Role::Server, None).await).await;
            });
        }
    }
    Ok(())
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        let is_message = message.is_text() || message.is_binary();
        if is_message && socket.send(message).await.is_err() {
            return;
        }
    }
    // A stream that is dropped is reset, and what was just said on it with it.
    let mut stream = socket.into_inner();
    if stream.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

/// Opens a WebSocket on a stream of its own connection.
async fn open(url: &str) -> Result<WebSocketStream<Joined>, Box<dyn Error>> {
    let url: http::Uri = url.parse()?;
    let authority = url.authority().ok_or("an authority")?.clone();
    let stream = TcpStream::connect(authority.as_str()).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(async move {
        // How it ends is seen by its stream.
        let _ = connection.await;
    });
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://{authority}{}", url.path()))
        .header("sec-websocket-version", "13")
        .body(())?;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let (response, to) = sender.send_request(request, false)?;
    let response = response.await?;
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status()).into());
    }
    let joined = Joined::new(response.into_body(), to);
    Ok(WebSocketStream::from_raw_socket(joined, Role::Client, None).await)
}

/// Sends messages of all kinds and says what came back.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) -> Outcome {
    let messages = [
        Message::text(""),
        Message::text("one"),
        Message::text("grüß \u{1f980}"),
        Message::text("x".repeat(70_000)),
        Message::binary(vec![0, 255, 1]),
        Message::binary(vec![7; 300_000]),
    ];
    for message in messages {
        socket.send(message.clone()).await?;
        let answer = socket.next().await.ok_or("no answer")??;
        let kind = if answer.is_binary() { "binary" } else { "text" };
        let verdict = if answer == message { "same" } else { "OTHER" };
        println!("message {kind} {} {verdict}", answer.len());
    }
    let part = |text: &'static str, kind, is_last| {
        Message::Frame(Frame::message(text.as_bytes(), OpCode::Data(kind), is_last))
    };
    socket.send(part("first ", Data::Text, false)).await?;
    socket.send(part("second", Data::Continue, true)).await?;
    println!("fragments {}", socket.next().await.ok_or("no fragments")??);
    socket.send(Message::Ping("are you there".into())).await?;
    match socket.next().await.ok_or("no pong")?? {
        Message::Pong(payload) => println!("pong {}", String::from_utf8_lossy(&payload)),
        other => println!("{other:?} for a pong"),
    }
    socket.close(Some(CloseFrame { code: 4001.into(), reason: "enough".into() })).await?;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(Some(frame)) = message {
            println!("close {}", frame.code);
        }
    }
    Ok(())
}
