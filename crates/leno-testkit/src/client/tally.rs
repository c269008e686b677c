//! Counting answers while they come, and the order statistics at the end.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::Value;

use super::{Latency, Plan, Slow, Summary};

const BODY_KEPT_BYTES: usize = 16 * 1024;
/// Reasons are few; a peer that invents new ones does not fill memory.
const KINDS_MAX: usize = 1000;

/// Everything counted so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    summary: Summary,
    latencies: Vec<Duration>,
}

impl Tally {
    pub(super) fn begin(&mut self) {
        self.summary.requests += 1;
    }

    pub(super) fn connected(&mut self) {
        self.summary.connections_opened += 1;
    }

    pub(super) fn failed(&mut self, why: String) {
        if self.summary.errors.len() < KINDS_MAX || self.summary.errors.contains_key(&why) {
            *self.summary.errors.entry(why).or_default() += 1;
        }
    }

    pub(super) fn answered(
        &mut self,
        plan: &Plan,
        (status, headers, body): (u16, &HeaderMap, &Bytes),
        took: Duration,
    ) {
        *self.summary.status.entry(status).or_default() += 1;
        if let Some(path) = &plan.count_field {
            count(&mut self.summary.by_field, field(body, path));
        }
        if let Some(name) = &plan.count_header {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            count(&mut self.summary.by_header, value.map(str::to_owned));
        }
        self.latencies.push(took);
        let kept = &body[..body.len().min(BODY_KEPT_BYTES)];
        self.summary.last_body = String::from_utf8_lossy(kept).into_owned();
    }

    pub(super) fn answered_beside(&mut self, took: Duration) {
        let beside = &mut self.summary.beside;
        beside.count += 1;
        beside.max_ms = beside.max_ms.max(milliseconds(took));
    }

    pub(super) fn finish(mut self, plan: &Plan, elapsed: Duration) -> Summary {
        self.latencies.sort_unstable();
        self.summary.elapsed_ms = milliseconds(elapsed);
        self.summary.latency_ms = statistics(&self.latencies);
        if let Some(limit) = plan.slow {
            let first = self.latencies.partition_point(|took| *took < limit);
            let slow = statistics(&self.latencies[first..]);
            let count = (self.latencies.len() - first) as u64;
            self.summary.slow = Slow { count, min_ms: slow.min, max_ms: slow.max };
        }
        self.summary
    }
}

fn count(table: &mut std::collections::BTreeMap<String, u64>, value: Option<String>) {
    let value = value.unwrap_or_else(|| "-".to_owned());
    if table.len() < KINDS_MAX || table.contains_key(&value) {
        *table.entry(value).or_default() += 1;
    }
}

/// The value at a dotted path, as text.
fn field(body: &[u8], path: &str) -> Option<String> {
    let mut value: &Value = &serde_json::from_slice(body).ok()?;
    for part in path.split('.') {
        value = match part.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index)?,
            _ => value.get(part)?,
        };
    }
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn statistics(sorted: &[Duration]) -> Latency {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return Latency::default();
    };
    // Nearest rank: the smallest value that `percent` of all do not exceed.
    let rank = |percent: usize| {
        let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        milliseconds(sorted[index.min(sorted.len() - 1)])
    };
    let sum: Duration = sorted.iter().sum();
    Latency {
        min: milliseconds(*first),
        p50: rank(50),
        p90: rank(90),
        p99: rank(99),
        max: milliseconds(*last),
        mean: milliseconds(sum) / sorted.len() as f64,
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::{field, statistics};
    use std::time::Duration;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let found = statistics(&sorted);
        assert_eq!(
            (found.min, found.p50, found.p90, found.p99, found.max),
            (1.0, 50.0, 90.0, 99.0, 100.0)
        );
        let one = statistics(&sorted[..1]);
        assert_eq!((one.min, one.p50, one.p99, one.mean), (1.0, 1.0, 1.0, 1.0));
        assert_eq!(statistics(&[]).max, 0.0);
    }

    #[test]
    fn a_field_is_found_by_its_path() {
        let body = br#"{"podname":"reviews-v2","reviews":[{"rating":{"stars":5}}]}"#;
        // (path, value)
        let table = [
            ("podname", Some("reviews-v2")),
            ("reviews.0.rating.stars", Some("5")),
            ("reviews.1.rating", None),
            ("nothing", None),
        ];
        for (path, value) in table {
            assert_eq!(field(body, path).as_deref(), value, "{path}");
        }
        assert_eq!(field(b"<html>", "podname"), None);
    }
}
