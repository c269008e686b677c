//! HBONE, both sides: between two of us, with `h2` and `rustls` saying what Istio's ztunnel says, and with a real Envoy at
//! either end.
//!
//! What ztunnel sends: TLS 1.3 with an SVID and ALPN `h2`, no server name; `:method` CONNECT, `:authority` the
//! destination's address and port, `baggage` with the source's workload, `forwarded` with its address, `traceparent`.
//! What it expects: 200 and the bytes in DATA; it answers 400 to what it does not understand, 401 to what policy denies,
//! 503 to what it cannot reach.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, StatusCode};
use leno_core::config::*;
use leno_core::snapshot::Resources;
use leno_proxy::Running;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};

use crate::basic::{GET, OK};
use crate::ca::{Ca, id};
use crate::config::{
    LISTENER, cluster, edited, forward, http_listener, listener, options, route, start, tcp,
};
use crate::envoy::{self, Envoy};
use crate::origin::{Peer, answering, origin};

/// The workload's address as the tunnel names it; nobody connects to it.
const WORKLOAD: &str = "10.0.0.7";
const WEB: u16 = 8080;
const ECHO: u16 = 9000;
const NOWHERE: u16 = 9001;

const BAGGAGE: &str = "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,\
     k8s.deployment.name=curl,service.name=curl,service.version=v1";

fn inside(port: u16) -> SocketAddr {
    SocketAddr::new(WORKLOAD.parse().unwrap(), port)
}

fn within(name: &str, to: &str, destination: Option<SocketAddr>) -> Cluster {
    let mut cluster = cluster(name, &[inside(1)]);
    let Discovery::Static(assignment) = &mut cluster.discovery else { panic!("static") };
    Arc::make_mut(assignment).localities[0].endpoints[0].address =
        Address::Internal(Box::new(InternalAddress {
            listener: to.into(),
            endpoint_id: destination.map(|it| it.to_string()).unwrap_or_default(),
            destination,
        }));
    cluster.transport = UpstreamTransport::Internal;
    cluster
}

fn on_port(name: &str, port: u16, filter: NetworkFilter) -> FilterChain {
    let mut chain = FilterChain::minimal(name, filter);
    chain.filter_chain_match.destination_port = Some(port);
    chain
}

fn http_filter(cluster: &str, edit: impl FnOnce(&mut HttpConnectionManager)) -> NetworkFilter {
    let listener = edited(http_listener(vec![route("/", forward(cluster))]), edit);
    listener.filter_chains.into_iter().next().unwrap().filter
}

fn resources(listeners: Vec<Listener>, clusters: Vec<Cluster>) -> Resources {
    Resources {
        listeners: listeners.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect(),
        routes: BTreeMap::new(),
        clusters: clusters.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect(),
    }
}

/// The receiving side, as Istio configures it: CONNECT over mutual TLS ends at a listener without a socket, whose chains
/// stand for the workload's ports.
fn receiver(ca: &Ca, web: SocketAddr, echo: SocketAddr) -> Resources {
    let connect = Forward { connect: Some(Connect::Terminate), ..forward("main_internal") };
    let connect = Route::minimal(PathMatch::Connect, RouteAction::Forward(Box::new(connect)));
    let mut terminate = http_listener(vec![connect]);
    terminate.direction = TrafficDirection::Inbound;
    terminate.filter_chains[0].tls = Some(ca.downstream("server", true, &["h2"]));
    let mut inner = Listener {
        address: ListenerAddress::Internal,
        direction: TrafficDirection::Inbound,
        ..listener(tcp("echo"))
    };
    inner.name = "main_internal".into();
    inner.filter_chains = vec![
        on_port(
            "web",
            WEB,
            http_filter("web", |manager| {
                manager.forward_client_cert = ClientCertForward::AppendForward;
            }),
        ),
        on_port("echo", ECHO, tcp("echo")),
        on_port("nowhere", NOWHERE, tcp("nowhere")),
    ];
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clusters = vec![
        within("main_internal", "main_internal", None),
        cluster("web", &[web]),
        cluster("echo", &[echo]),
        cluster("nowhere", &[closed]),
    ];
    resources(vec![terminate, inner], clusters)
}

