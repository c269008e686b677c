//! TCP connections: what they leave behind, endpoints tried, and what happens before a filter takes over.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use leno_core::config::{
    AccessLog, CircuitLimits, Cluster, ClusterSpecifier, DownstreamTls, FilterChain,
    FilterChainMatch, HeaderMutations, Listener, ListenerFilter, NetworkFilter, TcpProxy,
    TlsVersions, TransportProtocol, WeightedCluster,
};
use serde_json::Value;

use crate::admin::page;
use crate::config::{cluster, listener, start, with_listener};
use crate::origin::{Peer, origin};

fn log(path: &Path) -> Vec<AccessLog> {
    vec![AccessLog { path: path.to_str().unwrap().into(), format: Default::default() }]
}

fn proxy_to(cluster: &str, path: &Path) -> TcpProxy {
    TcpProxy { access_log: log(path), ..TcpProxy::minimal("tcp", cluster) }
}

fn closed() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn echo() -> SocketAddr {
    origin(|mut peer| {
        while let Some(line) = peer.until("\n") {
            peer.write(line);
        }
    })
}

/// Talks through one listener, and returns the records it left and the metrics at the end.
fn run(
    listener: Listener,
    clusters: Vec<Cluster>,
    path: &Path,
    talk: impl FnOnce(SocketAddr),
) -> (Vec<Value>, String) {
    let (proxy, address) = start(with_listener(listener, clusters));
    talk(address);
    // A connection's end is counted by its own task.
    let metrics = (0..1000).map(|_| page(&proxy, "GET /stats/prometheus").1);
    let is_over = |metrics: &String| value(metrics, "leno_downstream_connections", "") == Some(0);
    let metrics = metrics.into_iter().find(is_over).expect("connections end");
    proxy.drain();
    proxy.wait();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), metrics)
}

/// The value of the one series of a metric whose labels contain `with`.
fn value(metrics: &str, metric: &str, with: &str) -> Option<u64> {
    let mut lines = metrics.lines().filter(|line| {
        line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && line.contains(with)
    });
    let value = lines.next()?.rsplit(' ').next()?.parse().ok();
    assert!(lines.next().is_none(), "{metric} {with} twice");
    value
}

/// Case, cluster, what the client does, flags, details.
type Ending = (&'static str, Cluster, fn(SocketAddr), &'static str, Option<&'static str>);

fn endings() -> [Ending; 5] {
    let full = |mut cluster: Cluster| {
        cluster.circuit = CircuitLimits {
            max_connections: Some(1),
            max_pending_requests: Some(0),
            ..CircuitLimits::default()
        };
        cluster
    };
    [
        (
            "ended by both",
            cluster("c", &[echo()]),
            |address| {
                let mut client = Peer::connect(address);
                client.write("hello\n");
                assert_eq!(client.until("\n").unwrap(), "hello\n");
                client.end();
                assert_eq!(client.rest(), "");
            },
            "-",
            None,
        ),
        (
            "refused",
            cluster("c", &[closed()]),
            |address| assert_eq!(Peer::connect(address).rest(), ""),
            "UF,URX",
            Some("upstream_reset_before_response_started{remote_connection_failure}"),
        ),
        (
            "no endpoint",
            cluster("c", &[]),
            |address| assert_eq!(Peer::connect(address).rest(), ""),
            "UH",
            Some("no_healthy_upstream"),
        ),
        (
            "at the limit",
            full(cluster("c", &[echo()])),
            |address| {
                let mut first = Peer::connect(address);
                first.write("hello\n");
                assert_eq!(first.until("\n").unwrap(), "hello\n");
                assert_eq!(Peer::connect(address).rest(), "");
            },
            "UO",
            Some("upstream_reset_before_response_started{overflow}"),
        ),
        (
            "reset by the client",
            cluster("c", &[echo()]),
            |address| {
                let mut client = Peer::connect(address);
                client.write("hello\n");
                assert_eq!(client.until("\n").unwrap(), "hello\n");
                let socket = socket2::SockRef::from(client.stream());
                socket.set_linger(Some(Duration::ZERO)).unwrap();
            },
            "DC",
            Some("downstream_remote_disconnect"),
        ),
    ]
}

#[test]
fn how_a_connection_ended_is_in_its_record_and_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    for (case, cluster, talk, flags, details) in endings() {
        let path = folder.path().join(case);
        let listener = listener(NetworkFilter::Tcp(proxy_to("c", &path)));
        let (records, metrics) = run(listener, vec![cluster], &path, talk);
        let record = records.iter().find(|record| record["response_flags"] == flags);
        let record = record.unwrap_or_else(|| panic!("{case}: {records:?}"));
        assert_eq!(record["response_code_details"].as_str(), details, "{case}");
        assert_eq!(record["upstream_cluster"], "c", "{case}");
        let labels = format!("response_flags=\"{flags}\"");
        let closed = value(&metrics, "istio_tcp_connections_closed_total", &labels);
        assert_eq!(closed, Some(1), "{case}: {metrics}");
        if matches!(flags, "-" | "DC") {
            assert_eq!(record["bytes_received"], 6, "{case}");
            let moved = |metric| value(&metrics, metric, "response_flags=\"-\"");
            assert_eq!(moved("istio_tcp_sent_bytes_total"), Some(6), "{case}");
            assert_eq!(moved("istio_tcp_received_bytes_total"), Some(6), "{case}");
        }
    }
}

