//! The servers behind the proxies: HTTP/1.1 with WebSocket at `/ws`, HTTP/2 with gRPC, and bytes that come back. A thread for
//! each connection but HTTP/2's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;

use anyhow::Result;
use tokio::sync::mpsc::UnboundedSender;

use super::streams;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Where the servers listen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) http: SocketAddr,
    pub(super) echo: SocketAddr,
}

/// Serves until the process ends.
pub(super) fn start() -> Result<Origin> {
    Ok(Origin { http: serve(0, http)?, echo: serve(0, echo)? })
}

/// Serves HTTP and WebSocket on this port of every local address.
pub(super) fn start_at(port: u16) -> Result<()> {
    serve(port, http).map(drop)
}

fn serve(port: u16, each: fn(TcpStream) -> std::io::Result<()>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        // A connection that was gone before it was accepted is nobody's loss.
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                // A client that breaks off is counted at its end.
                let _ = each(stream);
            });
        }
    });
    Ok(address)
}

/// HTTP of either version.
fn http(stream: TcpStream) -> std::io::Result<()> {
    static HTTP2: OnceLock<UnboundedSender<TcpStream>> = OnceLock::new();
    if streams::is_http2(&stream)? {
        if HTTP2.get().is_none() {
            // A second one that is made in the same moment ends at once.
            let _ = HTTP2.set(streams::serve()?);
        }
        let served = HTTP2.get().map(|served| served.send(stream));
        return served
            .is_some_and(|sent| sent.is_ok())
            .then_some(())
            .ok_or(ErrorKind::Other.into());
    }
    http1(stream)
}

fn http1(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..count]);
        while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = received.split_off(end + 4);
            let head = std::mem::replace(&mut received, rest);
            if head.starts_with(b"GET /ws ") {
                stream.write_all(SWITCHED)?;
                return websocket(stream, received);
            }
            stream.write_all(ANSWER)?;
        }
    }
}

/// Echoes frames of up to 125 bytes until a close frame, which is echoed too (RFC 6455 section 5).
fn websocket(mut stream: TcpStream, mut received: Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        while received.len() >= 6 {
            let length = usize::from(received[1] & 0x7f);
            if received.len() < 6 + length {
                break;
            }
            let frame: Vec<u8> = received.drain(..6 + length).collect();
            let payload = frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(a, b)| a ^ b);
            let mut answer = vec![frame[0], frame[1] & 0x7f];
            answer.extend(payload);
            stream.write_all(&answer)?;
            if frame[0] & 0x0f == 8 {
                return Ok(());
            }
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..count]);
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count])?;
    }
}
