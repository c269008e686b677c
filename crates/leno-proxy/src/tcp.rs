//! The relay for what is not HTTP: bytes both ways until both sides are done.
//!
//! Half-close is kept, a reset on one side is a reset on the other; reads are large, and no buffer is held between them.
//! Called by the listener for TCP chains and by the exchange after an upgrade.

pub(crate) mod ahead;
mod direction;
mod frames;
pub(crate) mod open;
pub(crate) mod proxy;
mod record;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::buffers::{Buffers, Size};
use crate::lifecycle::{Phase, Watcher};
use crate::wire::Wire;
use crate::wire::hangup::{Hangup, Parting};
use direction::{Direction, Side};
use frames::{FROM_SERVER, from_client};

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
    /// The connection was as old as it may become.
    TooOld,
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
    /// However much moves.
    pub(crate) until: Option<Instant>,
    /// The filter chain or the process cannot wait any longer. Says what may be held for downstream.
    pub(crate) life: &'a Watcher,
    /// What the upstream's cluster says of that.
    pub(crate) upstream_buffer_max: usize,
    /// The bytes are a WebSocket's: both ends are told before they are left. Masks what upstream is told.
    pub(crate) mask: Option<[u8; 4]>,
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
    /// Ready when the other side broke it, though nothing is read.
    fn poll_reset(&mut self, hangup: &mut Hangup, cx: &mut Context<'_>) -> Poll<()>;
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

    fn poll_reset(&mut self, hangup: &mut Hangup, cx: &mut Context<'_>) -> Poll<()> {
        hangup.poll(self, Parting::Reset, cx)
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
    let Bounds { idle, until, life, upstream_buffer_max, mask } = bounds;
    // What one end brings is held for the other, so that both have a say.
    let largest = Size::within(life.buffer_max().min(upstream_buffer_max));
    let mut up = Direction::new(early.downstream, mask.is_some());
    let mut down = Direction::new(early.upstream, mask.is_some());
    let mut last = Instant::now();
    let mut timer = pin!(sleep_until(last + idle));
    let (mut seen_up, mut seen_down) = (0, 0);
    let (mut is_registered, mut is_told) = (false, false);
    let charge = life.charge();
    let end = poll_fn(|cx| {
        if !is_registered {
            is_registered = true;
            life.register(cx);
        }
        // A WebSocket's client is told when its turn has come; its answer tells upstream.
        let turn = mask.and_then(|_| life.turn()).filter(|_| !is_told);
        if turn.is_some_and(|turn| turn <= Instant::now()) {
            is_told = true;
            down.say_farewell(&FROM_SERVER);
        }
        let size = if life.may_grow() { largest } else { Size::Ordinary };
        let there = up.poll(cx, downstream, upstream, (buffers, size));
        let back = down.poll(cx, upstream, downstream, (buffers, size));
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
        let turn = turn.filter(|_| !is_told);
        poll_time(timer.as_mut(), cx, Times { idle: last + idle, until, turn })
    })
    .await;
    part(&end, (&mut up, upstream), (&mut down, downstream), mask).await;
    let relayed = Relayed { received: up.moved, sent: down.moved, end };
    buffers.give(up.buffer);
    buffers.give(down.buffer);
    relayed
}

/// When something is to be done though nothing moves.
#[derive(Clone, Copy)]
struct Times {
    idle: Instant,
    until: Option<Instant>,
    /// The task is woken then.
    turn: Option<Instant>,
}

fn poll_time(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>, times: Times) -> Poll<End> {
    let Times { idle, until, turn } = times;
    let next = [until, turn].into_iter().flatten().fold(idle, Instant::min);
    if next < timer.deadline() {
        timer.as_mut().reset(next);
    }
    // Otherwise the timer is set again only when it fires: a busy relay never touches the timer wheel.
    while timer.as_mut().poll(cx).is_ready() {
        let now = Instant::now();
        if until.is_some_and(|until| until <= now) {
            return Poll::Ready(End::TooOld);
        }
        if idle <= now {
            return Poll::Ready(End::Idle);
        }
        if turn.is_some_and(|turn| turn <= now) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        timer.as_mut().reset(next);
    }
    Poll::Pending
}

/// Shows both ends how it ended, as far as they do not know.
async fn part(
    end: &End,
    (up, upstream): (&mut Direction, &mut impl Leg),
    (down, downstream): (&mut Direction, &mut impl Leg),
    mask: Option<[u8; 4]>,
) {
    match (end, mask) {
        (End::Downstream(_), _) => upstream.reset_on_drop(),
        (End::Upstream(_), _) => downstream.reset_on_drop(),
        (End::Shed, _) => {
            downstream.reset_on_drop();
            upstream.reset_on_drop();
        }
        // One that is in the middle of a frame, or takes nothing now, gets the end alone.
        (End::Idle | End::Closing | End::TooOld, Some(mask)) => {
            poll_fn(|cx| {
                down.last_words(cx, &FROM_SERVER, downstream);
                up.last_words(cx, &from_client(mask), upstream);
                Poll::Ready(())
            })
            .await;
        }
        (End::Finished | End::Idle | End::Closing | End::TooOld, _) => {}
    }
}

#[cfg(test)]
mod tests;
