//! Moving one body from one connection to another with bounded memory.
//!
//! Small bodies are appended behind their head, so that head and body leave in one write; once the head is gone, bytes
//! that both sides frame alike are written straight from the buffer they were read into. Each direction of an exchange
//! has its own pump.

use std::io;
use std::task::{Context, Poll, ready};

use leno_http::Invalid;
use leno_http::h1::{BodyReader, BodyWriter, pass, relay};

use super::replay::Replay;
use crate::limits::BODY_BUFFER_BYTES;
use crate::wire::{Outgoing, Wire};

/// Why a body did not arrive.
#[derive(Debug)]
pub(super) enum PumpError {
    /// The sender's framing is wrong.
    Invalid(Invalid),
    /// The receiver's connection broke.
    Write(io::Error),
}

/// What a pump can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The body and everything before it was handed to the receiver's socket.
    Done,
    /// The inbox holds nothing usable: read more.
    Starved,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// Bytes at the front of the inbox that may be written as they are.
    approved: usize,
    /// Of these, how many are written.
    written: usize,
    /// Body bytes moved, framing included.
    pub(super) moved: u64,
    is_over: bool,
}

/// The parts of a connection pair that one direction touches.
pub(super) struct Ends<'a> {
    pub(super) reader: &'a mut BodyReader,
    pub(super) writer: &'a mut BodyWriter,
    pub(super) inbox: &'a mut Vec<u8>,
    pub(super) out: &'a mut Outgoing,
    pub(super) to: &'a mut Wire,
    /// Where a copy goes, while one is wanted.
    pub(super) tap: Option<&'a mut Replay>,
}

impl Pump {
    /// Appends what the inbox holds of the body to `out`, for a first write together with the head.
    pub(super) fn gather(&mut self, ends: &mut Ends<'_>) -> Result<(), PumpError> {
        if self.is_over || ends.out.pending() >= BODY_BUFFER_BYTES {
            return Ok(());
        }
        let out = &mut ends.out.bytes;
        let relayed = match ends.tap.as_deref_mut().filter(|replay| replay.is_recording()) {
            Some(replay) => replay.relay(ends.reader, ends.writer, ends.inbox, out),
            None => relay(ends.reader, ends.writer, ends.inbox, out),
        };
        let relayed = relayed.map_err(PumpError::Invalid)?;
        consume(ends.inbox, relayed.consumed);
        self.moved += relayed.consumed as u64;
        self.is_over = relayed.is_end;
        Ok(())
    }

    /// Moves what can be moved. `Pending` only when the receiver's socket is full (its waker is registered).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ends: &mut Ends<'_>,
    ) -> Poll<Result<Step, PumpError>> {
        loop {
            if self.approved > 0 {
                ready!(self.poll_direct(cx, ends)).map_err(PumpError::Write)?;
            }
            if !ends.out.is_empty() {
                if !ends.inbox.is_empty() {
                    self.gather(ends)?;
                }
                ready!(ends.out.poll_drain(ends.to, cx)).map_err(PumpError::Write)?;
            }
            if self.is_over {
                ready!(ends.to.poll_flush(cx)).map_err(PumpError::Write)?;
                return Poll::Ready(Ok(Step::Done));
            }
            if !self.take(ends)? {
                return Poll::Ready(Ok(Step::Starved));
            }
        }
    }

    /// Approves or gathers more of the inbox; `false` when that needs more input.
    fn take(&mut self, ends: &mut Ends<'_>) -> Result<bool, PumpError> {
        let is_tapped = ends.tap.as_deref().is_some_and(Replay::is_recording);
        let passed = if is_tapped { Ok(None) } else { pass(ends.reader, ends.writer, ends.inbox) };
        let Some(passed) = passed.map_err(PumpError::Invalid)? else {
            let before = self.moved;
            self.gather(ends)?;
            return Ok(self.is_over || self.moved != before);
        };
        self.approved = passed.length;
        self.moved += passed.length as u64;
        self.is_over = passed.is_end;
        Ok(self.is_over || passed.length > 0)
    }

    fn poll_direct(&mut self, cx: &mut Context<'_>, ends: &mut Ends<'_>) -> Poll<io::Result<()>> {
        while self.written < self.approved {
            let rest = &ends.inbox[self.written..self.approved];
            let count = ready!(ends.to.poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        consume(ends.inbox, self.approved);
        (self.approved, self.written) = (0, 0);
        Poll::Ready(Ok(()))
    }
}

/// Drops the first `count` bytes of a buffer.
pub(super) fn consume(buffer: &mut Vec<u8>, count: usize) {
    if count == buffer.len() {
        buffer.clear();
    } else if count > 0 {
        buffer.drain(..count);
    }
}
