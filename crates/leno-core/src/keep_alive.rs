//! How long a kept upstream connection may still be used: what is known of when its endpoint closes idle ones.
//!
//! A request that is written while the endpoint closes the connection is lost, and only an idempotent one may be sent
//! again. So connections are left alone before that time: at four fifths of what the endpoint announces
//! (`Keep-Alive: timeout`) or was seen to do. One idle connection of each endpoint is kept beyond as a witness, never to be
//! used, so that a longer time is learnt as well. Idle times are arguments; nothing here reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::retry::Idempotence;

/// A connection is used at least this long, whatever was seen: one endpoint's restart must not end all reuse.
const USED_AT_LEAST: Duration = Duration::from_millis(10);

/// While nothing is known of an endpoint, a request that could not be sent again trusts a connection this long.
const UNPROVEN: Duration = Duration::from_secs(1);

/// What one endpoint is known to do with idle connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    announced: Option<Duration>,
    observed: Option<Duration>,
    /// The longest that a connection was seen to live idle.
    proven: Duration,
}

impl KeepAlive {
    /// The endpoint announced how long it keeps idle connections; `None` when its answer said nothing.
    pub fn on_announced(&mut self, timeout: Option<Duration>) {
        self.announced = timeout;
    }

    /// The endpoint closed a connection that had been idle for this long at least.
    ///
    /// A shorter time than known is believed at once, a longer one by a quarter of the way: closing too late costs a
    /// request, closing too early a handshake.
    pub fn on_closed(&mut self, idle: Duration) {
        self.observed = Some(match self.observed {
            Some(known) if idle > known => known + (idle - known) / 4,
            _ => idle,
        });
    }

    /// A connection that has been idle for this long is still open.
    pub fn on_alive(&mut self, idle: Duration) {
        self.proven = self.proven.max(idle);
        // What was seen once was not the rule: a restart, a limit on open connections.
        if let Some(known) = self.observed.filter(|known| idle >= *known * 2) {
            self.observed = Some(known + (idle - known) / 4);
        }
    }

    /// How long a connection may be idle and still be used; `None` when nothing speaks against it.
    #[must_use]
    pub fn used_within(&self) -> Option<Duration> {
        let known = match (self.announced, self.observed) {
            (Some(announced), Some(observed)) => announced.min(observed),
            (one, other) => one.or(other)?,
        };
        Some((known * 4 / 5).max(USED_AT_LEAST))
    }

    /// Whether a request may go out on a connection that has been idle for this long. One that could not be sent again
    /// is more careful where nothing is known yet.
    #[must_use]
    pub fn may_carry(&self, idle: Duration, idempotence: Idempotence) -> bool {
        match (self.used_within(), idempotence) {
            (Some(within), _) => idle < within,
            (None, Idempotence::Idempotent) => true,
            (None, Idempotence::NotIdempotent) => idle < UNPROVEN.max(self.proven * 4 / 5),
        }
    }
}

/// What all workers of a process know of one endpoint. Times are kept in microseconds; of two updates in the same instant
/// one may be lost, which costs one observation.
#[derive(Debug, Default)]
pub struct SharedKeepAlive {
    /// One more than the time; zero is none.
    announced_us: AtomicU64,
    observed_us: AtomicU64,
    proven_us: AtomicU64,
}

impl SharedKeepAlive {
    /// What is known now.
    #[must_use]
    pub fn load(&self) -> KeepAlive {
        let time = |stored: &AtomicU64| {
            stored.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_micros)
        };
        KeepAlive {
            announced: time(&self.announced_us),
            observed: time(&self.observed_us),
            proven: Duration::from_micros(self.proven_us.load(Ordering::Relaxed)),
        }
    }

    /// Takes over what `learn` makes of it.
    pub fn update(&self, learn: impl FnOnce(&mut KeepAlive)) {
        let before = self.load();
        let mut known = before;
        learn(&mut known);
        if known == before {
            return;
        }
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1);
        let stored = |time: Option<Duration>| time.map_or(0, |time| us(time) + 1);
        self.announced_us.store(stored(known.announced), Ordering::Relaxed);
        self.observed_us.store(stored(known.observed), Ordering::Relaxed);
        self.proven_us.store(us(known.proven), Ordering::Relaxed);
    }
}

