use super::*;
use crate::config::{FilterChainMatch, RouteSource};
use crate::problem::ProblemKind;
use crate::samples::{http_chain, listener, tcp_chain};

fn applies() -> FilterChainMatch {
    FilterChainMatch::default()
}

/// Which chain takes the connection; chains are `c0`, `c1`, … and the default is `d`.
fn check(
    matches: &[FilterChainMatch],
    destination: &str,
    server_name: Option<&str>,
    transport: TransportProtocol,
    protocols: &[&[u8]],
) -> String {
    let chain = |(i, applies): (usize, &FilterChainMatch)| config::FilterChain {
        filter_chain_match: applies.clone(),
        ..tcp_chain(&format!("c{i}"), "c")
    };
    let chains = matches.iter().enumerate().map(chain).collect();
    let mut config = listener("l", "0.0.0.0:15006", chains);
    config.default_filter_chain = Some(tcp_chain("d", "c"));
    let compiled = Listener::compile(&Arc::new(config)).unwrap();
    let facts = ConnectionFacts {
        destination: destination.parse().unwrap(),
        server_name,
        transport,
        application_protocols: protocols,
    };
    compiled.choose(&facts).unwrap().name.to_string()
}

#[test]
fn istios_inbound_chains_are_told_apart() {
    let tls = Some(TransportProtocol::Tls);
    let raw = Some(TransportProtocol::RawBuffer);
    let port = |port| FilterChainMatch { destination_port: Some(port), ..applies() };
    let alpn = |names: &[&str], base: FilterChainMatch| FilterChainMatch {
        application_protocols: names.iter().map(|&name| name.to_owned()).collect(),
        ..base
    };
    let matches = [
        alpn(
            &["istio-http/1.1", "istio-h2"],
            FilterChainMatch { transport_protocol: tls, ..port(9080) },
        ),
        alpn(&["istio"], FilterChainMatch { transport_protocol: tls, ..port(9080) }),
        FilterChainMatch { transport_protocol: raw, ..port(9080) },
        FilterChainMatch { transport_protocol: tls, ..applies() },
        port(15_006),
    ];
    let (tls, raw) = (TransportProtocol::Tls, TransportProtocol::RawBuffer);
    let mesh: &[&[u8]] = &[b"istio-http/1.1", b"istio"];
    let table: [(&str, TransportProtocol, &[&[u8]], &str); 9] = [
        ("10.0.0.1:9080", tls, mesh, "c0"),
        ("10.0.0.1:9080", tls, &[b"istio"], "c1"),
        ("10.0.0.1:9080", raw, &[], "c2"),
        ("10.0.0.1:9080", raw, &[b"http/1.1"], "c2"),
        // The port has chains of its own, so the chain for any port is not looked at.
        ("10.0.0.1:9080", tls, &[b"h2"], "d"),
        ("10.0.0.1:9080", tls, &[], "d"),
        ("10.0.0.1:8000", tls, &[], "c3"),
        ("10.0.0.1:8000", raw, &[], "d"),
        ("10.0.0.1:15006", raw, &[], "c4"),
    ];
    for (destination, transport, protocols, expected) in table {
        let found = check(&matches, destination, None, transport, protocols);
        assert_eq!(found, expected, "{destination} {transport:?} {protocols:?}");
    }
}

