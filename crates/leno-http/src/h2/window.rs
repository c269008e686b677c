//! The receiving side of flow control: when windows are credited, and how they grow.
//!
//! A stream's window is credited when the caller has passed bytes on, so it bounds what is held for the stream. The
//! connection's is credited on receipt: were it too credited on passing on, a few slow readers would hold all of it and
//! stop every other stream. Windows grow when a round trip brings more than two thirds of one, as gRPC measures: then
//! it is the window and not the path that limits.

use std::time::{Duration, Instant};

/// How long to leave a path alone after a measurement that changed nothing: peers count PING frames.
const PAUSE: Duration = Duration::from_secs(2);

/// The connection's window and the measurement.
#[derive(Debug)]
pub(super) struct Windows {
    /// What the peer may still send on the connection.
    left: i64,
    /// Received and not yet announced.
    credit: u32,
    /// What the window is when nothing is outstanding, as the peer knows it, and as it shall be.
    announced: u32,
    size: u32,
    size_max: u32,
    /// What a stream's window is when nothing is outstanding and what comes is passed on.
    stream_size: u32,
    stream_size_max: u32,
    /// What streams may still grow by.
    growth_left: u32,
    sample: Sample,
}

/// One measurement: a PING goes out, what arrives before its answer is what a round trip brings.
#[derive(Clone, Copy, Debug)]
enum Sample {
    /// None before this instant, if there is one.
    Idle {
        until: Option<Instant>,
    },
    Running {
        bytes: u64,
        began: Instant,
    },
    /// Both windows are as large as they may be, so there is nothing to measure.
    Over,
}

impl Windows {
    pub(super) fn new(limits: &crate::Http2Limits) -> Self {
        let clamp = |bytes: u32| bytes.min(super::settings::WINDOW_MAX as u32);
        let stream_max = limits.stream_window_bytes_max.max(limits.stream_window_bytes);
        let size = clamp(limits.connection_window_bytes).max(super::settings::WINDOW_DEFAULT);
        Self {
            left: i64::from(super::settings::WINDOW_DEFAULT),
            credit: 0,
            announced: size,
            size,
            size_max: clamp(limits.connection_window_bytes_max).max(size),
            stream_size: clamp(limits.stream_window_flowing_bytes.min(stream_max))
                .max(clamp(limits.stream_window_bytes)),
            stream_size_max: clamp(stream_max),
            growth_left: limits.stream_growth_bytes,
            sample: Sample::Idle { until: None },
        }
    }

    /// The increment of the first WINDOW_UPDATE: from what every connection starts with to what this one shall have.
    pub(super) fn open(&mut self) -> u32 {
        let increment = self.size - super::settings::WINDOW_DEFAULT;
        self.left += i64::from(increment);
        increment
    }

    /// Counts a DATA frame, padding included; false when the peer was not allowed to send it.
    pub(super) fn receive(&mut self, bytes: u32) -> bool {
        self.left -= i64::from(bytes);
        self.credit += bytes;
        if let Sample::Running { bytes: sampled, .. } = &mut self.sample {
            *sampled += u64::from(bytes);
        }
        self.left >= 0
    }

    /// By how much a stream's window of `size` grows now.
    pub(super) fn widen(&mut self, size: u32) -> u32 {
        let growth = self.stream_size.saturating_sub(size).min(self.growth_left);
        self.growth_left -= growth;
        growth
    }

    /// A stream is over that had grown by so much.
    pub(super) const fn give_back(&mut self, growth: u32) {
        self.growth_left += growth;
    }

    /// What to announce for the connection now: half a window at a time, so that the frames are few.
    pub(super) fn update(&mut self) -> Option<u32> {
        if self.credit < self.announced / 2 {
            return None;
        }
        let increment = self.credit + (self.size - self.announced);
        self.left += i64::from(increment);
        (self.credit, self.announced) = (0, self.size);
        Some(increment)
    }

