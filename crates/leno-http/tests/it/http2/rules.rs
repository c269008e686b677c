//! What a server does with a peer that breaks a rule: nothing, a reset of the stream, or the end of the connection.

use std::time::{Duration, Instant};

use leno_http::Http2Limits;
use leno_http::h2::{Cause, Code, Connection, PREFACE, Settings, Violation};

use super::pair::{End, Seen, response};
use super::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GET, GOAWAY, HEADERS, PADDED, PING,
    PRIORITY, PRIORITY_FLAG, PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block,
    frame, frames, get, setting,
};

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Fine,
    /// RST_STREAM on this stream.
    Stream(u32, Violation),
    Connection(Violation),
}
use Outcome::{Connection as Ends, Fine, Stream as Resets};

/// A server that has seen the preface, SETTINGS, and that its own are known.
fn server(settings: Settings) -> End {
    let mut end = End::new(Connection::server(settings));
    let start = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
    end.receive(Instant::now(), &start).unwrap();
    end.out.clear();
    end
}

fn outcome(end: &mut End, now: Instant, input: &[u8]) -> Outcome {
    let result = end.receive(now, input);
    let written = frames(&end.out);
    if let Err(error) = result {
        let last = written.last().unwrap();
        assert_eq!((last.kind, last.number(4)), (GOAWAY, error.code().0), "{error}");
        assert!(end.machine.is_finished());
        return Ends(error.why);
    }
    let reset = written.iter().find(|frame| frame.kind == RST_STREAM);
    let Some(Frame { stream, .. }) = reset else { return Fine };
    let why = result.unwrap().into_iter().find_map(|seen| match seen {
        Seen::Reset(_, Cause::Violation(why)) => Some(why),
        Seen::Other(text) => {
            Violation::ALL.iter().find(|why| text.contains(&format!("why: {why:?} "))).copied()
        }
        _ => None,
    });
    // Of streams that are over for the caller there is no event, only the code.
    let code = Code(reset.unwrap().number(0));
    let why = why.or_else(|| Violation::ALL.iter().find(|why| why.error_code() == code).copied());
    assert_eq!(why.unwrap().error_code(), code);
    Resets(*stream, why.unwrap())
}

fn check(table: &[(&str, Outcome, &[Vec<u8>])]) {
    for (name, expected, input) in table {
        let found = outcome(&mut server(Settings::DEFAULT), Instant::now(), &input.concat());
        assert_eq!(found, *expected, "{name}");
    }
}

fn open() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &get(&[]))
}

fn whole() -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &get(&[]))
}

#[test]
fn connections_start_with_preface_and_settings() {
    let table: [(&[u8], Option<Violation>); 4] = [
        (b"GET / HTTP/1.1\r\n", Some(Violation::Preface)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", Some(Violation::Preface)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x08\x06\0\0\0\0\0", Some(Violation::SettingsFirst)),
    ];
    for (input, expected) in table {
        let mut end = End::new(Connection::server(Settings::DEFAULT));
        let found = end.receive(Instant::now(), input).err().map(|error| error.why);
        assert_eq!(found, expected);
    }
}