#[test]
fn the_most_specific_address_and_name_win_in_that_order() {
    let range =
        |range: &str| FilterChainMatch { prefix_ranges: vec![range.parse().unwrap()], ..applies() };
    let name = |names: &[&str], base: FilterChainMatch| FilterChainMatch {
        server_names: names.iter().map(|&name| name.to_owned()).collect(),
        ..base
    };
    let matches = [
        applies(),
        range("10.0.0.0/8"),
        range("10.1.0.0/16"),
        name(&["a.b.com", "x.com"], applies()),
        name(&["*.b.com"], applies()),
        name(&["*.com"], applies()),
        range("2001:db8::/32"),
    ];
    let table = [
        ("10.1.2.3:80", None, "c2"),
        ("10.2.2.3:80", None, "c1"),
        // The address decides before the name.
        ("10.2.2.3:80", Some("a.b.com"), "c1"),
        ("192.0.2.1:80", Some("a.b.com"), "c3"),
        ("192.0.2.1:80", Some("A.B.Com"), "c3"),
        ("192.0.2.1:80", Some("z.b.com"), "c4"),
        ("192.0.2.1:80", Some("y.z.b.com"), "c4"),
        ("192.0.2.1:80", Some("b.com"), "c5"),
        ("192.0.2.1:80", Some("com"), "c0"),
        ("192.0.2.1:80", None, "c0"),
        ("[2001:db8::1]:80", None, "c6"),
        ("[::ffff:10.1.2.3]:80", None, "c2"),
    ];
    for (destination, server_name, expected) in table {
        let found = check(&matches, destination, server_name, TransportProtocol::RawBuffer, &[]);
        assert_eq!(found, expected, "{destination} {server_name:?}");
    }
}

#[test]
fn the_clients_order_of_protocols_decides() {
    let alpn =
        |name: &str| FilterChainMatch { application_protocols: vec![name.to_owned()], ..applies() };
    let matches = [alpn("http/1.1"), alpn("h2"), applies()];
    let table: [(&[&[u8]], &str); 4] = [
        (&[b"h2", b"http/1.1"], "c1"),
        (&[b"http/1.1", b"h2"], "c0"),
        (&[b"spdy"], "c2"),
        (&[], "c2"),
    ];
    for (protocols, expected) in table {
        let found = check(&matches, "10.0.0.1:1", None, TransportProtocol::Tls, protocols);
        assert_eq!(found, expected, "{protocols:?}");
    }
}

#[test]
fn problems_of_a_listener_are_all_reported() {
    let twin = || FilterChainMatch { destination_port: Some(80), ..applies() };
    let name = FilterChainMatch { server_names: vec!["*x*".to_owned()], ..applies() };
    let mut no_router = http_chain("http", RouteSource::Rds(String::new()));
    let config::NetworkFilter::Http(manager) = &mut no_router.filter else { panic!("http") };
    manager.http_filters.pop();
    let chains = vec![
        config::FilterChain { filter_chain_match: twin(), ..tcp_chain("a", "c") },
        config::FilterChain { filter_chain_match: twin(), ..tcp_chain("b", "") },
        config::FilterChain { filter_chain_match: name, ..tcp_chain("", "c") },
        no_router,
    ];
    let problems = Listener::compile(&Arc::new(listener("l", "0.0.0.0:1", chains))).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
    assert_eq!(
        places,
        [
            "listeners[l].filter_chains[b].match",
            "listeners[l].filter_chains[b].tcp.cluster",
            "listeners[l].filter_chains[2].match.server_names[0]",
            "listeners[l].filter_chains[http].http.http_filters",
            "listeners[l].filter_chains[http].http.routes",
        ]
    );
    assert_eq!(problems[0].what, ProblemKind::DuplicateFilterChainMatch { other: "a".to_owned() });
    let names = |count: u32| (0..count).map(|n| format!("{n}.example")).collect();
    let huge = FilterChainMatch {
        server_names: names(1000),
        application_protocols: names(1000),
        ..applies()
    };
    let chains = vec![config::FilterChain { filter_chain_match: huge, ..tcp_chain("huge", "c") }];
    let problems = Listener::compile(&Arc::new(listener("l", "0.0.0.0:1", chains))).unwrap_err();
    let expected = ProblemKind::TooManyCombinations { found: 1_000_000, max: 65_536 };
    assert_eq!(problems[0].what, expected);
    let empty = Listener::compile(&Arc::new(listener("l", "0.0.0.0:1", vec![]))).unwrap_err();
    assert_eq!(empty[0].what, ProblemKind::NoFilterChain);
}
