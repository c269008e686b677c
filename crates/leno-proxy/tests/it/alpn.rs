//! Sidecars that are real Envoys, and ours: they agree by ALPN on what is spoken between them, in both directions.

use std::net::SocketAddr;

use leno_core::config::{UpstreamProtocol, UpstreamTransport};

use crate::basic::{GET, OK};
use crate::ca::Ca;
use crate::config::{cluster, forward, http_listener, route, start, with_listener};
use crate::envoy::{self, Envoy};
use crate::origin::{Peer, answering};

/// One listener (and its transport socket) before one cluster (and its settings).
fn file(downstream: &str, upstream: &str, to: SocketAddr) -> String {
    let route = "{ match: { prefix: / }, route: { cluster: c } }";
    let chain = envoy::http("", "server_header_transformation: PASS_THROUGH", route, "");
    envoy::file(&(chain + downstream), &[envoy::cluster("c", upstream, to)])
}

fn answers(address: SocketAddr) {
    for _ in 0..2 {
        let answer = Peer::connect(address).call(GET);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[test]
fn envoy_calls_our_sidecars() {
    let ca = Ca::new();
    let (web, requests) = answering(OK);
    let mut listener = http_listener(vec![route("/", forward("c"))]);
    // What our control plane gives the inbound listeners of our own proxies.
    let offered = ["istio-h2", "istio-http/1.1", "istio-http/1.0", "h2", "http/1.1", "istio"];
    listener.filter_chains[0].tls = Some(ca.downstream("server", true, &offered));
    let (_ours, address) = start(with_listener(listener, vec![cluster("c", &[web])]));
    // (what it gives Envoy's clusters, the version that goes with it)
    let table: [(&[&str], &str); 2] = [
        (&["istio-http/1.1", "istio", "http/1.1"], "http_protocol_options: {}"),
        (&["istio-h2", "istio", "h2"], "http2_protocol_options: {}"),
    ];
    for (alpn, version) in table {
        let upstream =
            envoy::speaks(version) + &envoy::tls("UpstreamTlsContext", &ca, "client", alpn);
        let Some(envoy) = Envoy::start(&file("", &upstream, address)) else { return };
        answers(envoy.address);
        assert!(requests.recv().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
}

#[test]
fn our_sidecars_call_envoy() {
    let ca = Ca::new();
    let (web, _requests) = answering(OK);
    // What our control plane gives Envoy's inbound listeners: HTTP/2 has its plain name alone.
    let downstream = envoy::tls("DownstreamTlsContext", &ca, "server", &["h2", "http/1.1"]);
    let Some(envoy) = Envoy::start(&file(&downstream, "", web)) else { return };
    let alpn = ["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"];
    for protocol in [UpstreamProtocol::Negotiated, UpstreamProtocol::Http2] {
        let mut cluster = cluster("c", &[envoy.address]);
        cluster.http.protocol = protocol;
        let tls = ca.upstream("client", "server", &alpn);
        cluster.transport = UpstreamTransport::Tls(Box::new(tls));
        let listener = http_listener(vec![route("/", forward("c"))]);
        let (_ours, address) = start(with_listener(listener, vec![cluster]));
        answers(address);
    }
}