#[test]
fn frames_have_the_size_and_the_stream_their_type_demands() {
    let big = vec![0; 16_385];
    check(&[
        ("DATA too long", Ends(Violation::FrameSize), &[open(), frame(DATA, 0, 1, &big)]),
        ("HEADERS too long", Ends(Violation::FrameSize), &[frame(HEADERS, WHOLE, 1, &big)]),
        ("unknown too long", Ends(Violation::FrameSize), &[frame(99, 0, 0, &big)]),
        ("DATA on 0", Ends(Violation::StreamZero), &[frame(DATA, 0, 0, b"x")]),
        ("HEADERS on 0", Ends(Violation::StreamZero), &[frame(HEADERS, WHOLE, 0, &get(&[]))]),
        ("PRIORITY on 0", Ends(Violation::StreamZero), &[frame(PRIORITY, 0, 0, &[0; 5])]),
        ("RST_STREAM on 0", Ends(Violation::StreamZero), &[frame(RST_STREAM, 0, 0, &[0; 4])]),
        ("SETTINGS on 1", Ends(Violation::StreamZero), &[frame(SETTINGS, 0, 1, &[])]),
        ("PING on 1", Ends(Violation::StreamZero), &[frame(PING, 0, 1, &[0; 8])]),
        ("GOAWAY on 1", Ends(Violation::StreamZero), &[frame(GOAWAY, 0, 1, &[0; 8])]),
        ("HEADERS on 2", Ends(Violation::StreamIdentifier), &[frame(HEADERS, WHOLE, 2, &get(&[]))]),
        (
            "PRIORITY of 4",
            Resets(1, Violation::FrameSize),
            &[open(), frame(PRIORITY, 0, 1, &[0; 4])],
        ),
        (
            "RST_STREAM of 3",
            Ends(Violation::FrameSize),
            &[open(), frame(RST_STREAM, 0, 1, &[0; 3])],
        ),
        ("SETTINGS of 5", Ends(Violation::FrameSize), &[frame(SETTINGS, 0, 0, &[0; 5])]),
        ("SETTINGS ACK of 6", Ends(Violation::FrameSize), &[frame(SETTINGS, ACK, 0, &[0; 6])]),
        ("PING of 7", Ends(Violation::FrameSize), &[frame(PING, 0, 0, &[0; 7])]),
        ("GOAWAY of 7", Ends(Violation::FrameSize), &[frame(GOAWAY, 0, 0, &[0; 7])]),
        ("WINDOW_UPDATE of 3", Ends(Violation::FrameSize), &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])]),
        ("PUSH_PROMISE", Ends(Violation::Push), &[open(), frame(PUSH_PROMISE, 4, 1, &[0; 4])]),
        ("unknown type", Fine, &[frame(99, 255, 7, b"whatever")]),
        ("priority of an idle stream", Fine, &[frame(PRIORITY, 0, 5, &[0, 0, 0, 1, 9])]),
        ("the reserved bit", Fine, &[frame(PING, 0, 0x8000_0000, &[0; 8])]),
    ]);
}

#[test]
fn padding_fits_into_its_frame() {
    let padded = |padding: u8, rest: &[u8]| [&[padding], rest].concat();
    let head = get(&[]);
    check(&[
        ("DATA", Fine, &[open(), frame(DATA, PADDED, 1, &padded(3, b"x\0\0\0"))]),
        ("DATA, all padding", Fine, &[open(), frame(DATA, PADDED, 1, &padded(4, b"x\0\0\0"))]),
        (
            "DATA, more",
            Ends(Violation::Padding),
            &[open(), frame(DATA, PADDED, 1, &padded(5, b"x\0\0\0"))],
        ),
        ("DATA, none", Ends(Violation::FrameSize), &[open(), frame(DATA, PADDED, 1, &[])]),
        (
            "HEADERS",
            Fine,
            &[frame(HEADERS, WHOLE | PADDED, 1, &[&[2], &head[..], &[0, 0]].concat())],
        ),
        (
            "HEADERS, more",
            Ends(Violation::Padding),
            &[frame(HEADERS, WHOLE | PADDED, 1, &padded(200, &head))],
        ),
        ("HEADERS, none", Ends(Violation::FrameSize), &[frame(HEADERS, WHOLE | PADDED, 1, &[])]),
        (
            "no room for a priority",
            Ends(Violation::FrameSize),
            &[frame(HEADERS, WHOLE | PRIORITY_FLAG, 1, &[0; 4])],
        ),
    ]);
}

