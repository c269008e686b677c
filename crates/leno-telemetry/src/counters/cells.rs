//! The atoms behind one series of one worker, and their sums.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::Exchange;
use crate::metrics::{AuthorizationStat, BOUNDS, ClusterStat};

/// Adds with one writer: wrapping, so that adding `u64::MAX` takes one away.
pub(crate) fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

/// Counters that a scrape can add up.
pub(crate) trait Cells: Default {
    /// The plain sum of several.
    type Sum: Default;

    /// Adds what is here now.
    fn add_to(&self, sum: &mut Self::Sum);

    /// A number that is another one after anything was counted.
    fn activity(&self) -> u64;
}

fn total<'a>(cells: impl IntoIterator<Item = &'a AtomicU64>) -> u64 {
    cells.into_iter().fold(0, |sum, cell| sum.wrapping_add(cell.load(Relaxed)))
}

/// Buckets of one histogram; the last is `+Inf`.
const BUCKETS: usize = BOUNDS.len() + 1;

#[derive(Debug, Default)]
struct HistogramCells {
    buckets: [AtomicU64; BUCKETS],
    /// In the smallest unit: microseconds, bytes.
    sum: AtomicU64,
}

impl HistogramCells {
    fn observe(&self, value: f64, raw: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < value);
        bump(&self.buckets[bucket], 1);
        bump(&self.sum, raw);
    }

    fn add_to(&self, sum: &mut HistogramSum) {
        for (into, cell) in sum.buckets.iter_mut().zip(&self.buckets) {
            *into += cell.load(Relaxed);
        }
        sum.raw += self.sum.load(Relaxed);
    }
}

/// One histogram added up; buckets are not cumulative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistogramSum {
    pub(crate) buckets: [u64; BUCKETS],
    pub(crate) raw: u64,
}

impl HistogramSum {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (into, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *into += from;
        }
        self.raw += other.raw;
    }
}

/// Counters of one request series; the number of requests is the number of durations.
#[derive(Debug, Default)]
pub(crate) struct RequestCells {
    duration: HistogramCells,
    request_bytes: HistogramCells,
    response_bytes: HistogramCells,
    request_messages: AtomicU64,
    response_messages: AtomicU64,
}

impl RequestCells {
    #[expect(clippy::cast_precision_loss, reason = "only picks a bucket, and 2^53 bytes is 8 PiB")]
    pub(crate) fn add(&self, exchange: &Exchange) {
        let micros = micros(exchange.duration);
        self.duration.observe(micros as f64 / 1000.0, micros);
        self.request_bytes.observe(exchange.request_bytes as f64, exchange.request_bytes);
        self.response_bytes.observe(exchange.response_bytes as f64, exchange.response_bytes);
        if exchange.request_messages | exchange.response_messages != 0 {
            bump(&self.request_messages, exchange.request_messages);
            bump(&self.response_messages, exchange.response_messages);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A request series added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestSum {
    pub(crate) duration: HistogramSum,
    pub(crate) request_bytes: HistogramSum,
    pub(crate) response_bytes: HistogramSum,
    pub(crate) request_messages: u64,
    pub(crate) response_messages: u64,
}

impl RequestSum {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.duration.merge(&other.duration);
        self.request_bytes.merge(&other.request_bytes);
        self.response_bytes.merge(&other.response_bytes);
        self.request_messages += other.request_messages;
        self.response_messages += other.response_messages;
    }
}

impl Cells for RequestCells {
    type Sum = RequestSum;

    fn add_to(&self, sum: &mut RequestSum) {
        self.duration.add_to(&mut sum.duration);
        self.request_bytes.add_to(&mut sum.request_bytes);
        self.response_bytes.add_to(&mut sum.response_bytes);
        sum.request_messages += self.request_messages.load(Relaxed);
        sum.response_messages += self.response_messages.load(Relaxed);
    }

    fn activity(&self) -> u64 {
        total(&self.duration.buckets)
    }
}

/// Counters of one TCP series.
#[derive(Debug, Default)]
pub(crate) struct TcpCells {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// A TCP series added up: opened, closed, sent, received.
pub(crate) type TcpSum = [u64; 4];

impl Cells for TcpCells {
    type Sum = TcpSum;

    fn add_to(&self, sum: &mut TcpSum) {
        for (into, cell) in
            sum.iter_mut().zip([&self.opened, &self.closed, &self.sent, &self.received])
        {
            *into += cell.load(Relaxed);
        }
    }

    fn activity(&self) -> u64 {
        total([&self.opened, &self.closed, &self.sent, &self.received])
    }
}

/// Counters of one cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterCells([AtomicU64; ClusterStat::TABLE.len()]);

impl ClusterCells {
    pub(crate) fn cell(&self, stat: ClusterStat) -> &AtomicU64 {
        &self.0[stat as usize]
    }
}

#[derive(Debug, Default)]
pub(crate) struct AuthorizationCells([AtomicU64; AuthorizationStat::COUNT]);

impl AuthorizationCells {
    pub(crate) fn cell(&self, stat: AuthorizationStat) -> &AtomicU64 {
        &self.0[stat as usize]
    }
}

impl Cells for AuthorizationCells {
    type Sum = [u64; AuthorizationStat::COUNT];

    fn add_to(&self, sum: &mut Self::Sum) {
        for (into, cell) in sum.iter_mut().zip(&self.0) {
            *into += cell.load(Relaxed);
        }
    }

    fn activity(&self) -> u64 {
        total(&self.0)
    }
}

impl Cells for ClusterCells {
    type Sum = [u64; ClusterStat::TABLE.len()];

    fn add_to(&self, sum: &mut Self::Sum) {
        for (into, cell) in sum.iter_mut().zip(&self.0) {
            // A gauge's parts may be negative on one worker; the sum is not.
            *into = into.wrapping_add(cell.load(Relaxed));
        }
    }

    fn activity(&self) -> u64 {
        total(&self.0)
    }
}
