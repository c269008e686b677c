//! The endpoint's end of an attempt: the request goes there, the response comes from there.
//!
//! Owned by the attempt. Dropped before the exchange is over, it tells the endpoint that nobody waits any more.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use leno_http::h1::Persistence;
use leno_http::h2::{Cause, NotNow, Then};
use tokio::time::Instant;

use leno_http::{BodyLength, Fields, Invalid, RequestHead, ResponseHead};

use super::attempt::{Broken, asks_for_tunnel};
use super::pump::consume;
use super::replay::Replay;
use super::transfer::{Sink, Source};
use crate::buffers::{Buffers, Size};
use crate::http2::{self as stream, Connection, Stream};
use crate::limits::{self, BODY_BUFFER_BYTES};
use crate::upstream::cluster::UpstreamConnection;
use crate::upstream::pool;
use crate::wire::Outgoing;
use crate::worker::Worker;

/// What carries the attempt.
pub(super) enum Upstream {
    /// A connection of its own.
    Http1(Http1),
    /// A stream of a connection that many share.
    Http2(Http2),
}

/// A stream during one exchange; dropping it resets what is not over.
pub(super) struct Http2 {
    stream: Stream,
    is_new: bool,
    is_upgraded: bool,
}

impl Http2 {
    /// Sends the head.
    pub(super) fn begin(connection: &Rc<Connection>, head: &RequestHead) -> Result<Self, NotNow> {
        let has_more = head.body() != BodyLength::Empty || asks_for_tunnel(head);
        let is_new = connection.served.get() == 0;
        let stream = connection.request(head, if has_more { Then::More } else { Then::End })?;
        Ok(Self { stream, is_new, is_upgraded: false })
    }

    /// The stream of an exchange that became a tunnel.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn take_head(&mut self, head: &mut ResponseHead) -> bool {
        let is_taken = self.stream.take_response(head);
        self.is_upgraded |= is_taken && head.is_upgrade();
        is_taken
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        self.stream.register(cx);
        match self.stream.broken() {
            None => Poll::Pending,
            Some(broken) => Poll::Ready(Err(match broken {
                stream::Broken::Reset(Cause::Refused) => Broken::Refused,
                stream::Broken::Reset(Cause::Peer(_)) => Broken::Reset,
                stream::Broken::Reset(Cause::Violation(_)) => Broken::Response(Invalid::Truncated),
                stream::Broken::Connection => Broken::UpstreamEnded,
            })),
        }
    }
}

/// A connection during one exchange; dropping it closes the connection.
pub(super) struct Http1 {
    connection: UpstreamConnection,
    inbox: Vec<u8>,
    /// Whether a read took all the room there was: a long body, worth fewer and larger system calls.
    is_bulk: bool,
    /// The largest piece that may be read, by what the cluster says.
    piece_max: Size,
    out: Outgoing,
    /// Bytes that TLS had written before this exchange.
    encrypted: u64,
}

impl Http1 {
    /// Encodes the head, and what a former attempt kept of the body.
    pub(super) fn begin(
        mut connection: UpstreamConnection,
        (buffers, piece_max): (&Buffers, Size),
        head: &RequestHead,
        replay: &Replay,
    ) -> Self {
        let client = &mut connection.client;
        let mut out = Outgoing::default();
        buffers.ensure(&mut out.bytes);
        client.request(head, &mut out.bytes);
        replay.resend(client.request_body(), &mut out.bytes);
        let encrypted = connection.wire.encrypted().unwrap_or_default();
        Self { connection, inbox: Vec::new(), is_bulk: false, piece_max, out, encrypted }
    }

    fn take_head(&mut self, head: &mut ResponseHead) -> Result<bool, Broken> {
        if self.inbox.is_empty() {
            return Ok(false);
        }
        let parsed =
            self.connection.client.response(&self.inbox, head).map_err(Broken::Response)?;
        let Some(length) = parsed else { return Ok(false) };
        consume(&mut self.inbox, length);
        Ok(true)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        piece: Size,
    ) -> Poll<io::Result<usize>> {
        if self.connection.wire.poll_readable(cx).is_pending() {
            worker.buffers.release(&mut self.inbox);
            // What has left needs no room while the answer is waited for: the next exchange finds it in the cache.
            worker.buffers.release(&mut self.out.bytes);
            return Poll::Pending;
        }
        let piece = if self.is_bulk { piece.min(self.piece_max) } else { Size::Ordinary };
        worker.buffers.resize(&mut self.inbox, worker.room(piece));
        if self.inbox.len() == self.inbox.capacity() {
            let room = self.inbox.capacity().min(BODY_BUFFER_BYTES);
            self.inbox.reserve_exact(room);
        }
        let read = self.connection.wire.poll_read(cx, &mut self.inbox);
        if read.is_ready() {
            self.is_bulk |= self.inbox.len() == self.inbox.capacity();
        } else {
            worker.buffers.release(&mut self.inbox);
        }
        read
    }

    /// Whether the endpoint's kernel refused the request byte for byte: then nobody read any of it. `None` while that can
    /// still turn out. To be asked after the endpoint ended the connection and answered nothing.
    ///
    /// The end that came acknowledges every byte that had arrived before it. Where it acknowledged none, the endpoint had
    /// closed the connection before the request came; and where a reset then answered the request, it had closed it for
    /// reading, too. A reset without an end proves nothing: it may follow a request that was read.
    fn is_refused(&self) -> Option<bool> {
        let Some(delivery) = self.connection.wire.delivery() else { return Some(false) };
        let sent = match self.connection.wire.encrypted() {
            Some(encrypted) => encrypted - self.encrypted,
            None => self.out.sent(),
        };
        match (sent <= delivery.unacknowledged, delivery.is_over) {
            (true, true) => Some(true),
            (true, false) => None,
            (false, _) => Some(false),
        }
    }

