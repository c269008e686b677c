//! Whole exchanges through both machines: what goes in on one side and what comes out on the other.

use leno_http::h1::{Client, Persistence, Server, relay};
use leno_http::{Known, Limits, RequestHead, ResponseHead};

/// A proxy hop without sockets: each side's bytes are given whole.
struct Hop {
    upstream: Vec<u8>,
    downstream: Vec<u8>,
    downstream_persistence: Persistence,
    upstream_persistence: Persistence,
    /// Request bytes behind the first request.
    pipelined: Vec<u8>,
}

fn hop(request: &str, response: &str) -> Hop {
    let (mut server, mut client) = (Server::new(Limits::DEFAULT), Client::new(Limits::DEFAULT));
    let (mut request_head, mut response_head) = (RequestHead::new(), ResponseHead::new());
    let (mut upstream, mut downstream) = (Vec::new(), Vec::new());

    let mut input = request.as_bytes();
    let length = server.head(input, &mut request_head).unwrap().unwrap();
    input = &input[length..];
    client.request(&request_head, &mut upstream);
    let moved = relay(server.request_body(), client.request_body(), input, &mut upstream).unwrap();
    input = &input[moved.consumed..];

    let mut answer = response.as_bytes();
    loop {
        let length = client.response(answer, &mut response_head).unwrap().unwrap();
        answer = &answer[length..];
        if !response_head.is_interim() {
            break;
        }
        server.interim(&response_head, &mut downstream);
    }
    server.response(&response_head, &mut downstream);
    if !server.is_upgraded() {
        let (_, writer) = server.bodies();
        let moved = relay(client.response_body(), writer, answer, &mut downstream).unwrap();
        answer = &answer[moved.consumed..];
        if !moved.is_end {
            client.end_of_input().unwrap();
            relay(client.response_body(), server.response_body(), b"", &mut downstream).unwrap();
        }
    }
    Hop {
        upstream,
        downstream,
        downstream_persistence: server.finish(),
        upstream_persistence: client.finish(answer),
        pipelined: input.to_vec(),
    }
}

fn check(case: &str, request: &str, response: &str, upstream: &str, downstream: &str) -> Hop {
    let hop = hop(request, response);
    assert_eq!(String::from_utf8_lossy(&hop.upstream), upstream, "{case}: upstream");
    assert_eq!(String::from_utf8_lossy(&hop.downstream), downstream, "{case}: downstream");
    hop
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn case_order_spacing_and_duplicates_survive() {
    let request = "GET /a?b HTTP/1.1\r\nhOsT:  x \r\nB: 1\r\nA:2\r\nb:\t3\r\nX-Empty:\r\n\r\n";
    let response = "HTTP/1.1 200 Fine thanks\r\nSERVER: z\r\ncontent-LENGTH: 2\r\nset-cookie: a\r\nSet-Cookie: b\r\n\r\nhi";
    let hop = check("untouched", request, response, request, response);
    assert_eq!(hop.downstream_persistence, Persistence::Keep);
    assert_eq!(hop.upstream_persistence, Persistence::Keep);
}

#[test]
fn hop_by_hop_fields_and_those_connection_names_stay_here() {
    check(
        "hop by hop",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, X-Mine\r\nx-mine: 1\r\nKeep-Alive: 3\r\nTE: trailers\r\nUpgrade: h2c\r\nA: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\nProxy-Connection: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n\r\n",
        OK,
    );
}

#[test]
fn edits_are_applied_while_the_head_is_written() {
    let mut server = Server::new(Limits::DEFAULT);
    let mut head = RequestHead::new();
    let input = b"GET /old HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\na: 3\r\n\r\n";
    server.head(input, &mut head).unwrap().unwrap();
    head.set_target("/new path");
    head.set_authority("y:80");
    head.fields_mut().set(leno_http::Name::parse("a").unwrap(), b"4");
    head.fields_mut().append(Known::XRequestId, b"id\r\nEvil: 1");
    assert_eq!(head.received_target(), "/old");
    assert_eq!(head.authority(), "y:80");
    let mut out = Vec::new();
    Client::new(Limits::DEFAULT).request(&head, &mut out);
    let expected = "GET /new%20path HTTP/1.1\r\nHost: y:80\r\nA: 4\r\nB: 2\r\nx-request-id: id  Evil: 1\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn bodies_pass_in_their_framing_and_pipelined_bytes_stay() {
    let chunked = "5;a=\"b\"\r\nhello\r\n0\r\nX-T: 1\r\n\r\n";
    let request =
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}");
    let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n{chunked}");
    let pipelined = format!("{request}GET /2 HTTP/1.1\r\n");
    let hop = check("chunked", &pipelined, &response, &request, &response);
    assert_eq!(hop.pipelined, b"GET /2 HTTP/1.1\r\n");
    assert_eq!(hop.downstream_persistence, Persistence::Keep);
}