/// The `timeout` parameter of a `Keep-Alive` field, in whole seconds.
#[must_use]
pub fn announced_timeout(field: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(field).ok()?;
    let parameters = text.split(',').filter_map(|parameter| parameter.split_once('='));
    let seconds = parameters
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
        .find_map(|(_, value)| value.trim().trim_matches('"').parse::<u32>().ok())?;
    Some(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{KeepAlive, SharedKeepAlive, USED_AT_LEAST, announced_timeout};
    use crate::retry::Idempotence::{Idempotent, NotIdempotent};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_announced_time_is_read_from_the_field() {
        // (field, seconds)
        let table: [(&[u8], Option<u64>); 8] = [
            (b"timeout=5", Some(5)),
            (b"timeout=5, max=1000", Some(5)),
            (b"max=1000,Timeout = \"7\"", Some(7)),
            (b"timeout=0", Some(0)),
            (b"timeout=", None),
            (b"timeout=-1", None),
            (b"max=5", None),
            (b"\xff", None),
        ];
        for (field, seconds) in table {
            assert_eq!(announced_timeout(field), seconds.map(Duration::from_secs), "{field:?}");
        }
    }

    #[test]
    fn nothing_known_trusts_idempotent_requests_and_others_as_far_as_was_proven() {
        let mut known = KeepAlive::default();
        assert!(known.may_carry(3600 * SECOND, Idempotent));
        assert!(
            known.may_carry(SECOND / 2, NotIdempotent) && !known.may_carry(SECOND, NotIdempotent)
        );
        known.on_alive(10 * SECOND);
        assert!(known.may_carry(7 * SECOND, NotIdempotent));
        assert!(!known.may_carry(8 * SECOND, NotIdempotent));
    }

    #[test]
    fn the_shorter_of_announced_and_seen_counts() {
        let mut known = KeepAlive::default();
        known.on_announced(Some(5 * SECOND));
        assert_eq!(known.used_within(), Some(4 * SECOND));
        known.on_closed(SECOND);
        assert_eq!(known.used_within(), Some(SECOND * 4 / 5));
        known.on_announced(Some(Duration::ZERO));
        assert_eq!(known.used_within(), Some(USED_AT_LEAST));
        known.on_announced(None);
        assert_eq!(known.used_within(), Some(SECOND * 4 / 5));
    }

    #[test]
    fn what_is_shared_is_what_was_learnt() {
        let shared = SharedKeepAlive::default();
        assert_eq!(shared.load(), KeepAlive::default());
        let mut alone = KeepAlive::default();
        let steps: [fn(&mut KeepAlive); 4] = [
            |known| known.on_announced(Some(Duration::ZERO)),
            |known| known.on_closed(3 * SECOND),
            |known| known.on_alive(90 * SECOND),
            |known| known.on_announced(None),
        ];
        for step in steps {
            shared.update(step);
            step(&mut alone);
            assert_eq!(shared.load(), alone);
        }
    }

    #[test]
    fn a_restart_is_forgotten_while_the_witness_lives() {
        let mut known = KeepAlive::default();
        known.on_closed(SECOND / 1000);
        for tick in 1..=120 {
            known.on_alive(SECOND * tick / 2);
        }
        assert!(known.used_within().unwrap() > 20 * SECOND, "{known:?}");
    }

    /// Idle times of one endpoint's connections, and whether each is a use or a look at the witness.
    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(1_u64..120_000, 1..200)
    }

    proptest! {
        #[test]
        fn after_its_first_close_an_endpoint_with_one_time_never_closes_under_a_request(
            timeout_ms in 100_u64..60_000, gaps in gaps(),
        ) {
            let timeout = Duration::from_millis(timeout_ms);
            let mut known = KeepAlive::default();
            known.on_closed(timeout);
            for gap in gaps {
                let idle = Duration::from_millis(gap);
                if idle < timeout {
                    known.on_alive(idle);
                } else {
                    known.on_closed(timeout);
                }
                prop_assert!(known.used_within().unwrap() <= timeout * 4 / 5);
                prop_assert!(!known.may_carry(timeout, Idempotent));
            }
        }

        #[test]
        fn a_longer_time_is_learnt_from_the_witness(before_ms in 10_u64..10_000, factor in 2_u32..50) {
            let (before, after) = (Duration::from_millis(before_ms), Duration::from_millis(before_ms) * factor);
            let mut known = KeepAlive::default();
            known.on_closed(before);
            for _ in 0..20 {
                known.on_closed(after);
            }
            let within = known.used_within().unwrap();
            prop_assert!(within <= after * 4 / 5 && within >= after * 3 / 5, "{within:?} of {after:?}");
        }

        #[test]
        fn what_was_seen_is_never_outlived(times in proptest::collection::vec(any::<(bool, u32)>(), 0..50)) {
            let mut known = KeepAlive::default();
            let mut longest = USED_AT_LEAST;
            for (is_close, ms) in times {
                let idle = Duration::from_millis(ms.into());
                longest = longest.max(idle);
                if is_close { known.on_closed(idle) } else { known.on_alive(idle) }
                if let Some(within) = known.used_within() {
                    prop_assert!(within <= longest);
                }
            }
        }
    }
}
