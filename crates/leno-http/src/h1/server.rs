//! The end of a connection that faces downstream: requests come in, responses go out, one exchange after the other.

use super::body::BodyWriter;
use super::encode::{self, Connection};
use super::framing::Framing;
use super::parse;
use super::reader::BodyReader;
use super::{Attempts, Persistence};
use crate::{Invalid, Limits, Method, RequestHead, ResponseHead, Version};

/// One downstream connection. Pipelined requests wait in the caller's buffer until [`Server::finish`].
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    attempts: Attempts,
    phase: Phase,
    method: Method,
    version: Version,
    is_persistent: bool,
    request_body: BodyReader,
    response_body: BodyWriter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request has begun.
    Idle,
    /// A request is here; its response has not begun.
    Asked,
    /// The response's head is written.
    Answered,
    /// What follows is not HTTP.
    Upgraded,
}

impl Server {
    /// A connection on which nothing happened yet.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            attempts: Attempts::new(),
            phase: Phase::Idle,
            method: Method::Get,
            version: Version::Http11,
            is_persistent: true,
            request_body: BodyReader::new(limits),
            response_body: BodyWriter::new(),
        }
    }

    /// Parses the next request's head at the start of `input`. `Some(n)`: it is in `head` and was the first `n` bytes;
    /// its body follows. `None`: call again with the same bytes and more behind them. Not to be called between a
    /// request and [`Server::finish`].
    pub fn head(&mut self, input: &[u8], head: &mut RequestHead) -> Result<Option<usize>, Invalid> {
        assert!(self.phase == Phase::Idle, "the exchange before is not finished");
        if !self.attempts.is_worth_parsing(input, &self.limits) {
            return Ok(None);
        }
        let Some(parsed) = parse::request(input, &self.limits, head)? else { return Ok(None) };
        self.attempts = Attempts::new();
        self.phase = Phase::Asked;
        (self.method, self.version, self.is_persistent) =
            (head.method, head.version, parsed.is_persistent);
        self.request_body.begin(parsed.framing);
        self.response_body.begin(Framing::Empty);
        Ok(Some(parsed.length))
    }

    /// The body of the request.
    pub const fn request_body(&mut self) -> &mut BodyReader {
        &mut self.request_body
    }

    /// Appends an interim response (1xx but 101). HTTP/1.0 knows none, so nothing is written to it.
    pub fn interim(&mut self, head: &ResponseHead, out: &mut Vec<u8>) {
        assert!(
            head.is_interim() && self.phase == Phase::Asked,
            "interim responses precede the final one"
        );
        if self.version != Version::Http10 {
            encode::interim(head, out);
        }
    }

    /// Makes the response say `Connection: close` and the connection end with this exchange.
    pub const fn close_after(&mut self) {
        self.is_persistent = false;
    }

    /// Appends the head of the final response. Its body goes through [`Server::response_body`]. After 101, or 2xx to
    /// CONNECT, the connection is a tunnel: bytes the caller still holds are its first.
    pub fn response(&mut self, head: &ResponseHead, out: &mut Vec<u8>) {
        assert!(
            !head.is_interim() && self.phase == Phase::Asked,
            "one final response answers one request"
        );
        let is_tunnel = self.method == Method::Connect && (200..300).contains(&head.status);
        let is_persistent = self.is_persistent;
        let connection = |framing| match (framing, self.version) {
            _ if head.status == 101 => Connection::Upgrade,
            _ if is_tunnel => Connection::Unsaid,
            (Framing::UntilClose, _) => Connection::Close,
            _ if !is_persistent => Connection::Close,
            (_, Version::Http10) => Connection::KeepAlive,
            _ => Connection::Unsaid,
        };
        let framing = encode::response(head, (self.method, self.version), connection, out);
        self.response_body.begin(framing);
        self.phase =
            if head.status == 101 || is_tunnel { Phase::Upgraded } else { Phase::Answered };
    }

    /// The body of the response.
    pub const fn response_body(&mut self) -> &mut BodyWriter {
        &mut self.response_body
    }

    /// Both bodies at once, for relaying an upgraded or early answered exchange.
    pub const fn bodies(&mut self) -> (&mut BodyReader, &mut BodyWriter) {
        (&mut self.request_body, &mut self.response_body)
    }

    /// Whether the connection is a tunnel now.
    pub const fn is_upgraded(&self) -> bool {
        matches!(self.phase, Phase::Upgraded)
    }

    /// Ends the exchange. The connection persists when both sides want it and both bodies are complete; a request body
    /// that was answered early may be read to its end before this is called.
    pub fn finish(&mut self) -> Persistence {
        let is_complete = self.phase == Phase::Answered
            && self.request_body.is_done()
            && self.response_body.is_done()
            && !self.response_body.is_until_close();
        if !is_complete || !self.is_persistent {
            return Persistence::Close;
        }
        self.phase = Phase::Idle;
        Persistence::Keep
    }
}
