//! The limits of one connection manager: those of the wire, composed with what its listener sets.

use std::time::Duration;

use leno_core::config::HttpLimits;
use leno_http::{Http2Limits, Limits};

use super::{READ_BUFFER_BYTES, STREAM_IDLE};

/// The limits on HTTP/1 messages.
pub(crate) fn http1(set: &HttpLimits) -> Limits {
    let default = Limits::DEFAULT;
    let fields = set.max_headers_count.map_or(default.fields, |count| count as usize);
    Limits {
        head_bytes: set.max_request_headers_kb.map_or(default.head_bytes, |kb| kb as usize * 1024),
        fields: fields.min(Limits::FIELDS_MAX),
        ..default
    }
}

/// The limits on HTTP/2 connections. A field that is set beyond what the protocol allows is taken as its most.
pub(crate) fn http2(set: &HttpLimits) -> Http2Limits {
    const WINDOW_MAX: u32 = 0x7fff_ffff;
    let default = Http2Limits::DEFAULT;
    let window = |set: Option<u32>, default: u32| set.map_or(default, |set| set.min(WINDOW_MAX));
    let stream = window(set.initial_stream_window_bytes, default.stream_window_bytes);
    let connection = window(set.initial_connection_window_bytes, default.connection_window_bytes);
    let list = set.max_request_headers_kb.map(|kb| kb.saturating_mul(1024));
    let list = list.unwrap_or(default.header_list_bytes);
    Http2Limits {
        streams: set.max_concurrent_streams.unwrap_or(default.streams),
        header_list_bytes: list,
        header_block_bytes: default.header_block_bytes.max(list.saturating_add(4096)),
        fields: set.max_headers_count.unwrap_or(default.fields),
        table_bytes: set.hpack_table_bytes.unwrap_or(default.table_bytes).min(64 * 1024),
        stream_window_bytes: stream,
        stream_window_flowing_bytes: default.stream_window_flowing_bytes.max(stream),
        stream_window_bytes_max: default.stream_window_bytes_max.max(stream),
        connection_window_bytes: connection,
        connection_window_bytes_max: default.connection_window_bytes_max.max(connection),
        ..default
    }
}

/// The same where no more than `max` may be held of a stream, softly: windows neither begin nor grow beyond that, but one
/// read always fits.
pub(crate) fn buffering(limits: Http2Limits, max: usize) -> Http2Limits {
    let max = u32::try_from(max.max(READ_BUFFER_BYTES)).unwrap_or(u32::MAX);
    Http2Limits {
        stream_window_bytes: limits.stream_window_bytes.min(max),
        stream_window_flowing_bytes: limits.stream_window_flowing_bytes.min(max),
        stream_window_bytes_max: limits.stream_window_bytes_max.min(max),
        ..limits
    }
}

/// How long nothing may move in a request: the route's word, else the listener's, else ours. Zero is for ever, as in Envoy.
pub(crate) fn stream_idle(route: Option<Duration>, set: &HttpLimits) -> Duration {
    const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);
    let idle = route.or(set.stream_idle_timeout).unwrap_or(STREAM_IDLE);
    if idle.is_zero() { FOR_EVER } else { idle }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_the_default_and_what_is_set_holds() {
        let none = HttpLimits::default();
        assert_eq!((http1(&none), http2(&none)), (Limits::DEFAULT, Http2Limits::DEFAULT));
        let set = HttpLimits {
            max_request_headers_kb: Some(96),
            max_headers_count: Some(10_000),
            max_concurrent_streams: Some(7),
            initial_stream_window_bytes: Some(u32::MAX),
            hpack_table_bytes: Some(0),
            ..none
        };
        let (one, two) = (http1(&set), http2(&set));
        assert_eq!((one.head_bytes, one.fields), (96 * 1024, Limits::FIELDS_MAX));
        assert_eq!((two.streams, two.header_list_bytes, two.table_bytes), (7, 96 * 1024, 0));
        assert!(two.header_block_bytes > two.header_list_bytes);
        assert_eq!(two.stream_window_bytes, 0x7fff_ffff);
        assert!(two.stream_window_bytes_max >= two.stream_window_bytes);
    }

    #[test]
    fn windows_stay_within_what_may_be_held() {
        let default = Http2Limits::DEFAULT;
        let windows = |max| {
            let limits = buffering(default, max);
            let Http2Limits { stream_window_bytes: first, stream_window_bytes_max: last, .. } =
                limits;
            (first, limits.stream_window_flowing_bytes, last)
        };
        assert_eq!(buffering(default, usize::MAX), default);
        assert_eq!(windows(100 * 1024), (64 * 1024, 100 * 1024, 100 * 1024));
        assert_eq!(windows(1), (16 * 1024, 16 * 1024, 16 * 1024));
    }

    #[test]
    fn the_nearest_word_about_idleness_counts_and_zero_is_for_ever() {
        let second = Duration::from_secs(1);
        let set = |idle| HttpLimits { stream_idle_timeout: idle, ..HttpLimits::default() };
        assert_eq!(stream_idle(None, &set(None)), STREAM_IDLE);
        assert_eq!(stream_idle(None, &set(Some(second))), second);
        assert_eq!(stream_idle(Some(2 * second), &set(Some(second))), 2 * second);
        assert!(stream_idle(None, &set(Some(Duration::ZERO))) > 1000 * STREAM_IDLE);
    }
}
