//! How long things may take.

use std::time::Duration;

use super::{Line, limits, line, time};

#[expect(clippy::too_many_lines, reason = "one entry for each limit")]
pub(super) fn times() -> Vec<Line> {
    vec![
        line(
            "inspecting the first bytes",
            time(Duration::from_secs(15)),
            "Envoy's default",
            "DPE",
            "listener_filters_timeout",
        ),
        line("TLS handshake", time(limits::TLS_HANDSHAKE), "Envoy's for gateways", "DPE", ""),
        line(
            "request line and header, from their first byte on; HTTP/2: a frame but DATA, a header block",
            time(limits::REQUEST_HEAD),
            "a slow sender holds a buffer and a connection",
            "slow_head",
            "request_headers_timeout",
        ),
        line(
            "a request in all, until it is there",
            "none".to_owned(),
            "uploads may take long",
            "408",
            "request_timeout",
        ),
        line(
            "30 000 bytes of a body of announced length, HTTP/1",
            time(limits::BODY_PROGRESS),
            "a drip holds a connection to the endpoint, too",
            "slow_body",
            "",
        ),
        line(
            "4 KiB of any other body, until the endpoint begins to answer; not of gRPC, gRPC-Web, Connect's streams and tunnels",
            time(limits::STREAM_IDLE),
            "the same, for those who send as things arise; a minute at least",
            "slow_body",
            "stream_idle_timeout",
        ),
        line(
            "a request in which nothing moves",
            time(limits::STREAM_IDLE),
            "Envoy's default",
            "SI",
            "stream_idle_timeout",
        ),
        line(
            "4 KiB of a response that waits for its reader",
            time(limits::STREAM_IDLE),
            "a window that opens by a byte at a time is one that stays closed",
            "SI",
            "stream_idle_timeout",
        ),
        line(
            "an answer of our own nobody takes",
            time(limits::ANSWER),
            "it is a few KiB",
            "slow_reader",
            "",
        ),
        line(
            "a connection without requests",
            time(limits::DOWNSTREAM_IDLE),
            "Envoy's default",
            "closed",
            "common_http_protocol_options.idle_timeout",
        ),
        line(
            "a connection in all",
            "none".to_owned(),
            "for who wants clients spread anew",
            "closed in order",
            "common_http_protocol_options.max_connection_duration",
        ),
        line(
            "requests of a connection",
            "none".to_owned(),
            "the same",
            "closed in order",
            "common_http_protocol_options.max_requests_per_connection",
        ),
        line(
            "a TCP connection in which nothing moves",
            time(limits::TCP_IDLE),
            "Envoy's default",
            "closed",
            "TcpProxy.idle_timeout",
        ),
    ]
}
