//! The table of limits that `docs/limits.md` shows: made from the values that are in force, so that it cannot say others.
//!
//! A test compares the page with it.

use std::fmt::Write as _;
use std::time::Duration;

use leno_http::{Http2Limits, Limits, Rate};
use leno_telemetry::LimitReached;

use super as limits;

/// A limit, its value, what it is for, how its being reached is seen, and the field of Envoy that sets it.
struct Line {
    what: &'static str,
    default: String,
    why: &'static str,
    seen: &'static str,
    field: &'static str,
}

/// The table in Markdown.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| limit | default | why | seen as | set by |\n|---|---|---|---|---|\n".to_owned();
    for part in [messages(), http2(), times(), connections(), buffers(), memory()] {
        for Line { what, default, why, seen, field } in part {
            let field = if field.is_empty() { String::new() } else { format!("`{field}`") };
            let known = LimitReached::ALL.iter().any(|limit| limit.label() == seen);
            let seen = if known || seen.contains("http2.") {
                format!("`{seen}`")
            } else {
                seen.to_owned()
            };
            let _ = writeln!(text, "| {what} | {default} | {why} | {seen} | {field} |");
        }
    }
    text
}

fn line(
    what: &'static str,
    default: String,
    why: &'static str,
    seen: &'static str,
    field: &'static str,
) -> Line {
    Line { what, default, why, seen, field }
}

fn bytes(count: usize) -> String {
    match count {
        _ if count >= 1 << 20 && count.is_multiple_of(1 << 20) => format!("{} MiB", count >> 20),
        _ if count >= 1 << 10 && count.is_multiple_of(1 << 10) => format!("{} KiB", count >> 10),
        _ => format!("{count} bytes"),
    }
}