#[test]
fn bytes_are_counted_while_the_connection_stands() {
    let (proxy, address) =
        start(with_listener(listener(crate::config::tcp("c")), vec![cluster("c", &[echo()])]));
    let mut client = Peer::connect(address);
    client.write("hello\n");
    assert_eq!(client.until("\n").unwrap(), "hello\n");
    let metrics = page(&proxy, "GET /stats/prometheus").1;
    assert_eq!(value(&metrics, "istio_tcp_received_bytes_total", ""), Some(6));
    assert_eq!(value(&metrics, "istio_tcp_connections_opened_total", ""), Some(1));
    assert_eq!(value(&metrics, "istio_tcp_connections_closed_total", "").unwrap_or(0), 0);
}

#[test]
fn a_connection_is_closed_at_its_age_however_busy_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut proxy = proxy_to("c", &path);
    proxy.max_connection_duration = Some(Duration::from_millis(200));
    let (records, metrics) =
        run(listener(NetworkFilter::Tcp(proxy)), vec![cluster("c", &[echo()])], &path, |address| {
            let mut client = Peer::connect(address);
            client.write("hello\n");
            while client.until("\n").is_some() {
                client.write("hello\n");
            }
        });
    assert_eq!(records[0]["response_flags"], "DT", "{records:?}");
    let details = &records[0]["connection_termination_details"];
    assert_eq!(details, "max_connection_duration_reached");
    let labels = "response_flags=\"DT\"";
    assert_eq!(value(&metrics, "istio_tcp_connections_closed_total", labels), Some(1));
}

#[test]
fn an_idle_connection_is_closed_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let filter =
        TcpProxy { idle_timeout: Some(Duration::from_millis(100)), ..proxy_to("c", &path) };
    let talk = |address| {
        let mut client = Peer::connect(address);
        client.write("hello\n");
        assert_eq!(client.rest(), "hello\n");
    };
    let listener = listener(NetworkFilter::Tcp(filter));
    let (records, _) = run(listener, vec![cluster("c", &[echo()])], &path, talk);
    assert_eq!(records[0]["connection_termination_details"], "tcp_session_idle_timeout");
    assert_eq!(records[0]["response_flags"], "-");
}

