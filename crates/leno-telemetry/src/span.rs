//! Spans on their way to a collector: encoded when they end, kept within bounds, sent in batches.
//!
//! A worker owns its [`SpanQueue`]. Ending a span appends its OTLP encoding to one buffer: no lock, no allocation once
//! the buffer has its size. Who sends the batches is not here.

mod otlp;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use otlp::Attributes;
use otlp::Encoder;

use crate::trace::TraceContext;

/// `SpanKind`: which end of a call the span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The call arrives here.
    Server = 2,
    /// The call leaves here.
    Client = 3,
}

/// What every span has; the rest are attributes.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Its own place.
    pub context: TraceContext,
    /// Its parent in the trace; `None` for a root.
    pub parent: Option<u64>,
    /// The name, in two parts.
    pub name: (&'a str, &'a [u8]),
    /// Which end of the call it is.
    pub kind: SpanKind,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// Whether it failed.
    pub is_error: bool,
}

impl Span<'_> {
    fn start_nanos(&self) -> u64 {
        nanos(self.start.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn end_nanos(&self) -> u64 {
        self.start_nanos().saturating_add(nanos(self.duration))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Ended spans that wait to be sent, at most so many bytes of them.
#[derive(Debug)]
pub struct SpanQueue {
    /// `ScopeSpans.spans`, one after the other.
    spans: Vec<u8>,
    count: usize,
    dropped: u64,
    limit_bytes: usize,
    encoder: Encoder,
}

/// Spans that leave together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// How many.
    pub count: usize,
    spans: Vec<u8>,
}

impl SpanQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self { spans: Vec::new(), count: 0, dropped: 0, limit_bytes, encoder: Encoder::default() }
    }

    /// Takes an ended span, or drops and counts it when the queue is full. Gives the number of spans that wait.
    pub fn push(&mut self, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) -> usize {
        let encoded = self.encoder.span(span, attributes);
        if self.spans.len() + encoded.len() > self.limit_bytes {
            self.dropped += 1;
        } else {
            self.spans.extend_from_slice(encoded);
            self.count += 1;
        }
        self.count
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Everything that waits; `None` when nothing does.
    #[must_use]
    pub fn take(&mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        Some(Batch { count, spans: std::mem::take(&mut self.spans) })
    }

    /// Gives a sent batch's buffer back for what comes next.
    pub fn recycle(&mut self, batch: Batch) {
        let mut spans = batch.spans;
        if self.spans.capacity() == 0 {
            spans.clear();
            self.spans = spans;
        }
    }

    /// How many were dropped since this was asked last.
    #[must_use]
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Batch {
    /// Appends the `ExportTraceServiceRequest`: these spans of one resource, whose attributes are given.
    pub fn encode(&self, resource: &[(&str, &str)], out: &mut Vec<u8>) {
        otlp::request(resource, &self.spans, out);
    }
}

#[cfg(test)]
mod tests;