fn time(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..3600 => format!("{seconds} s"),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn rate(Rate { burst, per_second }: Rate) -> String {
    format!("{burst}, then {per_second} a second")
}

fn messages() -> Vec<Line> {
    let Limits { head_bytes, fields, chunk_line_bytes, chunk_extension_bytes, trailer_bytes } =
        Limits::DEFAULT;
    vec![
        line(
            "request line and header, HTTP/1",
            bytes(head_bytes),
            "Envoy's default; the request line, and so the URI, is part of it",
            "request_head",
            "max_request_headers_kb",
        ),
        line(
            "header fields of a message",
            fields.to_string(),
            "Envoy's default; each costs a lookup",
            "request_head",
            "common_http_protocol_options.max_headers_count",
        ),
        line("chunk-size line", bytes(chunk_line_bytes), "extensions are for nobody", "400", ""),
        line(
            "chunk extensions of a body",
            bytes(chunk_extension_bytes as usize),
            "a body must not cost more than its bytes",
            "400",
            "",
        ),
        line("trailers", bytes(trailer_bytes), "what comes behind a body is small", "400", ""),
    ]
}

#[expect(clippy::too_many_lines, reason = "one entry for each limit")]
fn http2() -> Vec<Line> {
    let Http2Limits {
        streams,
        header_list_bytes,
        fields: _,
        header_block_bytes,
        continuations,
        table_bytes,
        stream_window_bytes,
        stream_window_bytes_max,
        stream_growth_bytes,
        connection_window_bytes,
        connection_window_bytes_max,
        resets,
        refusals,
        pings,
        settings,
        ignored,
        empties,
        window_updates,
        ..
    } = Http2Limits::DEFAULT;
    let window = |first: u32, most: u32| {
        format!("{}, grows to {}", bytes(first as usize), bytes(most as usize))
    };
    let list = bytes(header_list_bytes as usize);
    vec![
        line(
            "streams of a connection",
            streams.to_string(),
            "those count, too, that were reset and still run here",
            "REFUSED_STREAM",
            "http2_protocol_options.max_concurrent_streams",
        ),
        line(
            "header list, HTTP/2",
            list,
            "as HTTP/1's head; compression cannot expand beyond it",
            "request_head",
            "max_request_headers_kb",
        ),
        line(
            "header block, compressed",
            bytes(header_block_bytes as usize),
            "it must be decoded whole, or the connection ends",
            "http2.header_block",
            "",
        ),
        line(
            "CONTINUATION frames of a block",
            continuations.to_string(),
            "no client needs more than the block allows",
            "http2.continuation_flood",
            "",
        ),
        line(
            "table of header compression",
            bytes(table_bytes as usize),
            "RFC 9113's own default",
            "SETTINGS",
            "http2_protocol_options.hpack_table_size",
        ),
        line(
            "window of a stream",
            window(stream_window_bytes, stream_window_bytes_max),
            "what a slow reader can make us hold at first",
            "flow control",
            "http2_protocol_options.initial_stream_window_size",
        ),
        line(
            "growth of all windows of streams together",
            bytes(stream_growth_bytes as usize),
            "readers that stop all at once hold no more",
            "flow control",
            "",
        ),
        line(
            "window of a connection",
            window(connection_window_bytes, connection_window_bytes_max),
            "the same for all of its streams",
            "flow control",
            "http2_protocol_options.initial_connection_window_size",
        ),
        line(
            "streams reset by the peer",
            rate(resets),
            "rapid reset; each response that completes gives one back",
            "http2.reset_flood",
            "",
        ),
        line(
            "streams we must refuse or reset",
            rate(refusals),
            "a peer that makes us reset is as expensive as one that resets",
            "http2.refusal_flood",
            "",
        ),
        line(
            "PING",
            rate(pings),
            "each asks for an answer; our DATA gives some back",
            "http2.ping_flood",
            "",
        ),
        line(
            "SETTINGS",
            rate(settings),
            "each asks for an answer and for work on every stream",
            "http2.settings_flood",
            "",
        ),
        line(
            "PRIORITY, unknown frames, interim responses",
            rate(ignored),
            "frames without effect",
            "http2.ignored_flood",
            "",
        ),
        line(
            "empty DATA and CONTINUATION",
            rate(empties),
            "frames without content",
            "http2.empty_flood",
            "",
        ),
        line(
            "WINDOW_UPDATE",
            rate(window_updates),
            "a byte at a time; what we send gives some back",
            "http2.window_flood",
            "",
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "one entry for each limit")]
fn times() -> Vec<Line> {
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

fn connections() -> Vec<Line> {
    vec![
        line(
            "connections of the process",
            format!(
                "half of the open files, {} for each worker at most",
                limits::DOWNSTREAM_CONNECTIONS
            ),
            "each may need one upstream; beyond, accepting waits",
            "process_connections",
            "downstream_connections.max_active_downstream_connections",
        ),
        line(
            "connections of a listener",
            format!("{} % of the process'", limits::CONNECTIONS_PER_LISTENER_PERCENT),
            "one that is flooded leaves the others some; beyond, they are closed",
            "listener_connections",
            "",
        ),
        line(
            "connections of a peer address (IPv6: its /64)",
            format!("{} % of the process'", limits::CONNECTIONS_PER_PEER_PERCENT),
            "a sidecar's only client is one address; another must still get in",
            "peer_connections",
            "",
        ),
    ]
}

fn buffers() -> Vec<Line> {
    vec![
        line(
            "body bytes between a fast and a slow side",
            bytes(limits::BODY_BUFFER_BYTES),
            "for each direction of an exchange",
            "back-pressure",
            "",
        ),
        line(
            "request body kept for a retry",
            bytes(limits::REPLAY_BYTES),
            "a longer one is sent once",
            "no retry",
            "",
        ),
        line(
            "unwritten bytes of an HTTP/2 connection",
            bytes(limits::HTTP2_OUT_BYTES),
            "beyond, nothing is read from it",
            "back-pressure",
            "",
        ),
        line(
            "encrypted bytes read ahead of TLS",
            bytes(limits::TLS_AHEAD_BYTES),
            "two records, where they come in bulk",
            "back-pressure",
            "",
        ),
        line(
            "buffer of one direction of a TCP relay",
            bytes(limits::RELAY_BUFFER_BYTES),
            "where a copy beats `splice`",
            "back-pressure",
            "",
        ),
    ]
}

fn memory() -> Vec<Line> {
    let percent = |percent: usize| format!("{percent} % of the budget");
    vec![
        line(
            "memory budget of the process",
            format!(
                "{} % of what the cgroup or the machine has, {} at most",
                limits::MEMORY_BUDGET_PERCENT,
                bytes(limits::MEMORY_BUDGET_BYTES_MAX)
            ),
            "the rest is for configuration, TLS and the kernel's socket buffers",
            "leno_memory_held_bytes",
            "fixed_heap.max_heap_size_bytes",
        ),
        line(
            "an idle connection in it",
            bytes(limits::CONNECTION_BYTES),
            "what it costs besides its buffers",
            "",
            "",
        ),
        line(
            "grade 1: connections that hold more than a buffer each way are not read from",
            percent(limits::MEMORY_STOP_READING_PERCENT),
            "what they sent must leave first",
            "memory_reading",
            "",
        ),
        line(
            "grade 2: new requests are refused",
            percent(limits::MEMORY_REFUSE_STREAMS_PERCENT),
            "those under way get what is left",
            "memory_streams",
            "",
        ),
        line(
            "grade 3: new connections are refused, the largest cut",
            percent(limits::MEMORY_SHED_PERCENT),
            "some are lost, so that not all are",
            "memory_shed",
            "",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!((bytes(61_440).as_str(), bytes(1 << 20).as_str()), ("60 KiB", "1 MiB"));
        assert_eq!(bytes(100), "100 bytes");
        assert_eq!(
            (time(Duration::from_secs(60)).as_str(), time(limits::TCP_IDLE).as_str()),
            ("60 s", "1 h")
        );
    }
}
