//! Random numbers as an argument: whoever decides something at random takes `&mut impl Random`.
//!
//! The proxy passes a generator per worker, tests pass a seed, explanation passes nothing at all.

use crate::config::Fraction;

/// A source of uniformly distributed 64-bit numbers.
pub trait Random {
    /// The next number.
    fn next_u64(&mut self) -> u64;

    /// A number in `0..bound`; the bias is below `bound / 2^64`. A bound of zero gives zero.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Whether this request belongs to the share; never draws a number for "always" and "never".
    fn hits(&mut self, fraction: Fraction) -> bool {
        match fraction.per_million {
            0 => false,
            1_000_000.. => true,
            share => self.below(1_000_000) < u64::from(share),
        }
    }
}

impl<R: Random + ?Sized> Random for &mut R {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and two multiplications a number. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Random for SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequence_comes_out() {
        // First numbers of the reference implementation for seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn a_share_is_hit_within_three_sigma() {
        let mut random = SplitMix64::new(7);
        for per_million in [0, 10_000, 500_000, 800_000, 1_000_000, 2_000_000] {
            let share = Fraction { per_million };
            let hits = (0..100_000).filter(|_| random.hits(share)).count() as f64;
            let expected = f64::from(per_million.min(1_000_000)) / 1e6;
            let sigma = (100_000.0 * expected * (1.0 - expected)).sqrt();
            assert!((hits - 100_000.0 * expected).abs() <= 3.0 * sigma, "{per_million}: {hits}");
        }
    }

    #[test]
    fn numbers_stay_below_the_bound() {
        let mut random = SplitMix64::new(1);
        for bound in [1, 2, 3, 1000, u64::MAX] {
            assert!((0..1000).all(|_| random.below(bound) < bound));
        }
        assert_eq!(random.below(0), 0);
    }
}
