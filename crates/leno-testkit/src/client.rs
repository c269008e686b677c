//! A scriptable HTTP/1.1 client that reports what it saw in one document.
//!
//! Made to run inside a captured namespace, where a test cannot reach: a plan
//! in, a [`Summary`] out. Each connection is one keep-alive connection used for
//! one request after the other; a closed one is opened again and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};
use serde::Serialize;

mod connector;
mod drive;
mod tally;

pub use connector::Connector;
pub use drive::run;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Absolute `http://` address.
    pub url: Uri,
    /// The method of every request.
    pub method: Method,
    /// Sent with every request. A `host` here replaces the address's.
    pub headers: HeaderMap,
    /// Sent with every request.
    pub body: String,
    /// How many requests in all; 0 goes on until told to stop.
    pub requests: u64,
    /// Over how many connections.
    pub connections: usize,
    /// At most this many a second in all; absent, as fast as they go.
    pub rate: Option<f64>,
    /// How long one answer may take.
    pub timeout: Duration,
    /// A JSON field of the answers to count by, as `podname` or
    /// `reviews.0.rating.color`.
    pub count_field: Option<String>,
    /// A response header to count by.
    pub count_header: Option<String>,
    /// Answers at least this slow are counted apart.
    pub slow: Option<Duration>,
    /// With this header further requests go out one after the other, on a connection of their own, as long as the
    /// others last: what the way there takes while slow answers are waited for.
    pub beside: Option<(HeaderName, HeaderValue)>,
    /// `host:port` that takes absolute-form requests.
    pub proxy: Option<String>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Requests that were begun.
    pub requests: u64,
    /// Answers by status.
    pub status: BTreeMap<u16, u64>,
    /// Requests without an answer, by why.
    pub errors: BTreeMap<String, u64>,
    /// Answers by the value of the field asked for; `-` without one.
    pub by_field: BTreeMap<String, u64>,
    /// Answers by the value of the header asked for; `-` without one.
    pub by_header: BTreeMap<String, u64>,
    /// Connections opened; as many as asked for when none was closed early.
    pub connections_opened: u64,
    /// From the first request to the last answer.
    pub elapsed_ms: f64,
    /// How long answers took.
    pub latency_ms: Latency,
    /// How long slow answers took, and how many they were.
    pub slow: Slow,
    /// The requests beside the others.
    pub beside: Beside,
    /// The body of the last answer, cut to 16 KiB.
    pub last_body: String,
}

/// Order statistics of the answers' latencies.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Fastest.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Slowest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
}

/// The answers slower than the plan's limit.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Slow {
    /// How many.
    pub count: u64,
    /// The fastest of them.
    pub min_ms: f64,
    /// The slowest of them.
    pub max_ms: f64,
}

/// The requests sent beside the others; they count nowhere else.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Beside {
    /// How many were answered.
    pub count: u64,
    /// The slowest answer.
    pub max_ms: f64,
}