#[test]
fn a_body_until_close_becomes_chunked_or_ends_with_the_connection() {
    let response = "HTTP/1.0 200 OK\r\n\r\nhello";
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let hop = check(
        "to 1.1",
        request,
        response,
        request,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(
        (hop.downstream_persistence, hop.upstream_persistence),
        (Persistence::Keep, Persistence::Close)
    );
    let hop = check(
        "to 1.0",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        response,
        "GET / HTTP/1.1\r\nhost: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
    );
    assert_eq!(hop.downstream_persistence, Persistence::Close);
}

#[test]
fn responses_that_have_no_body_get_none() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n";
    let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let table = [
        ("HEAD keeps the length", head, with_length, with_length),
        (
            "HEAD with a coding",
            head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ),
        ("HEAD without a length", head, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        (
            "304",
            get,
            "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n",
        ),
        ("204", get, "HTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 204 N\r\n\r\n"),
        (
            "204 with zero",
            get,
            "HTTP/1.1 204 N\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 N\r\n\r\n",
        ),
        ("no reason", get, "HTTP/1.1 204\r\n\r\n", "HTTP/1.1 204 \r\n\r\n"),
    ];
    for (case, request, response, downstream) in table {
        let hop = check(case, request, response, request, downstream);
        assert_eq!(hop.upstream_persistence, Persistence::Keep, "{case}");
        assert_eq!(hop.downstream_persistence, Persistence::Keep, "{case}");
    }
}

#[test]
fn interim_responses_pass_before_the_final_one_but_not_to_http_1_0() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let response = format!("{interim}{OK}");
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    check("1.1", request, &response, request, &response);
    let old = "GET / HTTP/1.0\r\nHost: x\r\n\r\n";
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: close\r\n\r\n";
    check("1.0", old, &response, request, closing);
}

#[test]
fn connections_persist_when_both_sides_say_so() {
    use Persistence::{Close, Keep};
    let table = [
        ("1.1", "HTTP/1.1", "A: 1", OK, Keep, Keep),
        ("1.1 close", "HTTP/1.1", "Connection: Close", OK, Close, Keep),
        ("1.0", "HTTP/1.0", "A: 1", OK, Close, Keep),
        ("1.0 keep-alive", "HTTP/1.0", "Connection: Keep-Alive", OK, Keep, Keep),
        (
            "upstream 1.0",
            "HTTP/1.1",
            "A: 1",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            Keep,
            Close,
        ),
        (
            "upstream close",
            "HTTP/1.1",
            "A: 1",
            "HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 0\r\n\r\n",
            Keep,
            Close,
        ),
        (
            "bytes behind the response",
            "HTTP/1.1",
            "A: 1",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1",
            Keep,
            Close,
        ),
    ];
    for (case, version, field, response, downstream, upstream) in table {
        let hop = hop(&format!("GET / {version}\r\nHost: x\r\n{field}\r\n\r\n"), response);
        assert_eq!(hop.downstream_persistence, downstream, "{case}");
        assert_eq!(hop.upstream_persistence, upstream, "{case}");
        let says_close = String::from_utf8(hop.downstream).unwrap().contains("connection: close");
        assert_eq!(says_close, downstream == Close, "{case}");
    }
}

