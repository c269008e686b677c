//! Whole exchanges between our own client and server.

use leno_http::h2::{Cause, Code, Event, NotNow, Settings, Then};
use leno_http::{BodyLength, Fields, Http2Limits};

use super::pair::{Pair, Seen, append, owned, request, response};

fn pair() -> Pair {
    Pair::new(Settings::DEFAULT, Settings::DEFAULT)
}

#[test]
fn a_request_and_its_response_with_bodies_and_trailers() {
    let mut pair = pair();
    let mut head =
        request("POST", "/a?b=c", &[("content-type", "application/grpc"), ("te", "trailers")]);
    head.set_body(BodyLength::Unknown);
    let stream = pair.request(&head, Then::More);
    assert_eq!(pair.client.machine.data(stream, b"ping", Then::End, &mut pair.client.out), 4);
    let (seen, _) = pair.settle();
    let fields = owned(&[
        ("host", "svc.example:80"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]);
    assert_eq!(
        seen,
        [
            Seen::Request(stream, "POST /a?b=c".to_owned(), fields, Then::More),
            Seen::Data(stream, b"ping".to_vec(), Then::End),
        ]
    );

    let head = response(200, &[("content-type", "application/grpc")]);
    let server = &mut pair.server;
    server.machine.response(stream, &head, Then::More, &mut server.out);
    assert_eq!(server.machine.data(stream, b"pong", Then::More, &mut server.out), 4);
    let mut trailers = Fields::new();
    append(&mut trailers, &[("grpc-status", "0"), ("x-y", "z")]);
    server.machine.trailers(stream, &trailers, &mut server.out);
    server.machine.finish(stream, &mut server.out);
    let (_, seen) = pair.settle();
    assert_eq!(
        seen,
        [
            Seen::Response(stream, 200, owned(&[("content-type", "application/grpc")]), Then::More),
            Seen::Data(stream, b"pong".to_vec(), Then::More),
            Seen::Trailers(stream, owned(&[("grpc-status", "0"), ("x-y", "z")])),
        ]
    );
    assert_eq!((pair.client.machine.active(), pair.server.machine.active()), (0, 0));
    pair.client.machine.finish(stream, &mut pair.client.out);
    assert!(pair.client.out.is_empty(), "what is over is not reset");
}

#[test]
fn a_body_waits_for_the_windows_and_goes_on() {
    let limits = Http2Limits {
        stream_window_bytes: 100_000,
        stream_window_flowing_bytes: 100_000,
        ..Http2Limits::DEFAULT
    };
    let mut pair = Pair::new(Settings { limits, ..Settings::DEFAULT }, Settings::DEFAULT);
    let stream = pair.request(&request("GET", "/", &[]), Then::End);
    pair.settle();
    let body: Vec<u8> = (0..500_000_u32).map(|byte| byte as u8).collect();
    let server = &mut pair.server;
    server.machine.response(stream, &response(200, &[]), Then::More, &mut server.out);
    let (mut sent, mut received) = (0, Vec::new());
    while sent < body.len() {
        let server = &mut pair.server;
        let taken = server.machine.data(stream, &body[sent..], Then::End, &mut server.out);
        assert!(taken <= 100_000, "never more than the window");
        sent += taken;
        for seen in pair.settle().1 {
            if let Seen::Data(_, bytes, _) = seen {
                received.extend_from_slice(&bytes);
                pair.client.machine.release(stream, bytes.len(), &mut pair.client.out);
            }
        }
        let (by_server, _) = pair.settle();
        assert!(
            sent == body.len()
                || by_server
                    .iter()
                    .any(|seen| matches!(seen, Seen::Other(text) if text.starts_with("Writable"))),
            "{by_server:?}"
        );
    }
    assert_eq!(received, body);
    assert!(!pair.client.machine.is_open(stream));
}

#[test]
fn a_reset_reaches_the_other_side_and_late_calls_do_nothing() {
    let mut pair = pair();
    let stream = pair.request(&request("GET", "/", &[]), Then::End);
    pair.settle();
    pair.client.machine.reset(stream, Code::CANCEL, &mut pair.client.out);
    let (seen, _) = pair.settle();
    assert_eq!(seen, [Seen::Reset(stream, Cause::Peer(Code::CANCEL))]);
    let server = &mut pair.server;
    server.machine.response(stream, &response(200, &[]), Then::More, &mut server.out);
    assert_eq!(server.machine.data(stream, b"late", Then::End, &mut server.out), 4);
    server.machine.release(stream, 10, &mut server.out);
    server.machine.finish(stream, &mut server.out);
    server.machine.finish(stream, &mut server.out);
    assert!(server.out.is_empty());
}

/// curl does so when the answer is an error (RFC 9113 §8.1: an answer may be complete before its request).
#[test]
fn a_request_that_ends_short_behind_its_answer_keeps_the_answer() {
    for is_answered in [false, true] {
        let mut pair = pair();
        let mut head = request("POST", "/", &[]);
        head.set_body(BodyLength::Exactly(9));
        let stream = pair.request(&head, Then::More);
        pair.settle();
        let server = &mut pair.server;
        if is_answered {
            server.machine.response(stream, &response(413, &[]), Then::More, &mut server.out);
        }
        pair.client.machine.data(stream, b"body", Then::End, &mut pair.client.out);
        let (at_server, at_client) = pair.settle();
        let reset = |seen: &[Seen]| seen.iter().any(|seen| matches!(seen, Seen::Reset(..)));
        assert_eq!((reset(&at_server), reset(&at_client)), (!is_answered, !is_answered));
        if is_answered {
            let server = &mut pair.server;
            server.machine.data(stream, b"early", Then::End, &mut server.out);
            server.machine.finish(stream, &mut server.out);
            let (_, seen) = pair.settle();
            assert_eq!(seen, [Seen::Data(stream, b"early".to_vec(), Then::End)]);
            assert_eq!(pair.server.machine.active(), 0);
        }
    }
}

#[test]
fn going_away_serves_what_is_under_way() {
    let mut pair = pair();
    let first = pair.request(&request("GET", "/1", &[]), Then::End);
    pair.settle();
    pair.server.machine.shutdown(&mut pair.server.out);
    // Sent before the client has read it.
    let second = pair.request(&request("GET", "/2", &[]), Then::End);
    let (seen, _) = pair.settle();
    assert!(matches!(&seen[..], [Seen::Request(stream, ..)] if *stream == second));
    let refused =
        pair.client.machine.request(&request("GET", "/3", &[]), Then::End, &mut pair.client.out);
    assert_eq!(refused, Err(NotNow::GoingAway));
    for stream in [first, second] {
        assert!(!pair.server.machine.is_finished());
        let server = &mut pair.server;
        server.machine.response(stream, &response(204, &[]), Then::End, &mut server.out);
        server.machine.finish(stream, &mut server.out);
    }
    pair.settle();
    assert!(pair.server.machine.is_finished() && pair.client.machine.is_finished());
}

#[test]
fn events_are_small() {
    assert!(size_of::<Option<Event<'_>>>() <= 40, "{}", size_of::<Option<Event<'_>>>());
}

#[test]
fn a_window_is_small_until_it_is_known_that_somebody_takes_what_comes() {
    let limits = Http2Limits {
        stream_window_bytes: 10_000,
        stream_window_flowing_bytes: 50_000,
        stream_growth_bytes: 60_000,
        ..Http2Limits::DEFAULT
    };
    let mut pair = Pair::new(Settings { limits, ..Settings::DEFAULT }, Settings::DEFAULT);
    let body = vec![0; 100_000];
    // (whether the client's caller says that it passes on what comes, what may then be sent before it did)
    let table = [(false, 10_000), (true, 50_000), (true, 30_000), (false, 10_000)];
    for (flows, expected) in table {
        let stream = pair.request(&request("GET", "/", &[]), Then::End);
        pair.settle();
        let server = &mut pair.server;
        server.machine.response(stream, &response(200, &[]), Then::More, &mut server.out);
        let mut sent = server.machine.data(stream, &body, Then::End, &mut server.out);
        pair.settle();
        if flows {
            pair.client.machine.widen(stream, &mut pair.client.out);
            pair.settle();
        }
        let server = &mut pair.server;
        sent += server.machine.data(stream, &body[sent..], Then::End, &mut server.out);
        assert_eq!(sent, expected);
        pair.settle();
    }
}

#[test]
fn heads_are_counted_as_they_were_on_the_wire() {
    let mut pair = pair();
    let long = "v".repeat(40_000);
    for fields in [&[][..], &[("x-long", long.as_str())]] {
        let stream = pair.request(&request("GET", "/", fields), Then::End);
        let written = pair.client.out.len();
        pair.settle();
        assert_eq!(pair.server.heads.wire_bytes, written);
        let server = &mut pair.server;
        server.machine.response(stream, &response(200, fields), Then::End, &mut server.out);
        let written = pair.server.out.len();
        pair.settle();
        assert_eq!(pair.client.heads.wire_bytes, written);
    }
}
