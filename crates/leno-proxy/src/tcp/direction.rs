//! One direction of a relay: what one end sends, written to the other.

use std::io;
use std::task::{Context, Poll, ready};

use super::frames::Frames;
use super::{End, Leg};
use crate::buffers::{Buffers, Size};
use crate::limits::RELAY_TURN_BYTES;
use crate::wire::hangup::Hangup;

/// Which end of one direction failed.
pub(super) enum Side {
    From,
    To,
}

pub(super) struct Failed {
    side: Side,
    error: io::Error,
}

impl Failed {
    /// `downstream` is the end at which downstream stands in this direction.
    pub(super) fn into_end(self, downstream: Side) -> End {
        match (self.side, downstream) {
            (Side::From, Side::From) | (Side::To, Side::To) => End::Downstream(self.error),
            (Side::From, Side::To) | (Side::To, Side::From) => End::Upstream(self.error),
        }
    }
}

/// One direction of a relay.
pub(super) struct Direction {
    pub(super) buffer: Vec<u8>,
    written: usize,
    state: State,
    pub(super) moved: u64,
    hangup: Hangup,
    /// Where a WebSocket's frames end.
    frames: Option<Frames>,
    /// To be written in place of whatever follows the frame that has begun.
    farewell: Option<&'static [u8]>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reading,
    /// We said the last word; what still comes is dropped.
    Dropping,
    Ending,
    Ended,
}

impl Direction {
    pub(super) fn new(early: Vec<u8>, has_frames: bool) -> Self {
        Self {
            buffer: early,
            written: 0,
            state: State::Reading,
            moved: 0,
            hangup: Hangup::default(),
            frames: has_frames.then(Frames::default),
            farewell: None,
        }
    }

    /// Lets `words` follow the frame that has begun, and nothing follow them; unless the sender said them itself.
    pub(super) fn say_farewell(&mut self, words: &'static [u8]) {
        if self.state == State::Reading {
            self.farewell = Some(words);
        }
    }

    /// The same in the last moment before both ends are left.
    pub(super) fn last_words(&mut self, cx: &mut Context<'_>, words: &[u8], to: &mut impl Leg) {
        let is_between = self.frames.is_some_and(|f| f.is_boundary() && !f.has_closed());
        if is_between && self.state == State::Reading {
            // One that takes none of it now is cut off without.
            let _ = to.poll_write(cx, words);
            let _ = to.poll_flush(cx);
        }
    }

    /// Moves what can be moved; ready when the sender was done and the receiver knows.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Leg,
        to: &mut impl Leg,
        (buffers, size): (&Buffers, Size),
    ) -> Poll<Result<(), Failed>> {
        let at = |side| move |error| Failed { side, error };
        let turn_end = self.moved + RELAY_TURN_BYTES;
        loop {
            self.take_leave();
            if self.write(cx, to).map_err(at(Side::To))?.is_pending() {
                if buffers.shrink(&mut self.buffer, self.written) {
                    self.written = 0;
                }
                if self.state == State::Reading && from.poll_reset(&mut self.hangup, cx).is_ready()
                {
                    let error = io::ErrorKind::ConnectionReset.into();
                    return Poll::Ready(Err(at(Side::From)(error)));
                }
                return Poll::Pending;
            }
            self.hangup.rest();
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(to.poll_shutdown(cx)).map_err(at(Side::To))?;
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Reading | State::Dropping => {}
            }
            if self.moved >= turn_end {
                // Others have their turn before more is read.
                buffers.release(&mut self.buffer);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // The worker's large buffer, as long as the receiver takes all: who waits for bytes holds none.
            buffers.resize(&mut self.buffer, size);
            match from.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(_)) if self.state == State::Dropping => self.buffer.clear(),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(at(Side::From)(error))),
                Poll::Pending => {
                    buffers.release(&mut self.buffer);
                    ready!(to.poll_flush(cx)).map_err(at(Side::To))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Puts the last words where the frame that has begun ends.
    fn take_leave(&mut self) {
        let (Some(words), Some(frames)) = (self.farewell, &self.frames) else { return };
        if frames.has_closed() || self.state != State::Reading {
            self.farewell = None;
            return;
        }
        let rest = &self.buffer[self.written..];
        let begun = frames.rest_of_frame(rest);
        let mut after = *frames;
        after.pass(&rest[..begun]);
        if after.is_boundary() {
            self.buffer.truncate(self.written + begun);
            self.buffer.extend_from_slice(words);
            self.farewell = None;
            self.state = State::Dropping;
        }
    }

    /// Writes what is there; `Pending` when the receiver takes no more now.
    fn write(&mut self, cx: &mut Context<'_>, to: &mut impl Leg) -> io::Result<Poll<()>> {
        while self.written < self.buffer.len() {
            let rest = &self.buffer[self.written..];
            let count = match to.poll_write(cx, rest) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(count) => count?,
            };
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            if let Some(frames) = &mut self.frames {
                frames.pass(&rest[..count]);
            }
            self.written += count;
            self.moved += count as u64;
            self.hangup.rest();
        }
        self.buffer.clear();
        self.written = 0;
        Ok(Poll::Ready(()))
    }
}
