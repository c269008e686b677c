//! Heads that are more than their lines: tunnels, upgrades, cookies, secrets, bodies that are not there.

use std::time::Instant;

use leno_http::h2::{Cause, Connection, NotNow, PREFACE, Settings, Stream, Then, Violation};
use leno_http::{BodyLength, Http2Limits, Known, RequestHead, Version};

use super::pair::{End, Pair, Seen, owned, request, response};
use super::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WHOLE, block,
    frame, frames, get,
};

fn pair() -> Pair {
    Pair::new(Settings::DEFAULT, Settings::DEFAULT)
}

/// An upgrade as HTTP/1 asks for it.
fn websocket() -> RequestHead {
    let text =
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut head = RequestHead::new();
    let mut server = leno_http::h1::Server::new(leno_http::Limits::DEFAULT);
    server.head(text, &mut head).unwrap().unwrap();
    head
}

#[test]
fn an_upgrade_is_extended_connect_on_the_wire_and_an_upgrade_again_behind_it() {
    let mut pair = pair();
    let stream = pair.request(&websocket(), Then::More);
    let (seen, _) = pair.settle();
    let fields = owned(&[("host", "a"), ("upgrade", "websocket")]);
    assert_eq!(seen, [Seen::Request(stream, "GET /chat".to_owned(), fields, Then::More)]);
    let head = &pair.server.heads.request;
    assert_eq!((head.upgrade(), head.version()), (Some("websocket"), Version::Http2));
    assert_eq!(head.body(), BodyLength::Empty);

    let server = &mut pair.server;
    server.machine.response(stream, &response(101, &[]), Then::More, &mut server.out);
    let written = frames(&server.out);
    assert_eq!(written[0].payload, [0x88], ":status 200");
    assert_eq!(server.machine.data(stream, b"hello", Then::More, &mut server.out), 5);
    let (_, seen) = pair.settle();
    assert_eq!(
        seen,
        [
            Seen::Response(stream, 101, owned(&[]), Then::More),
            Seen::Data(stream, b"hello".to_vec(), Then::More),
        ]
    );
    assert!(pair.client.heads.response.is_upgrade());
    assert_eq!(pair.client.machine.data(stream, b"bye", Then::End, &mut pair.client.out), 3);
    assert_eq!(pair.settle().0, [Seen::Data(stream, b"bye".to_vec(), Then::End)]);
}

#[test]
fn no_upgrade_goes_to_a_peer_that_does_not_allow_it() {
    let refused =
        Settings { extended_connect: leno_http::h2::ExtendedConnect::Refused, ..Settings::DEFAULT };
    let mut pair = Pair::new(Settings::DEFAULT, refused);
    let client = &mut pair.client;
    let result = client.machine.request(&websocket(), Then::More, &mut client.out);
    assert_eq!(result, Err(NotNow::ExtendedConnect));
}

#[test]
fn connect_makes_a_tunnel() {
    let mut pair = pair();
    let mut head = RequestHead::new();
    head.start(Version::Http2, "CONNECT", "10.0.0.1:8080", "10.0.0.1:8080");
    head.fields_mut().append(Known::Baggage, b"k=v");
    let stream = pair.request(&head, Then::More);
    let (seen, _) = pair.settle();
    let fields = owned(&[("host", "10.0.0.1:8080"), ("baggage", "k=v")]);
    let line = "CONNECT 10.0.0.1:8080".to_owned();
    assert_eq!(seen, [Seen::Request(stream, line, fields, Then::More)]);
    let server = &mut pair.server;
    server.machine.response(stream, &response(200, &[]), Then::More, &mut server.out);
    server.machine.data(stream, b"bytes", Then::More, &mut server.out);
    let (_, seen) = pair.settle();
    assert_eq!(seen.len(), 2);
    assert!(pair.client.heads.response.is_upgrade());
}