#[test]
fn header_blocks_are_not_interrupted() {
    let (first, second) = (get(&[]), block(&[("x", "y")]));
    let begin = frame(HEADERS, END_STREAM, 1, &first);
    let end = frame(CONTINUATION, END_HEADERS, 1, &second);
    check(&[
        ("two frames", Fine, &[begin.clone(), end.clone()]),
        ("three", Fine, &[begin.clone(), frame(CONTINUATION, 0, 1, &[]), end.clone()]),
        ("by DATA", Ends(Violation::Continuation), &[begin.clone(), frame(DATA, 0, 1, b"x")]),
        ("by PING", Ends(Violation::Continuation), &[begin.clone(), frame(PING, 0, 0, &[0; 8])]),
        (
            "by an unknown frame",
            Ends(Violation::Continuation),
            &[begin.clone(), frame(99, 0, 0, &[])],
        ),
        (
            "by another stream",
            Ends(Violation::Continuation),
            &[begin, frame(CONTINUATION, END_HEADERS, 3, &second)],
        ),
        (
            "without a beginning",
            Ends(Violation::Continuation),
            &[second.clone()].map(|block| frame(CONTINUATION, END_HEADERS, 1, &block)),
        ),
        ("after the end", Ends(Violation::Continuation), &[whole(), end]),
        ("a broken block", Ends(Violation::Compression), &[frame(HEADERS, WHOLE, 1, &[0xff])]),
        ("index 0", Ends(Violation::Compression), &[frame(HEADERS, WHOLE, 1, &[0x80])]),
        (
            "an index nobody filled",
            Ends(Violation::Compression),
            &[frame(HEADERS, WHOLE, 1, &[0xc6])],
        ),
        (
            "a table size after a field",
            Ends(Violation::Compression),
            &[frame(HEADERS, WHOLE, 1, &[0x82, 0x20])],
        ),
        (
            "a table larger than allowed",
            Ends(Violation::Compression),
            &[frame(HEADERS, WHOLE, 1, &[0x3f, 0xe2, 0x1f])],
        ),
    ]);
}

#[test]
fn frames_belong_to_streams_that_are_open() {
    let done = || frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    check(&[
        ("DATA, idle", Ends(Violation::IdleStream), &[frame(DATA, 0, 1, b"x")]),
        ("RST_STREAM, idle", Ends(Violation::IdleStream), &[frame(RST_STREAM, 0, 1, &[0; 4])]),
        (
            "WINDOW_UPDATE, idle",
            Ends(Violation::IdleStream),
            &[frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())],
        ),
        (
            "DATA after the end",
            Resets(1, Violation::StreamClosed),
            &[whole(), frame(DATA, 0, 1, b"x")],
        ),
        ("HEADERS after the end", Resets(1, Violation::StreamClosed), &[whole(), whole()]),
        (
            "WINDOW_UPDATE after the end",
            Fine,
            &[whole(), frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())],
        ),
        (
            "DATA after a reset",
            Resets(1, Violation::StreamClosed),
            &[open(), done(), frame(DATA, 0, 1, b"x")],
        ),
        ("HEADERS after a reset", Ends(Violation::StreamClosed), &[open(), done(), whole()]),
        ("RST_STREAM after a reset", Fine, &[open(), done(), done()]),
        (
            "an identifier that was passed over",
            Ends(Violation::StreamClosed),
            &[frame(HEADERS, WHOLE, 5, &get(&[])), frame(HEADERS, WHOLE, 3, &get(&[]))],
        ),
        (
            "depending on itself",
            Resets(1, Violation::SelfDependency),
            &[frame(
                HEADERS,
                WHOLE | PRIORITY_FLAG,
                1,
                &[&[0, 0, 0, 1, 5], &get(&[])[..]].concat(),
            )],
        ),
        (
            "priority of itself",
            Resets(1, Violation::SelfDependency),
            &[open(), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 5])],
        ),
    ]);
}

#[test]
fn settings_have_ranges() {
    let settings = |id, value| frame(SETTINGS, 0, 0, &setting(id, value));
    check(&[
        ("push 2", Ends(Violation::Setting), &[settings(2, 2)]),
        ("push 1", Fine, &[settings(2, 1)]),
        ("window 2^31", Ends(Violation::InitialWindow), &[settings(4, 0x8000_0000)]),
        ("window 2^31-1", Fine, &[settings(4, 0x7fff_ffff)]),
        ("frame 16383", Ends(Violation::Setting), &[settings(5, 16_383)]),
        ("frame 2^24", Ends(Violation::Setting), &[settings(5, 1 << 24)]),
        ("connect 2", Ends(Violation::Setting), &[settings(8, 2)]),
        ("connect taken back", Ends(Violation::Setting), &[settings(8, 1), settings(8, 0)]),
        ("unknown", Fine, &[settings(0xabcd, 77)]),
        (
            "windows of open streams overflow",
            Ends(Violation::WindowOverflow),
            &[
                open(),
                frame(WINDOW_UPDATE, 0, 1, &0x7fff_0000_u32.to_be_bytes()),
                settings(4, 0x7fff_ffff),
            ],
        ),
    ]);
}

