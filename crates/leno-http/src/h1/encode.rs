//! Heads to bytes: the received lines, edits applied, hop-by-hop fields left out and framing made sure of.

use super::framing::{Framing, decimal};
use crate::{BodyLength, Fields, Known, Method, RequestHead, ResponseHead, Version};

/// What the `Connection` field that we write says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// Nothing: HTTP/1.1 persists by default.
    Unsaid,
    KeepAlive,
    Close,
    Upgrade,
}

/// Writes a request head and returns the framing it announces.
pub(super) fn request(head: &RequestHead, out: &mut Vec<u8>) -> Framing {
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let framing = match head.body {
        BodyLength::Empty => Framing::Empty,
        BodyLength::Exactly(length) => Framing::Length(length),
        BodyLength::Unknown => Framing::Chunked,
    };
    let upgrade = head.upgrade().is_some();
    let lines =
        Lines { framing, carries_upgrade: upgrade, length: Length::of_request(framing, head) };
    lines.write(&head.fields, out);
    if !head.fields.has(Known::Host) {
        // HTTP/1.0 may come without; HTTP/1.1 may not leave without (RFC 9112 §3.2).
        out.extend_from_slice(b"host: \r\n");
    }
    finish(if upgrade { Connection::Upgrade } else { Connection::Unsaid }, out);
    framing
}

/// Writes a response head to a request of this `method` and `version` and returns the framing it announces. `connection`
/// is asked once that is known.
pub(super) fn response(
    head: &ResponseHead,
    asked: (Method, Version),
    connection: impl FnOnce(Framing) -> Connection,
    out: &mut Vec<u8>,
) -> Framing {
    let (method, version) = asked;
    status_line(head, out);
    let is_tunnel = method == Method::Connect && (200..300).contains(&head.status);
    let has_no_body = method == Method::Head || head.status == 304;
    let (framing, length) = if head.status < 200 || head.status == 204 || is_tunnel {
        (Framing::Empty, Length::Absent)
    } else if has_no_body {
        (Framing::Empty, Length::AsIs)
    } else {
        match head.body {
            BodyLength::Empty => (Framing::Empty, Length::Exactly(0)),
            BodyLength::Exactly(length) => (Framing::Length(length), Length::Exactly(length)),
            BodyLength::Unknown if version == Version::Http10 => {
                (Framing::UntilClose, Length::Absent)
            }
            BodyLength::Unknown => (Framing::Chunked, Length::Absent),
        }
    };
    Lines { framing, carries_upgrade: head.status == 101, length }.write(&head.fields, out);
    finish(connection(framing), out);
    framing
}

/// Writes an interim response.
pub(super) fn interim(head: &ResponseHead, out: &mut Vec<u8>) {
    status_line(head, out);
    Lines { framing: Framing::Empty, carries_upgrade: false, length: Length::Absent }
        .write(&head.fields, out);
    out.extend_from_slice(b"\r\n");
}

fn status_line(head: &ResponseHead, out: &mut Vec<u8>) {
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[
        digit(head.status / 100),
        digit(head.status / 10),
        digit(head.status),
        b' ',
    ]);
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

/// What becomes of Content-Length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Whatever the head has.
    AsIs,
    /// No such field.
    Absent,
    /// One, with this value.
    Exactly(u64),
}

impl Length {
    fn of_request(framing: Framing, head: &RequestHead) -> Self {
        match framing {
            Framing::Length(length) => Self::Exactly(length),
            // `Content-Length: 0` is said again if it was said, not otherwise: a GET has none.
            Framing::Empty if head.fields.has(Known::ContentLength) => Self::Exactly(0),
            Framing::Empty | Framing::Chunked | Framing::UntilClose => Self::Absent,
        }
    }
}

/// How the fields are written.
struct Lines {
    framing: Framing,
    carries_upgrade: bool,
    length: Length,
}

impl Lines {
    /// Framing fields that say what will be sent stay where they are, byte for byte; others go, and a missing one is
    /// appended.
    fn write(&self, fields: &Fields, out: &mut Vec<u8>) {
        let keeps_length = match self.length {
            Length::AsIs => true,
            Length::Absent => false,
            Length::Exactly(length) => {
                fields.get(Known::ContentLength).and_then(decimal) == Some(length)
                    && fields.count(Known::ContentLength) == 1
            }
        };
        let is_chunked = self.framing == Framing::Chunked;
        let keeps_coding = is_chunked
            && fields
                .get(Known::TransferEncoding)
                .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
            && fields.count(Known::TransferEncoding) == 1;
        // Almost every line is of the second kind, so it is asked one question.
        fields.copy_lines(out, |known, is_hop_by_hop| match is_hop_by_hop {
            true if known == Known::TransferEncoding => keeps_coding,
            true => known == Known::Upgrade && self.carries_upgrade,
            false => keeps_length || known != Known::ContentLength,
        });
        if is_chunked && !keeps_coding {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        if let (Length::Exactly(length), false) = (self.length, keeps_length) {
            out.extend_from_slice(b"content-length: ");
            push_decimal(length, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn finish(connection: Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(match connection {
        Connection::Unsaid => b"\r\n".as_slice(),
        Connection::KeepAlive => b"connection: keep-alive\r\n\r\n",
        Connection::Close => b"connection: close\r\n\r\n",
        Connection::Upgrade => b"connection: upgrade\r\n\r\n",
    });
}

fn push_decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
