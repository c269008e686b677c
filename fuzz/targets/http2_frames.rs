//! A connection from arbitrary bytes, to a server and to a client that has requests open: no panic, splits change
//! nothing, and what is held and written is bounded by what came.
#![no_main]

use std::time::Instant;

use leno_http::h2::{Connection, Event, Heads, PREFACE, Settings, Then};
use leno_http::{Http2Limits, RequestHead, Version};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs meet every limit.
const SETTINGS: Settings = Settings {
    limits: Http2Limits {
        streams: 4,
        header_list_bytes: 400,
        fields: 10,
        header_block_bytes: 600,
        continuations: 3,
        stream_window_bytes: 100,
        stream_window_bytes_max: 1000,
        ..Http2Limits::DEFAULT
    },
    ..Settings::DEFAULT
};

fuzz_target!(|data: &[u8]| {
    let Some((&split, input)) = data.split_first() else { return };
    let now = Instant::now();
    for is_server in [true, false] {
        let whole = read(is_server, now, input, input.len().max(1));
        assert_eq!(read(is_server, now, input, 1 + usize::from(split)), whole);
    }
});

/// What the bytes of a connection meant, data of one frame joined, and what was written.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    events: Vec<String>,
    body: Vec<u8>,
    end: Option<String>,
}

fn read(is_server: bool, now: Instant, input: &[u8], read_bytes: usize) -> Meaning {
    let (mut heads, mut out, mut meaning) = (Heads::default(), Vec::new(), Meaning::default());
    let mut machine =
        if is_server { Connection::server(SETTINGS) } else { Connection::client(SETTINGS) };
    machine.start(&mut out);
    if is_server {
        let mut preface = &PREFACE[..];
        assert!(matches!(machine.receive(now, &mut preface, &mut heads, &mut out), Ok(None)));
    } else {
        for method in ["GET", "HEAD", "CONNECT"] {
            let mut head = RequestHead::new();
            head.start(
                Version::Http2,
                method,
                "a:1",
                if method == "CONNECT" { "a:1" } else { "/" },
            );
            machine.request(&head, Then::More, &mut out).expect("three streams are allowed");
        }
    }
    // Of each byte at most a PING's answer, a reset and a refusal may come.
    let bound = out.len() + 100 + input.len() * 8;
    for mut bytes in input.chunks(read_bytes) {
        loop {
            match machine.receive(now, &mut bytes, &mut heads, &mut out) {
                Ok(None) => break,
                Ok(Some(event)) => note(&event, &heads, &mut meaning),
                Err(error) => {
                    meaning.end = Some(error.to_string());
                    break;
                }
            }
        }
        assert!(bytes.is_empty() || meaning.end.is_some(), "everything is taken");
    }
    assert!(out.len() <= bound, "{} bytes written for {} read", out.len(), input.len());
    assert!(machine.active() <= 4);
    // Going away must not fail in any state.
    machine.shutdown(&mut out);
    machine.shutdown(&mut out);
    assert!(machine.is_going_away());
    meaning
}

fn note(event: &Event<'_>, heads: &Heads, meaning: &mut Meaning) {
    let text = match event {
        Event::Data { stream, bytes, then } => {
            meaning.body.extend_from_slice(bytes);
            // Where a frame is cut is not said; where the body ends is.
            if *then == Then::More {
                return;
            }
            format!("end of {}", stream.id())
        }
        Event::Request { .. } => format!("{event:?} {:?}", heads.request),
        Event::Response { .. } => format!("{event:?} {:?}", heads.response),
        Event::Trailers { .. } => format!("{event:?} {:?}", heads.trailers),
        event => format!("{event:?}"),
    };
    meaning.events.push(text);
}