#[test]
fn an_http1_request_goes_on_as_stream_1() {
    let mut end = End::new(Connection::server(Settings::DEFAULT));
    end.out.clear();
    // Initial window 5.
    let stream = end.machine.upgraded(b"AAQAAAAF", &request("GET", "/", &[])).unwrap();
    assert_eq!(stream.id(), 1);
    let head = response(200, &[]);
    end.machine.response(stream, &head, Then::More, &mut end.out);
    assert_eq!(end.machine.data(stream, b"hello, world", Then::End, &mut end.out), 5);
    for wrong in [&b"AAQAAAA"[..], b"AAQAAAAF=", b"AAQ"] {
        let mut end = End::new(Connection::server(Settings::DEFAULT));
        let result = end.machine.upgraded(wrong, &request("GET", "/", &[]));
        assert_eq!(result, Err(Violation::Setting), "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn cookie_crumbs_are_one_cookie_here_and_crumbs_on_the_wire() {
    let mut pair = pair();
    let crumbs =
        [("cookie", "session=0123456789abcdef"), ("a", "b"), ("cookie", "theme=dark; x=y")];
    let mut first = End::new(Connection::server(Settings::DEFAULT));
    let start =
        [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, WHOLE, 1, &get(&crumbs))];
    first.receive(Instant::now(), &start.concat()).unwrap();
    let head = std::mem::take(&mut first.heads.request);
    let joined = "session=0123456789abcdef; theme=dark; x=y";
    assert_eq!(head.fields().get_str(Known::Cookie), Some(joined));
    assert_eq!(head.fields().len(), 3, "host, cookie and a");
    let mut lengths = Vec::new();
    for _ in 0..2 {
        let stream = pair.request(&head, Then::End);
        lengths.push(pair.client.out.len());
        let (seen, _) = pair.settle();
        let [Seen::Request(_, _, fields, _)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(*fields, owned(&[("host", "a"), ("cookie", joined), ("a", "b")]));
        pair.server.machine.finish(stream, &mut pair.server.out);
        pair.settle();
    }
    assert!(lengths[1] + 15 < lengths[0], "a crumb that comes again goes by index: {lengths:?}");
}

#[test]
fn a_host_beside_the_authority_is_not_said_twice() {
    let mut end = End::new(Connection::server(Settings::DEFAULT));
    let head = frame(HEADERS, WHOLE, 1, &get(&[("host", "a"), ("b", "c")]));
    let input = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &head].concat();
    let seen = end.receive(Instant::now(), &input).unwrap();
    let [_, Seen::Request(_, _, fields, _)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(*fields, owned(&[("host", "a"), ("b", "c")]));
}

#[test]
fn heads_longer_than_a_frame_are_continued() {
    let limits = Http2Limits { header_list_bytes: 200_000, ..Http2Limits::DEFAULT };
    let mut pair = Pair::new(Settings::DEFAULT, Settings { limits, ..Settings::DEFAULT });
    let long = "x".repeat(40_000);
    let stream = pair.request(&request("GET", "/", &[("long", &long)]), Then::End);
    let written = frames(&pair.client.out);
    let kinds: Vec<_> = written.iter().map(|frame| (frame.kind, frame.flags)).collect();
    assert_eq!(kinds, [(HEADERS, END_STREAM), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]);
    let (seen, _) = pair.settle();
    let [Seen::Request(found, _, fields, Then::End)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((*found, fields.last().map(|field| field.1.len())), (stream, Some(40_000)));
}

#[test]
fn content_length_says_what_is_sent_or_nothing() {
    type Lines = &'static [(&'static str, &'static str)];
    let table: [(&str, u16, Lines, BodyLength, Lines); 6] = [
        ("GET", 200, &[("content-length", "5")], BodyLength::Unknown, &[]),
        ("GET", 200, &[], BodyLength::Exactly(5), &[("content-length", "5")]),
        (
            "GET",
            200,
            &[("content-length", "7")],
            BodyLength::Exactly(5),
            &[("content-length", "5")],
        ),
        ("HEAD", 200, &[("content-length", "7")], BodyLength::Empty, &[("content-length", "7")]),
        ("GET", 304, &[("content-length", "7")], BodyLength::Empty, &[("content-length", "7")]),
        ("GET", 204, &[("content-length", "0")], BodyLength::Empty, &[]),
    ];
    for (method, status, fields, body, expected) in table {
        let mut pair = pair();
        let stream = pair.request(&request(method, "/", &[]), Then::End);
        pair.settle();
        let mut head = response(status, &[]);
        head.set_body(body);
        super::pair::append(head.fields_mut(), fields);
        let server = &mut pair.server;
        let then = if body == BodyLength::Empty { Then::End } else { Then::More };
        server.machine.response(stream, &head, then, &mut server.out);
        let (_, seen) = pair.settle();
        assert_eq!(seen, [Seen::Response(stream, status, owned(expected), then)], "{status}");
    }
}

/// A client with one request open, of this method.
fn client(method: &str) -> (End, Stream) {
    let mut end = End::new(Connection::client(Settings::DEFAULT));
    let stream = end.machine.request(&request(method, "/", &[]), Then::End, &mut end.out).unwrap();
    let start = [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat();
    end.receive(Instant::now(), &start).unwrap();
    end.out.clear();
    (end, stream)
}

#[test]
fn responses_that_break_a_rule_reset_their_stream() {
    let head = |flags, fields: &[(&str, &str)]| frame(HEADERS, flags, 1, &block(fields));
    let ok = || head(END_HEADERS, &[(":status", "200")]);
    type Input = Vec<Vec<u8>>;
    let table: [(&str, &str, Option<Violation>, Input); 13] = [
        ("plain", "GET", None, vec![head(WHOLE, &[(":status", "200")])]),
        ("interim first", "GET", None, vec![head(END_HEADERS, &[(":status", "103")]), ok()]),
        ("no status", "GET", Some(Violation::PseudoField), vec![head(WHOLE, &[("a", "b")])]),
        (
            "a path",
            "GET",
            Some(Violation::PseudoField),
            vec![head(WHOLE, &[(":status", "200"), (":path", "/")])],
        ),
        ("101", "GET", Some(Violation::Status), vec![head(END_HEADERS, &[(":status", "101")])]),
        ("four digits", "GET", Some(Violation::Status), vec![head(WHOLE, &[(":status", "2000")])]),
        (
            "interim and the end",
            "GET",
            Some(Violation::MessageOrder),
            vec![head(WHOLE, &[(":status", "100")])],
        ),
        ("data first", "GET", Some(Violation::MessageOrder), vec![frame(DATA, 0, 1, b"x")]),
        (
            "a connection field",
            "GET",
            Some(Violation::ConnectionField),
            vec![head(WHOLE, &[(":status", "200"), ("connection", "close")])],
        ),
        (
            "too short",
            "GET",
            Some(Violation::ContentLength),
            vec![head(WHOLE, &[(":status", "200"), ("content-length", "5")])],
        ),
        (
            "a length for HEAD",
            "HEAD",
            None,
            vec![head(WHOLE, &[(":status", "200"), ("content-length", "5")])],
        ),
        (
            "data for HEAD",
            "HEAD",
            Some(Violation::ContentLength),
            vec![ok(), frame(DATA, 0, 1, b"x")],
        ),
        ("a second final head", "GET", Some(Violation::Trailers), vec![ok(), ok()]),
    ];
    for (name, method, expected, input) in table {
        let (mut end, stream) = client(method);
        let seen = end.receive(Instant::now(), &input.concat()).unwrap();
        let found = seen.iter().find_map(|seen| match seen {
            Seen::Reset(found, Cause::Violation(why)) if *found == stream => Some(*why),
            _ => None,
        });
        assert_eq!(found, expected, "{name}: {seen:?}");
        let resets = frames(&end.out).iter().any(|frame| frame.kind == RST_STREAM);
        assert_eq!(resets, expected.is_some(), "{name}");
    }
}

#[test]
fn what_a_server_may_not_send_ends_the_connection() {
    let table: [(&str, Violation, Vec<u8>); 4] = [
        (
            "an answer nobody asked for",
            Violation::IdleStream,
            frame(HEADERS, WHOLE, 3, &block(&[(":status", "200")])),
        ),
        (
            "a pushed stream",
            Violation::StreamIdentifier,
            frame(HEADERS, WHOLE, 2, &block(&[(":status", "200")])),
        ),
        ("a promise", Violation::Push, frame(5, 4, 1, &[0, 0, 0, 2])),
        (
            "push switched on",
            Violation::Setting,
            frame(SETTINGS, 0, 0, &super::wire::setting(2, 1)),
        ),
    ];
    for (name, why, input) in table {
        let (mut end, _) = client("GET");
        let result = end.receive(Instant::now(), &input);
        assert_eq!(result.map_err(|error| error.why), Err(why), "{name}");
    }
}

#[test]
fn a_goaway_refuses_what_will_not_be_processed() {
    let (mut end, first) = client("GET");
    let later = end.machine.request(&request("GET", "/", &[]), Then::End, &mut end.out).unwrap();
    let goaway = frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let seen = end.receive(Instant::now(), &goaway).unwrap();
    assert_eq!(seen[1..], [Seen::Reset(later, Cause::Refused)]);
    assert!(end.machine.is_open(first) && !end.machine.is_finished());
    assert_eq!(end.machine.available(), 0);
}