/// The sending side: HTTP to `WEB`, bytes to `ECHO` and to `NOWHERE`, each through a tunnel to `hbone`.
fn sender(ca: &Ca, hbone: SocketAddr) -> Resources {
    let mut http = http_listener(vec![route("/", forward("web"))]);
    http.name = LISTENER.into();
    let bytes = |name: &str| Listener { name: name.into(), ..listener(tcp(name)) };
    let header = |name: &str, value: &str| HeaderMutation {
        name: name.into(),
        value: value.into(),
        edit: HeaderEdit::Overwrite,
    };
    let originate = TcpProxy {
        tunneling: Some(Tunneling {
            hostname: "%DOWNSTREAM_LOCAL_ADDRESS%".into(),
            headers: HeaderMutations::new(
                Vec::new(),
                vec![
                    header("baggage", BAGGAGE),
                    header("forwarded", "for=%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
                ],
            ),
        }),
        ..TcpProxy::minimal("originate", "connect_originate")
    };
    let originate = Listener {
        name: "connect_originate".into(),
        address: ListenerAddress::Internal,
        ..listener(NetworkFilter::Tcp(originate))
    };
    let mut tunnel = cluster("connect_originate", &[hbone]);
    tunnel.http.protocol = UpstreamProtocol::Http2;
    let tls = ca.upstream("client", "server", &["h2"]);
    tunnel.transport = UpstreamTransport::Tls(Box::new(tls));
    let to = |name: &str, port| within(name, "connect_originate", Some(inside(port)));
    let clusters = vec![tunnel, to("web", WEB), to("echo", ECHO), to("nowhere", NOWHERE)];
    resources(vec![http, bytes("echo"), bytes("nowhere"), originate], clusters)
}

/// Upper case of what comes, once it is over.
fn upper() -> SocketAddr {
    origin(|mut peer| {
        let all = peer.rest();
        peer.write(all.to_uppercase());
    })
}

fn shout(address: SocketAddr) -> String {
    let mut client = Peer::connect(address);
    client.write("half-closed");
    client.end();
    client.rest()
}

fn start_receiver(ca: &Ca) -> (Running, SocketAddr, std::sync::mpsc::Receiver<String>) {
    let (web, requests) = answering(OK);
    let (running, address) = start(receiver(ca, web, upper()));
    (running, address, requests)
}

#[test]
fn requests_and_bytes_pass_between_two_proxies() {
    let ca = Ca::new();
    let (_far, hbone, requests) = start_receiver(&ca);
    let near = leno_proxy::start(options(sender(&ca, hbone))).unwrap();
    let at = |name: &str| near.address(name).unwrap();
    for _ in 0..3 {
        assert_eq!(Peer::connect(at(LISTENER)).call(GET), OK);
        let request = requests.recv().unwrap();
        // The tunnel's identity is the connection's within.
        let cert = request.lines().find(|line| line.starts_with("x-forwarded-client-cert: "));
        assert!(
            cert.is_some_and(|cert| cert.contains(&format!("URI={}", id("client")))),
            "{request}"
        );
        assert_eq!(shout(at("echo")), "HALF-CLOSED");
        assert_eq!(shout(at("nowhere")), "");
    }
}

#[test]
fn a_peer_without_the_right_identity_gets_no_tunnel() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (_far, hbone, _requests) = start_receiver(&ca);
    // A server that is not who it should be, and a client that the server does not know.
    let mut strict = sender(&ca, hbone);
    let mut tunnel = (*strict.clusters["connect_originate"]).clone();
    tunnel.transport =
        UpstreamTransport::Tls(Box::new(ca.upstream("client", "somebody-else", &["h2"])));
    strict.clusters.insert(tunnel.name.clone(), Arc::new(tunnel));
    for resources in [strict, sender(&other, hbone)] {
        let (_near, address) = start(resources);
        let answer = Peer::connect(address).call(GET);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nx-leno-blame: "), "{answer}");
    }
}

