//! The retry budget: on for every cluster, whether configured or not, so that retries cannot multiply an outage.
//!
//! A token budget over a sliding window, as in Finagle's and linkerd2-proxy's `RetryBudget` (10 s, 20 %), instead of
//! Envoy's share of what is in flight: Envoy's `min_retry_concurrency` of 3 lets a quiet cluster retry everything.
//! Two rules on top:
//! - A small reserve lets a quiet cluster retry at all. It replaces the window's allowance instead of adding to it, and
//!   comes back with successes only, never with time.
//! - A retry that succeeds gives its token back (the retry quota of the AWS SDKs): retries that help are not the
//!   amplification that a budget is there to stop.
//!
//! So, with nothing succeeding, retries stay within `max(reserve, ratio * requests)` of every window and within
//! `reserve + ratio * requests` for ever: at most 1.2 attempts a request from `reserve / ratio` (15) requests on.
//! Where a share `s` of retries succeeds, they stay within `ratio / (1 - s)` of the requests: with two retries a request
//! and attempts that fail at random, a cluster gets 1.1 attempts a request at 10 % failures, 1.5 at 40 %, 1.2 at 100 %.

use std::time::{Duration, Instant};

use crate::config::RetryBudget;

/// Slots of one second.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_secs(1);

/// Hundredths of a percent of one request.
const WHOLE: u64 = 10_000;

/// Envoy's defaults: 20 %, 3.
pub const DEFAULT: RetryBudget = RetryBudget { per_ten_thousand: 2_000, min_concurrency: 3 };

/// The budget of one cluster on one worker.
#[derive(Clone, Debug)]
pub struct Budget {
    settings: RetryBudget,
    slots: [Slot; SLOTS],
    current: usize,
    current_since: Instant,
    /// In parts of [`WHOLE`]; at most `min_concurrency` retries.
    reserve: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u64,
    retries: u64,
}

/// What a retry took; give it back with [`Budget::on_retry_success`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a retry that succeeds gives its token back"]
pub struct RetryToken {
    from_reserve: bool,
}

/// The budget is used up: the answer at hand is passed on, with flag `UO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExhausted;

impl Budget {
    /// A full reserve and an empty window.
    #[must_use]
    pub fn new(settings: RetryBudget, now: Instant) -> Self {
        Self {
            settings,
            slots: [Slot::default(); SLOTS],
            current: 0,
            current_since: now,
            reserve: reserve_max(settings),
        }
    }

    /// Takes over changed settings and keeps what was counted.
    pub fn reconfigure(&mut self, settings: RetryBudget) {
        self.settings = settings;
        self.reserve = self.reserve.min(reserve_max(settings));
    }

    /// Counts a request's first attempt.
    pub fn on_request(&mut self, now: Instant) {
        self.advance(now);
        self.slots[self.current].requests += 1;
    }

    /// A first attempt succeeded: the reserve fills up at the budget's own rate.
    pub fn on_success(&mut self) {
        let earned = u64::from(self.settings.per_ten_thousand);
        self.reserve = (self.reserve + earned).min(reserve_max(self.settings));
    }

    /// Takes a token for a retry.
    pub fn try_retry(&mut self, now: Instant) -> Result<RetryToken, BudgetExhausted> {
        self.advance(now);
        let requests: u64 = self.slots.iter().map(|slot| slot.requests).sum();
        let retries: u64 = self.slots.iter().map(|slot| slot.retries).sum();
        let is_within_window =
            (retries + 1) * WHOLE <= requests * u64::from(self.settings.per_ten_thousand);
        let is_within_reserve =
            self.reserve >= WHOLE && retries < u64::from(self.settings.min_concurrency);
        if !is_within_window && !is_within_reserve {
            return Err(BudgetExhausted);
        }
        if !is_within_window {
            self.reserve -= WHOLE;
        }
        self.slots[self.current].retries += 1;
        Ok(RetryToken { from_reserve: !is_within_window })
    }

    /// The retry succeeded: its token comes back.
    pub fn on_retry_success(&mut self, token: RetryToken, now: Instant) {
        self.advance(now);
        if token.from_reserve {
            self.reserve = (self.reserve + WHOLE).min(reserve_max(self.settings));
        }
        // It may have been taken in an earlier slot; the newest one that has any gives it back.
        let newest_first = (0..SLOTS).map(|age| (self.current + SLOTS - age) % SLOTS);
        let holder = newest_first.into_iter().find(|&slot| self.slots[slot].retries > 0);
        if let Some(slot) = holder {
            self.slots[slot].retries -= 1;
        }
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.current_since).as_nanos() / SLOT.as_nanos();
        if passed == 0 {
            return;
        }
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(SLOTS as u32) {
            self.current = (self.current + 1) % SLOTS;
            self.slots[self.current] = Slot::default();
        }
        self.current_since += SLOT * passed;
    }
}

fn reserve_max(settings: RetryBudget) -> u64 {
    u64::from(settings.min_concurrency) * WHOLE
}

#[cfg(test)]
mod tests;