#[test]
fn windows_grow_by_something_and_to_an_end() {
    let update = |stream, increment: u32| frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    check(&[
        ("connection by 0", Ends(Violation::ZeroIncrement), &[update(0, 0)]),
        ("connection beyond", Ends(Violation::WindowOverflow), &[update(0, 0x7fff_ffff)]),
        ("stream by 0", Resets(1, Violation::ZeroIncrement), &[open(), update(1, 0)]),
        ("stream beyond", Resets(1, Violation::WindowOverflow), &[open(), update(1, 0x7fff_ffff)]),
    ]);
    let limits = Http2Limits {
        stream_window_bytes: 10,
        connection_window_bytes: 65_535,
        ..Http2Limits::DEFAULT
    };
    let settings = Settings { limits, ..Settings::DEFAULT };
    let input = [open(), frame(DATA, 0, 1, &[0; 10])].concat();
    assert_eq!(outcome(&mut server(settings), Instant::now(), &input), Fine);
    let input = [open(), frame(DATA, 0, 1, &[0; 11])].concat();
    let expected = Resets(1, Violation::FlowControl);
    assert_eq!(outcome(&mut server(settings), Instant::now(), &input), expected);
}

#[test]
fn heads_are_what_the_rfc_allows() {
    let without =
        |name: &str| block(&GET.into_iter().filter(|field| field.0 != name).collect::<Vec<_>>());
    let with = |name: &str, value: &'static str| {
        block(&GET.map(|field| if field.0 == name { (field.0, value) } else { field }))
    };
    let pseudo = Some(Violation::PseudoField);
    let table: [(&str, Option<Violation>, Vec<u8>); 44] = [
        ("plain", None, get(&[])),
        ("te", None, get(&[("te", "trailers")])),
        ("other te", Some(Violation::Te), get(&[("te", "gzip")])),
        ("upper case", Some(Violation::FieldName), get(&[("X-a", "")])),
        ("empty name", Some(Violation::FieldName), get(&[("", "x")])),
        ("a space in a name", Some(Violation::FieldName), get(&[("a b", "x")])),
        ("a colon in a name", Some(Violation::FieldName), get(&[("a:b", "x")])),
        ("CR", Some(Violation::FieldValue), get(&[("a", "x\ry")])),
        ("LF", Some(Violation::FieldValue), get(&[("a", "x\ny")])),
        ("NUL", Some(Violation::FieldValue), get(&[("a", "x\0y")])),
        ("a space before", Some(Violation::FieldValue), get(&[("a", " x")])),
        ("a tab behind", Some(Violation::FieldValue), get(&[("a", "x\t")])),
        ("a tab within", None, get(&[("a", "x\ty")])),
        ("empty value", None, get(&[("a", "")])),
        ("connection", Some(Violation::ConnectionField), get(&[("connection", "x")])),
        ("keep-alive", Some(Violation::ConnectionField), get(&[("keep-alive", "x")])),
        ("proxy-connection", Some(Violation::ConnectionField), get(&[("proxy-connection", "x")])),
        (
            "transfer-encoding",
            Some(Violation::ConnectionField),
            get(&[("transfer-encoding", "chunked")]),
        ),
        ("upgrade", Some(Violation::ConnectionField), get(&[("upgrade", "x")])),
        ("no method", pseudo, without(":method")),
        ("no scheme", pseudo, without(":scheme")),
        ("no path", pseudo, without(":path")),
        ("no authority", Some(Violation::Authority), without(":authority")),
        ("host instead", None, [without(":authority"), block(&[("host", "a")])].concat()),
        ("host the same", None, get(&[("host", "a")])),
        ("host another", Some(Violation::Authority), get(&[("host", "b")])),
        ("two paths", pseudo, get(&[(":path", "/")])),
        ("status", pseudo, get(&[(":status", "200")])),
        ("unknown pseudo", pseudo, get(&[(":x", "")])),
        ("pseudo behind", pseudo, [block(&[("a", "b")]), get(&[])].concat()),
        ("method no token", Some(Violation::Method), with(":method", "G T")),
        ("scheme", Some(Violation::Scheme), with(":scheme", "ftp")),
        ("empty path", Some(Violation::Path), with(":path", "")),
        ("relative path", Some(Violation::Path), with(":path", "x")),
        ("absolute path", Some(Violation::Path), with(":path", "http://b/")),
        ("fragment", Some(Violation::Path), with(":path", "/a#b")),
        ("a space in a path", Some(Violation::Path), with(":path", "/a b")),
        ("asterisk", Some(Violation::Path), with(":path", "*")),
        ("user information", Some(Violation::Authority), with(":authority", "u@a")),
        ("a path in an authority", Some(Violation::Authority), with(":authority", "a/b")),
        ("length", Some(Violation::ContentLength), get(&[("content-length", "1")])),
        ("length 0", None, get(&[("content-length", "0")])),
        ("protocol without CONNECT", Some(Violation::Protocol), get(&[(":protocol", "x")])),
        ("CONNECT with a path", pseudo, with(":method", "CONNECT")),
    ];
    for (name, expected, block) in table {
        // `:protocol` is a pseudo-header field and must come before the fields.
        let found = outcome(
            &mut server(Settings::DEFAULT),
            Instant::now(),
            &frame(HEADERS, WHOLE, 1, &block),
        );
        assert_eq!(found, expected.map_or(Fine, |why| Resets(1, why)), "{name}");
    }
}

