//! The examples of RFC 7541 appendix C, and the encoder against the decoder.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Bounds, Decoder, Encoder, Fit, Item, Kind, Line, Pseudo, Sink, Tag, Text};
use crate::Known;

/// Lines as text, `:authority` under its own name.
#[derive(Default)]
struct Lines {
    arena: Vec<u8>,
    found: Vec<Line>,
}

impl Sink for Lines {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    fn line(&mut self, line: Line) {
        assert_eq!(self.arena.len(), line.value().end + 2, "a line ends the arena");
        self.found.push(line);
    }
}

impl Lines {
    fn texts(&self) -> Vec<String> {
        let text = |line: &Line| {
            let name = match line.kind {
                Kind::Pseudo(pseudo) => pseudo.as_str().as_bytes(),
                Kind::Field(_) | Kind::Malformed(_) => {
                    &self.arena[line.start..line.start + line.name_bytes]
                }
            };
            let value = &self.arena[line.value()];
            format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
        };
        self.found.iter().map(text).collect()
    }
}

const BOUNDS: Bounds = Bounds { bytes: 1 << 20, fields: 1000 };

fn decode(decoder: &mut Decoder, block: &[u8]) -> Lines {
    let mut lines = Lines::default();
    assert_eq!(decoder.decode(block, BOUNDS, &mut lines), Ok(Fit::All));
    lines
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|digit| (digit as char).to_digit(16).map_or(0, |value| value as u8))
        .collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// Blocks of one connection, and the fields of each.
fn check(blocks: &[(&str, &[&str])]) {
    let mut decoder = Decoder::new();
    for (hex, expected) in blocks {
        assert_eq!(decode(&mut decoder, &bytes(hex)).texts(), *expected, "{hex}");
    }
}

#[test]
fn appendix_c_2_representations() {
    check(&[
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            &["custom-key: custom-header"],
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", &[":path: /sample/path"]),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", &["password: secret"]),
        ("82", &[":method: GET"]),
        ("be", &["custom-key: custom-header"]),
    ]);
}

const REQUESTS: [&[&str]; 3] = [
    &[":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
    &[
        ":method: GET",
        ":scheme: http",
        ":path: /",
        ":authority: www.example.com",
        "cache-control: no-cache",
    ],
    &[
        ":method: GET",
        ":scheme: https",
        ":path: /index.html",
        ":authority: www.example.com",
        "custom-key: custom-value",
    ],
];

#[test]
fn appendix_c_3_and_c_4_requests_without_and_with_huffman() {
    check(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0]),
        ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1]),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUESTS[2]),
    ]);
    check(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0]),
        ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1]),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUESTS[2]),
    ]);
}

const RESPONSES: [&[&str]; 3] = [
    &[
        ":status: 302",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 307",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:21 GMT",
        "location: https://www.example.com",
    ],
    &[
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
];

/// The table is 256 bytes here, so that entries are evicted; the first block says so.
#[test]
fn appendix_c_5_and_c_6_responses_without_and_with_huffman() {
    check(&[
        (
            "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
             2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65
             2e63 6f6d",
            RESPONSES[0],
        ),
        ("4803 3330 37c1 c0bf", RESPONSES[1]),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0
             5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851
             5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            RESPONSES[2],
        ),
    ]);
    check(&[
        (
            "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
             2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            RESPONSES[0],
        ),
        ("4883 640e ffc1 c0bf", RESPONSES[1]),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad
             94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160
             65c0 03ed 4ee5 b106 3d50 07",
            RESPONSES[2],
        ),
    ]);
}

#[test]
fn what_came_by_index_leaves_by_index_and_secrets_never_do() {
    let (mut decoder, mut encoder) = (Decoder::new(), Encoder::new(4096));
    // First as a literal to be kept, then by index.
    let first = decode(&mut decoder, b"\x40\x03x-a\x05value\x10\x03x-s\x03key");
    let second = decode(&mut decoder, b"\xbe\x10\x03x-s\x03key");
    let mut sizes = Vec::new();
    for lines in [&first, &second, &second, &second] {
        let mut out = Vec::new();
        for line in &lines.found {
            let name = Text::Other(&lines.arena[line.start..line.start + line.name_bytes]);
            let item = Item { name, value: &lines.arena[line.value()], tag: line.tag };
            encoder.field(item, &mut out);
        }
        assert!(out.ends_with(b"\x10\x03x-s\x03key"), "never indexed, here as there");
        sizes.push(out.len() - 9);
    }
    // A literal that may not come again, one that did, and then its index.
    assert_eq!(sizes[0], 11);
    assert!(sizes[1] > 1, "{sizes:?}");
    assert_eq!(sizes[2..], [1, 1]);
}

#[test]
fn a_smaller_table_is_announced_before_it_is_relied_on() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
    let field = Item { name: Text::Known(Known::Accept), value: b"*/*", tag: Tag::UNKNOWN };
    let mut block = |encoder: &mut Encoder| {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.field(field, &mut out);
        assert_eq!(decode(&mut decoder, &out).texts(), ["accept: */*"]);
        out
    };
    assert_eq!(block(&mut encoder).len(), 5);
    assert_eq!(block(&mut encoder), [0xbe]);
    encoder.peer_limit(0);
    encoder.peer_limit(100);
    let out = block(&mut encoder);
    assert_eq!(out[..3], [0x20, 0x3f, 69], "through nothing to a hundred");
    assert_eq!(block(&mut encoder), [0xbe]);
}

