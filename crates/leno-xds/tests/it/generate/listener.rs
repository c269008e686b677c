//! Any listener: its filter chains, and what they hand connections to.

use super::*;

pub(crate) fn listener() -> impl Strategy<Value = Listener> {
    let direction = select(vec![
        TrafficDirection::Unspecified,
        TrafficDirection::Inbound,
        TrafficDirection::Outbound,
    ]);
    let filter = select(vec![
        ListenerFilter::OriginalDst,
        ListenerFilter::TlsInspector,
        ListenerFilter::HttpInspector,
        ListenerFilter::ProxyProtocol { allow_missing: false },
        ListenerFilter::ProxyProtocol { allow_missing: true },
    ]);
    (
        ("[a-z]{0,4}", listener_address(), any::<bool>(), any::<bool>(), direction),
        (
            vec(filter, 0..3),
            duration(),
            any::<bool>(),
            vec(bound_address(), 0..3),
            of(any::<u32>()),
        ),
        (vec(filter_chain(), 0..3), of(filter_chain()), access_logs()),
    )
        .prop_map(|(a, b, c)| Listener {
            name: a.0,
            // What has no socket has no more of them.
            additional_addresses: if a.1 == ListenerAddress::Internal { Vec::new() } else { b.3 },
            buffer_bytes: b.4,
            address: a.1,
            bind_to_port: a.2,
            use_original_dst: a.3,
            direction: a.4,
            listener_filters: b.0,
            listener_filters_timeout: b.1,
            continue_on_listener_filters_timeout: b.2,
            filter_chains: c.0,
            default_filter_chain: c.1,
            access_log: c.2,
        })
}

fn listener_address() -> impl Strategy<Value = ListenerAddress> {
    prop_oneof![bound_address(), Just(ListenerAddress::Internal)]
}

fn bound_address() -> impl Strategy<Value = ListenerAddress> {
    let dual_stack = (any::<std::net::Ipv6Addr>(), any::<u16>()).prop_map(|(address, port)| {
        ListenerAddress::DualStack { dual_stack: std::net::SocketAddrV6::new(address, port, 0, 0) }
    });
    prop_oneof![
        socket().prop_map(ListenerAddress::Socket),
        dual_stack,
        ("/[a-z]{1,5}", any::<u32>()).prop_map(|(path, mode)| ListenerAddress::Pipe { path, mode }),
    ]
}

/// Boxed, as the largest of what a listener is made of: its type would not fit a test's stack several times.
fn filter_chain() -> BoxedStrategy<FilterChain> {
    let transport = select(vec![TransportProtocol::Tls, TransportProtocol::RawBuffer]);
    let range = (any::<std::net::Ipv4Addr>(), 0..=32_u8)
        .prop_map(|(address, length)| ipnet::IpNet::new(address.into(), length).unwrap());
    let chain_match =
        (of(1..=u16::MAX), vec(range, 0..2), of(transport), vec(name(), 0..2), vec(name(), 0..2))
            .prop_map(|(port, ranges, transport, alpn, names)| FilterChainMatch {
                destination_port: port,
                prefix_ranges: ranges,
                transport_protocol: transport,
                application_protocols: alpn,
                server_names: names,
            });
    let verified = of((bundle(), any::<bool>(), vec(string_match(), 0..2)));
    let tls = (certificate(), verified, vec(name(), 0..2), versions()).prop_map(
        |(certificate, verified, alpn, versions)| {
            let plain = DownstreamTls {
                versions,
                require_client_certificate: false,
                certificate,
                trust_bundle: None,
                peer_sans: vec![],
                alpn,
            };
            match verified {
                None => plain,
                Some((bundle, require_client_certificate, peer_sans)) => DownstreamTls {
                    require_client_certificate,
                    trust_bundle: Some(bundle),
                    peer_sans,
                    ..plain
                },
            }
        },
    );
    let filter = prop_oneof![
        connection_manager().prop_map(|manager| NetworkFilter::Http(Box::new(manager))),
        tcp_proxy().prop_map(NetworkFilter::Tcp),
    ];
    let delay = of(duration().prop_filter("0 is none", |delay| !delay.is_zero()));
    let limit = (name(), 1..=i64::MAX as u64, delay, any::<bool>()).prop_map(
        |(stat_prefix, max_connections, delay, is_enabled)| ConnectionLimit {
            stat_prefix,
            max_connections,
            delay,
            is_enabled,
        },
    );
    let before = (vec(limit, 0..2), vec(connection_authorization(), 0..2));
    ("[a-z]{0,4}", chain_match, of(tls), before, filter)
        .prop_map(|(name, filter_chain_match, tls, before, filter)| FilterChain {
            name,
            filter_chain_match,
            tls,
            connection_limits: before.0,
            authorization: before.1,
            filter,
        })
        .boxed()
}

