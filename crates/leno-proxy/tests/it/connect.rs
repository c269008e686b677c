//! CONNECT, passed on and ended, with clients that we did not write: `curl --proxytunnel` and the `h2` crate.

use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use http::{Method, Request};
use leno_core::config::{Connect, Forward, PathMatch, Route, RouteAction};
use leno_core::snapshot::Resources;
use tokio::net::TcpStream;

use crate::basic::OK;
use crate::config::{cluster, edited, forward, http_listener, route, start, with_listener};
use crate::http2::http2_cluster;
use crate::origin::{Peer, answering, origin};

fn tunnel_route(cluster: &str, connect: Option<Connect>) -> Route {
    let forward = Forward { connect, ..forward(cluster) };
    Route::minimal(PathMatch::Connect, RouteAction::Forward(Box::new(forward)))
}

/// CONNECT goes to the cluster `c`, as said; everything else to nobody.
fn tunnels(endpoint: SocketAddr, connect: Connect) -> Resources {
    let routes = vec![tunnel_route("c", Some(connect))];
    with_listener(http_listener(routes), vec![cluster("c", &[endpoint])])
}

/// A page through the tunnel of `proxy`, asked for by `curl`: status of the CONNECT, status and body of the page.
fn curl(proxy: SocketAddr, target: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--proxytunnel", "--noproxy", ""])
        .args(["--write-out", " %{http_connect} %{http_code}"])
        .args(["--proxy", &format!("http://{proxy}"), target])
        .output()
        .expect("curl is installed");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_tunnel_of_http_1_ends_here() {
    let (web, requests) = answering(OK);
    let (_proxy, address) = start(tunnels(web, Connect::Terminate));
    assert_eq!(curl(address, "http://shop.example/a"), "hello 200 200");
    assert!(requests.recv().unwrap().starts_with("GET /a HTTP/1.1\r\nHost: shop.example\r\n"));
    // Whatever is asked for, the route's cluster is where it goes; and nothing else passes.
    let mut client = Peer::connect(address);
    assert!(client.call("GET / HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn bytes_behind_the_request_are_the_tunnels_and_half_closes_pass() {
    let echo = origin(|mut peer| {
        let all = peer.rest();
        peer.write(all.to_uppercase());
    });
    let (_proxy, address) = start(tunnels(echo, Connect::Terminate));
    let mut client = Peer::connect(address);
    client.write("CONNECT far.example:7 HTTP/1.1\r\nHost: far.example:7\r\n\r\nearly ");
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for header in ["content-length", "transfer-encoding"] {
        assert!(!head.to_ascii_lowercase().contains(header), "{head}");
    }
    client.write("and late");
    client.end();
    assert_eq!(client.rest(), "EARLY AND LATE");
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_a_503() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_proxy, address) = start(tunnels(closed, Connect::Terminate));
    let mut client = Peer::connect(address);
    let answer = client.call("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nx-leno-blame: network\r\n"), "{answer}");
}

#[test]
fn a_tunnel_is_refused_where_nobody_allows_it() {
    let (web, _requests) = answering(OK);
    let clusters = || vec![cluster("c", &[web])];
    let with = |connect, is_allowed| {
        let listener = edited(http_listener(vec![tunnel_route("c", connect)]), |manager| {
            manager.connect = is_allowed;
        });
        with_listener(listener, clusters())
    };
    let no_route = with_listener(http_listener(vec![route("/", forward("c"))]), clusters());
    // (resources, status)
    let table =
        [(with(None, false), 403), (with(Some(Connect::Refuse), true), 403), (no_route, 404)];
    for (resources, status) in table {
        let (_proxy, address) = start(resources);
        let answer = Peer::connect(address).call("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

/// Agrees to every CONNECT and sends a page back.
fn connect_server() -> SocketAddr {
    origin(|mut peer| {
        let head = peer.until("\r\n\r\n").unwrap();
        assert!(head.starts_with("CONNECT shop.example:80 HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("\r\nhost: shop.example:80\r\n"), "{head}");
        peer.write("HTTP/1.1 200 Connection established\r\n\r\n");
        let page = peer.until("\r\n\r\n").unwrap();
        assert!(page.starts_with("GET /b HTTP/1.1\r\n"), "{page}");
        peer.write(OK);
    })
}

#[test]
fn a_tunnel_is_passed_on_in_the_endpoints_version() {
    let (_one, to_http1) = start(tunnels(connect_server(), Connect::Forward));
    assert_eq!(curl(to_http1, "http://shop.example:80/b"), "hello 200 200");
    // Two proxies: HTTP/1 in, HTTP/2 between them, and the second one ends the tunnel.
    let (web, _requests) = answering(OK);
    let (_far, far) = start(tunnels(web, Connect::Terminate));
    let routes = vec![tunnel_route("c", Some(Connect::Forward))];
    let resources = with_listener(http_listener(routes), vec![http2_cluster("c", far)]);
    let (_near, near) = start(resources);
    assert_eq!(curl(near, "http://shop.example:80/b"), "hello 200 200");
}

#[tokio::test]
async fn tunnels_of_http_2_share_a_connection() {
    let echo = origin(|mut peer| {
        let all = peer.rest();
        peer.write(all.to_uppercase());
    });
    let (_proxy, address) = start(tunnels(echo, Connect::Terminate));
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut tunnels = Vec::new();
    for at in 0..3 {
        let mut sender = sender.clone().ready().await.unwrap();
        let request =
            Request::builder().method(Method::CONNECT).uri(format!("10.0.0.{at}:80")).body(());
        let (response, sent) = sender.send_request(request.unwrap(), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        tunnels.push((at, sent, response.into_body()));
    }
    for (at, mut sent, mut body) in tunnels {
        sent.send_data(Bytes::from(format!("tunnel {at}")), true).unwrap();
        let mut seen = Vec::new();
        while let Some(piece) = body.data().await {
            seen.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(seen, format!("TUNNEL {at}").into_bytes());
    }
}
