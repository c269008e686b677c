//! Clients of HTTP/2 and gRPC: the `h2` crate, which keeps to the rules of GOAWAY. What a stream may meet beyond an answer is
//! that it was not processed because the connection goes away; whoever meets that comes back on another connection.

use std::io::{Error, ErrorKind, Result};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::time::timeout;

use super::load::wrong;
use super::tally::{Protocol, Tally};

/// No exchange takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Streams that are under way at once.
const STREAMS: u64 = 8;
/// Messages on one gRPC stream at most,
const MESSAGES: u64 = 20;
/// and how long it lives at most: less than is left of any drain, on a machine that is busy with other things too.
const LIFE: Duration = Duration::from_millis(300);
/// How long one connection is used at most, so that others are opened while nothing drains, too.
const CONNECTION: Duration = Duration::from_secs(3);

/// Uses one connection until it goes away, `stop` or its time is over.
pub(super) fn run(
    stream: TcpStream,
    protocol: Protocol,
    seed: u64,
    (tally, stop): (&Tally, &AtomicBool),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(use_connection(stream, protocol, seed, (tally, stop)))
}

async fn use_connection(
    stream: TcpStream,
    protocol: Protocol,
    mut seed: u64,
    (tally, stop): (&Tally, &AtomicBool),
) -> Result<()> {
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let handshake = timeout(PATIENCE, h2::client::handshake(stream)).await?;
    let (sender, connection) = handshake.map_err(error)?;
    let driver = tokio::spawn(connection);
    let begun = Instant::now();
    let mut is_open = true;
    while is_open && !stop.load(Ordering::Relaxed) && begun.elapsed() < CONNECTION {
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let sender = sender.clone();
            match protocol {
                Protocol::Grpc => streams.spawn(timeout(PATIENCE, chat(sender, seed >> 33))),
                _ => streams.spawn(timeout(PATIENCE, get(sender))),
            };
        }
        while let Some(ended) = streams.join_next().await {
            match ended.map_err(Error::other)?? {
                Ok(exchanges) => (0..exchanges).for_each(|_| tally.exchanged(protocol)),
                Err(Trouble::Broken(ended)) if is_unprocessed(&ended) => is_open = false,
                Err(Trouble::Broken(ended)) => return Err(error(ended)),
                Err(Trouble::Wrong(what)) => return Err(wrong(&what)),
            }
        }
    }
    drop(sender);
    // Everything was answered: how it ends now is told all the same.
    match timeout(PATIENCE, driver).await?.map_err(Error::other)? {
        Ok(()) => Ok(()),
        Err(ended) if ended.is_go_away() => Ok(()),
        Err(ended) => Err(error(ended)),
    }
}

fn error(error: h2::Error) -> Error {
    Error::other(error)
}

/// Why a stream did not get what it should.
enum Trouble {
    Broken(h2::Error),
    Wrong(String),
}

impl From<h2::Error> for Trouble {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error)
    }
}

/// Whether the server said that it did not look at the stream: it goes away in order, or refuses it.
fn is_unprocessed(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    is_refused || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
}

/// One request and its answer.
async fn get(sender: SendRequest<Bytes>) -> std::result::Result<u64, Trouble> {
    let request = Request::get("http://soak-app:9080/").body(()).expect("a request");
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    let response = response.await?;
    let status = response.status();
    let body = whole(response.into_body()).await?;
    if status != 200 || body != b"hello"[..] {
        return Err(answered(&format!("{status}: {body:?}")));
    }
    Ok(1)
}

