//! The deadlines of one exchange: the route's, the attempt's and the idle one, as values.
//!
//! The earliest is put into the connection's one [`Deadline`](crate::deadline::Deadline); when that fires, this says
//! which of them it was.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::STALL_BYTES;

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The route's timeout: the exchange is over (flag `UT`).
    Route,
    /// The attempt's own timeout: another may follow.
    Attempt,
    /// No byte moved for too long, or the receiver took next to nothing of what waits for it (flag `SI`).
    Idle,
}

/// All deadlines of one exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    route: Option<Duration>,
    attempt: Option<Duration>,
    idle: Duration,
    is_complete: bool,
    route_at: Option<Instant>,
    attempt_at: Option<Instant>,
    idle_at: Instant,
    stall: Option<Stall>,
}

/// A receiver that does not take all there is: until when it may do so, and what it had taken when that began.
#[derive(Clone, Copy, Debug)]
struct Stall {
    at: Instant,
    taken: u64,
}

impl Timers {
    /// Nothing but the idle timeout runs until the request was received.
    pub(super) fn new(
        now: Instant,
        route: Option<Duration>,
        attempt: Option<Duration>,
        idle: Duration,
    ) -> Self {
        let (route_at, attempt_at, idle_at) = (None, None, now + idle);
        Self {
            route,
            attempt,
            idle,
            is_complete: false,
            route_at,
            attempt_at,
            idle_at,
            stall: None,
        }
    }

    /// The request is complete: the route's time begins (once), and so does the attempt's.
    pub(super) fn request_received(&mut self) {
        if !self.is_complete {
            self.begin(Instant::now());
        }
    }

    /// The same at a known time.
    pub(super) fn begin(&mut self, now: Instant) {
        self.is_complete = true;
        self.route_at = self.route_at.or_else(|| self.route.map(|timeout| now + timeout));
        self.attempt_at = self.attempt_at.or_else(|| self.attempt.map(|timeout| now + timeout));
    }

    /// A new attempt begins; its time begins at once if the request is complete.
    pub(super) fn next_attempt(&mut self, now: Instant) {
        let is_complete = self.is_complete;
        self.attempt_at = self.attempt.filter(|_| is_complete).map(|timeout| now + timeout);
        self.moved(now);
    }

    /// The attempt is over and another may follow: its deadline goes with it.
    pub(super) fn end_attempt(&mut self, now: Instant) {
        self.attempt_at = None;
        self.moved(now);
    }

    /// The attempt was answered: its timeout no longer counts.
    pub(super) fn answered(&mut self) {
        (self.attempt, self.attempt_at) = (None, None);
    }

    /// A byte moved.
    pub(super) fn moved(&mut self, now: Instant) {
        self.idle_at = now + self.idle;
    }

    /// The receiver, which has taken so many bytes in all, does not take what is there. It has the idle time to take
    /// [`STALL_BYTES`] or all of it: a window that opens by a byte at a time is one that stays closed.
    pub(super) fn blocked(&mut self, now: Instant, taken: u64) {
        if self.stall.is_none_or(|stall| taken - stall.taken >= STALL_BYTES) {
            self.stall = Some(Stall { at: now + self.idle, taken });
        }
    }

    /// The receiver took all there is.
    pub(super) fn flows(&mut self) {
        self.stall = None;
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Instant {
        let stall_at = self.stall.map(|stall| stall.at);
        let others = [self.route_at, self.attempt_at, stall_at];
        others.into_iter().flatten().fold(self.idle_at, Instant::min)
    }

    /// Which deadline passed first; the route's wins a tie, since no attempt may follow it.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.route_at) {
            Some(Expired::Route)
        } else if passed(self.attempt_at) {
            Some(Expired::Attempt)
        } else if self.idle_at <= now || passed(self.stall.map(|stall| stall.at)) {
            Some(Expired::Idle)
        } else {
            None
        }
    }

    /// When the route's time is over.
    pub(super) fn route_at(&self) -> Option<Instant> {
        self.route_at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Expired, STALL_BYTES, Timers};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_begins_with_the_sent_request_and_the_route_outlives_attempts() {
        let start = Instant::now();
        let mut timers = Timers::new(start, Some(5 * SECOND), Some(2 * SECOND), 10 * SECOND);
        assert_eq!(timers.expired(start + 9 * SECOND), None, "the request is still arriving");
        timers.begin(start);
        assert_eq!(timers.next(), start + 2 * SECOND);
        assert_eq!(timers.expired(start + 2 * SECOND), Some(Expired::Attempt));
        timers.next_attempt(start + 4 * SECOND);
        assert_eq!(timers.next(), start + 5 * SECOND);
        assert_eq!(timers.expired(start + 6 * SECOND), Some(Expired::Route));
    }

    #[test]
    fn an_answer_ends_the_attempts_time_and_bytes_push_the_idle_one() {
        let start = Instant::now();
        let mut timers = Timers::new(start, None, Some(SECOND), 3 * SECOND);
        timers.begin(start);
        timers.answered();
        assert_eq!(timers.expired(start + 2 * SECOND), None);
        timers.moved(start + 2 * SECOND);
        assert_eq!(timers.expired(start + 4 * SECOND), None);
        assert_eq!(timers.expired(start + 5 * SECOND), Some(Expired::Idle));
    }

    #[test]
    fn a_receiver_that_takes_a_byte_at_a_time_is_stalled() {
        let start = Instant::now();
        let mut timers = Timers::new(start, None, None, 10 * SECOND);
        timers.blocked(start, 0);
        for second in 1..10_u32 {
            // Something moves all the time, so the exchange is not idle.
            timers.moved(start + second * SECOND);
            timers.blocked(start + second * SECOND, u64::from(second));
            assert_eq!(timers.expired(start + second * SECOND), None);
        }
        assert_eq!(timers.next(), start + 10 * SECOND);
        assert_eq!(timers.expired(start + 10 * SECOND), Some(Expired::Idle));
        timers.blocked(start + 9 * SECOND, STALL_BYTES);
        assert_eq!(timers.expired(start + 18 * SECOND), None, "that is a receiver, if a slow one");
        timers.flows();
        assert_eq!(timers.next(), start + 19 * SECOND);
    }
}