    /// Begins a measurement when there is none and windows may grow; the caller sends the PING.
    pub(super) fn begin_sample(&mut self, now: Instant) -> bool {
        let Sample::Idle { until } = self.sample else { return false };
        if until.is_some_and(|until| now < until) {
            return false;
        }
        if self.size >= self.size_max && self.stream_size >= self.stream_size_max {
            self.sample = Sample::Over;
            return false;
        }
        self.sample = Sample::Running { bytes: 0, began: now };
        true
    }

    /// Ends the measurement with the PING's answer.
    pub(super) fn end_sample(&mut self, now: Instant) {
        let Sample::Running { bytes, began } = self.sample else { return };
        let before = (self.size, self.stream_size);
        // A stalled connection answers late and says nothing about the path.
        if now.saturating_duration_since(began) < Duration::from_secs(10) {
            self.grow(bytes);
        }
        let has_grown = before != (self.size, self.stream_size);
        let until = if has_grown { None } else { Some(now + PAUSE) };
        self.sample = Sample::Idle { until };
    }

    /// A round trip brought so many bytes.
    fn grow(&mut self, bytes: u64) {
        let doubled = u32::try_from(bytes.saturating_mul(2)).unwrap_or(u32::MAX);
        if bytes.saturating_mul(3) >= u64::from(self.stream_size) * 2 {
            self.stream_size = doubled.clamp(self.stream_size, self.stream_size_max);
        }
        if bytes.saturating_mul(3) >= u64::from(self.size) * 2 {
            self.size = doubled.clamp(self.size, self.size_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Windows;
    use crate::Http2Limits;

    #[test]
    fn windows_grow_when_a_round_trip_fills_them_and_stop_at_their_limits() {
        let limits = Http2Limits {
            stream_window_bytes: 64 * 1024,
            stream_window_flowing_bytes: 64 * 1024,
            stream_window_bytes_max: 300_000,
            connection_window_bytes: 100_000,
            connection_window_bytes_max: 1_000_000,
            ..Http2Limits::DEFAULT
        };
        let (mut windows, mut now) = (Windows::new(&limits), Instant::now());
        windows.open();
        let mut round = |windows: &mut Windows, frames: u32| {
            let runs = windows.begin_sample(now);
            for _ in 0..frames {
                assert!(windows.receive(1000), "nothing here exceeds a window");
                windows.update();
            }
            now += Duration::from_millis(50);
            windows.end_sample(now);
            (runs, windows.size, windows.stream_size)
        };
        assert_eq!(round(&mut windows, 50), (true, 100_000, 100_000), "enough for a stream's");
        assert_eq!(round(&mut windows, 90), (true, 180_000, 180_000));
        assert_eq!(round(&mut windows, 10), (true, 180_000, 180_000), "a trickle changes nothing");
        for _ in 0..39 {
            assert_eq!(
                round(&mut windows, 500),
                (false, 180_000, 180_000),
                "the path is left alone"
            );
        }
        assert_eq!(round(&mut windows, 500), (false, 180_000, 180_000));
        assert_eq!(round(&mut windows, 500), (true, 1_000_000, 300_000));
        assert_eq!(round(&mut windows, 500), (false, 1_000_000, 300_000), "no more PINGs");
    }

    #[test]
    fn streams_share_what_their_windows_may_grow_by() {
        let limits = Http2Limits {
            stream_window_bytes: 1000,
            stream_window_flowing_bytes: 5000,
            stream_growth_bytes: 6000,
            ..Http2Limits::DEFAULT
        };
        let mut windows = Windows::new(&limits);
        assert_eq!(windows.widen(1000), 4000);
        assert_eq!(windows.widen(5000), 0, "it has all that it may have");
        assert_eq!(windows.widen(1000), 2000, "what is left");
        assert_eq!(windows.widen(1000), 0);
        windows.give_back(4000);
        assert_eq!(windows.widen(3000), 2000);
    }

    #[test]
    fn more_than_the_window_is_noticed() {
        let mut windows = Windows::new(&Http2Limits::DEFAULT);
        assert!(windows.receive(65_535), "what every connection starts with");
        assert!(!windows.receive(1));
    }
}