#[test]
fn a_table_we_made_smaller_must_be_made_smaller_by_the_peer() {
    let mut decoder = Decoder::new();
    decoder.limit(64);
    assert!(decoder.decode(&[0x82], BOUNDS, &mut Lines::default()).is_err());
    let mut decoder = Decoder::new();
    decoder.limit(64);
    decode(&mut decoder, &[0x3f, 33, 0x82]);
    decode(&mut decoder, &[0x82]);
}

/// A field to encode: what name, and how the value is to be treated.
#[derive(Clone, Debug)]
struct Sample {
    name: usize,
    value: String,
    tag: Tag,
}

const NAMES: [Text<'_>; 7] = [
    Text::Known(Known::Accept),
    Text::Known(Known::Cookie),
    Text::Known(Known::XRequestId),
    Text::Other(b"x-other"),
    Text::Other(b"X-Upper"),
    Text::Pseudo(Pseudo::Path),
    Text::Known(Known::Authorization),
];

fn samples() -> impl Strategy<Value = Vec<Vec<(Sample, bool)>>> {
    let tag = prop_oneof![Just(Tag::UNKNOWN), Just(Tag::LITERAL), Just(Tag::NEVER)];
    // Few different values, so that they come again, and some that evict others.
    let value = prop_oneof!["[a-c]{1,2}", "[!-~]{10,40}", "x{900,1500}"];
    let sample = (0..NAMES.len(), value, tag).prop_map(|(name, value, tag)| {
        let value =
            if matches!(NAMES[name], Text::Pseudo(_)) { format!("/{value}") } else { value };
        Sample { name, value, tag }
    });
    vec(vec((sample, any::<bool>()), 0..6), 1..20)
}

/// What a line is that was sent as it is.
fn kind_of(name: Text<'_>, value: &[u8]) -> Kind {
    let (mut encoder, mut out) = (Encoder::new(4096), Vec::new());
    encoder.field(Item { name, value, tag: Tag::LITERAL }, &mut out);
    decode(&mut Decoder::new(), &out).found[0].kind
}

#[test]
fn a_byte_that_is_wrong_is_seen_wherever_it_stands() {
    for length in [1, 7, 15, 16, 17, 31, 33] {
        for (at, byte) in (0..length).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut value = vec![b'a'; length];
            value[at] = byte;
            let is_blank = byte == b' ' || byte == b'\t';
            let is_edge = at == 0 || at == length - 1;
            let is_value =
                (byte >= b' ' && byte != 0x7f || byte == b'\t') && !(is_blank && is_edge);
            let of_field = kind_of(Text::Known(Known::Accept), &value);
            assert_eq!(
                of_field == Kind::Field(Known::Accept),
                is_value,
                "{byte} at {at} of {length}"
            );
            let is_target = byte > b' ' && byte < 0x7f && byte != b'#';
            let of_path = kind_of(Text::Pseudo(Pseudo::Path), &value);
            assert_eq!(
                of_path == Kind::Pseudo(Pseudo::Path),
                is_target,
                "{byte} at {at} of {length}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn decoding_is_the_inverse_of_encoding(
        blocks in samples(),
        limits in vec((0_usize..20, 0_u32..5000), 0..4),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
        for (turn, block) in blocks.iter().enumerate() {
            for (_, bytes) in limits.iter().filter(|(at, _)| *at == turn) {
                encoder.peer_limit(*bytes);
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            for (sample, is_kept) in block {
                let item = Item {
                    name: NAMES[sample.name],
                    value: sample.value.as_bytes(),
                    tag: sample.tag,
                };
                encoder.field(if *is_kept { item.hashed() } else { item }, &mut out);
            }
            let lines = decode(&mut decoder, &out);
            prop_assert_eq!(lines.found.len(), block.len());
            for (line, (sample, is_kept)) in lines.found.iter().zip(block) {
                prop_assert_eq!(&lines.arena[line.value()], sample.value.as_bytes());
                let name = &lines.arena[line.start..line.start + line.name_bytes];
                let expected = match NAMES[sample.name] {
                    Text::Known(known) => known.as_str().to_owned(),
                    Text::Other(text) => String::from_utf8_lossy(text).to_lowercase(),
                    Text::Pseudo(pseudo) => pseudo.as_str().to_owned(),
                };
                prop_assert_eq!(String::from_utf8_lossy(name), expected);
                if sample.tag == Tag::NEVER && !is_kept {
                    prop_assert_eq!(line.tag, Tag::NEVER);
                }
            }
        }
    }

    #[test]
    fn nothing_that_a_peer_sends_breaks_the_decoder(blocks in vec(vec(any::<u8>(), 0..40), 1..8)) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let mut lines = Lines::default();
            let bounds = Bounds { bytes: 300, fields: 4 };
            if decoder.decode(&block, bounds, &mut lines).is_err() {
                break;
            }
            prop_assert!(lines.found.len() <= 4 && lines.arena.len() <= 300 + 4 * 4);
        }
    }
}
