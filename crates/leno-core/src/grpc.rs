//! What gRPC says in HTTP's fields, and how its statuses and HTTP's stand for each other. Pure.

use std::time::Duration;

use crate::config::GrpcTimeout;

/// `grpc-status` of a deadline that passed.
pub const DEADLINE_EXCEEDED: u8 = 4;

/// The names of the statuses, in both spellings: as Envoy writes them, and as gRPC does.
const NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

/// The status's names, in camel and in snake case; `None` for what is no status.
#[must_use]
pub fn names(status: u8) -> Option<(&'static str, &'static str)> {
    NAMES.get(usize::from(status)).copied()
}

/// Whether a message with this content type is gRPC: `application/grpc`, alone or with `+` or `;` behind it.
#[must_use]
pub fn is_grpc(content_type: &[u8]) -> bool {
    let rest = content_type.strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status that stands for an HTTP status of an intermediary (gRPC's "HTTP to gRPC status code mapping").
#[must_use]
pub fn of_http(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// The HTTP status that an ejection counts a gRPC status as (Envoy's `grpcToHttpStatus`).
#[must_use]
pub fn to_http(status: u8) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        // UNKNOWN, INTERNAL, DATA_LOSS, and what is no status.
        _ => 500,
    }
}

/// `grpc-timeout`: up to eight digits and a unit.
#[must_use]
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// `grpc-message`: visible ASCII but `%` as it is, everything else percent-encoded.
#[must_use]
pub fn message(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    encoded
}

/// Counts messages by their framing: a flag byte and four bytes of length before each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCount {
    messages: u64,
    /// Bytes of the prefix that have been seen, and the length so far.
    prefix: (u8, u32),
    /// Bytes of the message that are still to come.
    left: u64,
}

impl MessageCount {
    /// Messages that have begun.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The next bytes of the body.
    pub fn on_data(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= skipped as u64;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            let (seen, length) = self.prefix;
            // The first byte is the flag.
            let length = if seen == 0 { 0 } else { length << 8 | u32::from(*byte) };
            if seen == 4 {
                self.messages += 1;
                (self.prefix, self.left) = ((0, 0), u64::from(length));
            } else {
                self.prefix = (seen + 1, length);
            }
        }
    }
}

/// What a route grants of the deadline that a client set, by Envoy's `grpc_timeout_header_max` and
/// `grpc_timeout_header_offset`. An offset that would leave nothing is not taken off.
#[must_use]
pub fn granted(asked: Duration, by: GrpcTimeout) -> Duration {
    let asked = if by.offset < asked { asked - by.offset } else { asked };
    if by.max.is_zero() { asked } else { asked.min(by.max) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MessageCount, granted, is_grpc, message, of_http, timeout, to_http};
    use crate::config::GrpcTimeout;

    #[test]
    fn content_types_that_are_grpc() {
        let table = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ];
        for (kind, expected) in table {
            assert_eq!(is_grpc(kind.as_bytes()), expected, "{kind}");
        }
    }

    #[test]
    fn a_route_grants_what_it_may_of_a_clients_deadline() {
        // (asked, max, offset, granted), in seconds
        let table =
            [(9, 0, 0, 9), (9, 5, 0, 5), (9, 5, 1, 5), (4, 5, 1, 3), (2, 5, 2, 2), (2, 0, 9, 2)];
        for (asked, max, offset, expected) in table {
            let [asked, max, offset, expected] =
                [asked, max, offset, expected].map(Duration::from_secs);
            assert_eq!(granted(asked, GrpcTimeout { max, offset }), expected, "{asked:?}");
        }
    }

    #[test]
    fn timeouts_have_at_most_eight_digits_and_a_unit() {
        let table = [
            ("1S", Some(Duration::from_secs(1))),
            ("20m", Some(Duration::from_millis(20))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(Duration::from_secs(120))),
            ("999999999S", None),
            ("S", None),
            ("-1S", None),
            ("1", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn statuses_stand_for_each_other() {
        for (http, grpc) in [(503, 14), (504, 14), (404, 12), (403, 7), (400, 13), (418, 2)] {
            assert_eq!(of_http(http), grpc, "{http}");
        }
        for (grpc, http) in [(0, 200), (4, 504), (14, 503), (13, 500), (99, 500)] {
            assert_eq!(to_http(grpc), http, "{grpc}");
        }
        assert_eq!(message("no healthy 100% ä\n"), "no healthy 100%25 %C3%A4%0A");
    }

    #[test]
    fn messages_are_counted_however_the_bytes_are_cut() {
        let mut body = Vec::new();
        for length in [0_u32, 3, 300] {
            body.push(0);
            body.extend_from_slice(&length.to_be_bytes());
            body.resize(body.len() + length as usize, 7);
        }
        for cut in 1..body.len() {
            let mut count = MessageCount::default();
            body.chunks(cut).for_each(|piece| count.on_data(piece));
            assert_eq!(count.messages(), 3, "pieces of {cut}");
        }
    }
}
