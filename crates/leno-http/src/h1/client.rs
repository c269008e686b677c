//! The end of a connection that faces upstream: requests go out, responses come in, one exchange after the other.

use super::body::BodyWriter;
use super::framing::Framing;
use super::reader::BodyReader;
use super::{Attempts, Persistence, encode, parse};
use crate::{Invalid, Limits, Method, RequestHead, ResponseHead};

/// One upstream connection. It never pipelines: the next request begins after [`Client::finish`].
#[derive(Debug)]
pub struct Client {
    limits: Limits,
    attempts: Attempts,
    phase: Phase,
    method: Method,
    wants_upgrade: bool,
    is_persistent: bool,
    request_body: BodyWriter,
    response_body: BodyReader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No request is on the way.
    Idle,
    /// A request was sent; its final response has not begun.
    Asked,
    /// The final response's head is here.
    Answered,
    /// What follows is not HTTP.
    Upgraded,
}

impl Client {
    /// A connection on which nothing happened yet.
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            attempts: Attempts::new(),
            phase: Phase::Idle,
            method: Method::Get,
            wants_upgrade: false,
            is_persistent: true,
            request_body: BodyWriter::new(),
            response_body: BodyReader::new(limits),
        }
    }

    /// Appends a request's head. Its body goes through [`Client::request_body`].
    pub fn request(&mut self, head: &RequestHead, out: &mut Vec<u8>) {
        assert!(self.phase == Phase::Idle, "the exchange before is not finished");
        let framing = encode::request(head, out);
        self.request_body.begin(framing);
        self.response_body.begin(Framing::Empty);
        (self.method, self.wants_upgrade) = (head.method, head.upgrade().is_some());
        self.phase = Phase::Asked;
    }

    /// The body of the request.
    pub const fn request_body(&mut self) -> &mut BodyWriter {
        &mut self.request_body
    }

    /// Parses a response's head at the start of `input`. `Some(n)`: it is in `head` and was the first `n` bytes. After an
    /// interim one another follows; after an upgrade the rest of `input` is the tunnel's. `None`: call again with the
    /// same bytes and more behind them.
    pub fn response(
        &mut self,
        input: &[u8],
        head: &mut ResponseHead,
    ) -> Result<Option<usize>, Invalid> {
        assert!(self.phase == Phase::Asked, "a response answers a request");
        if !self.attempts.is_worth_parsing(input, &self.limits) {
            return Ok(None);
        }
        let parsed = parse::response(input, &self.limits, self.method, head)?;
        let Some(parsed) = parsed else { return Ok(None) };
        self.attempts = Attempts::new();
        if head.is_interim() {
            return Ok(Some(parsed.length));
        }
        if head.status == 101 && !self.wants_upgrade {
            return Err(Invalid::Status);
        }
        self.phase = if head.is_upgrade { Phase::Upgraded } else { Phase::Answered };
        self.is_persistent = parsed.is_persistent;
        self.response_body.begin(parsed.framing);
        Ok(Some(parsed.length))
    }

    /// The body of the response.
    pub const fn response_body(&mut self) -> &mut BodyReader {
        &mut self.response_body
    }

    /// Both bodies at once.
    pub const fn bodies(&mut self) -> (&mut BodyWriter, &mut BodyReader) {
        (&mut self.request_body, &mut self.response_body)
    }

    /// The peer closed: the end of a response body that lasts until then, an error anywhere else in an exchange.
    pub fn end_of_input(&mut self) -> Result<(), Invalid> {
        self.is_persistent = false;
        match self.phase {
            Phase::Asked => Err(Invalid::Truncated),
            Phase::Idle | Phase::Answered | Phase::Upgraded => self.response_body.end_of_input(),
        }
    }

    /// Whether the connection is a tunnel now.
    pub const fn is_upgraded(&self) -> bool {
        matches!(self.phase, Phase::Upgraded)
    }

    /// Ends the exchange. `leftover` is what the caller still holds of the input: bytes behind a response that nobody
    /// asked for would become the next request's answer, so they close the connection.
    pub fn finish(&mut self, leftover: &[u8]) -> Persistence {
        let is_complete = self.phase == Phase::Answered
            && self.request_body.is_done()
            && self.response_body.is_done()
            && leftover.is_empty();
        if !is_complete || !self.is_persistent || self.response_body.is_until_close() {
            return Persistence::Close;
        }
        self.phase = Phase::Idle;
        Persistence::Keep
    }
}
