//! Rates a peer must keep to: a bucket of tokens that is refilled only when it has run empty, so that spending one is a
//! decrement.

use std::time::Instant;

use super::Violation;
use crate::limits::Rate;

/// One rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    left: u32,
    /// When the bucket was last filled; `None` before the first token was taken.
    filled: Option<Instant>,
}

impl Bucket {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, left: rate.burst, filled: None }
    }

    /// Takes a token, or says that there is none.
    pub(super) fn spend(&mut self, now: Instant, why: Violation) -> Result<(), Violation> {
        let filled = *self.filled.get_or_insert(now);
        if self.left == 0 {
            self.refill(now, filled);
        }
        self.left = self.left.checked_sub(1).ok_or(why)?;
        Ok(())
    }

    /// Gives tokens back, up to the burst.
    pub(super) const fn earn(&mut self, tokens: u32) {
        let left = self.left.saturating_add(tokens);
        self.left = if left < self.rate.burst { left } else { self.rate.burst };
    }

    fn refill(&mut self, now: Instant, filled: Instant) {
        let elapsed_ms = now.saturating_duration_since(filled).as_millis();
        let earned = elapsed_ms.saturating_mul(u128::from(self.rate.per_second)) / 1000;
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).min(self.rate.burst);
            self.filled = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Bucket;
    use crate::h2::Violation;
    use crate::limits::Rate;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::new(3, 10));
        let spent = |bucket: &mut Bucket, after_ms: u64| {
            let now = start + Duration::from_millis(after_ms);
            std::iter::repeat_with(|| bucket.spend(now, Violation::PingFlood))
                .take_while(Result::is_ok)
                .count()
        };
        assert_eq!(spent(&mut bucket, 0), 3);
        assert_eq!(spent(&mut bucket, 50), 0);
        assert_eq!(spent(&mut bucket, 200), 2);
        assert_eq!(spent(&mut bucket, 250), 0);
        assert_eq!(spent(&mut bucket, 60_000), 3, "never more than the burst");
        bucket.earn(1);
        assert_eq!(spent(&mut bucket, 60_000), 1);
    }
}
