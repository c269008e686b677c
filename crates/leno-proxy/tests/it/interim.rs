//! Interim responses (RFC 9110 section 15.2) in every pair of versions: they reach the client before the final one, and what
//! waits for `100 Continue` is sent when it has come.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};

use crate::config::{start, to};
use crate::h2::{self, Client};
use crate::http2::over_http2;
use crate::origin::{Peer, origin};

/// What a client sees of one exchange: interim statuses, `link` of the first, the final status and the body.
#[derive(Debug, PartialEq)]
struct Seen {
    interim: Vec<u16>,
    link: String,
    end: (u16, String),
}

const LINK: &str = "</a.css>; rel=preload";

/// Says 103, and 100 where that is expected before it reads the body, and echoes that.
fn http1_origin() -> SocketAddr {
    origin(|mut peer| {
        while let Some(head) = peer.until("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            peer.write(format!("HTTP/1.1 103 Early Hints\r\nLink: {LINK}\r\n\r\n"));
            if head.contains("expect: 100-continue") {
                peer.write("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let length = head.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let body = String::from_utf8(peer.exactly(length).unwrap()).unwrap();
            peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"));
        }
    })
}

async fn http2_origin() -> SocketAddr {
    h2::origin(|request, mut respond| async move {
        let hints = Response::builder().status(103).header("link", LINK).body(()).unwrap();
        respond.send_informational(hints).unwrap();
        if request.headers().contains_key("expect") {
            let go_on = Response::builder().status(100).body(()).unwrap();
            respond.send_informational(go_on).unwrap();
        }
        let Ok((body, _)) = h2::read(request.into_body()).await else { return };
        let response = Response::builder().header("content-length", body.len());
        let stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
        h2::send(stream, body, None).await;
    })
    .await
}

fn over_http1(address: SocketAddr, is_expecting: bool) -> Seen {
    let mut client = Peer::connect(address);
    let expect = if is_expecting { "Expect: 100-continue\r\n" } else { "" };
    client.write(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{expect}\r\n"));
    if !is_expecting {
        client.write("hello");
    }
    let (mut interim, mut link) = (Vec::new(), String::new());
    loop {
        let head = client.until("\r\n\r\n").unwrap();
        let status: u16 = head[9..12].parse().unwrap();
        if status >= 200 {
            let body = String::from_utf8(client.exactly(5).unwrap()).unwrap();
            return Seen { interim, link, end: (status, body) };
        }
        interim.push(status);
        if status == 103 {
            let line = head.lines().find_map(|line| {
                line.to_ascii_lowercase().starts_with("link:").then(|| line[5..].trim().to_owned())
            });
            link = line.unwrap();
        } else {
            client.write("hello");
        }
    }
}

async fn over_2(address: SocketAddr, is_expecting: bool) -> Seen {
    let mut client = Client::connect(address).await;
    let mut request = Request::post("http://x/").header("content-length", "5");
    if is_expecting {
        request = request.header("expect", "100-continue");
    }
    let (mut response, mut stream) = client.begin(request.body(()).unwrap(), false).await;
    let hello = Bytes::from_static(b"hello");
    if !is_expecting {
        stream.send_data(hello.clone(), true).unwrap();
    }
    let (mut interim, mut link) = (Vec::new(), String::new());
    let expected = 1 + usize::from(is_expecting);
    while interim.len() < expected {
        let head = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        interim.push(head.status().as_u16());
        if head.status() == 103 {
            head.headers()["link"].to_str().unwrap().clone_into(&mut link);
        } else {
            stream.send_data(hello.clone(), true).unwrap();
        }
    }
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let (body, _) = h2::read(response.into_body()).await.unwrap();
    Seen { interim, link, end: (status, String::from_utf8(body.to_vec()).unwrap()) }
}

#[tokio::test]
async fn interim_responses_pass_in_every_pair_of_versions() {
    for is_expecting in [false, true] {
        let expected = Seen {
            interim: if is_expecting { vec![103, 100] } else { vec![103] },
            link: LINK.to_owned(),
            end: (200, "hello".to_owned()),
        };
        for upstream in [1, 2] {
            let resources = match upstream {
                1 => to(http1_origin()),
                _ => over_http2(http2_origin().await),
            };
            let (_proxy, address) = start(resources);
            let case = format!("to HTTP/{upstream}, expecting: {is_expecting}");
            let seen = tokio::task::spawn_blocking(move || over_http1(address, is_expecting));
            assert_eq!(seen.await.unwrap(), expected, "from HTTP/1 {case}");
            assert_eq!(over_2(address, is_expecting).await, expected, "from HTTP/2 {case}");
        }
    }
}
