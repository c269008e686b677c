//! Spans on their way to a collector: encoded when they end, kept within bounds, sent in batches.
//!
//! A worker owns its [`SpanQueue`]. Ending a span appends its OTLP encoding to one buffer: no lock, no allocation once
//! the buffer has its size. Who sends the batches is not here.

mod attributes;
mod otlp;

use std::time::Duration;

pub use attributes::{Attributes, KEY_FRAME, Key};

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
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_nanos: u64,
    /// How long it took.
    pub duration: Duration,
    /// Whether it failed.
    pub is_error: bool,
}

impl Span<'_> {
    fn end_nanos(&self) -> u64 {
        let duration = u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX);
        self.start_nanos.saturating_add(duration)
    }
}

/// Ended spans that wait to be sent, at most so many bytes of them.
#[derive(Debug)]
pub struct SpanQueue {
    /// `ScopeSpans.spans`, one after the other.
    spans: Vec<u8>,
    /// Room for the next ones while these are being sent.
    spare: Vec<u8>,
    count: usize,
    dropped: u64,
    limit_bytes: usize,
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
    pub const fn new(limit_bytes: usize) -> Self {
        Self { spans: Vec::new(), spare: Vec::new(), count: 0, dropped: 0, limit_bytes }
    }

    /// Takes an ended span, or drops and counts it when the queue is full. Gives the number of spans that wait.
    pub fn push(&mut self, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) -> usize {
        let before = self.spans.len();
        otlp::span(&mut self.spans, span, attributes);
        if self.spans.len() > self.limit_bytes {
            self.spans.truncate(before);
            self.dropped += 1;
        } else {
            self.count += 1;
        }
        self.count
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Everything that waits; `None` when nothing does.
    #[must_use]
    pub fn take(&mut self) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        let spare = std::mem::take(&mut self.spare);
        Some(Batch { count, spans: std::mem::replace(&mut self.spans, spare) })
    }

    /// Gives a sent batch's buffer back for what comes next.
    pub fn recycle(&mut self, batch: Batch) {
        let mut buffer = batch.spans;
        buffer.clear();
        if buffer.capacity() > self.limit_bytes / 4 {
            // It grew while the collector was away.
            return;
        }
        // The one that the cache still holds is the better one.
        if self.spans.is_empty() {
            std::mem::swap(&mut self.spans, &mut buffer);
        }
        if self.spare.capacity() < buffer.capacity() {
            self.spare = buffer;
        }
    }

    /// Gives back the room that nothing waits in.
    pub fn release(&mut self) {
        self.spare = Vec::new();
        if self.is_empty() {
            self.spans = Vec::new();
        }
    }

    /// How many were dropped since this was asked last.
    #[must_use]
    pub const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }
}

impl Batch {
    /// Appends the `ExportTraceServiceRequest` of these spans of one resource, whose attributes are given, up to
    /// [`Self::spans`], which are the rest of it.
    pub fn begin(&self, resource: &[(&str, &str)], out: &mut Vec<u8>) {
        otlp::request(resource, self.spans.len(), out);
    }

    /// The encoded spans.
    #[must_use]
    pub fn spans(&self) -> &[u8] {
        &self.spans
    }
}

#[cfg(test)]
mod tests;
