//! When to ask for the next SVID. Pure: time and randomness are arguments.

use std::time::{Duration, SystemTime};

use leno_core::random::Random;

/// First wait after a renewal that did not succeed.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Half of the lifetime, up to a tenth of it sooner or later, so that proxies that started together do not all ask at
/// once. Never after the end of the lifetime's first six tenths.
pub fn renew_at(
    not_before: SystemTime,
    not_after: SystemTime,
    random: &mut impl Random,
) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    not_before + lifetime.mul_f64(0.4 + 0.2 * share(random))
}

/// How long to wait before try `attempt` (from 1) after failures: doubling, with full jitter above half.
pub fn retry_after(attempt: u32, random: &mut impl Random) -> Duration {
    let doubled = RETRY_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(RETRY_MAX);
    doubled.mul_f64(0.5 + 0.5 * share(random))
}

/// Even over `0.0..1.0`.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn share(random: &mut impl Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use leno_core::random::SplitMix64;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn renewal_is_in_the_middle_fifth_of_the_lifetime(seed: u64, hours in 1_u64..1000) {
            let (from, lifetime) = (SystemTime::UNIX_EPOCH, Duration::from_secs(hours * 3600));
            let at = renew_at(from, from + lifetime, &mut SplitMix64::new(seed));
            let after = at.duration_since(from).unwrap();
            prop_assert!(after >= lifetime.mul_f64(0.399) && after <= lifetime.mul_f64(0.601));
        }

        #[test]
        fn waits_grow_and_stay_bounded(seed: u64, attempt in 1_u32..100) {
            let wait = retry_after(attempt, &mut SplitMix64::new(seed));
            prop_assert!(wait >= RETRY_FIRST / 2 && wait <= RETRY_MAX);
            let first = retry_after(1, &mut SplitMix64::new(seed));
            prop_assert!(wait >= first);
        }
    }

    #[test]
    fn a_lifetime_that_ends_before_it_begins_is_renewed_at_once() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(renew_at(now, SystemTime::UNIX_EPOCH, &mut SplitMix64::new(1)), now);
    }
}
