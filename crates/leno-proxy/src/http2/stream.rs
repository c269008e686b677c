//! One stream in the hands of the exchange it carries.
//!
//! Dropping it ends the stream: what is not over is reset, and the slot is free for another.

mod body;

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use leno_http::h2::{self, Cause, Code, Then};
use leno_http::{Fields, RequestHead, ResponseHead};

use super::connection::{Connection, Peerage};
use super::state::State;

pub(crate) use body::{Moved, Piece};

/// Why a stream ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It was reset, by the other side or for what the other side did.
    Reset(Cause),
    /// Its connection is over.
    Connection,
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

    /// Who is at the other end of its connection.
    pub(crate) fn peerage(&self) -> &Peerage {
        self.connection.peerage()
    }

    /// When its connection was read last, as far as that is known without the clock: what arrived just now arrived then.
    pub(crate) fn read_at(&self) -> Option<Instant> {
        self.connection.read_at()
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
        Some(received.head_bytes)
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

    /// Whether more of the message is to come.
    pub(crate) fn is_owed(&self) -> bool {
        let mut state = self.connection.state.borrow_mut();
        let has_ended = state.ended.is_some();
        let received = state.stream(self.stream);
        !received.is_ended && received.cause.is_none() && !has_ended
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
            // An end alone always has room: nobody would come back to send it.
            if !bytes.is_empty() && !state.has_room(stream) {
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

impl Drop for Stream {
    fn drop(&mut self) {
        let buffers = &self.connection.worker.buffers;
        self.send(|state, stream| {
            let State { machine, out, .. } = &mut *state;
            machine.finish(stream, &mut out.bytes);
            state.begin(stream, buffers);
            state.note_end();
        });
    }
}