#[test]
fn messages_have_one_head_their_length_and_one_end() {
    let sized = |length: &str| frame(HEADERS, END_HEADERS, 1, &get(&[("content-length", length)]));
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = |flags, fields: &[(&str, &str)]| frame(HEADERS, flags, 1, &block(fields));
    let short = Resets(1, Violation::ContentLength);
    check(&[
        ("exact", Fine, &[sized("4"), data(END_STREAM, b"body")]),
        ("in two", Fine, &[sized("4"), data(0, b"bo"), data(0, b"dy"), data(END_STREAM, b"")]),
        ("with trailers", Fine, &[sized("4"), data(0, b"body"), trailers(WHOLE, &[("a", "b")])]),
        ("too little", short, &[sized("5"), data(END_STREAM, b"body")]),
        ("too much", short, &[sized("3"), data(0, b"body")]),
        ("too little, trailers", short, &[sized("5"), data(0, b"body"), trailers(WHOLE, &[])]),
        ("no number", short, &[sized("4x")]),
        ("padding does not count", Fine, &[sized("1"), data(END_STREAM | PADDED, b"\x02x\0\0")]),
        (
            "a second head",
            Resets(1, Violation::Trailers),
            &[open(), frame(HEADERS, END_HEADERS, 1, &get(&[]))],
        ),
        (
            "trailers that end nothing",
            Resets(1, Violation::Trailers),
            &[open(), trailers(END_HEADERS, &[("a", "b")])],
        ),
        (
            "a pseudo trailer",
            Resets(1, Violation::Trailers),
            &[open(), trailers(WHOLE, &[(":path", "/")])],
        ),
        (
            "a framing trailer",
            Resets(1, Violation::Trailers),
            &[open(), trailers(WHOLE, &[("content-length", "0")])],
        ),
        (
            "a bad trailer",
            Resets(1, Violation::FieldName),
            &[open(), trailers(WHOLE, &[("A", "b")])],
        ),
    ]);
}