#[test]
fn an_upgrade_hands_the_connection_over() {
    let request = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, X\r\nUpgrade: websocket\r\nX: 1\r\n\r\n";
    let hop = check(
        "websocket",
        request,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframes",
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    );
    assert_eq!(
        hop.downstream_persistence,
        Persistence::Close,
        "a tunnel carries no second exchange"
    );
    let refused = check(
        "declined",
        request,
        OK,
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        OK,
    );
    assert_eq!(refused.downstream_persistence, Persistence::Keep);
    check(
        "connect",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntunnelled",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
    );
}

#[test]
fn an_upgrade_to_h2c_is_never_offered_to_the_next_hop() {
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: A\r\n\r\n";
    check("h2c", request, OK, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", OK);
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let table = [
        (
            "GET http://real:80/p?q HTTP/1.1\r\nA: 1\r\nHOST: other\r\n\r\n",
            "GET /p?q HTTP/1.1\r\nA: 1\r\nHOST: real:80\r\n\r\n",
        ),
        ("GET http://real HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: real\r\n\r\n"),
        (
            "OPTIONS http://real HTTP/1.1\r\nHost: x\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: real\r\n\r\n",
        ),
        ("GET http://real/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nhost: real\r\n\r\n"),
    ];
    for (request, upstream) in table {
        assert_eq!(String::from_utf8(hop(request, OK).upstream).unwrap(), upstream, "{request:?}");
    }
}

#[test]
fn an_early_response_closes_unless_the_rest_of_the_body_is_read() {
    let mut server = Server::new(Limits::DEFAULT);
    let (mut request, mut response) = (RequestHead::new(), ResponseHead::new());
    let input = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
    for (rest, expected) in [(b"".as_slice(), Persistence::Close), (b"abc", Persistence::Keep)] {
        let mut early = Server::new(Limits::DEFAULT);
        assert_eq!(early.head(input, &mut request).unwrap(), Some(input.len()));
        response.start(request.version(), 413);
        early.response(&response, &mut Vec::new());
        early.request_body().decode(rest).unwrap();
        assert_eq!(early.finish(), expected);
    }
    server.head(input, &mut request).unwrap();
    server.close_after();
    server.request_body().decode(b"abc").unwrap();
    response.start(request.version(), 200);
    server.response(&response, &mut Vec::new());
    assert_eq!(server.finish(), Persistence::Close, "the proxy is draining");
}

#[test]
fn framing_that_an_edit_contradicts_is_written_right() {
    let mut client = Client::new(Limits::DEFAULT);
    let mut head = RequestHead::new();
    head.start(leno_http::Version::Http2, "POST", "x", "/");
    head.set_body(leno_http::BodyLength::Unknown);
    head.fields_mut().append(Known::ContentLength, b"7");
    head.fields_mut().append(Known::TransferEncoding, b"gzip");
    let mut out = Vec::new();
    client.request(&head, &mut out);
    assert_eq!(out, b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    client.request_body().data(b"0123456789abcdef!", &mut out).unwrap();
    client.request_body().end(&leno_http::Fields::new(), &mut out).unwrap();
    assert!(out.ends_with(b"11\r\n0123456789abcdef!\r\n0\r\n\r\n"));

    let mut server = Server::new(Limits::DEFAULT);
    server.head(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &mut head).unwrap();
    let mut response = ResponseHead::new();
    response.start(leno_http::Version::Http11, 503);
    response.set_body(leno_http::BodyLength::Exactly(2));
    out.clear();
    server.response(&response, &mut out);
    server.response_body().data(b"no", &mut out).unwrap();
    assert!(server.response_body().data(b"more", &mut out).is_err());
    assert_eq!(out, b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno");
}
