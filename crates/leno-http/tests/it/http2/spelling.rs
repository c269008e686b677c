//! HTTP/1 heads over HTTP/2 between two ends that tell each other how they were spelt.

use leno_http::h1::{Client, Server};
use leno_http::h2::{Event, Settings, Spelling, Then};
use leno_http::{Limits, RequestHead, ResponseHead};

use super::pair::{Pair, Seen, request};

const TOLD: Settings = Settings { spelling: Spelling::Told, ..Settings::DEFAULT };

/// What a request of HTTP/1 becomes for a server of HTTP/1 behind the pair, and what its response becomes for the client.
fn pass(settings: (Settings, Settings), asked: &str, answered: &str) -> (String, String) {
    let (mut server, mut client) = (Server::new(Limits::DEFAULT), Client::new(Limits::DEFAULT));
    let (mut head, mut answer) = (RequestHead::new(), ResponseHead::new());
    server.head(asked.as_bytes(), &mut head).unwrap().unwrap();
    let mut pair = Pair::new(settings.0, settings.1);
    let stream = pair.request(&head, Then::End);
    let bytes = std::mem::take(&mut pair.client.out);
    let mut input = &bytes[..];
    let end = &mut pair.server;
    let event = end.machine.receive(pair.now, &mut input, &mut end.heads, &mut end.out).unwrap();
    let Some(Event::Request { stream: at_server, .. }) = event else { panic!("{event:?}") };
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    client.request(&end.heads.request, &mut to_server);
    client.response(answered.as_bytes(), &mut answer).unwrap().unwrap();
    end.machine.response(at_server, &answer, Then::End, &mut end.out);
    let bytes = std::mem::take(&mut pair.server.out);
    let mut input = &bytes[..];
    let end = &mut pair.client;
    while let Some(event) =
        end.machine.receive(pair.now, &mut input, &mut end.heads, &mut end.out).unwrap()
    {
        if let Event::Response { stream: of, .. } = event {
            assert_eq!(of, stream);
            server.response(&end.heads.response, &mut to_client);
        }
    }
    (String::from_utf8(to_server).unwrap(), String::from_utf8(to_client).unwrap())
}

#[test]
fn heads_arrive_as_they_were_written() {
    for (asked, answered) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nx-trace: c\r\n\r\n",
            "HTTP/1.1 200 Okay\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "GET /b HTTP/1.1\r\nX-MiXeD: 1\r\nx-a: 2\r\nX-A: 3\r\nHOST: a\r\nCookie: d\r\nCookie: e\r\n\r\n",
            "HTTP/1.1 299 \r\nset-cookie: a\r\nSet-Cookie: b\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "get / HTTP/1.1\r\nhost: a\r\n\r\n",
            "HTTP/1.1 404 Nichts gefunden\r\ncontent-length: 0\r\nDATE: x\r\n\r\n",
        ),
    ] {
        let (to_server, to_client) = pass((TOLD, TOLD), asked, answered);
        assert_eq!(to_server, asked);
        assert_eq!(to_client, answered);
    }
}

#[test]
fn what_an_application_says_of_spelling_goes_nowhere() {
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nX-Leno-Spelling: u2\r\nAccept: b\r\n\r\n";
    let answered =
        "HTTP/1.1 200 OK\r\nx-leno-spelling: u2\r\nServer: a\r\nContent-Length: 0\r\n\r\n";
    let (to_server, to_client) = pass((TOLD, TOLD), asked, answered);
    assert_eq!(to_server, "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n");
    assert_eq!(to_client, "HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn an_end_that_was_not_told_neither_says_nor_believes_it() {
    const UNTOLD: Settings = Settings::DEFAULT;
    let asked = "GET / HTTP/1.1\r\nAccept: b\r\nHost: a\r\n\r\n";
    let answered = "HTTP/1.1 200 Okay\r\nServer: a\r\nContent-Length: 0\r\n\r\n";
    for settings in [(UNTOLD, UNTOLD), (TOLD, UNTOLD), (UNTOLD, TOLD)] {
        let (to_server, to_client) = pass(settings, asked, answered);
        assert_eq!(to_server, "GET / HTTP/1.1\r\nhost: a\r\naccept: b\r\n\r\n");
        assert_eq!(to_client, "HTTP/1.1 200 OK\r\nserver: a\r\ncontent-length: 0\r\n\r\n");
    }
}

#[test]
fn heads_of_http2_say_nothing_of_it() {
    let (mut told, mut untold) = (Pair::new(TOLD, TOLD), Pair::new(Settings::DEFAULT, TOLD));
    for pair in [&mut told, &mut untold] {
        pair.request(&request("GET", "/", &[("x-a", "1")]), Then::End);
    }
    assert_eq!(told.client.out, untold.client.out);
}

#[test]
fn a_spelling_that_does_not_fit_is_counted_and_left_out() {
    // Whoever is told nothing passes such a field on as any other: here it is the peer that made it up.
    let block = |value: &[u8]| {
        let mut block = vec![0x82, 0x86, 0x84, 0x41, 1, b'a', 0x00, 15];
        block.extend_from_slice(b"x-leno-spelling");
        block.push(value.len() as u8);
        block.extend_from_slice(value);
        block
    };
    for (value, misspelt, name) in
        [(&b"t"[..], 0, "Host"), (b"t2", 1, "host"), (b"\xff", 1, "host")]
    {
        let mut pair = Pair::new(TOLD, TOLD);
        let block = block(value);
        let mut frame = vec![0, 0, block.len() as u8, 1, 5, 0, 0, 0, 1];
        frame.extend_from_slice(&block);
        let seen = pair.server.receive(pair.now, &frame).unwrap();
        let Seen::Request(_, _, fields, _) = &seen[0] else { panic!("{seen:?}") };
        assert_eq!(fields[..], [(name.to_owned(), "a".to_owned())]);
        assert_eq!(pair.server.machine.take_misspelt(), misspelt);
    }
}

#[test]
fn a_spelling_that_comes_again_is_an_index() {
    let mut pair = Pair::new(TOLD, TOLD);
    let (mut head, asked) = (RequestHead::new(), "GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n");
    Server::new(Limits::DEFAULT).head(asked.as_bytes(), &mut head).unwrap().unwrap();
    pair.request(&head, Then::End);
    pair.settle();
    pair.request(&head, Then::End);
    // The frame's head, method, scheme, path, and an index each for host, spelling and accept.
    assert_eq!(pair.client.out.len(), 9 + 3 + 3);
}
