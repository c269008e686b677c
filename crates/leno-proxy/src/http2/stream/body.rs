//! The body of one stream on its way elsewhere: to another stream, into HTTP/1's framing, out of and into a tunnel.

use std::io;
use std::task::{Context, Poll};

use leno_core::grpc::MessageCount;
use leno_http::h1::BodyWriter;
use leno_http::h2::{Code, Then};
use leno_http::{Fields, Invalid};

use super::Stream;
use crate::http2::relay::{Passed, Relay};
use crate::limits::BODY_BUFFER_BYTES;
use crate::tcp::Leg;
use crate::wire::Outgoing;
use crate::wire::hangup::Hangup;

/// What moving a piece of body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The body is over, on both sides.
    Done,
    /// All that was there.
    All(usize),
    /// Less: the receiver takes no more now, and tells when.
    Some(usize),
}

/// What a tap sees of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// The body ended with trailers.
    Trailers,
}

impl Stream {
    /// Takes body bytes that arrived: appends them to `buffer`, up to its capacity. 0 is the end of the message, an error
    /// its break.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let room = buffer.capacity() - buffer.len();
        self.poll_take(cx, room, |bytes| buffer.extend_from_slice(bytes))
    }

    /// The same for any taker of at most `room` bytes; what it is given is gone from here.
    pub(crate) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        room: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.register(cx);
        let is_broken = self.broken().is_some();
        let mut state = self.connection.state.borrow_mut();
        let mut parts = state.parts(self.stream);
        let body = parts.received.body();
        let count = body.len().min(room);
        if count > 0 {
            let is_all = count == body.len();
            take(&body[..count]);
            parts.take(self.stream, count, &self.connection.worker.buffers);
            if is_all {
                parts.widen(self.stream);
            }
            self.connection.mark(&mut state);
            return Poll::Ready(Ok(count));
        }
        if parts.received.is_ended {
            return Poll::Ready(Ok(0));
        }
        if is_broken {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        } else {
            Poll::Pending
        }
    }

    /// Sends a prefix of `bytes` as body.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut_off() || self.broken().is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.send_data(bytes, Then::More) {
            0 => {
                // Not before: a connection within a tunnel is also written by the flusher, which waits for nothing.
                self.register(cx);
                Poll::Pending
            }
            sent => Poll::Ready(Ok(sent)),
        }
    }

    /// Moves what arrived of the body to another stream; `tap` sees it.
    pub(crate) fn move_to(&self, to: &Self, mut tap: impl FnMut(Piece<'_>)) -> Moved {
        let mut state = self.connection.state.borrow_mut();
        let mut parts = state.parts(self.stream);
        let received = &*parts.received;
        let body = received.body();
        let offered = body.len();
        let is_last = received.is_ended && !received.has_trailers;
        let mut moved = 0;
        if offered > 0 || is_last {
            let then = if is_last { Then::End } else { Then::More };
            moved = to.send_data(body, then);
            if moved > 0 {
                tap(Piece::Data(&body[..moved]));
                parts.take(self.stream, moved, &self.connection.worker.buffers);
            }
        }
        let received = &*parts.received;
        let is_done = received.is_done() && moved == offered;
        if is_done && received.has_trailers {
            tap(Piece::Trailers);
            to.send_end(&received.trailers);
        }
        if moved > 0 {
            self.connection.mark(&mut state);
        }
        match () {
            () if is_done => Moved::Done,
            () if moved == offered => Moved::All(moved),
            () => Moved::Some(moved),
        }
    }

    /// Has what arrives from now on go to another stream at once. This one's task is told of the end, of a break and of
    /// what the other stream did not take; then, [`Self::take_relayed`].
    pub(crate) fn relay_to(&self, to: &Self, messages: Option<MessageCount>) {
        let mut state = self.connection.state.borrow_mut();
        let mut parts = state.parts(self.stream);
        parts.received.relay = Some(Relay::new(&to.connection, to.stream, messages));
        parts.widen(self.stream);
        self.connection.mark(&mut state);
    }

    /// Ends that, and tells what went past.
    pub(crate) fn take_relayed(&self) -> Option<Passed> {
        let mut state = self.connection.state.borrow_mut();
        state.stream(self.stream).relay.take().map(|relay| relay.passed)
    }

    /// Writes what arrived of the body in HTTP/1's framing, up to the usual amount of waiting bytes.
    pub(crate) fn write_to(
        &self,
        writer: &mut BodyWriter,
        out: &mut Outgoing,
        mut tap: impl FnMut(Piece<'_>),
    ) -> Result<Moved, Invalid> {
        let mut state = self.connection.state.borrow_mut();
        let buffers = &self.connection.worker.buffers;
        let mut parts = state.parts(self.stream);
        let body = parts.received.body();
        let moved = body.len().min(BODY_BUFFER_BYTES.saturating_sub(out.pending()));
        let is_all = moved == body.len();
        if moved > 0 {
            buffers.ensure(&mut out.bytes);
            writer.data(&body[..moved], &mut out.bytes)?;
            tap(Piece::Data(&body[..moved]));
            parts.take(self.stream, moved, buffers);
        }
        let received = &*parts.received;
        let is_done = received.is_done();
        if is_done {
            if received.has_trailers {
                tap(Piece::Trailers);
                writer.end(&received.trailers, &mut out.bytes)?;
            } else {
                writer.end(const { &Fields::new() }, &mut out.bytes)?;
            }
        }
        if moved > 0 {
            self.connection.mark(&mut state);
        }
        Ok(match () {
            () if is_done => Moved::Done,
            () if is_all => Moved::All(moved),
            () => Moved::Some(moved),
        })
    }
}

/// A stream that became a tunnel carries the tunnel's bytes as its body.
impl Leg for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, bytes)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The worker's flusher has it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send_end(&Fields::new());
        Poll::Ready(Ok(()))
    }

    fn reset_on_drop(&self) {
        self.reset(Code::CONNECT_ERROR);
    }

    fn poll_reset(&mut self, _: &mut Hangup, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_gone(cx)
    }
}
