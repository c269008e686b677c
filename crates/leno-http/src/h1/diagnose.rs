//! Says precisely why a head was refused. Off the fast path: runs once, before the connection is closed.
//!
//! The parser stops at the first bad byte but names it roughly. This scan finds the same byte and looks only at what is
//! before it, so the answer does not depend on how the bytes were split into reads.

use crate::Invalid;
use crate::name::is_token_byte;

/// Which start line the head should have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
}

/// The reason for which the parser refused `head`.
#[cold]
pub(crate) fn diagnose(kind: Kind, head: &[u8], error: httparse::Error) -> Invalid {
    if error == httparse::Error::TooManyHeaders {
        return Invalid::TooManyFields;
    }
    let line_end = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    let (start_line, fields) = head.split_at(line_end);
    let in_start_line = match kind {
        Kind::Request => request_line(start_line, error),
        Kind::Response => status_line(start_line, error),
    };
    in_start_line.or_else(|| field_lines(fields)).unwrap_or_else(|| by_kind(error))
}

/// Only reached if the two scans disagree with the parser, which the fuzz target would show.
const fn by_kind(error: httparse::Error) -> Invalid {
    match error {
        httparse::Error::HeaderName => Invalid::FieldName,
        httparse::Error::HeaderValue => Invalid::FieldValue,
        httparse::Error::NewLine => Invalid::BareCr,
        httparse::Error::Status => Invalid::StatusLine,
        httparse::Error::Token => Invalid::RequestLine,
        httparse::Error::TooManyHeaders => Invalid::TooManyFields,
        httparse::Error::Version => Invalid::Version,
    }
}

fn request_line(line: &[u8], error: httparse::Error) -> Option<Invalid> {
    let version = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
    match error {
        httparse::Error::Version if version.starts_with(b"HTTP/") => Some(Invalid::Version),
        httparse::Error::Version => Some(Invalid::RequestLine),
        httparse::Error::Token => Some(token(line)),
        httparse::Error::NewLine => match version.get(8..)? {
            [b'\n', ..] | [b'\r', b'\n', ..] => None,
            [b'\r', ..] => Some(Invalid::BareCr),
            _ => Some(Invalid::RequestLine),
        },
        _ => None,
    }
}

/// The first byte that is wrong in method or target.
fn token(line: &[u8]) -> Invalid {
    let method_end = line.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(line.len());
    match line.get(method_end) {
        Some(b' ') if method_end == 0 => return Invalid::LeadingBytes,
        Some(b' ') => {}
        Some(0) => return Invalid::Nul,
        Some(b'\r' | b'\n') => return Invalid::RequestLine,
        _ => return Invalid::Method,
    }
    let target = &line[method_end + 1..];
    match target.iter().find(|byte| !byte.is_ascii_graphic() && byte.is_ascii()) {
        Some(0) => Invalid::Nul,
        Some(b' ') if target.first() == Some(&b' ') => Invalid::RequestLine,
        Some(b'\r' | b'\n') => Invalid::RequestLine,
        _ => Invalid::Target,
    }
}

fn status_line(line: &[u8], error: httparse::Error) -> Option<Invalid> {
    match error {
        httparse::Error::Version => {
            let is_http = line.starts_with(b"HTTP/") && line.get(5).is_some_and(u8::is_ascii_digit);
            Some(if is_http { Invalid::Version } else { Invalid::StatusLine })
        }
        httparse::Error::Status => Some(code_and_reason(line).unwrap_or(Invalid::StatusLine)),
        httparse::Error::NewLine => code_and_reason(line),
        _ => None,
    }
}

/// The first byte that is wrong behind `HTTP/1.x SP`.
fn code_and_reason(line: &[u8]) -> Option<Invalid> {
    let (code, rest) = line.get(9..)?.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(rest, [] | [b' ' | b'\r' | b'\n', ..]) {
        return Some(Invalid::StatusLine);
    }
    let at = rest.iter().position(|&byte| byte != b'\t' && byte.is_ascii_control())?;
    match rest[at] {
        0 => Some(Invalid::Nul),
        b'\n' => None,
        b'\r' => bad_end(rest),
        _ => Some(Invalid::StatusLine),
    }
}

/// A CR that another byte than LF follows.
fn bad_end(line: &[u8]) -> Option<Invalid> {
    let at = memchr::memchr(b'\r', line)?;
    line.get(at + 1).is_some_and(|&next| next != b'\n').then_some(Invalid::BareCr)
}

/// The first violation in the field lines (or trailers) of `rest`.
pub(crate) fn field_lines(mut rest: &[u8]) -> Option<Invalid> {
    while !rest.is_empty() && !rest.starts_with(b"\r\n") {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if let Some(invalid) = field_line(line) {
            return Some(invalid);
        }
        rest = after;
    }
    None
}

fn field_line(line: &[u8]) -> Option<Invalid> {
    if matches!(line[0], b' ' | b'\t') {
        return Some(Invalid::ObsFold);
    }
    let name_end = line.iter().position(|&byte| !is_token_byte(byte))?;
    match line[name_end] {
        b':' if name_end > 0 => {}
        b' ' | b'\t' => return Some(Invalid::SpaceBeforeColon),
        0 => return Some(Invalid::Nul),
        b'\r' if name_end == 0 => return bad_end(line),
        b'\n' if name_end == 0 => return Some(Invalid::BareLf),
        b'\r' | b'\n' => return Some(Invalid::MissingColon),
        _ => return Some(Invalid::FieldName),
    }
    let value = &line[name_end + 1..];
    let at = value.iter().position(|&byte| byte != b'\t' && byte.is_ascii_control())?;
    match (value[at], value.get(at + 1)) {
        (0, _) => Some(Invalid::Nul),
        (b'\n', _) => Some(Invalid::BareLf),
        (b'\r', None | Some(b'\n')) => None,
        (b'\r', Some(_)) => Some(Invalid::BareCr),
        _ => Some(Invalid::FieldValue),
    }
}