/// What ztunnel's client is: one connection, many tunnels.
async fn ztunnel(ca: &Ca, hbone: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(hbone).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(ca.rustls_client("client"));
    let name = ServerName::from(hbone.ip());
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Asks for a tunnel with ztunnel's headers; the answer's status, and the tunnel.
async fn ask(
    sender: &SendRequest<Bytes>,
    method: Method,
    authority: &str,
) -> (StatusCode, SendStream<Bytes>, RecvStream) {
    let uri = match method {
        Method::CONNECT => authority.to_owned(),
        _ => format!("http://{authority}/"),
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("baggage", BAGGAGE)
        .header("forwarded", "for=10.0.0.3;host=web.default.svc.cluster.local")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .body(())
        .unwrap();
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, sent) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    (response.status(), sent, response.into_body())
}

async fn all(mut body: RecvStream) -> String {
    let mut seen = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        seen.extend_from_slice(&piece);
    }
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn what_ztunnel_sends_is_understood() {
    let ca = Ca::new();
    let (_far, hbone, requests) = start_receiver(&ca);
    let sender = ztunnel(&ca, hbone).await;
    let web = format!("{WORKLOAD}:{WEB}");
    // Two requests in one tunnel, beside tunnels of bytes in the same connection.
    let (status, mut sent, body) = ask(&sender, Method::CONNECT, &web).await;
    assert_eq!(status, 200);
    let (status, mut bytes, upper) =
        ask(&sender, Method::CONNECT, &format!("{WORKLOAD}:{ECHO}")).await;
    assert_eq!(status, 200);
    sent.send_data(Bytes::from("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n"), false).unwrap();
    bytes.send_data(Bytes::from("half-closed"), true).unwrap();
    assert_eq!(all(upper).await, "HALF-CLOSED");
    sent.send_data(Bytes::from("GET /2 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n"), false)
        .unwrap();
    let answers = all(body).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
    for path in ["/1", "/2"] {
        let request = requests.recv().unwrap();
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{request}");
        assert!(request.contains(&id("client")), "{request}");
        // The tunnel's headers are the tunnel's.
        assert!(!request.to_ascii_lowercase().contains("baggage"), "{request}");
    }
    // (method, authority, status)
    let nowhere = format!("{WORKLOAD}:{NOWHERE}");
    let named = format!("web.default.svc.cluster.local:{WEB}");
    let table = [
        (Method::CONNECT, nowhere.as_str(), 503),
        (Method::CONNECT, named.as_str(), 200),
        (Method::POST, web.as_str(), 404),
    ];
    for (method, authority, expected) in table {
        let (status, ..) = ask(&sender, method.clone(), authority).await;
        assert_eq!(status, expected, "{method} {authority}");
    }
}

/// What ztunnel's server is: answers by `status`, reports what it was asked, and sends back what comes in upper case.
async fn ztunnel_server(
    ca: &Ca,
    status: StatusCode,
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<(SocketAddr, http::request::Parts)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(ca.rustls_server("server"));
    let (reporter, asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (acceptor, reporter) = (acceptor.clone(), reporter.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let (parts, body) = request.into_parts();
                    let _ = reporter.send((peer, parts));
                    let response = Response::builder().status(status).body(()).unwrap();
                    let is_over = !status.is_success();
                    let mut sent = respond.send_response(response, is_over).unwrap();
                    if !is_over {
                        tokio::spawn(async move {
                            let said = all(body).await.to_uppercase();
                            sent.send_data(Bytes::from(said), true).unwrap();
                        });
                    }
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn what_is_sent_is_what_ztunnel_understands() {
    let ca = Ca::new();
    let (hbone, mut asked) = ztunnel_server(&ca, StatusCode::OK).await;
    let near = leno_proxy::start(options(sender(&ca, hbone))).unwrap();
    let echo = near.address("echo").unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let said = tokio::task::spawn_blocking(move || shout(echo)).await.unwrap();
        assert_eq!(said, "HALF-CLOSED");
        let (peer, parts) = asked.recv().await.unwrap();
        peers.push(peer);
        assert_eq!(
            (parts.method, parts.uri.to_string()),
            (Method::CONNECT, format!("{WORKLOAD}:{ECHO}"))
        );
        assert_eq!(parts.headers["baggage"], BAGGAGE);
        assert_eq!(parts.headers["forwarded"], "for=127.0.0.1");
        assert_eq!(parts.headers.len(), 2, "{:?}", parts.headers);
    }
    peers.dedup();
    assert_eq!(peers.len(), 1, "many tunnels, one connection");
}

#[tokio::test]
async fn what_ztunnel_refuses_is_a_connection_that_was_not_made() {
    for status in [400_u16, 401, 503] {
        let ca = Ca::new();
        let status = StatusCode::from_u16(status).unwrap();
        let (hbone, _asked) = ztunnel_server(&ca, status).await;
        let near = leno_proxy::start(options(sender(&ca, hbone))).unwrap();
        let (http, echo) = (near.address(LISTENER).unwrap(), near.address("echo").unwrap());
        let answers =
            tokio::task::spawn_blocking(move || (Peer::connect(http).call(GET), shout(echo)));
        let (answer, said) = answers.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nx-leno-blame: network\r\n"), "{answer}");
        assert_eq!(said, "");
    }
}

/// Envoy that sends every connection through a tunnel to `hbone`, and says what Istio's sidecars say.
fn envoy_client(ca: &Ca, hbone: SocketAddr) -> String {
    let tunneling = format!(
        "tunneling_config:
  hostname: {WORKLOAD}:{WEB}
  headers_to_add: [{{ header: {{ key: baggage, value: \"{BAGGAGE}\" }} }}]"
    );
    let upstream = envoy::speaks("http2_protocol_options: { allow_connect: true }")
        + &envoy::tls("UpstreamTlsContext", ca, "client", &["h2"]);
    let cluster = envoy::cluster("hbone", &upstream, hbone);
    envoy::file(&envoy::tcp("", "hbone", &tunneling), &[cluster])
}

/// Envoy that ends tunnels and sends their bytes to `web`.
fn envoy_server(ca: &Ca, web: SocketAddr) -> String {
    let settings = "http2_protocol_options: { allow_connect: true }
upgrade_configs: [{ upgrade_type: CONNECT }]";
    let route = "{ match: { connect_matcher: {} }, route: { cluster: web, \
                 upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }";
    let tls = envoy::tls("DownstreamTlsContext", ca, "server", &["h2"]);
    let chain = envoy::http("", settings, route, "") + &tls;
    envoy::file(&chain, &[envoy::cluster("web", "", web)])
}

#[test]
fn envoy_sends_through_our_tunnels() {
    let ca = Ca::new();
    let (_far, hbone, requests) = start_receiver(&ca);
    let Some(envoy) = Envoy::start(&envoy_client(&ca, hbone)) else { return };
    for _ in 0..3 {
        assert_eq!(Peer::connect(envoy.address).call(GET), OK);
        assert!(requests.recv().unwrap().contains(&id("client")));
    }
}

#[test]
fn we_send_through_envoys_tunnels() {
    let ca = Ca::new();
    let (web, requests) = answering(OK);
    let text = envoy_server(&ca, web);
    let Some(envoy) = Envoy::start(&text) else { return };
    let (_near, address) = start(sender(&ca, envoy.address));
    for _ in 0..3 {
        assert_eq!(Peer::connect(address).call(GET), OK);
        assert!(requests.recv().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
    // The same file, read by us.
    let ours = envoy::ours(&text).unwrap();
    let (_near, address) = start(sender(&ca, ours.address(LISTENER).unwrap()));
    assert_eq!(Peer::connect(address).call(GET), OK);
}

#[test]
fn the_port_of_an_original_destination_can_be_another() {
    let ca = Ca::new();
    let (_far, hbone, _requests) = start_receiver(&ca);
    let mut near = sender(&ca, hbone);
    // As Istio says it: to the workload's own address, at the port of HBONE.
    let mut tunnel = (*near.clusters["connect_originate"]).clone();
    tunnel.discovery = Discovery::OriginalDst { port: Some(hbone.port()) };
    tunnel.lb_policy = LbPolicy::ClusterProvided;
    near.clusters.insert(tunnel.name.clone(), Arc::new(tunnel));
    let here = SocketAddr::from(([127, 0, 0, 1], WEB));
    near.clusters.insert("web".into(), Arc::new(within("web", "connect_originate", Some(here))));
    let (_near, address) = start(near);
    assert_eq!(Peer::connect(address).call(GET), OK);
}
