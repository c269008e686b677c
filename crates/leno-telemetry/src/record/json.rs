//! One access record as one line of JSON, appended to a buffer without allocation.

use std::net::SocketAddr;
use std::time::Duration;

use leno_core::format::{self, decimal, quote, timestamp};

use super::AccessRecord;

/// Appends the record and a line feed.
pub(crate) fn line(record: &AccessRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"start_time\":\"");
    out.extend_from_slice(&timestamp(record.start_time));
    out.push(b'"');
    bytes(out, ",\"method\":", record.method);
    bytes(out, ",\"path\":", record.path);
    text(out, ",\"protocol\":", record.protocol);
    number(out, ",\"response_code\":", record.response_code.into());
    out.extend_from_slice(b",\"response_flags\":\"");
    record.response_flags.each_part(|part| out.extend_from_slice(part.as_bytes()));
    out.push(b'"');
    text(out, ",\"response_code_details\":", record.response_code_details);
    text(out, ",\"connection_termination_details\":", record.connection_termination_details);
    let reason = record.upstream_transport_failure_reason;
    text(out, ",\"upstream_transport_failure_reason\":", reason);
    number(out, ",\"bytes_received\":", record.bytes_received);
    number(out, ",\"bytes_sent\":", record.bytes_sent);
    number(out, ",\"duration\":", millis(record.duration));
    service_time(out, record.upstream_service_time);
    bytes(out, ",\"x_forwarded_for\":", record.x_forwarded_for);
    bytes(out, ",\"user_agent\":", record.user_agent);
    bytes(out, ",\"request_id\":", record.request_id);
    bytes(out, ",\"authority\":", record.authority);
    address(out, ",\"upstream_host\":", record.upstream_host);
    text(out, ",\"upstream_cluster\":", record.upstream_cluster);
    address(out, ",\"upstream_local_address\":", record.upstream_local_address);
    address(out, ",\"downstream_local_address\":", record.downstream_local_address);
    address(out, ",\"downstream_remote_address\":", record.downstream_remote_address);
    text(out, ",\"requested_server_name\":", record.requested_server_name);
    text(out, ",\"route_name\":", record.route_name);
    text(out, ",\"blame\":", record.blame.map(crate::Blame::as_str));
    text(out, ",\"blame_detail\":", record.blame_detail);
    text(out, ",\"peer\":", record.peer);
    text(out, ",\"upstream_peer\":", record.upstream_peer);
    out.extend_from_slice(b"}\n");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A string, as the header it comes from is one.
fn service_time(out: &mut Vec<u8>, time: Option<Duration>) {
    out.extend_from_slice(b",\"upstream_service_time\":");
    match time {
        Some(time) => {
            out.push(b'"');
            decimal(millis(time), out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    decimal(value, out);
}

fn address(out: &mut Vec<u8>, key: &str, value: Option<SocketAddr>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(address) => {
            out.push(b'"');
            format::address(address, out);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    bytes(out, key, value.map(str::as_bytes));
}

fn bytes(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(value) => quote(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests;
