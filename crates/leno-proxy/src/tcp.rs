//! The relay for what is not HTTP: bytes both ways until both sides are done.
//!
//! Half-close is kept, a reset on one side is a reset on the other, buffers start small and grow while reads fill
//! them. Called by the listener for TCP chains and by the exchange after an upgrade.

pub(crate) mod ahead;
pub(crate) mod open;
pub(crate) mod proxy;
mod record;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::buffers::Buffers;
use crate::lifecycle::{Phase, Watcher};
use crate::limits::{READ_BUFFER_BYTES, RELAY_BUFFER_BYTES};
use crate::wire::Wire;

/// What a relay moved, and why it ended.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// Bytes from downstream to upstream.
    pub(crate) received: u64,
    /// Bytes from upstream to downstream.
    pub(crate) sent: u64,
    /// Why it ended.
    pub(crate) end: End,
}

/// Why a relay ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides said that they were done.
    Finished,
    /// No byte moved for the idle timeout.
    Idle,
    /// A drain's time was over.
    Closing,
    /// The memory budget needed what it held.
    Shed,
    /// Downstream failed.
    Downstream(io::Error),
    /// Upstream failed.
    Upstream(io::Error),
}

/// What else ends a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    /// No byte for this long.
    pub(crate) idle: Duration,
    /// The filter chain or the process cannot wait any longer.
    pub(crate) life: &'a Watcher,
}

/// Bytes that were read before the relay began.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// From downstream.
    pub(crate) downstream: Vec<u8>,
    /// From upstream.
    pub(crate) upstream: Vec<u8>,
}

/// One end of a relay: a connection, or a stream of one. Its methods do what [`Wire`]'s of the same names do.
pub(crate) trait Leg {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn reset_on_drop(&self);
}

impl Leg for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buffer)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self, cx)
    }

    fn reset_on_drop(&self) {
        Self::reset_on_drop(self);
    }
}

/// Moves bytes both ways until both directions ended, one failed, or nothing moved for `idle`.
pub(crate) async fn relay(
    downstream: &mut impl Leg,
    upstream: &mut impl Leg,
    early: Early,
    bounds: Bounds<'_>,
    buffers: &Buffers,
) -> Relayed {
    relay_metered((downstream, upstream), early, bounds, buffers, |_, _| ()).await
}

/// The same, and tells `meter` how many bytes moved up and down since it was last told, while they move: connections may
/// stand for days.
pub(crate) async fn relay_metered(
    (downstream, upstream): (&mut impl Leg, &mut impl Leg),
    early: Early,
    bounds: Bounds<'_>,
    buffers: &Buffers,
    mut meter: impl FnMut(u64, u64),
) -> Relayed {
    let Bounds { idle, life } = bounds;
    let mut up = Direction::new(early.downstream);
    let mut down = Direction::new(early.upstream);
    let mut last = Instant::now();
    let mut timer = pin!(sleep_until(last + idle));
    let (mut seen_up, mut seen_down) = (0, 0);
    let mut is_registered = false;
    let charge = life.charge();
    let end = poll_fn(|cx| {
        if !is_registered {
            is_registered = true;
            life.register(cx);
        }
        let room = if life.may_grow() { RELAY_BUFFER_BYTES } else { READ_BUFFER_BYTES };
        let there = up.poll(cx, downstream, upstream, (buffers, room));
        let back = down.poll(cx, upstream, downstream, (buffers, room));
        if let Some(charge) = &charge {
            charge.set(up.buffer.capacity() + down.buffer.capacity());
        }
        let moved = (up.moved - seen_up, down.moved - seen_down);
        if moved != (0, 0) {
            (seen_up, seen_down) = (up.moved, down.moved);
            last = Instant::now();
            meter(moved.0, moved.1);
        }
        match (there, back) {
            (Poll::Ready(Err(side)), _) => return Poll::Ready(side.into_end(Side::From)),
            (_, Poll::Ready(Err(side))) => return Poll::Ready(side.into_end(Side::To)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Finished),
            _ => {}
        }
        if life.phase() == Phase::Closing {
            return Poll::Ready(if life.is_shed() { End::Shed } else { End::Closing });
        }
        // The timer is set again only when it fires: a busy relay never touches the timer wheel.
        while timer.as_mut().poll(cx).is_ready() {
            if last.elapsed() >= idle {
                return Poll::Ready(End::Idle);
            }
            timer.as_mut().reset(last + idle);
        }
        Poll::Pending
    })
    .await;
    match &end {
        End::Downstream(_) => upstream.reset_on_drop(),
        End::Upstream(_) => downstream.reset_on_drop(),
        End::Shed => {
            downstream.reset_on_drop();
            upstream.reset_on_drop();
        }
        End::Finished | End::Idle | End::Closing => {}
    }
    let relayed = Relayed { received: up.moved, sent: down.moved, end };
    buffers.give(up.buffer);
    buffers.give(down.buffer);
    relayed
}

/// Which end of one direction failed.
enum Side {
    From,
    To,
}

struct Failed {
    side: Side,
    error: io::Error,
}

impl Failed {
    /// `downstream` is the end at which downstream stands in this direction.
    fn into_end(self, downstream: Side) -> End {
        match (self.side, downstream) {
            (Side::From, Side::From) | (Side::To, Side::To) => End::Downstream(self.error),
            (Side::From, Side::To) | (Side::To, Side::From) => End::Upstream(self.error),
        }
    }
}

/// One direction of a relay.
struct Direction {
    buffer: Vec<u8>,
    written: usize,
    state: State,
    moved: u64,
    /// Wanted size of the buffer; doubles while reads fill it.
    room: usize,
}

#[derive(PartialEq)]
enum State {
    Reading,
    Ending,
    Ended,
}

impl Direction {
    fn new(early: Vec<u8>) -> Self {
        Self { buffer: early, written: 0, state: State::Reading, moved: 0, room: 0 }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Leg,
        to: &mut impl Leg,
        (buffers, room_max): (&Buffers, usize),
    ) -> Poll<Result<(), Failed>> {
        let at = |side| move |error| Failed { side, error };
        loop {
            while self.written < self.buffer.len() {
                let count = ready!(to.poll_write(cx, &self.buffer[self.written..]))
                    .map_err(at(Side::To))?;
                if count == 0 {
                    return Poll::Ready(Err(at(Side::To)(io::ErrorKind::WriteZero.into())));
                }
                self.written += count;
                self.moved += count as u64;
            }
            self.buffer.clear();
            self.written = 0;
            match self.state {
                State::Ended => return Poll::Ready(Ok(())),
                State::Ending => {
                    ready!(to.poll_shutdown(cx)).map_err(at(Side::To))?;
                    self.state = State::Ended;
                    return Poll::Ready(Ok(()));
                }
                State::Reading => {}
            }
            if self.buffer.capacity() > 2 * room_max {
                // Grown in better times.
                (self.buffer, self.room) = (Vec::new(), 0);
            }
            buffers.ensure(&mut self.buffer);
            if self.room.min(room_max) > self.buffer.capacity() {
                self.buffer.reserve_exact(self.room.min(room_max));
            }
            match from.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.state = State::Ending,
                Poll::Ready(Ok(count)) => {
                    if count == self.buffer.capacity() {
                        self.room = (count * 2).min(RELAY_BUFFER_BYTES);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(at(Side::From)(error))),
                Poll::Pending => {
                    buffers.release(&mut self.buffer);
                    self.room = 0;
                    ready!(to.poll_flush(cx)).map_err(at(Side::To))?;
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
