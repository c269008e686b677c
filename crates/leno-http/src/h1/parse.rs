//! Heads from bytes. `httparse` finds the lines; what it forgives is refused here.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::connection;
use super::diagnose::{Kind, diagnose};
use super::framing::{self, Framing};
use super::target::{self, Target};
use crate::fields::Span;
use crate::h2::Tag;
use crate::{Fields, Invalid, Known, Limits, Method, RequestHead, ResponseHead, Version};

/// What the machine keeps of a head it parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed {
    /// Bytes of input that were the head.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
    pub(crate) is_persistent: bool,
}

/// Space for the parser's index: on the stack, never initialised.
type Lines<'a> = [MaybeUninit<httparse::Header<'a>>; Limits::FIELDS_MAX];

/// Parses a request head at the start of `input`; `None` means that more bytes are needed.
pub(crate) fn request(
    input: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Option<Parsed>, Invalid> {
    // RFC 9112 §2.2: one empty line before the request line is ignored.
    let skipped = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let text = &input[skipped..input.len().min(limits.head_bytes)];
    match text {
        [] | [b'\r'] => return Ok(None),
        [b'\n', ..] => return Err(Invalid::BareLf),
        [b'\r' | b' ' | b'\t', ..] => return Err(Invalid::LeadingBytes),
        _ => {}
    }
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; Limits::FIELDS_MAX];
    let lines = &mut lines[..limits.fields.min(Limits::FIELDS_MAX)];
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(text, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return incomplete(input, limits),
        Err(error) => return Err(diagnose(Kind::Request, text, error)),
    };
    let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    // method SP target SP HTTP/1.x CRLF
    let fields_start = method.len() + target.len() + 12;
    head.version = version(parsed.version);
    head.method = Method::recognize(method.as_bytes());
    head.method_text = Span::new(0..method.len());
    head.target = Span::new(method.len() + 1..method.len() + 1 + target.len());
    head.received_target = head.target;
    (head.scheme, head.target_tag) = (None, Tag::UNKNOWN);
    index(&text[..length], fields_start, parsed.headers, &mut head.fields)?;

    read_target(head, target.as_bytes())?;
    let options = connection::options(&mut head.fields)?;
    let framing = framing::of_request(head.version, &head.fields)?;
    head.body = framing.body_length();
    head.wants_upgrade =
        options.upgrade && head.version == Version::Http11 && upgrade_may_pass(&head.fields);
    Ok(Some(Parsed {
        length: skipped + length,
        framing,
        is_persistent: options.is_persistent(head.version),
    }))
}

/// Parses the head of a response to `method` at the start of `input`; `None` means that more bytes are needed.
pub(crate) fn response(
    input: &[u8],
    limits: &Limits,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Option<Parsed>, Invalid> {
    let text = &input[..input.len().min(limits.head_bytes)];
    if matches!(text, [b'\r' | b'\n' | b' ' | b'\t', ..]) {
        return Err(Invalid::LeadingBytes);
    }
    let mut lines: Lines<'_> = [const { MaybeUninit::uninit() }; Limits::FIELDS_MAX];
    let lines = &mut lines[..limits.fields.min(Limits::FIELDS_MAX)];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, text, lines) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return incomplete(input, limits),
        Err(error) => return Err(diagnose(Kind::Response, text, error)),
    };
    let line_end = memchr::memchr(b'\n', text).map_or(length, |at| at + 1);
    // HTTP/1.x SP code, then CRLF or SP reason CRLF. The parser hides a reason with bytes above 0x7f, so it is taken
    // from the line.
    let reason = if line_end > 15 { 13..line_end - 2 } else { 0..0 };
    head.version = version(parsed.version);
    head.status = parsed.code.unwrap_or_default();
    head.reason = Span::new(reason);
    index(&text[..length], line_end, parsed.headers, &mut head.fields)?;
    if head.status < 100 {
        return Err(Invalid::Status);
    }

    let options = connection::options(&mut head.fields)?;
    let framing = framing::of_response(method, head.status, head.version, &head.fields)?;
    head.body = framing.body_length();
    head.is_upgrade =
        head.status == 101 || (method == Method::Connect && (200..300).contains(&head.status));
    Ok(Some(Parsed { length, framing, is_persistent: options.is_persistent(head.version) }))
}