fn access_logs() -> impl Strategy<Value = Vec<AccessLog>> {
    let text = (".{0,9}", any::<bool>()).prop_filter_map("an operator", |(text, omit_empty)| {
        let format = LogFormat::Text { text: format!("{text}%DURATION%"), omit_empty };
        LogLine::compile(&format).is_ok().then_some(format)
    });
    let leaf = prop_oneof![
        Just(JsonTemplate::Text("%REQ(:path)% a".to_owned())),
        (-9..9_i32).prop_map(|number| JsonTemplate::Number(number.to_string())),
        any::<bool>().prop_map(JsonTemplate::Bool),
        Just(JsonTemplate::Null),
    ];
    let tree = leaf.prop_recursive(3, 9, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(JsonTemplate::List),
            btree_map("[a-z]{1,3}", inner, 0..3).prop_map(JsonTemplate::Object),
        ]
    });
    let json =
        (btree_map("[a-z]{1,3}", tree, 0..3), any::<bool>()).prop_map(|(fields, omit_empty)| {
            let fields = JsonTemplate::Object(fields);
            LogFormat::Json { fields, omit_empty }
        });
    let format = prop_oneof![Just(LogFormat::Default), text, json];
    vec((name(), format).prop_map(|(path, format)| AccessLog { path, format }), 0..2)
}

fn connection_manager() -> impl Strategy<Value = HttpConnectionManager> {
    let routes = prop_oneof![
        name().prop_map(RouteSource::Rds),
        route_configuration().prop_map(|routes| RouteSource::Inline(Arc::new(routes))),
    ];
    let filter = select(vec![
        HttpFilter::IstioStats,
        HttpFilter::PeerMetadata,
        HttpFilter::DynamicForwardProxy,
        HttpFilter::Router,
    ]);
    let check = authorization().prop_map(|check| HttpFilter::Authorization(Box::new(check)));
    let filter = prop_oneof![filter, own_fault().prop_map(HttpFilter::Fault), check];
    let forward = select(vec![
        ClientCertForward::Sanitize,
        ClientCertForward::SanitizeSet,
        ClientCertForward::AppendForward,
        ClientCertForward::ForwardOnly,
    ]);
    let server = select(vec![
        ServerHeader::Overwrite,
        ServerHeader::AppendIfAbsent,
        ServerHeader::PassThrough,
    ]);
    let scheme = select(vec![
        SchemeRewrite::Keep,
        SchemeRewrite::Http,
        SchemeRewrite::Https,
        SchemeRewrite::MatchUpstream,
    ]);
    let codec = select(vec![Codec::Auto, Codec::Http1, Codec::Http2]);
    (
        ("[a-z]{0,4}", routes, vec(filter, 0..4), access_logs(), codec),
        (of(duration()), of(some_time()), of(some_time()), of(1..=u32::MAX)),
        (any::<bool>(), any::<bool>(), forward, any::<bool>(), any::<bool>(), scheme),
        (server, "[a-z]{0,4}", "[a-z]{0,4}", any::<bool>()),
        (path_normalization(), http_limits()),
        of(tracing()),
    )
        .prop_map(|(a, b, c, d, (path, limits), tracing)| {
            let has_router = a.2.contains(&HttpFilter::Router);
            HttpConnectionManager {
                codec: a.4,
                stat_prefix: a.0,
                routes: a.1,
                http_filters: a.2,
                access_log: a.3,
                idle_timeout: b.0,
                max_connection_duration: b.2,
                max_requests_per_connection: b.3,
                request_headers_timeout: b.1,
                limits,
                use_remote_address: c.0,
                generate_request_id: c.1,
                forward_client_cert: c.2,
                websocket: c.3,
                connect: c.4,
                scheme: c.5,
                path,
                server_header: d.0,
                server_name: d.1,
                via: d.2,
                // It is a setting of the router.
                suppress_envoy_headers: d.3 && has_router,
                tracing: tracing.map(Arc::new),
            }
        })
}

