//! OTLP 1.x (`opentelemetry/proto/trace/v1`), as protobuf, written without building messages first.

use std::io::Write as _;

use super::Span;

/// The instrumentation scope of every span.
const SCOPE: (&str, &str) = ("leno", env!("CARGO_PKG_VERSION"));

/// `Status.STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;

/// Room for spans while they are encoded; reused.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    body: Vec<u8>,
    framed: Vec<u8>,
}

impl Encoder {
    /// One element of `ScopeSpans.spans`, tag and length included.
    pub(super) fn span(
        &mut self,
        span: &Span<'_>,
        attributes: impl FnOnce(&mut Attributes<'_>),
    ) -> &[u8] {
        let out = &mut self.body;
        out.clear();
        bytes(out, 1, &span.context.trace_id.to_be_bytes());
        bytes(out, 2, &span.context.span_id.to_be_bytes());
        if let Some(parent) = span.parent {
            bytes(out, 4, &parent.to_be_bytes());
        }
        let (prefix, name) = span.name;
        let name = String::from_utf8_lossy(name);
        tag(out, 5, LENGTH);
        varint(out, (prefix.len() + name.len()) as u64);
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(name.as_bytes());
        number(out, 6, span.kind as u64);
        fixed(out, 7, span.start_nanos());
        fixed(out, 8, span.end_nanos());
        attributes(&mut Attributes { out, field: 9 });
        if span.is_error {
            tag(out, 15, LENGTH);
            varint(out, 2);
            number(out, 3, STATUS_ERROR);
        }
        self.framed.clear();
        bytes(&mut self.framed, 2, &self.body);
        &self.framed
    }
}

/// Where a span's attributes are written.
#[derive(Debug)]
pub struct Attributes<'a> {
    out: &'a mut Vec<u8>,
    field: u32,
}

impl Attributes<'_> {
    /// A text; bytes that are no UTF-8 are replaced.
    pub fn text(&mut self, key: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        self.key_value(key, length_of(value.len()));
        bytes(self.out, 1, value.as_bytes());
    }

    /// A text in several parts.
    pub fn parts(&mut self, key: &str, parts: &[&[u8]]) {
        if parts.iter().any(|part| std::str::from_utf8(part).is_err()) {
            return self.text(key, &parts.concat());
        }
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.key_value(key, length_of(length));
        tag(self.out, 1, LENGTH);
        varint(self.out, length as u64);
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    /// An address or the like; at most 64 bytes of it.
    pub fn display(&mut self, key: &str, value: &impl std::fmt::Display) {
        let mut text = [0; 64];
        let mut rest = &mut text[..];
        // What does not fit is left out.
        let _ = write!(rest, "{value}");
        let length = 64 - rest.len();
        self.text(key, &text[..length]);
    }

    /// A number as text, as Envoy writes sizes and codes.
    pub fn number(&mut self, key: &str, value: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.text(key, &digits[at..]);
    }

    /// `KeyValue` up to its `AnyValue`, which has so many bytes.
    fn key_value(&mut self, key: &str, value_bytes: usize) {
        tag(self.out, self.field, LENGTH);
        varint(self.out, (length_of(key.len()) + length_of(value_bytes)) as u64);
        bytes(self.out, 1, key.as_bytes());
        tag(self.out, 2, LENGTH);
        varint(self.out, value_bytes as u64);
    }
}

/// `ExportTraceServiceRequest` with one `ResourceSpans` with one `ScopeSpans` with the encoded `spans`.
pub(super) fn request(resource: &[(&str, &str)], spans: &[u8], out: &mut Vec<u8>) {
    let (mut attributes, mut scope) = (Vec::new(), Vec::new());
    let mut written = Attributes { out: &mut attributes, field: 1 };
    for (key, value) in resource {
        written.text(key, value.as_bytes());
    }
    bytes(&mut scope, 1, SCOPE.0.as_bytes());
    bytes(&mut scope, 2, SCOPE.1.as_bytes());
    let scope_spans = length_of(scope.len()) + spans.len();
    let resource_spans = length_of(attributes.len()) + length_of(scope_spans);
    tag(out, 1, LENGTH);
    varint(out, resource_spans as u64);
    bytes(out, 1, &attributes);
    tag(out, 2, LENGTH);
    varint(out, scope_spans as u64);
    bytes(out, 1, &scope);
    out.extend_from_slice(spans);
}

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH: u8 = 2;

/// What a field of so many bytes takes, with a tag of one byte.
const fn length_of(bytes: usize) -> usize {
    1 + varint_bytes(bytes as u64) + bytes
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    debug_assert!(field < 16, "a tag of one byte");
    out.push((field as u8) << 3 | wire_type);
}

const fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

fn fixed(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
