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
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
    );
    assert_eq!(hop.downstream_persistence, Persistence::Close);
}
