//! One access record as one line of JSON, appended to a buffer without allocation.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use super::AccessRecord;

/// Writes lines; remembers the text of the current second, which most lines share.
#[derive(Debug, Default)]
pub(crate) struct Line {
    second: u64,
    /// `2026-01-31T12:00:00`
    text: Vec<u8>,
}

impl Line {
    /// Appends the record and a line feed.
    pub(crate) fn write(&mut self, record: &AccessRecord<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"start_time\":\"");
        self.time(record.start_time, out);
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

    fn time(&mut self, at: SystemTime, out: &mut Vec<u8>) {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            let seconds = i64::try_from(self.second).unwrap_or(i64::MAX);
            // Beyond the year 9999 no clock of ours goes; the epoch stands for it.
            let at =
                OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
            let (date, time) = (at.date(), at.time());
            self.text.clear();
            write!(
                self.text,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                date.year(),
                u8::from(date.month()),
                date.day(),
                time.hour(),
                time.minute(),
                time.second()
            )
            .expect("writing to a Vec cannot fail");
        }
        out.extend_from_slice(&self.text);
        let millis = since.subsec_millis();
        let digit = |n: u32| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[
            b'.',
            digit(millis / 100),
            digit(millis / 10),
            digit(millis),
            b'Z',
        ]);
    }
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
            digits(out, millis(time));
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    digits(out, value);
}

fn digits(out: &mut Vec<u8>, mut value: u64) {
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut buffer = [0; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&buffer[at..]);
}

fn address(out: &mut Vec<u8>, key: &str, value: Option<SocketAddr>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(SocketAddr::V4(address)) => {
            // `"255.255.255.255:65535"`, put together here: four addresses are a third of a line's pieces.
            let (mut text, mut at) = ([b'"'; 23], 1);
            let mut put = |byte: u8| {
                text[at] = byte;
                at += 1;
            };
            let mut number = |value: u16, end: u8| {
                // Constants, so that no division is left.
                for power in [10_000, 1000, 100, 10, 1] {
                    if value >= power || power == 1 {
                        put(b'0' + (value / power % 10) as u8);
                    }
                }
                put(end);
            };
            let [a, b, c, d] = address.ip().octets().map(u16::from);
            for part in [a, b, c] {
                number(part, b'.');
            }
            number(d, b':');
            number(address.port(), b'"');
            out.extend_from_slice(&text[..at]);
        }
        Some(address @ SocketAddr::V6(_)) => {
            write!(out, "\"{address}\"").expect("writing to a Vec cannot fail");
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(value) if is_plain(value.as_bytes()) => quoted(out, value.as_bytes()),
        Some(value) => string(out, value.as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

fn bytes(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(value) if is_plain(value) => quoted(out, value),
        Some(value) => match String::from_utf8_lossy(value) {
            Cow::Borrowed(_) => string(out, value),
            Cow::Owned(repaired) => string(out, repaired.as_bytes()),
        },
        None => out.extend_from_slice(b"null"),
    }
}

/// Whether every byte is visible ASCII or a space that JSON takes as it is: almost always. No branch in the loop, so it
/// is done many bytes at a time.
fn is_plain(value: &[u8]) -> bool {
    let is_odd = |byte: &u8| !(b' '..=b'~').contains(byte) | (*byte == b'"') | (*byte == b'\\');
    !value.iter().fold(false, |odd, byte| odd | is_odd(byte))
}

fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(value);
    out.push(b'"');
}

/// A JSON string (RFC 8259 §7) of bytes that are UTF-8: runs that need no escape are copied whole.
fn string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests;
