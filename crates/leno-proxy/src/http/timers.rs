//! The deadlines of one exchange: the route's, the attempt's and the idle one, as values.
//!
//! The earliest is put into the connection's one [`Deadline`](crate::deadline::Deadline); when that fires, this says
//! which of them it was.

#[cfg(test)]
mod tests;

use std::time::Duration;

use leno_core::reply::Failure;
use leno_http::BodyLength;
use tokio::time::Instant;

use super::grpc;
use crate::limits;

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The route's timeout: the exchange is over (flag `UT`).
    Route,
    /// The longest that the exchange may take in all (`max_stream_duration`).
    Duration,
    /// The attempt's own timeout: another may follow.
    Attempt,
    /// No byte moved for too long, or the receiver took next to nothing of what waits for it (flag `SI`).
    Idle,
    /// The request did not arrive in the time that the listener gives it (`request_timeout`).
    Request,
    /// The request's body comes too slowly.
    SlowBody,
}

impl Expired {
    /// What the exchange ends with, if nothing follows.
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Route => Failure::ResponseTimeout,
            Self::Duration => Failure::DurationTimeout,
            Self::Attempt => Failure::PerTryTimeout,
            Self::Idle => Failure::StreamIdleTimeout,
            Self::Request | Self::SlowBody => Failure::RequestTimeout,
        }
    }
}

/// All deadlines of one exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    route: Option<Duration>,
    attempt: Option<Duration>,
    idle: Duration,
    is_complete: bool,
    route_at: Option<Instant>,
    end_at: Option<Instant>,
    attempt_at: Option<Instant>,
    idle_at: Instant,
    stall: Option<Stall>,
    /// When all of the request has to be there.
    request_at: Option<Instant>,
    progress: Option<Progress>,
}

/// A receiver that does not take all there is: until when it may do so, and what it had taken when that began.
#[derive(Clone, Copy, Debug)]
struct Stall {
    at: Instant,
    taken: u64,
}

/// How the request's body has to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As it arises: gRPC, a tunnel. Only the idle time counts.
    Free,
    /// Of unknown length, or on a connection that it shares: [`limits::STREAMED_BYTES`] in each idle time, which is no less
    /// than [`limits::BODY_PROGRESS`] for this, until the endpoint has begun to answer. Then the two talk to each other, and
    /// may take their time.
    Streamed,
    /// Of announced length, on a connection of its own: [`limits::BODY_PROGRESS_BYTES`] in each [`limits::BODY_PROGRESS`].
    Announced,
}

impl Pace {
    /// That of a body which is announced like this. Streams that share a connection need not be carried evenly: what one of
    /// them announced says nothing about when it comes.
    pub(super) fn of(content_type: &[u8], length: BodyLength, shares_connection: bool) -> Self {
        match length {
            _ if grpc::streams(content_type) => Self::Free,
            BodyLength::Exactly(_) if !shares_connection => Self::Announced,
            BodyLength::Empty | BodyLength::Exactly(_) | BodyLength::Unknown => Self::Streamed,
        }
    }
}

/// How a body comes that must not come too slowly.
#[derive(Clone, Copy, Debug)]
struct Progress {
    pace: Pace,
    /// Since when enough of it is waited for.
    since: Instant,
    /// What had come by then.
    from: u64,
}

impl Progress {
    fn is_enough(&self, bytes: u64) -> bool {
        let wanted = match self.pace {
            Pace::Free => 0,
            Pace::Streamed => limits::STREAMED_BYTES,
            Pace::Announced => limits::BODY_PROGRESS_BYTES,
        };
        // Less than before: another attempt counts anew.
        bytes < self.from || bytes >= self.from + wanted
    }
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
        let (request_at, progress) = (None, None);
        Self {
            route,
            attempt,
            idle,
            is_complete: false,
            route_at,
            end_at: None,
            attempt_at,
            idle_at,
            stall: None,
            request_at,
            progress,
        }
    }

    /// The request has a body still to come: all of it within `timeout`, and never more slowly than its `pace`.
    pub(super) fn expect_body(&mut self, now: Instant, timeout: Option<Duration>, pace: Pace) {
        self.request_at = timeout.map(|timeout| now + timeout);
        self.progress = (pace != Pace::Free).then_some(Progress { pace, since: now, from: 0 });
    }

    /// Whether it matters how fast the body comes.
    pub(super) fn watches_body(&self) -> bool {
        self.progress.is_some()
    }

    /// So much of the body has come, and more is waited for, or not because the endpoint takes no more now.
    pub(super) fn body_came(&mut self, now: Instant, bytes: u64, is_awaited: bool) {
        if let Some(progress) = &mut self.progress
            && (!is_awaited || progress.is_enough(bytes))
        {
            (progress.since, progress.from) = (now, bytes);
        }
    }

    /// The exchange ends then, whatever moves.
    pub(super) fn limit(&mut self, at: Option<Instant>) {
        self.end_at = at;
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
        (self.request_at, self.progress) = (None, None);
        self.route_at = self.route.map(|timeout| now + timeout);
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

    /// The attempt was answered: its timeout no longer counts, nor how slowly the two of them talk.
    pub(super) fn answered(&mut self) {
        (self.attempt, self.attempt_at) = (None, None);
        self.progress = self.progress.filter(|progress| progress.pace == Pace::Announced);
    }

    /// A byte moved.
    pub(super) fn moved(&mut self, now: Instant) {
        self.idle_at = now + self.idle;
    }

    /// The receiver, which has taken so many bytes in all, does not take what is there. It has the idle time to take
    /// [`limits::STALL_BYTES`] or all of it: a window that opens by a byte at a time is one that stays closed.
    pub(super) fn blocked(&mut self, now: Instant, taken: u64) {
        if self.stall.is_none_or(|stall| taken - stall.taken >= limits::STALL_BYTES) {
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
        let ends = [self.route_at, self.end_at, self.attempt_at];
        let body = [stall_at, self.request_at, self.slow_at()];
        ends.into_iter().chain(body).flatten().fold(self.idle_at, Instant::min)
    }

    /// Which deadline passed first; the route's wins a tie, since no attempt may follow it.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.route_at) {
            Some(Expired::Route)
        } else if passed(self.end_at) {
            Some(Expired::Duration)
        } else if passed(self.attempt_at) {
            Some(Expired::Attempt)
        } else if passed(self.request_at) {
            Some(Expired::Request)
        } else if passed(self.slow_at()) {
            Some(Expired::SlowBody)
        } else if self.idle_at <= now || passed(self.stall.map(|stall| stall.at)) {
            Some(Expired::Idle)
        } else {
            None
        }
    }

    fn slow_at(&self) -> Option<Instant> {
        self.progress.map(|progress| match progress.pace {
            Pace::Announced => progress.since + limits::BODY_PROGRESS,
            Pace::Free | Pace::Streamed => progress.since + self.idle.max(limits::BODY_PROGRESS),
        })
    }

    /// When the exchange ends at the latest, whatever moves.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.route_at.into_iter().chain(self.end_at).min()
    }
}
