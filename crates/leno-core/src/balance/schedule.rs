//! Weighted turns, and weighted chance. Neither allocates after it was made.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::random::Random;

/// Step of an entry of weight one; large, so that steps of large weights stay distinct.
const STEP: u128 = 1 << 64;

/// Takes turns by weight, spread out evenly: earliest deadline first, as Envoy does it. Starts at a random point, so that
/// workers do not march in step.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// All weights are the same.
    Even { count: usize, next: usize },
    /// (deadline, position, step)
    Weighted(BinaryHeap<Reverse<(u128, usize, u128)>>),
}

impl Rotation {
    /// Weights must be above zero.
    pub(crate) fn new(weights: &[u64], random: &mut impl Random) -> Self {
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            let count = weights.len();
            let next = usize::try_from(random.below(count as u64)).unwrap_or(0);
            return Self::Even { count, next };
        }
        let entry = |(position, &weight): (usize, &u64)| {
            let step = STEP / u128::from(weight.max(1));
            let start = (step * u128::from(random.below(1 << 32))) >> 32;
            Reverse((start, position, step))
        };
        Self::Weighted(weights.iter().enumerate().map(entry).collect())
    }

    /// Whose turn it is; 0 if there is nobody.
    pub(crate) fn advance(&mut self) -> usize {
        match self {
            Self::Even { count, next } => {
                let turn = *next;
                *next = if turn + 1 >= *count { 0 } else { turn + 1 };
                turn
            }
            Self::Weighted(deadlines) => {
                let Some(mut first) = deadlines.peek_mut() else { return 0 };
                let (deadline, position, step) = first.0;
                first.0.0 = deadline + step;
                position
            }
        }
    }
}

/// Draws by weight.
#[derive(Debug)]
pub(crate) enum Shares {
    /// All weights are the same.
    Even(usize),
    /// Sums of the weights up to and including each entry.
    Weighted(Box<[u64]>),
}

impl Shares {
    pub(crate) fn new(weights: &[u64]) -> Self {
        if weights.windows(2).all(|pair| pair[0] == pair[1]) {
            return Self::Even(weights.len());
        }
        let mut sum = 0;
        let ends = weights.iter().map(|weight| {
            sum += weight;
            sum
        });
        Self::Weighted(ends.collect())
    }

    /// 0 if there is nothing.
    pub(crate) fn draw(&self, random: &mut impl Random) -> usize {
        match self {
            Self::Even(1) => 0,
            Self::Even(count) => usize::try_from(random.below(*count as u64)).unwrap_or(0),
            Self::Weighted(ends) => {
                let point = random.below(ends.last().copied().unwrap_or(0));
                ends.partition_point(|&end| end <= point)
            }
        }
    }
}
