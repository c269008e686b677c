//! What is sent by those who mean no good.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leno_core::random::{Random as _, SplitMix64};

/// Bytes that mean nothing.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn http2(frames: &[u8]) -> Vec<u8> {
    [PREFACE, frames].concat()
}

/// First bytes of connections, as (what is wrong, bytes).
pub(super) fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let hello = |length: u16, body: &[u8]| [&[22, 3, 1][..], &length.to_be_bytes(), body].concat();
    let line = |fill: &str, count: usize| {
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", fill.repeat(count)).into_bytes()
    };
    let deep = format!(
        "POST /api/v1/namespaces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 200000\r\n\r\n{}",
        "[".repeat(200_000)
    );
    vec![
        ("nothing", Vec::new()),
        ("zeros", vec![0; 4096]),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface alone", PREFACE.to_vec()),
        ("a frame as large as can be said", http2(b"\xff\xff\xff\x01\x05\0\0\0\x01")),
        ("an index of nothing", http2(b"\0\0\x05\x01\x05\0\0\0\x01\xff\xff\xff\xff\x0f")),
        ("a length of nothing", http2(b"\0\0\x04\x01\x05\0\0\0\x01\0\x7f\xff\xff")),
        ("settings of five bytes", http2(b"\0\0\x05\x04\0\0\0\0\0\0\x03\0\0\0")),
        ("a window of nothing", http2(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0")),
        ("going away with nothing", http2(b"\0\0\0\x07\0\0\0\0\0")),
        ("padding beyond the frame", http2(b"\0\0\x01\x00\x09\0\0\0\x01\xff")),
        ("a hello of nothing", hello(0, b"")),
        ("a hello that ends early", hello(512, b"\x01\0\x01\xfc\x03\x03")),
        ("a hello of 16 MiB", hello(16384, b"\x01\xff\xff\xff\x03\x03")),
        ("a hello whose lists lie", hello(60, &[&b"\x01\0\0\x38\x03\x03"[..], &[255; 54]].concat())),
        ("an alert", vec![21, 3, 3, 0, 2, 2, 40]),
        ("a long target", line("a", 200_000)),
        ("a target of NUL", line("%00", 100)),
        ("a target that climbs", line("../", 1000)),
        ("a target that is not UTF-8", line("%ff%fe", 100)),
        ("a thousand headers", {
            let fields = "a: b\r\n".repeat(1000);
            format!("GET / HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes()
        }),
        ("a deep document", deep.into_bytes()),
        (
            "chunks without end",
            b"POST /login HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"
                .to_vec(),
        ),
    ]
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(bytes.len(), &mut out);
    out.extend_from_slice(bytes);
    out
}

/// Lists within lists (`google.protobuf.Value`), the outermost first.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = VecDeque::new();
    for _ in 0..depth {
        // Value.list_value is 6, ListValue.values is 1.
        for number in [1_u8, 6] {
            let mut head = vec![number << 3 | 2];
            varint(bytes.len(), &mut head);
            head.into_iter().rev().for_each(|byte| bytes.push_front(byte));
        }
    }
    bytes.into()
}

/// Messages for whichever method, as (what is wrong, bytes). Where a node stands differs between the two of discovery: each
/// gets both.
pub(super) fn messages() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = [
        ("nothing", Vec::new()),
        ("a number without end", vec![0xff; 16]),
        ("a length beyond the message", b"\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ("a type of field that there is not", b"\x0f\x01".to_vec()),
        ("field 0", b"\x02\x01a".to_vec()),
        ("a group that nobody ends", vec![0x0b; 5000]),
        ("text that is not UTF-8", field(4, b"\xff\xfe")),
        ("a type of 1 MiB", field(4, &vec![b'a'; 1 << 20])),
        ("100,000 names", field(3, b"a").repeat(100_000)),
        ("an answer to nothing", [field(5, b"7"), field(6, b"7"), field(7, b"\x12\x01x")].concat()),
        ("noise", noise(7, 4096)),
    ]
    .map(|(case, bytes)| (case.to_owned(), bytes))
    .into();
    let metadata = |value: &[u8]| field(3, &field(1, &[field(1, b"k"), field(2, value)].concat()));
    let nodes = [
        ("without a name", field(2, b"c")),
        ("with NUL in its name", field(1, b"a\0b")),
        ("with a name of 1 MiB", field(1, &vec![b'a'; 1 << 20])),
        ("with a name that is not UTF-8", field(1, b"\xff")),
        ("with a path for a name", field(1, b"sidecar~../../etc~a~b")),
        ("with metadata 20,000 deep", [field(1, b"a"), metadata(&nested(20_000))].concat()),
        ("with metadata 60 deep", [field(1, b"a"), metadata(&nested(60))].concat()),
        ("with a number that is none", {
            let nan = [&[0x11][..], &f64::NAN.to_le_bytes()].concat();
            [field(1, b"a"), metadata(&nan)].concat()
        }),
        ("twice", [field(1, b"a"), field(1, b"b")].concat()),
    ];
    let kind = b"type.googleapis.com/envoy.config.cluster.v3.Cluster";
    for (case, node) in nodes {
        // Delta: node 1, type 2. State of the world: node 2, type 4.
        all.push((format!("a node {case}"), [field(1, &node), field(2, kind)].concat()));
        all.push((format!("a node {case} (2)"), [field(2, &node), field(4, kind)].concat()));
    }
    all
}

/// Values of `authorization` that prove nothing.
pub(super) fn tokens() -> Vec<Vec<u8>> {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let bearer = |token: String| format!("Bearer {token}").into_bytes();
    vec![
        b"Bearer".to_vec(),
        b"Bearer ".to_vec(),
        b"\xff\xfe \xff".to_vec(),
        b"Basic YTpi".to_vec(),
        bearer("..".into()),
        bearer("a.b.c.d".into()),
        bearer("a".repeat(10_000)),
        bearer(format!("{}.{}.", part(r#"{"alg":"none"}"#), part("{}"))),
        bearer(format!("{}.{}.{}", part(&"[".repeat(2000)), part("{}"), part("x"))),
        bearer(format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#), part("{"), part("x"))),
    ]
}

/// Signing requests that are none, as (what is wrong, PEM).
pub(super) fn signing_requests() -> Vec<(&'static str, String)> {
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    };
    // Sequences within sequences whose lengths are not said (BER), and said to be more than there is.
    let deep = [0x30, 0x80].repeat(10_000);
    vec![
        ("nothing", String::new()),
        ("no PEM", "hello".into()),
        ("PEM of nothing", pem(b"")),
        ("PEM without an end", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA".into()),
        (
            "base64 that is none",
            "-----BEGIN CERTIFICATE REQUEST-----\n====\n-----END CERTIFICATE REQUEST-----\n".into(),
        ),
        ("sequences 10,000 deep", pem(&deep)),
        ("a length beyond the end", pem(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x02, 0x01, 0x00])),
        ("a length of 9 bytes", pem(&[0x30, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1])),
        ("noise", pem(&noise(3, 2000))),
        ("NUL", "\0".repeat(1000)),
        ("1 MiB of it", pem(&vec![0x30; 1 << 20])),
    ]
}