#[test]
fn floods_end_the_connection_and_ordinary_use_does_not() {
    let limits = Http2Limits::DEFAULT;
    let table: [(&str, Violation, u32, Vec<u8>); 6] = [
        ("PING", Violation::PingFlood, limits.pings.burst, frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", Violation::SettingsFlood, limits.settings.burst, frame(SETTINGS, 0, 0, &[])),
        ("PRIORITY", Violation::IgnoredFlood, limits.ignored.burst, frame(PRIORITY, 0, 1, &[0; 5])),
        ("unknown", Violation::IgnoredFlood, limits.ignored.burst, frame(99, 0, 1, &[])),
        ("empty DATA", Violation::EmptyFlood, limits.empties.burst, frame(DATA, 0, 1, &[])),
        (
            "WINDOW_UPDATE",
            Violation::WindowFlood,
            limits.window_updates.burst,
            frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        ),
    ];
    for (name, why, burst, one) in table {
        let (mut end, now) = (server(Settings::DEFAULT), Instant::now());
        assert_eq!(outcome(&mut end, now, &open()), Fine);
        assert_eq!(outcome(&mut end, now, &one.repeat(burst as usize)), Fine, "{name}");
        assert_eq!(outcome(&mut end, now, &one), Ends(why), "{name}");

        // A tenth of the rate for a long time is nothing.
        let (mut end, mut now) = (server(Settings::DEFAULT), now);
        assert_eq!(outcome(&mut end, now, &open()), Fine);
        for _ in 0..2 * burst {
            assert_eq!(outcome(&mut end, now, &one), Fine, "{name}");
            now += Duration::from_secs(1);
        }
    }
}

#[test]
fn rapid_reset_ends_the_connection_cve_2023_44487() {
    let (mut end, now) = (server(Settings::DEFAULT), Instant::now());
    let mut resets = 0;
    let found = (0..).find_map(|turn| {
        let id = turn * 2 + 1;
        let input =
            [frame(HEADERS, WHOLE, id, &get(&[])), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())];
        resets += 1;
        let seen = end.receive(now, &input.concat());
        end.out.clear();
        for seen in seen.iter().flatten() {
            if let Seen::Reset(stream, _) = seen {
                end.machine.finish(*stream, &mut end.out);
            }
        }
        seen.err()
    });
    assert_eq!(found.map(|error| error.why), Some(Violation::ResetFlood));
    assert_eq!(resets, Http2Limits::DEFAULT.resets.burst + 1);
}

#[test]
fn streams_that_a_peer_has_reset_count_until_their_exchange_is_over() {
    let limits = Http2Limits { streams: 4, ..Http2Limits::DEFAULT };
    let mut end = server(Settings { limits, ..Settings::DEFAULT });
    let now = Instant::now();
    for id in [1, 3, 5, 7, 9, 11] {
        let input =
            [frame(HEADERS, WHOLE, id, &get(&[])), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())];
        assert_eq!(outcome(&mut end, now, &input.concat()), Fine);
    }
    let next = frame(HEADERS, WHOLE, 13, &get(&[]));
    assert_eq!(outcome(&mut end, now, &next), Resets(13, Violation::ConcurrentStreams));
}

#[test]
fn continuation_floods_end_the_connection_cve_2024_27316() {
    let begin = frame(HEADERS, END_STREAM, 1, &get(&[]));
    let small = frame(CONTINUATION, 0, 1, b"\0\x01a\x01b");
    let large = frame(CONTINUATION, 0, 1, &[0; 16_000]);
    check(&[
        ("many", Ends(Violation::ContinuationFlood), &[begin.clone(), small.repeat(9)]),
        ("large", Ends(Violation::HeaderBlock), &[begin, large.repeat(5)]),
    ]);
}

