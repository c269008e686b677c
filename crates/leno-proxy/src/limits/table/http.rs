//! What a message and an HTTP/2 connection may consist of.

use leno_http::{Http2Limits, Limits};

use super::{Line, bytes, line, rate};

pub(super) fn messages() -> Vec<Line> {
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
pub(super) fn http2() -> Vec<Line> {
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
