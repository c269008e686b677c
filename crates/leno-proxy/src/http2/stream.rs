//! One stream in the hands of the exchange it carries.
//!
//! Dropping it ends the stream: what is not over is reset, and the slot is free for another.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use leno_http::h1::BodyWriter;
use leno_http::h2::{self, Cause, Code, Then};
use leno_http::{Fields, Invalid, RequestHead, ResponseHead};

use super::connection::{Connection, State};
use crate::limits::BODY_BUFFER_BYTES;
use crate::tcp::Leg;
use crate::wire::Outgoing;

/// Why a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It was reset, by the other side or for what the other side did.
    Reset(Cause),
    /// Its connection is over.
    Connection,
}

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

/// One stream.
pub(crate) struct Stream {
    connection: Rc<Connection>,
    stream: h2::Stream,
}

impl Stream {
    pub(super) fn new(connection: Rc<Connection>, stream: h2::Stream) -> Self {
        Self { connection, stream }
    }

    /// Names the task that is told of whatever comes.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.connection.state.borrow_mut().stream(self.stream).register(cx);
    }

    /// Why it ended before its time, if it did.
    pub(crate) fn broken(&self) -> Option<Broken> {
        let mut state = self.connection.state.borrow_mut();
        let has_ended = state.ended.is_some();
        let received = state.stream(self.stream);
        match received.cause {
            Some(cause) => Some(Broken::Reset(cause)),
            // What arrived whole is not lost with the connection.
            None if has_ended && !received.is_ended => Some(Broken::Connection),
            None => None,
        }
    }

    /// Bytes of its message that arrived and were not taken.
    pub(crate) fn held(&self) -> usize {
        self.connection.state.borrow_mut().stream(self.stream).held()
    }

    /// Whether its connection can carry nothing more.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.connection.state.borrow().ended.is_some()
    }

    /// Takes the request's head and tells its length; `None` for one beyond the limits.
    pub(crate) fn take_request(&self, head: &mut RequestHead) -> Option<usize> {
        let mut state = self.connection.state.borrow_mut();
        let received = state.stream(self.stream);
        if received.is_oversized {
            return None;
        }
        std::mem::swap(head, &mut received.request);
        Some(0)
    }

    /// Takes the next response's head, interim ones first.
    pub(crate) fn take_response(&self, head: &mut ResponseHead) -> bool {
        let mut state = self.connection.state.borrow_mut();
        let received = state.stream(self.stream);
        if let Some(interim) = received.interim.pop_front() {
            *head = interim;
            return true;
        }
        if !received.has_head {
            return false;
        }
        received.has_head = false;
        std::mem::swap(head, &mut received.response);
        true
    }

    /// Whether the message is over and nothing of it waits.
    pub(crate) fn is_empty(&self) -> bool {
        let mut state = self.connection.state.borrow_mut();
        let received = state.stream(self.stream);
        received.is_done() && !received.has_trailers
    }

    /// The trailers of a message that is over; none before that.
    pub(crate) fn with_trailers<T>(&self, read: impl FnOnce(&Fields) -> T) -> T {
        let mut state = self.connection.state.borrow_mut();
        let received = state.stream(self.stream);
        if received.has_trailers { read(&received.trailers) } else { read(&Fields::new()) }
    }

    /// Takes body bytes that arrived: appends them to `buffer`, up to its capacity. 0 is the end of the message, an error
    /// its break.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        self.register(cx);
        let is_broken = self.broken().is_some();
        let mut state = self.connection.state.borrow_mut();
        let (machine, received, out) = state.parts(self.stream);
        let count = received.body().len().min(buffer.capacity() - buffer.len());
        if count > 0 {
            buffer.extend_from_slice(&received.body()[..count]);
            received.take(count, &self.connection.worker.buffers);
            machine.release(self.stream, count, out);
            self.connection.mark(&mut state);
            return Poll::Ready(Ok(count));
        }
        if received.is_ended {
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
        self.register(cx);
        if self.is_cut_off() || self.broken().is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        match self.send_data(bytes, Then::More) {
            0 => Poll::Pending,
            sent => Poll::Ready(Ok(sent)),
        }
    }

    /// Sends the final response's head.
    pub(crate) fn respond(&self, head: &ResponseHead, then: Then) -> usize {
        self.send(|state, stream| {
            let before = state.out.bytes.len();
            let State { machine, out, .. } = state;
            machine.response(stream, head, then, &mut out.bytes);
            out.bytes.len() - before
        })
    }

    /// Sends an interim response.
    pub(crate) fn interim(&self, head: &ResponseHead) {
        self.send(|State { machine, out, .. }, stream| {
            machine.interim(stream, head, &mut out.bytes);
        });
    }

    /// Sends a prefix of `bytes`, as much as may be sent now; `then` counts when that is all. The task is told when more
    /// may be sent.
    pub(crate) fn send_data(&self, bytes: &[u8], then: Then) -> usize {
        self.send(|state, stream| {
            if !state.has_room(stream) {
                return 0;
            }
            let State { machine, out, .. } = state;
            machine.data(stream, bytes, then, &mut out.bytes)
        })
    }

    /// Ends the body.
    pub(crate) fn send_end(&self, trailers: &Fields) {
        self.send(|State { machine, out, .. }, stream| {
            if trailers.is_empty() {
                machine.data(stream, b"", Then::End, &mut out.bytes);
            } else {
                machine.trailers(stream, trailers, &mut out.bytes);
            }
        });
    }

    /// Ends the stream in both directions, with the reason.
    pub(crate) fn reset(&self, code: Code) {
        self.send(|State { machine, out, .. }, stream| machine.reset(stream, code, &mut out.bytes));
    }

    /// Moves what arrived of the body to another stream; `tap` sees it.
    pub(crate) fn move_to(&self, to: &Self, mut tap: impl FnMut(Piece<'_>)) -> Moved {
        let mut state = self.connection.state.borrow_mut();
        let buffers = &self.connection.worker.buffers;
        let (machine, received, out) = state.parts(self.stream);
        let body = received.body();
        let offered = body.len();
        let is_last = received.is_ended && !received.has_trailers;
        let mut moved = 0;
        if offered > 0 || is_last {
            let then = if is_last { Then::End } else { Then::More };
            moved = to.send_data(body, then);
            if moved > 0 {
                tap(Piece::Data(&body[..moved]));
                received.take(moved, buffers);
                machine.release(self.stream, moved, out);
            }
        }
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

    /// Writes what arrived of the body in HTTP/1's framing, up to the usual amount of waiting bytes.
    pub(crate) fn write_to(
        &self,
        writer: &mut BodyWriter,
        out: &mut Outgoing,
        mut tap: impl FnMut(Piece<'_>),
    ) -> Result<Moved, Invalid> {
        let mut state = self.connection.state.borrow_mut();
        let buffers = &self.connection.worker.buffers;
        let (machine, received, credit) = state.parts(self.stream);
        let body = received.body();
        let moved = body.len().min(BODY_BUFFER_BYTES.saturating_sub(out.pending()));
        let is_all = moved == body.len();
        if moved > 0 {
            buffers.ensure(&mut out.bytes);
            writer.data(&body[..moved], &mut out.bytes)?;
            tap(Piece::Data(&body[..moved]));
            received.take(moved, buffers);
            machine.release(self.stream, moved, credit);
        }
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

    /// Ready when the other side is gone.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.register(cx);
        let is_gone = self.is_cut_off() || self.broken().is_some();
        if is_gone { Poll::Ready(()) } else { Poll::Pending }
    }

    fn send<T>(&self, append: impl FnOnce(&mut State, h2::Stream) -> T) -> T {
        let mut state = self.connection.state.borrow_mut();
        if state.out.bytes.capacity() == 0 {
            self.connection.worker.buffers.ensure(&mut state.out.bytes);
        }
        let appended = append(&mut state, self.stream);
        self.connection.mark(&mut state);
        appended
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
}

/// What a tap sees of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Bytes.
    Data(&'a [u8]),
    /// The body ended with trailers.
    Trailers,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let buffers = &self.connection.worker.buffers;
        self.send(|state, stream| {
            let State { machine, out, .. } = &mut *state;
            machine.finish(stream, &mut out.bytes);
            state.stream(stream).begin(buffers);
            state.note_end();
        });
    }
}