#[test]
fn header_lists_beyond_the_limit_can_be_answered_and_keep_the_table_right() {
    let limits = Http2Limits { header_list_bytes: 300, fields: 20, ..Http2Limits::DEFAULT };
    let mut end = server(Settings { limits, ..Settings::DEFAULT });
    let now = Instant::now();
    // The table gets a field from a list that is too long; the next list uses it.
    let long = "x".repeat(400);
    let kept = b"\x40\x01k\x01v";
    let input = [get(&[("a", &long)]), kept.to_vec()].concat();
    let seen = end.receive(now, &frame(HEADERS, WHOLE, 1, &input)).unwrap();
    assert!(matches!(&seen[..], [Seen::Other(text)] if text.starts_with("Oversized")), "{seen:?}");
    let seen =
        end.receive(now, &frame(HEADERS, WHOLE, 3, &[get(&[]), vec![0xbe]].concat())).unwrap();
    let [Seen::Request(_, _, fields, _)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(fields.last(), Some(&("k".to_owned(), "v".to_owned())));
    let many = get(&[("a", ""); 17]);
    let seen = end.receive(now, &frame(HEADERS, WHOLE, 5, &many)).unwrap();
    assert!(matches!(&seen[..], [Seen::Other(text)] if text.starts_with("Oversized")), "{seen:?}");
}

#[test]
fn an_indexed_bomb_costs_no_more_than_its_bytes() {
    // 4000 bytes of value in the table, then thousands of one-byte references to it.
    let mut input = get(&[]);
    input.extend_from_slice(&[0x40, 1, b'k', 0x7f, 0xa1, 0x1e]);
    input.extend_from_slice(&[b'v'; 4000]);
    input.extend_from_slice(&[0xbe; 12_000]);
    let mut end = server(Settings::DEFAULT);
    let seen = end.receive(Instant::now(), &frame(HEADERS, WHOLE, 1, &input)).unwrap();
    assert!(matches!(&seen[..], [Seen::Other(text)] if text.starts_with("Oversized")), "{seen:?}");
}

#[test]
fn frames_that_were_under_way_when_a_stream_was_reset_are_let_pass() {
    let (mut end, now) = (server(Settings::DEFAULT), Instant::now());
    let seen = end.receive(now, &open()).unwrap();
    let [Seen::Request(stream, ..)] = seen[..] else { panic!("{seen:?}") };
    end.machine.response(stream, &response(413, &[]), leno_http::h2::Then::End, &mut end.out);
    end.machine.finish(stream, &mut end.out);
    let written = frames(&end.out);
    assert_eq!(written.last().map(|frame| (frame.kind, frame.number(0))), Some((RST_STREAM, 0)));
    end.out.clear();
    let late = [
        frame(DATA, 0, 1, b"late"),
        frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
        frame(HEADERS, WHOLE, 1, &block(&[("a", "b")])),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ];
    assert_eq!(end.receive(now, &late.concat()).unwrap(), []);
    assert!(end.out.is_empty());
}

/// A slow kin of CVE-2024-27316: a head that is begun, goes on a frame or a byte at a time, and never ends.
#[test]
fn since_when_a_head_is_owed_is_known_until_it_is_complete() {
    // What, what came, each a second after the last, and when the wait began, if anything is owed.
    type Case<'a> = (&'a str, Vec<&'a [u8]>, Option<u32>);
    let begun = frame(HEADERS, END_STREAM, 1, &get(&[]));
    let more = frame(CONTINUATION, 0, 1, &block(&[("a", "b")]));
    let last = frame(CONTINUATION, END_HEADERS, 1, &[]);
    let ping = frame(PING, 0, 0, &[0; 8]);
    let table: [Case<'_>; 8] = [
        ("nothing", vec![], None),
        ("a whole block", vec![&begun, &last], None),
        ("a block without its end", vec![&begun], Some(0)),
        ("one that goes on", vec![&begun, &more, &more], Some(0)),
        ("one whose next frame has not come", vec![&ping, &begun, &more[..3]], Some(1)),
        ("one that ended at last", vec![&begun, &more, &more, &last], None),
        ("part of a frame's header", vec![&ping[..5]], Some(0)),
        ("part of a frame after a whole one", vec![&ping[..5], &ping[5..], &ping[..12]], Some(2)),
    ];
    let start = Instant::now();
    for (what, came, since) in table {
        let mut end = server(Settings::DEFAULT);
        let mut now = start;
        for bytes in came {
            end.receive(now, bytes).unwrap();
            now += Duration::from_secs(1);
        }
        let expected = since.map(|seconds| start + Duration::from_secs(seconds.into()));
        assert_eq!(end.machine.waits_since(), expected, "{what}");
    }
    let mut end = server(Settings::DEFAULT);
    end.receive(start, &begun).unwrap();
    end.machine.give_up(&mut end.out);
    let written = frames(&end.out);
    let last = written.last().unwrap();
    assert_eq!((last.kind, last.number(4)), (GOAWAY, Code::ENHANCE_YOUR_CALM.0));
    assert!(end.machine.is_finished() && end.machine.waits_since().is_none());
}
