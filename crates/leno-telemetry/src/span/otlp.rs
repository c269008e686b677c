//! OTLP 1.x (`opentelemetry/proto/trace/v1`), as protobuf, written without building messages first.

use super::{Attributes, Span};

/// The instrumentation scope of every span.
const SCOPE: (&str, &str) = ("leno", env!("CARGO_PKG_VERSION"));

/// `Status.STATUS_CODE_ERROR`.
const STATUS_ERROR: u8 = 2;

/// Appends one element of `ScopeSpans.spans`, tag and length included.
pub(super) fn span(
    out: &mut Vec<u8>,
    span: &Span<'_>,
    attributes: impl FnOnce(&mut Attributes<'_>),
) {
    let begin = out.len();
    // Two bytes of length are right for almost every span.
    out.extend_from_slice(&[2 << 3 | LENGTH, 0, 0]);
    let start = out.len();
    let mut ids = [0; 28];
    (ids[0], ids[1]) = (1 << 3 | LENGTH, 16);
    ids[2..18].copy_from_slice(&span.context.trace_id.to_be_bytes());
    (ids[18], ids[19]) = (2 << 3 | LENGTH, 8);
    ids[20..].copy_from_slice(&span.context.span_id.to_be_bytes());
    out.extend_from_slice(&ids);
    if let Some(parent) = span.parent {
        out.extend_from_slice(&[4 << 3 | LENGTH, 8]);
        out.extend_from_slice(&parent.to_be_bytes());
    }
    name(out, span.name);
    let mut times = [0; 20];
    (times[0], times[1]) = (6 << 3 | VARINT, span.kind as u8);
    times[2] = 7 << 3 | FIXED64;
    times[3..11].copy_from_slice(&span.start_nanos.to_le_bytes());
    times[11] = 8 << 3 | FIXED64;
    times[12..].copy_from_slice(&span.end_nanos().to_le_bytes());
    out.extend_from_slice(&times);
    attributes(&mut Attributes::new(out, 9));
    if span.is_error {
        out.extend_from_slice(&[15 << 3 | LENGTH, 2, 3 << 3 | VARINT, STATUS_ERROR]);
    }
    match out.len() - start {
        length @ 0x80..0x4000 => {
            (out[begin + 1], out[begin + 2]) = (length as u8 | 0x80, (length >> 7) as u8);
        }
        length => {
            let mut frame = Vec::with_capacity(10);
            varint(&mut frame, length as u64);
            out.splice(begin + 1..start, frame);
        }
    }
}

/// `Span.name`, in two parts.
fn name(out: &mut Vec<u8>, (prefix, name): (&str, &[u8])) {
    let lossy;
    let name = if name.is_ascii() {
        name
    } else {
        lossy = String::from_utf8_lossy(name);
        lossy.as_bytes()
    };
    out.push(5 << 3 | LENGTH);
    varint(out, (prefix.len() + name.len()) as u64);
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(name);
}

/// `ExportTraceServiceRequest` with one `ResourceSpans` with one `ScopeSpans`, up to the encoded spans, of which there
/// are so many bytes.
pub(super) fn request(resource: &[(&str, &str)], span_bytes: usize, out: &mut Vec<u8>) {
    let (mut attributes, mut scope) = (Vec::new(), Vec::new());
    for (key, value) in resource {
        tag(&mut attributes, 1, LENGTH);
        let value_bytes = length_of(value.len());
        varint(&mut attributes, (length_of(key.len()) + length_of(value_bytes)) as u64);
        bytes(&mut attributes, 1, key.as_bytes());
        tag(&mut attributes, 2, LENGTH);
        varint(&mut attributes, value_bytes as u64);
        bytes(&mut attributes, 1, value.as_bytes());
    }
    bytes(&mut scope, 1, SCOPE.0.as_bytes());
    bytes(&mut scope, 2, SCOPE.1.as_bytes());
    let scope_spans = length_of(scope.len()) + span_bytes;
    let resource_spans = length_of(attributes.len()) + length_of(scope_spans);
    tag(out, 1, LENGTH);
    varint(out, resource_spans as u64);
    bytes(out, 1, &attributes);
    tag(out, 2, LENGTH);
    varint(out, scope_spans as u64);
    bytes(out, 1, &scope);
}

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
pub(super) const LENGTH: u8 = 2;

/// What a field of so many bytes takes, with a tag of one byte.
pub(super) const fn length_of(bytes: usize) -> usize {
    1 + varint_bytes(bytes as u64) + bytes
}

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u8) {
    debug_assert!(field < 16, "a tag of one byte");
    out.push((field as u8) << 3 | wire_type);
}

pub(super) const fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, LENGTH);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
