//! Endpoints and clients that speak exact bytes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No exchange of these tests takes longer; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves each connection by `serve` in a thread of its own, until the test ends.
pub(crate) fn origin(serve: impl Fn(Peer) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(Peer::new(stream.unwrap())));
        }
    });
    address
}

/// Answers every request on every connection with `response`, and reports each request as received.
pub(crate) fn answering(response: &'static str) -> (SocketAddr, Receiver<String>) {
    let (sender, requests) = channel();
    let address = origin(move |mut peer| {
        while let Some(request) = peer.message() {
            // The test may have seen enough.
            let _ = sender.send(request);
            peer.write(response);
        }
    });
    (address, requests)
}

/// One end of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// A broken connection is the reader's to notice.
    pub(crate) fn write(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(text.as_ref());
    }

    pub(crate) fn end(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Everything up to and including `end`; `None` when the connection ended before.
    pub(crate) fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.received.windows(end.len()).position(|w| w == end.as_bytes());
            if let Some(at) = found {
                let taken: Vec<u8> = self.received.drain(..at + end.len()).collect();
                return Some(String::from_utf8(taken).unwrap());
            }
            self.fill()?;
        }
    }

    /// Exactly so many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            self.fill()?;
        }
        Some(self.received.drain(..count).collect())
    }

    /// One message: head, and the body its Content-Length or chunks announce.
    pub(crate) fn message(&mut self) -> Option<String> {
        let mut message = self.until("\r\n\r\n")?;
        let lower = message.to_ascii_lowercase();
        if lower.contains("transfer-encoding: chunked") {
            while !message.ends_with("\r\n0\r\n\r\n") {
                message.push_str(&self.until("\r\n")?);
                if message.ends_with("\r\n\r\n0\r\n") || message.ends_with("\r\n0\r\n") {
                    message.push_str(&self.until("\r\n")?);
                }
            }
        } else if let Some(at) = lower.find("content-length: ") {
            let length = &lower[at + 16..];
            let length: usize = length[..length.find("\r\n").unwrap()].parse().unwrap();
            message.push_str(&String::from_utf8(self.exactly(length)?).unwrap());
        }
        Some(message)
    }

    /// Everything until the other side ends.
    pub(crate) fn rest(&mut self) -> String {
        while self.fill().is_some() {}
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    /// Sends a request and reads its response.
    pub(crate) fn call(&mut self, request: &str) -> String {
        self.write(request);
        self.message().expect("a response")
    }

    fn fill(&mut self) -> Option<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(count) => {
                self.received.extend_from_slice(&bytes[..count]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}; so far: {}", self.received.escape_ascii()),
        }
    }
}