fn tracing() -> impl Strategy<Value = Tracing> {
    let protocol = prop_oneof![
        "[a-z]{0,4}".prop_map(|authority| Otlp::Grpc { authority }),
        "http://[a-z]{1,4}/[a-z]{0,4}".prop_map(|uri| Otlp::Http { uri }),
    ];
    let provider = (name(), protocol, "[a-z]{0,4}", of(some_time())).prop_map(
        |(cluster, protocol, service_name, timeout)| TraceProvider {
            cluster,
            protocol,
            service_name,
            timeout,
        },
    );
    // Percents are hundredths of a percent at the finest.
    let share =
        || (0..=10_000_u32).prop_map(|hundredths| Fraction { per_million: hundredths * 100 });
    (provider, share(), share(), any::<u32>()).prop_map(
        |(provider, random_sampling, overall_sampling, max_path_bytes)| Tracing {
            provider,
            random_sampling,
            overall_sampling,
            max_path_bytes,
        },
    )
}

fn http_limits() -> impl Strategy<Value = HttpLimits> {
    let number = || of(any::<u32>());
    (
        (number(), of(1..=u32::MAX), of(1..=u32::MAX), number()),
        (number(), number(), of(duration()), of(some_time())),
    )
        .prop_map(|(a, b)| HttpLimits {
            max_request_headers_kb: a.0,
            max_headers_count: a.1,
            max_concurrent_streams: a.2,
            hpack_table_bytes: a.3,
            initial_stream_window_bytes: b.0,
            initial_connection_window_bytes: b.1,
            stream_idle_timeout: b.2,
            request_timeout: b.3,
        })
}

fn path_normalization() -> impl Strategy<Value = PathNormalization> {
    let escaped_slashes = select(vec![
        EscapedSlashes::Keep,
        EscapedSlashes::Reject,
        EscapedSlashes::Redirect,
        EscapedSlashes::Unescape,
    ]);
    (any::<bool>(), any::<bool>(), escaped_slashes).prop_map(
        |(normalize, merge_slashes, escaped_slashes)| PathNormalization {
            normalize,
            merge_slashes,
            escaped_slashes,
        },
    )
}

fn tcp_proxy() -> impl Strategy<Value = TcpProxy> {
    let weighted = (name(), any::<u32>()).prop_map(|(name, weight)| WeightedCluster {
        name,
        weight,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
    });
    let cluster = prop_oneof![
        name().prop_map(ClusterSpecifier::Cluster),
        vec(weighted, 0..3).prop_map(ClusterSpecifier::Weighted),
    ];
    let tunneling = (name(), headers()).prop_map(|(hostname, headers)| Tunneling {
        hostname,
        headers: HeaderMutations::new(Vec::new(), headers.edits.clone()),
    });
    let bounds = (of(duration()), of(duration()), 1..u32::MAX);
    ("[a-z]{0,4}", cluster, bounds, access_logs(), of(tunneling)).prop_map(
        |(stat_prefix, cluster, bounds, access_log, tunneling)| TcpProxy {
            stat_prefix,
            cluster,
            idle_timeout: bounds.0,
            max_connection_duration: bounds.1,
            max_connect_attempts: bounds.2,
            access_log,
            tunneling,
        },
    )
}
