//! Responses from arbitrary bytes, to requests of every kind: no panic, splits change nothing, and what was accepted is
//! written so that the next reader finds exactly one message in it.
#![no_main]

use leno_http::h1::{BodyReader, Client, Piece, Server, relay};
use leno_http::{Invalid, Limits, RequestHead, ResponseHead};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs meet every limit.
const LIMITS: Limits = Limits {
    head_bytes: 1024,
    fields: 16,
    chunk_line_bytes: 32,
    chunk_extension_bytes: 64,
    trailer_bytes: 128,
};

const REQUESTS: [&str; 5] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];

#[derive(Debug, Default, PartialEq)]
struct Meaning {
    heads: Vec<String>,
    body: Vec<u8>,
    result: Option<Result<bool, Invalid>>,
}

fuzz_target!(|data: &[u8]| {
    let [choice, split, input @ ..] = data else { return };
    let request = REQUESTS[usize::from(*choice) % REQUESTS.len()];
    let whole = read(request, input, input.len().max(1));
    let read_bytes = 1 + usize::from(*split);
    assert_eq!(read(request, input, read_bytes), whole, "reads of {read_bytes} bytes");
    forward(request, input);
});

fn ask(request: &str, limits: Limits) -> (Server, Client) {
    let (mut server, mut client) = (Server::new(limits), Client::new(limits));
    let mut head = RequestHead::new();
    server.head(request.as_bytes(), &mut head).expect("a valid request").expect("a whole one");
    client.request(&head, &mut Vec::new());
    (server, client)
}

fn read(request: &str, input: &[u8], read_bytes: usize) -> Meaning {
    let (_, mut client) = ask(request, LIMITS);
    let (mut meaning, mut held) = (Meaning::default(), Vec::new());
    let (mut head, mut has_head) = (ResponseHead::new(), false);
    for bytes in input.chunks(read_bytes) {
        held.extend_from_slice(bytes);
        let result = take(&mut client, &mut head, &mut has_head, &mut held, &mut meaning);
        meaning.result = Some(result);
        if result != Ok(false) {
            break;
        }
    }
    meaning
}

fn take(
    client: &mut Client,
    head: &mut ResponseHead,
    has_head: &mut bool,
    held: &mut Vec<u8>,
    meaning: &mut Meaning,
) -> Result<bool, Invalid> {
    while !*has_head {
        let Some(length) = client.response(held, head)? else { return Ok(false) };
        held.drain(..length);
        meaning.heads.push(format!("{head:?} {:?}", String::from_utf8_lossy(head.reason())));
        *has_head = !head.is_interim();
    }
    if client.is_upgraded() {
        return Ok(true);
    }
    take_body(client.response_body(), held, &mut meaning.body)
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

/// Forwards the response, if it is a whole one, and reads what the next hop would.
fn forward(request: &str, mut input: &[u8]) {
    let (mut server, mut client) = ask(request, LIMITS);
    let (mut head, mut out) = (ResponseHead::new(), Vec::new());
    loop {
        let Ok(Some(length)) = client.response(input, &mut head) else { return };
        input = &input[length..];
        if !head.is_interim() {
            break;
        }
        server.interim(&head, &mut out);
    }
    server.response(&head, &mut out);
    if !server.is_upgraded() {
        let relayed = relay(client.response_body(), server.response_body(), input, &mut out);
        let Ok(relayed) = relayed else { return };
        if !relayed.is_end {
            if client.end_of_input().is_err() {
                return;
            }
            relay(client.response_body(), server.response_body(), b"", &mut out)
                .expect("nothing left");
        }
    }
    // The next hop's limits are not ours: a field of our own may have been added.
    let (_, mut next) = ask(request, Limits::DEFAULT);
    let mut next_head = ResponseHead::new();
    let mut rest = out.as_slice();
    loop {
        let length = next
            .response(rest, &mut next_head)
            .expect("what we write is valid")
            .expect("and whole");
        rest = &rest[length..];
        if !next_head.is_interim() {
            break;
        }
    }
    assert_eq!(next_head.status(), head.status());
    let (mut held, mut body) = (rest.to_vec(), Vec::new());
    if !take_body(next.response_body(), &mut held, &mut body).expect("a valid body") {
        next.end_of_input().expect("a body until close");
    }
    assert!(held.is_empty(), "the next hop sees a second message: {held:?}");
}
