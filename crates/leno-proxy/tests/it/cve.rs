//! Attacks with a number that only a whole proxy shows.

use std::io::Write as _;
use std::net::TcpStream;

use leno_core::config::PathRewrite;

use crate::basic::OK;
use crate::config::{cluster, forward, resources, route, start};
use crate::origin::{Peer, answering};

#[test]
fn a_path_that_the_client_claims_decides_nothing_cve_2023_27487() {
    let (open, to_open) = answering(OK);
    let (closed, to_closed) = answering(OK);
    let mut rewritten = forward("open");
    rewritten.path_rewrite = Some(Box::new(PathRewrite::Prefix("/shop/".into())));
    let routes = vec![
        route("/admin", forward("closed")),
        route("/public/", rewritten),
        route("/", forward("open")),
    ];
    let clusters = vec![cluster("open", &[open]), cluster("closed", &[closed])];
    let (_proxy, address) = start(resources(routes, clusters));
    let claim = "x-envoy-original-path: /admin";
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{claim}\r\n\r\n");
        assert_eq!(Peer::connect(address).call(&request), OK);
        to_open.recv().unwrap()
    };
    ask("/elsewhere");
    let behind = ask("/public/a").to_ascii_lowercase();
    assert!(behind.starts_with("get /shop/a "), "{behind}");
    assert!(behind.contains("\r\nx-envoy-original-path: /public/a\r\n"), "{behind}");
    assert!(!behind.contains(claim), "what we say takes the place of the claim: {behind}");
    assert!(to_closed.try_recv().is_err());
}

/// RFC 9113 §4.1, with everything that may end ended.
fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let (length, flags) = (u8::try_from(payload.len()).unwrap(), if kind == 1 { 5 } else { 0 });
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// GET, http, this path of one byte behind its slash, authority `x`.
fn get(path: u8) -> [u8; 9] {
    [0x82, 0x86, 0x04, 2, b'/', path, 0x01, 1, b'x']
}

#[test]
fn requests_that_are_reset_at_once_reach_no_endpoint_cve_2023_44487() {
    let (origin, asked) = answering(OK);
    let routes = vec![route("/", forward("open"))];
    let (_proxy, address) = start(resources(routes, vec![cluster("open", &[origin])]));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, &[]));
    for stream in (1..200).step_by(2) {
        // A reset (CANCEL), and an increment of nothing that makes the proxy reset (CVE-2025-8671).
        let over = if stream % 4 == 1 {
            frame(3, stream, &[0, 0, 0, 8])
        } else {
            frame(8, stream, &[0; 4])
        };
        bytes.extend([frame(1, stream, &get(b'a')), over].concat());
    }
    bytes.extend(frame(1, 201, &get(b'b')));
    let mut client = TcpStream::connect(address).unwrap();
    // One segment: all of it is there when the first of it is read.
    client.write_all(&bytes).unwrap();
    let first = asked.recv().unwrap();
    assert!(first.starts_with("GET /b "), "{first}");
    assert!(asked.try_recv().is_err());
}