/// Parses a trailer section, its empty line included; `None` means that more bytes are needed.
pub(crate) fn trailers(
    input: &[u8],
    limits: &Limits,
    into: &mut Fields,
) -> Result<Option<usize>, Invalid> {
    into.clear();
    // Without trailers, which is almost always, the section is its empty line.
    if input.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let text = &input[..input.len().min(limits.trailer_bytes)];
    let mut lines = [httparse::EMPTY_HEADER; Limits::FIELDS_MAX];
    let lines = &mut lines[..limits.fields.min(Limits::FIELDS_MAX)];
    match httparse::parse_headers(text, lines) {
        Ok(httparse::Status::Complete((length, parsed))) => {
            index(&text[..length], 0, parsed, into)?;
            match into.iter().any(|field| field.known.is_forbidden_in_trailers()) {
                true => Err(Invalid::ForbiddenTrailer),
                false => Ok(Some(length)),
            }
        }
        Ok(httparse::Status::Partial) if input.len() >= limits.trailer_bytes => {
            Err(Invalid::TrailersTooLarge)
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Invalid::TooManyFields),
        Err(_) => Err(super::diagnose::field_lines(text).unwrap_or(Invalid::FieldName)),
    }
}

const fn incomplete(input: &[u8], limits: &Limits) -> Result<Option<Parsed>, Invalid> {
    if input.len() >= limits.head_bytes { Err(Invalid::HeadTooLarge) } else { Ok(None) }
}

const fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// Copies the head into the arena and indexes its lines, each of which must start where the one before ended in CRLF:
/// that is where bare LF and stray bytes show.
fn index(
    head: &[u8],
    fields_start: usize,
    lines: &[httparse::Header<'_>],
    fields: &mut Fields,
) -> Result<(), Invalid> {
    fields.begin(head);
    // The first line of a trailer section has nothing before it.
    let mut is_strict = fields_start == 0 || ends_in_crlf(head, fields_start);
    let offset = |part: &[u8]| part.as_ptr() as usize - head.as_ptr() as usize;
    let mut line_start = fields_start;
    for (at, line) in lines.iter().enumerate() {
        let line_end = match lines.get(at + 1) {
            Some(next) => offset(next.name.as_bytes()),
            None => head.len().saturating_sub(2),
        };
        is_strict &= offset(line.name.as_bytes()) == line_start && ends_in_crlf(head, line_end);
        let value = offset(line.value);
        fields.index_line(
            line.name.as_bytes(),
            line_start,
            value..value + line.value.len(),
            line_end,
        );
        line_start = line_end;
    }
    is_strict &= line_start + 2 == head.len() && ends_in_crlf(head, head.len());
    if is_strict { Ok(()) } else { Err(Invalid::BareLf) }
}

fn ends_in_crlf(head: &[u8], end: usize) -> bool {
    end >= 2 && head.get(end - 2..end) == Some(b"\r\n")
}

/// Checks target and Host, and makes the Host field agree with the target (RFC 9112 §3.2.2, §3.3).
fn read_target(head: &mut RequestHead, target: &[u8]) -> Result<(), Invalid> {
    let form = target::parse(head.method, target).ok_or(Invalid::Target)?;
    match head.fields.get(Known::Host) {
        None if head.version == Version::Http11 => return Err(Invalid::MissingHost),
        None => {}
        Some(_) if head.fields.count(Known::Host) > 1 => return Err(Invalid::DuplicateHost),
        Some(host) if !target::is_authority(host) => return Err(Invalid::Host),
        Some(_) => {}
    }
    match form {
        Target::Origin => {}
        Target::Authority => head.fields.set(Known::Host, target),
        Target::Absolute { authority, path } => {
            head.fields.set(Known::Host, authority);
            if path.is_empty() {
                head.set_target(if head.method == Method::Options { "*" } else { "/" });
            } else {
                let end = head.target.range().end;
                head.target = Span::new(Range { start: end - path.len(), end });
            }
        }
    }
    Ok(())
}

/// An upgrade to `h2c` would tunnel requests that nobody sees, so it is never offered to the next hop.
fn upgrade_may_pass(fields: &Fields) -> bool {
    let mut protocols =
        fields.values(Known::Upgrade).flat_map(|value| value.split(|&byte| byte == b','));
    fields.has(Known::Upgrade)
        && protocols.all(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}
