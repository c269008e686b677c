//! The table of limits that `docs/limits.md` shows: made from the values that are in force, so that it cannot say others.
//!
//! A test compares the page with it.

mod http;
mod time;

use std::fmt::Write as _;
use std::time::Duration;

use leno_http::Rate;
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
    let turns = turns();
    for part in
        [http::messages(), http::http2(), time::times(), connections(), buffers(), turns, memory()]
    {
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
            "bytes of a downstream connection that the kernel takes before it can send them",
            bytes(limits::UNSENT_BYTES as usize),
            "`TCP_NOTSENT_LOWAT`: else 4 MiB for each reader that does not read",
            "back-pressure",
            "",
        ),
        line(
            "the same, of one that takes 512 KiB in 25 ms time after time",
            bytes(limits::UNSENT_BYTES_MAX as usize),
            "in steps; 128 KiB again once 512 KiB take 250 ms",
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

fn turns() -> Vec<Line> {
    vec![
        line(
            "long bodies moved in one turn of a worker's loop, while others wait",
            bytes(limits::LANE_BYTES),
            "a small request waits as long at each of its steps",
            "order",
            "",
        ),
        line(
            "of one of them",
            bytes(usize::try_from(limits::BODY_TURN_BYTES).unwrap_or(usize::MAX)),
            "none keeps the others waiting",
            "order",
            "",
        ),
        line(
            "streams that a connection begins in one turn",
            limits::HTTP2_STREAMS_PER_TURN.to_string(),
            "more than a client has that waits for its answers",
            "order",
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
            "an HTTP/2 stream in it, and a place kept ready for one",
            bytes(limits::STREAM_BYTES),
            "the same; many may stay open",
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
