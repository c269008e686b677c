//! What happened on one edge during the last seconds, as one side counted it. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back a window reaches.
pub(crate) const WINDOW: Duration = Duration::from_secs(15);

/// Counts of one scrape interval, or of a whole window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Requests answered.
    pub(crate) requests: f64,
    /// Of those, answered with 5xx or not at all.
    pub(crate) failures: f64,
    /// Of those, over mutual TLS.
    pub(crate) mutual_tls: f64,
    /// Cumulative duration buckets: (upper bound in milliseconds, requests at or below), bounds ascending.
    pub(crate) durations: Vec<(f64, f64)>,
}

impl Tally {
    /// Adds another tally; bucket bounds that one side lacks are added to it.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.mutual_tls += other.mutual_tls;
        for (bound, count) in &other.durations {
            self.add_bucket(*bound, *count);
        }
    }

    /// Adds requests to the bucket with this upper bound.
    pub(crate) fn add_bucket(&mut self, bound: f64, count: f64) {
        match self.durations.binary_search_by(|(at, _)| at.total_cmp(&bound)) {
            Ok(index) => self.durations[index].1 += count,
            Err(index) => self.durations.insert(index, (bound, count)),
        }
    }

    /// The duration below which the share `quantile` of requests stays, in milliseconds, interpolated inside its
    /// bucket as Prometheus' `histogram_quantile` does. `None` without requests.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let total = self.durations.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
        let rank = quantile * total;
        let index = self.durations.iter().position(|(_, count)| *count >= rank)?;
        let (lower, below) = if index == 0 { (0.0, 0.0) } else { self.durations[index - 1] };
        let (upper, upto) = self.durations[index];
        if upper.is_infinite() || upto <= below {
            return Some(lower);
        }
        Some(lower + (upper - lower) * (rank - below) / (upto - below))
    }
}

/// Tallies of the last [`WINDOW`], oldest first.
#[derive(Debug, Default)]
pub(crate) struct Window {
    parts: VecDeque<(Instant, Tally)>,
}

impl Window {
    /// Adds what happened until `now` and forgets what is too old.
    pub(crate) fn push(&mut self, now: Instant, tally: Tally) {
        self.parts.push_back((now, tally));
        self.forget(now);
    }

    /// Whether nothing happened lately.
    pub(crate) fn is_idle(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.parts.iter().all(|(_, tally)| tally.requests == 0.0)
    }

    /// The sum, to be divided by [`WINDOW`] for a rate.
    pub(crate) fn sum(&self, now: Instant) -> Tally {
        let mut sum = Tally::default();
        for (at, tally) in &self.parts {
            if now.saturating_duration_since(*at) < WINDOW {
                sum.add(tally);
            }
        }
        sum
    }

    fn forget(&mut self, now: Instant) {
        while self.parts.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW)
        {
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(buckets: &[(f64, f64)]) -> Tally {
        Tally { requests: 1.0, durations: buckets.to_vec(), ..Tally::default() }
    }

    #[test]
    fn quantiles_interpolate_inside_their_bucket() {
        let inf = f64::INFINITY;
        let hundred = tally(&[(10.0, 50.0), (20.0, 100.0), (inf, 100.0)]);
        // (buckets, quantile, expected)
        let table = [
            (&hundred, 0.5, Some(10.0)),
            (&hundred, 0.75, Some(15.0)),
            (&hundred, 0.99, Some(19.8)),
            (&tally(&[(10.0, 0.0), (inf, 4.0)]), 0.5, Some(10.0)),
            (&tally(&[(10.0, 0.0), (inf, 0.0)]), 0.5, None),
            (&tally(&[]), 0.5, None),
        ];
        for (tally, quantile, expected) in table {
            assert_eq!(tally.quantile(quantile), expected, "{tally:?} {quantile}");
        }
    }

    #[test]
    fn a_window_forgets_what_is_older_than_itself() {
        let start = Instant::now();
        let mut window = Window::default();
        window.push(start, tally(&[(1.0, 1.0)]));
        window.push(start + WINDOW / 2, tally(&[(1.0, 1.0)]));
        assert_eq!(window.sum(start + WINDOW / 2).requests, 2.0);
        assert_eq!(window.sum(start + WINDOW).requests, 1.0);
        assert!(window.is_idle(start + WINDOW * 2));
    }
}
