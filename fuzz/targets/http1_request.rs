//! Requests from arbitrary bytes: no panic, splits change nothing, and what was accepted is written so that a second
//! strict reader finds exactly one message in it.
#![no_main]

use leno_http::h1::{BodyReader, Client, Persistence, Piece, Server, relay};
use leno_http::{Invalid, Limits, RequestHead, ResponseHead, Version};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs meet every limit.
const LIMITS: Limits = Limits {
    head_bytes: 1024,
    fields: 16,
    chunk_line_bytes: 32,
    chunk_extension_bytes: 64,
    trailer_bytes: 128,
};

/// What the bytes of a connection meant: every head's start and fields, every body, and how it ended.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    heads: Vec<String>,
    body: Vec<u8>,
    end: Option<Invalid>,
}

fuzz_target!(|data: &[u8]| {
    let Some((&split, input)) = data.split_first() else { return };
    let whole = read(input, input.len().max(1));
    assert_eq!(
        read(input, 1 + usize::from(split)),
        whole,
        "reads of {} bytes",
        1 + usize::from(split)
    );
    forward(input);
});

fn read(input: &[u8], read_bytes: usize) -> Meaning {
    let (mut server, mut head) = (Server::new(LIMITS), RequestHead::new());
    let (mut meaning, mut held, mut in_body) = (Meaning::default(), Vec::new(), false);
    for bytes in input.chunks(read_bytes) {
        held.extend_from_slice(bytes);
        if let Err(invalid) = take(&mut server, &mut head, &mut held, &mut in_body, &mut meaning) {
            meaning.end = Some(invalid);
            break;
        }
    }
    meaning
}

fn take(
    server: &mut Server,
    head: &mut RequestHead,
    held: &mut Vec<u8>,
    in_body: &mut bool,
    meaning: &mut Meaning,
) -> Result<(), Invalid> {
    loop {
        if !*in_body {
            let Some(length) = server.head(held, head)? else { return Ok(()) };
            held.drain(..length);
            meaning.heads.push(format!("{head:?}"));
            *in_body = true;
        }
        if !take_body(server.request_body(), held, &mut meaning.body)? {
            return Ok(());
        }
        let mut response = ResponseHead::new();
        response.start(Version::Http11, 200);
        server.response(&response, &mut Vec::new());
        *in_body = false;
        if server.finish() == Persistence::Close {
            return Err(Invalid::Truncated);
        }
    }
}

fn take_body(
    reader: &mut BodyReader,
    held: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<bool, Invalid> {
    loop {
        let decoded = reader.decode(held)?;
        let (consumed, done) = (decoded.consumed, decoded.piece == Piece::End);
        let waits = decoded.piece == Piece::More;
        if let Piece::Data(data) = decoded.piece {
            body.extend_from_slice(data);
        }
        held.drain(..consumed);
        if done || waits {
            return Ok(done);
        }
    }
}

/// Forwards the first request, if it is a whole one, and reads what the next hop would.
fn forward(input: &[u8]) {
    let (mut server, mut client) = (Server::new(LIMITS), Client::new(LIMITS));
    let (mut head, mut out) = (RequestHead::new(), Vec::new());
    let Ok(Some(length)) = server.head(input, &mut head) else { return };
    client.request(&head, &mut out);
    let relayed = relay(server.request_body(), client.request_body(), &input[length..], &mut out);
    if !relayed.is_ok_and(|relayed| relayed.is_end) {
        return;
    }
    // The next hop's limits are not ours: a field of our own may have been added.
    let (mut next, mut next_head) = (Server::new(Limits::DEFAULT), RequestHead::new());
    let length =
        next.head(&out, &mut next_head).expect("what we write is valid").expect("and whole");
    assert_eq!(next_head.target(), head.target());
    assert_eq!(next_head.authority(), head.authority());
    let (mut held, mut body) = (out[length..].to_vec(), Vec::new());
    assert!(take_body(next.request_body(), &mut held, &mut body).expect("a valid body"));
    assert!(held.is_empty(), "the next hop sees a second message: {held:?}");
}
