//! Sidecars that are real Envoys, and ours: they agree by ALPN on what is spoken between them, in both directions.

use std::net::SocketAddr;

use leno_core::config::{UpstreamProtocol, UpstreamTransport};

use crate::basic::{GET, OK};
use crate::ca::Ca;
use crate::config::{LISTENER, cluster, forward, http_listener, route, start, with_listener};
use crate::hbone::{tls_files, written};
use crate::operators;
use crate::origin::{Peer, answering};

const ROUTER: &str = "name: envoy.filters.http.router, typed_config: { \"@type\": \
     type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }";

/// An Envoy with one listener (and its transport socket) before one cluster (and its settings).
fn envoy_file(downstream: &str, upstream: &str, to: SocketAddr) -> String {
    format!(
        "node: {{ id: it, cluster: it }}
admin: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }} }}
static_resources:
  listeners:
  - name: {LISTENER}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: it
          server_header_transformation: PASS_THROUGH
          route_config: {{ name: r, virtual_hosts: [{{ name: all, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: c }} }}] }}] }}
          http_filters: [{{ {ROUTER} }}]
      {downstream}
  clusters:
  - name: c
    type: STATIC
    {upstream}
    load_assignment:
      cluster_name: c
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}]
",
        to.port()
    )
}

fn socket(context: &str, files: &str, more: &str) -> String {
    format!(
        "transport_socket: {{ name: tls, typed_config: {{ \"@type\": \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}, {files}{more} }} }}"
    )
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
    let Some(program) = operators::program() else { return };
    let ca = Ca::new();
    let (web, requests) = answering(OK);
    let mut listener = http_listener(vec![route("/", forward("c"))]);
    // What our control plane gives the inbound listeners of our own proxies.
    let offered = ["istio-h2", "istio-http/1.1", "istio-http/1.0", "h2", "http/1.1", "istio"];
    listener.filter_chains[0].tls = Some(ca.downstream("server", true, &offered));
    let (_ours, address) = start(with_listener(listener, vec![cluster("c", &[web])]));
    // (what it gives Envoy's clusters, the version that goes with it)
    let table: [(&[&str], &str); 2] = [
        (&["istio-http/1.1", "istio", "http/1.1"], "http_protocol_options"),
        (&["istio-h2", "istio", "h2"], "http2_protocol_options"),
    ];
    for (alpn, version) in table {
        let files = tls_files(&ca, "client", alpn);
        let upstream = format!(
            "typed_extension_protocol_options: {{ envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{ \"@type\": \
             type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
             explicit_http_config: {{ {version}: {{}} }} }} }}
    {}",
            socket("UpstreamTlsContext", &files, "")
        );
        let (folder, path) = written(&envoy_file("", &upstream, address));
        let (_envoy, address) = operators::envoy(&program, folder.path(), &path);
        answers(address);
        assert!(requests.recv().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
}

#[test]
fn our_sidecars_call_envoy() {
    let Some(program) = operators::program() else { return };
    let ca = Ca::new();
    let (web, _requests) = answering(OK);
    // What our control plane gives Envoy's inbound listeners: HTTP/2 has its plain name alone.
    let files = tls_files(&ca, "server", &["h2", "http/1.1"]);
    let downstream = socket("DownstreamTlsContext", &files, ", require_client_certificate: true");
    let (folder, path) = written(&envoy_file(&downstream, "", web));
    let (_envoy, address) = operators::envoy(&program, folder.path(), &path);
    let alpn = ["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"];
    for protocol in [UpstreamProtocol::Negotiated, UpstreamProtocol::Http2] {
        let mut cluster = cluster("c", &[address]);
        cluster.http.protocol = protocol;
        let tls = ca.upstream("client", "server", &alpn);
        cluster.transport = UpstreamTransport::Tls(Box::new(tls));
        let listener = http_listener(vec![route("/", forward("c"))]);
        let (_ours, address) = start(with_listener(listener, vec![cluster]));
        answers(address);
    }
}