    /// Ends the exchange and tells whether the connection can carry another one.
    pub(super) fn finish(mut self, buffers: &Buffers) -> Option<UpstreamConnection> {
        let persistence = self.connection.client.finish(&self.inbox);
        buffers.give(std::mem::take(&mut self.inbox));
        buffers.give(std::mem::take(&mut self.out.bytes));
        self.connection.served += 1;
        (persistence == Persistence::Keep).then_some(self.connection)
    }

    /// The parts of a connection that became a tunnel: its bytes, and those that came behind the head.
    pub(super) fn into_tunnel(self) -> Option<(UpstreamConnection, Vec<u8>)> {
        self.connection.client.is_upgraded().then_some((self.connection, self.inbox))
    }
}

impl Upstream {
    /// Bytes held for the exchange.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Http1(end) => end.inbox.capacity() + end.out.bytes.capacity(),
            Self::Http2(end) => end.stream.held(),
        }
    }

    /// When the head that was just taken arrived, as far as that is known without the clock.
    pub(super) fn answered_at(&self) -> Option<std::time::Instant> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(end) => end.stream.read_at(),
        }
    }

    /// Whether this is the connection's first exchange.
    pub(super) fn is_new(&self) -> bool {
        match self {
            Self::Http1(end) => end.connection.served == 0,
            Self::Http2(end) => end.is_new,
        }
    }

    /// How long the connection had been idle before this exchange.
    pub(super) fn idle(&self) -> Duration {
        match self {
            Self::Http1(end) => end.connection.idle,
            Self::Http2(_) => Duration::ZERO,
        }
    }

    /// Whether no byte of the request reached the socket.
    pub(super) fn is_unsent(&self) -> bool {
        match self {
            Self::Http1(end) => end.out.sent() == 0,
            // It may have left with others of the same turn.
            Self::Http2(_) => false,
        }
    }

    /// Makes dropping it a reset in either version.
    pub(super) fn reset_on_drop(&self) {
        match self {
            Self::Http1(end) => end.connection.wire.reset_on_drop(),
            // A stream that is not over is reset in any case.
            Self::Http2(_) => {}
        }
    }

    /// Whether the endpoint's kernel refused every byte of the request; waits a little for that to turn out.
    pub(super) async fn was_refused(&self) -> bool {
        let Self::Http1(end) = self else { return false };
        let (mut pause, begun) = (Duration::from_millis(1), Instant::now());
        loop {
            match end.is_refused() {
                Some(is_refused) => return is_refused,
                None if begun.elapsed() > limits::REFUSAL => return false,
                None => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// Whether the endpoint agreed to an upgrade.
    pub(super) fn is_upgraded(&self) -> bool {
        match self {
            Self::Http1(end) => end.connection.client.is_upgraded(),
            Self::Http2(end) => end.is_upgraded,
        }
    }

    /// The trailers of a response that is over.
    pub(super) fn with_trailers<T>(&mut self, read: impl FnOnce(&Fields) -> T) -> T {
        match self {
            Self::Http1(end) => read(end.connection.client.response_body().trailers()),
            Self::Http2(end) => end.stream.with_trailers(read),
        }
    }

    /// Whether nothing follows the response's head.
    pub(super) fn is_response_over(&mut self) -> bool {
        match self {
            Self::Http1(end) => {
                !end.connection.client.is_upgraded()
                    && end.connection.client.response_body().is_done()
            }
            Self::Http2(end) => !end.is_upgraded && end.stream.is_empty(),
        }
    }

    /// The next head that is there.
    pub(super) fn take_head(&mut self, head: &mut ResponseHead) -> Result<bool, Broken> {
        match self {
            Self::Http1(end) => end.take_head(head),
            Self::Http2(end) => Ok(end.take_head(head)),
        }
    }

    /// Waits for more of the response, in pieces of that size where it comes in bulk; 0 is the end of what comes.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        piece: Size,
    ) -> Poll<Result<usize, Broken>> {
        match self {
            Self::Http1(end) => end.poll_receive(cx, worker, piece).map_err(Broken::Upstream),
            Self::Http2(end) => end.poll_receive(cx),
        }
    }

    /// Gives back the buffers of which nothing waits: that of the request once it is written, and that of the response where
    /// somebody else has what was in it.
    pub(super) fn release(&mut self, buffers: &Buffers) {
        if let Self::Http1(end) = self {
            buffers.release(&mut end.out.bytes);
            buffers.release(&mut end.inbox);
        }
    }

    /// Nothing more comes: that may be the end of a body.
    pub(super) fn end_of_input(&mut self) -> Result<(), Broken> {
        match self {
            Self::Http1(end) => {
                end.connection.client.end_of_input().map_err(|_| Broken::UpstreamEnded)
            }
            Self::Http2(_) => Err(Broken::UpstreamEnded),
        }
    }

    /// Where the response's body comes from.
    pub(super) fn source(&mut self) -> Source<'_> {
        match self {
            Self::Http1(end) => Source::Http1 {
                reader: end.connection.client.response_body(),
                inbox: &mut end.inbox,
            },
            Self::Http2(end) => Source::Http2(&end.stream),
        }
    }

    /// Where the request's body goes.
    pub(super) fn sink(&mut self) -> Sink<'_> {
        match self {
            Self::Http1(end) => {
                let pool::Connection { client, wire, .. } = &mut *end.connection;
                Sink::Http1 { writer: client.request_body(), out: &mut end.out, to: wire }
            }
            Self::Http2(end) => Sink::Http2(&end.stream),
        }
    }
}