#[test]
fn as_many_endpoints_are_tried_as_the_filter_says() {
    let endpoints = [closed(), echo()];
    // Endpoints take turns: of two connections one begins at the one that refuses.
    let served = |max_connect_attempts| {
        let filter = TcpProxy { max_connect_attempts, ..TcpProxy::minimal("tcp", "c") };
        let listener = listener(NetworkFilter::Tcp(filter));
        let (_proxy, address) = start(with_listener(listener, vec![cluster("c", &endpoints)]));
        let connections = (0..2).map(|_| {
            let mut client = Peer::connect(address);
            client.write("hello\n");
            client.until("\n")
        });
        connections.flatten().count()
    };
    assert_eq!((served(1), served(2)), (1, 2));
}

#[test]
fn connections_are_shared_out_by_weight() {
    let says = |what: &'static str| origin(move |mut peer| peer.write(what));
    let weighted = |name: &str, weight| WeightedCluster {
        name: name.into(),
        weight,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
    };
    let filter = TcpProxy {
        cluster: ClusterSpecifier::Weighted(vec![weighted("a", 1), weighted("b", 3)]),
        ..TcpProxy::minimal("tcp", "a")
    };
    let clusters = vec![cluster("a", &[says("a")]), cluster("b", &[says("b")])];
    let (_proxy, address) = start(with_listener(listener(NetworkFilter::Tcp(filter)), clusters));
    let to_b = (0..200).filter(|_| Peer::connect(address).rest() == "b").count();
    assert!((115..=185).contains(&to_b), "{to_b} of 200");
}

fn tls_chain(path: &Path) -> FilterChain {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (path.with_extension("cert"), path.with_extension("key"));
    std::fs::write(&cert, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let tls = DownstreamTls {
        require_client_certificate: false,
        certificate: format!("file-cert:{}~{}", cert.display(), key.display()),
        trust_bundle: None,
        peer_sans: Vec::new(),
        alpn: Vec::new(),
        versions: TlsVersions::default(),
    };
    FilterChain {
        tls: Some(tls),
        filter_chain_match: FilterChainMatch {
            transport_protocol: Some(TransportProtocol::Tls),
            ..FilterChainMatch::default()
        },
        ..FilterChain::minimal("tls", NetworkFilter::Tcp(proxy_to("c", path)))
    }
}

#[test]
fn what_no_filter_takes_leaves_a_record_too() {
    let folder = tempfile::tempdir().unwrap();
    let (path, own) = (folder.path().join("chains"), folder.path().join("listener"));
    let with = |access_log| Listener {
        listener_filters: vec![ListenerFilter::TlsInspector],
        filter_chains: vec![tls_chain(&path)],
        access_log,
        ..listener(crate::config::tcp("c"))
    };
    let plaintext = |address| {
        let mut client = Peer::connect(address);
        client.write("hello\n");
        assert_eq!(client.rest(), "");
    };
    let half_a_handshake = |address| {
        let mut hello = std::process::Command::new("openssl")
            .args(["s_client", "-connect", &format!("{address}"), "-servername", "a.test"])
            // Nobody vouches for the certificate.
            .arg("-verify_return_error")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        assert!(!hello.wait().unwrap().success());
    };
    let clusters = || vec![cluster("c", &[echo()])];
    let (records, metrics) = run(with(Vec::new()), clusters(), &path, plaintext);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["response_flags"], "NR");
    assert_eq!(records[0]["response_code_details"], "filter_chain_not_found");
    assert_eq!(value(&metrics, "leno_downstream_unmatched_total", ""), Some(1));
    let (records, metrics) = run(with(log(&own)), clusters(), &own, half_a_handshake);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["response_flags"], "DPE");
    assert_eq!(records[0]["response_code_details"], "downstream_tls_error");
    assert_eq!(records[0]["requested_server_name"], "a.test");
    assert!(records[0]["connection_termination_details"].is_string(), "{}", records[0]);
    assert_eq!(value(&metrics, "leno_tls_handshake_failures_total", ""), Some(1));
}