/// One stream of messages both ways; each end counts, and the trailers tell what the server counted.
async fn chat(sender: SendRequest<Bytes>, draw: u64) -> std::result::Result<u64, Trouble> {
    let request = Request::post("http://soak-app-grpc:9081/soak.Echo/Chat")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (response, mut sent) = sender.ready().await?.send_request(request, false)?;
    let (messages, begun) = (1 + draw % MESSAGES, Instant::now());
    let mut counted = 1;
    send(&mut sent, message(draw))?;
    let response = response.await?;
    if response.status() != 200 {
        return Err(answered(&response.status().to_string()));
    }
    let mut body = response.into_body();
    let mut received = BytesMut::new();
    loop {
        let expected = message(draw.wrapping_add(counted - 1));
        while received.len() < expected.len() {
            let Some(piece) = body.data().await else {
                let trailers = body.trailers().await?;
                return Err(answered(&format!("an end after {counted} messages: {trailers:?}")));
            };
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            received.extend_from_slice(&piece);
        }
        if received.split_to(expected.len()) != expected {
            return Err(answered("another message came back"));
        }
        if counted == messages || begun.elapsed() > LIFE {
            break;
        }
        tokio::time::sleep(Duration::from_millis(draw % 4)).await;
        send(&mut sent, message(draw.wrapping_add(counted)))?;
        counted += 1;
    }
    sent.send_data(Bytes::new(), true)?;
    if body.data().await.is_some() {
        return Err(answered("more messages than were sent"));
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let told = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok()?.parse().ok());
    if (told("grpc-status"), told("x-count")) != (Some(0), Some(counted)) {
        return Err(answered(&format!("{counted} messages, and {trailers:?}")));
    }
    Ok(counted)
}

/// A wrong answer.
fn answered(what: &str) -> Trouble {
    Trouble::Wrong(what.to_owned())
}

fn send(sent: &mut SendStream<Bytes>, bytes: Bytes) -> std::result::Result<(), h2::Error> {
    // A few bytes: the windows are never used up.
    sent.reserve_capacity(bytes.len());
    sent.send_data(bytes, false)
}

/// A message with its prefix: not compressed, eight bytes.
fn message(number: u64) -> Bytes {
    let mut message = vec![0, 0, 0, 0, 8];
    message.extend(number.to_be_bytes());
    message.into()
}

async fn whole(mut body: RecvStream) -> std::result::Result<Bytes, Trouble> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// Serves connections that begin with HTTP/2's preface, each in a task: `/` answers, anything else is a chat.
pub(super) fn serve() -> Result<tokio::sync::mpsc::UnboundedSender<TcpStream>> {
    let (sender, mut connections) = tokio::sync::mpsc::unbounded_channel::<TcpStream>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            while let Some(stream) = connections.recv().await {
                let stream = stream.set_nonblocking(true).map(|()| stream);
                let Ok(stream) = stream.and_then(tokio::net::TcpStream::from_std) else { continue };
                tokio::spawn(serve_connection(stream));
            }
        });
    });
    Ok(sender)
}

async fn serve_connection(stream: tokio::net::TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    // A client that breaks off is counted at its end.
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(async move {
            let _ = answer(request, respond).await;
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> std::result::Result<(), h2::Error> {
    if request.uri().path() == "/" {
        let mut sent = respond.send_response(http::Response::new(()), false)?;
        return sent.send_data(Bytes::from_static(b"hello"), true);
    }
    let head = http::Response::builder().header("content-type", "application/grpc");
    let mut sent = respond.send_response(head.body(()).expect("a head"), false)?;
    let mut body = request.into_body();
    let (mut received, mut count) = (BytesMut::new(), 0_u64);
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
        while received.len() >= 5 {
            let length = 5 + usize::try_from((&received[1..5]).get_u32()).unwrap_or(usize::MAX);
            if received.len() < length {
                break;
            }
            count += 1;
            send(&mut sent, received.split_to(length).freeze())?;
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    trailers.insert("x-count", count.into());
    sent.send_trailers(trailers)
}

/// Whether a connection begins with HTTP/2's preface; waits for its first bytes and leaves them.
pub(super) fn is_http2(stream: &TcpStream) -> Result<bool> {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            3 => return Ok(first == *b"PRI"),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Whether a chat succeeds.
pub(super) fn answers(address: std::net::SocketAddr) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return false };
    let once = async {
        let stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let (sender, connection) = h2::client::handshake(stream).await.ok()?;
        tokio::spawn(connection);
        chat(sender, 1).await.ok()
    };
    // The timer belongs to the runtime, so it is made inside.
    let exchanges = runtime.block_on(async { timeout(PATIENCE, once).await });
    exchanges.is_ok_and(|exchanges| exchanges.is_some())
}
