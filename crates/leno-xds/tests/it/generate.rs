//! Any value of the model that a resource can hold.
//!
//! Left out on purpose: what two values of the model say alike on the wire (an empty name and no name, a time-out of
//! zero and none).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::*;
use leno_core::format::LogLine;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

mod authorization;
mod listener;

use authorization::{authorization, connection_authorization, route_authorization};
pub(crate) use listener::listener;

fn name() -> impl Strategy<Value = String> + Clone {
    "[a-z|.:_/ é-]{1,8}"
}

fn duration() -> impl Strategy<Value = Duration> + Clone {
    (0..100_000_u64, 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn some_time() -> impl Strategy<Value = Duration> + Clone {
    duration().prop_map(|duration| duration + Duration::from_nanos(1))
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        socket().prop_map(Address::Socket),
        ("[a-z]{1,5}\\.svc", any::<u16>()).prop_map(|(name, port)| Address::Host { name, port }),
        "/[a-z]{1,5}".prop_map(Address::Pipe),
        (name(), "[a-z]{0,3}", of(socket())).prop_map(|(listener, endpoint_id, destination)| {
            Address::Internal(Box::new(InternalAddress { listener, endpoint_id, destination }))
        }),
    ]
}

fn fraction() -> impl Strategy<Value = Fraction> {
    any::<u32>().prop_map(|per_million| Fraction { per_million })
}

fn string_match() -> impl Strategy<Value = StringMatch> + Clone {
    let pattern = prop_oneof![
        name().prop_map(StringPattern::Exact),
        name().prop_map(StringPattern::Prefix),
        name().prop_map(StringPattern::Suffix),
        name().prop_map(StringPattern::Contains),
        name().prop_map(StringPattern::Regex),
        Just(StringPattern::Exact("spiffe://cluster.local/ns/a/sa/b".to_owned())),
    ];
    (pattern, any::<bool>()).prop_map(|(pattern, ignore_case)| StringMatch { pattern, ignore_case })
}

fn headers() -> impl Strategy<Value = HeaderMutations> {
    let edit = select(vec![HeaderEdit::Append, HeaderEdit::AddIfAbsent, HeaderEdit::Overwrite]);
    let mutation = (name(), "[a-z]{0,4}", edit).prop_map(|(name, value, edit)| HeaderMutation {
        name,
        value,
        edit,
    });
    (vec(name(), 0..2), vec(mutation, 0..2))
        .prop_map(|(remove, edits)| HeaderMutations::new(remove, edits))
}

pub(crate) fn load_assignment() -> impl Strategy<Value = ClusterLoadAssignment> {
    (name(), vec(locality_endpoints(), 0..3))
        .prop_map(|(cluster_name, localities)| ClusterLoadAssignment { cluster_name, localities })
}

fn locality_endpoints() -> impl Strategy<Value = LocalityEndpoints> {
    let locality = ("[a-z]{0,3}", "[a-z]{0,3}", "[a-z]{0,3}")
        .prop_map(|(region, zone, sub_zone)| Locality { region, zone, sub_zone });
    (locality, any::<u32>(), of(any::<u32>()), vec(lb_endpoint(), 0..3)).prop_map(
        |(locality, priority, weight, endpoints)| LocalityEndpoints {
            locality: Arc::new(locality),
            priority,
            weight,
            endpoints,
        },
    )
}

fn lb_endpoint() -> impl Strategy<Value = LbEndpoint> {
    let health = select(vec![
        EndpointHealth::Unknown,
        EndpointHealth::Healthy,
        EndpointHealth::Unhealthy,
        EndpointHealth::Draining,
        EndpointHealth::Timeout,
        EndpointHealth::Degraded,
    ]);
    let word = "[a-z.]{0,4}";
    let workload = (word, word, word, word, word).prop_map(
        |(name, namespace, canonical_name, canonical_revision, cluster_id)| {
            Arc::new(WorkloadRef {
                name,
                namespace,
                canonical_name,
                canonical_revision,
                cluster_id,
            })
        },
    );
    let place = (address(), vec(socket(), 0..2));
    (place, health, 1..u32::MAX, labels(), of(workload)).prop_map(
        |((address, additional_addresses), health, weight, labels, workload)| LbEndpoint {
            address,
            additional_addresses,
            health,
            weight,
            labels,
            workload,
        },
    )
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(name(), "[a-z]{0,3}", 0..3)
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let discovery = prop_oneof![
        of(name()).prop_map(|service_name| Discovery::Eds { service_name }),
        load_assignment().prop_map(|one| Discovery::Static(Arc::new(one))),
        load_assignment().prop_map(|one| Discovery::StrictDns(Arc::new(one))),
        load_assignment().prop_map(|one| Discovery::LogicalDns(Arc::new(one))),
        of(1..=u16::MAX).prop_map(|port| Discovery::OriginalDst { port }),
        Just(Discovery::DynamicForwardProxy),
    ];
    let policy = prop_oneof![
        Just(LbPolicy::RoundRobin),
        Just(LbPolicy::Random),
        Just(LbPolicy::ClusterProvided),
        (2..u32::MAX).prop_map(|choices| LbPolicy::LeastRequest { choices }),
    ];
    let transport_match = (name(), labels(), transport())
        .prop_map(|(name, labels, transport)| TransportMatch { name, labels, transport });
    let service = (name(), name(), name()).prop_map(|(host, name, namespace)| ServiceRef {
        host,
        name,
        namespace,
    });
    (
        (name(), discovery, duration(), policy, transport(), vec(transport_match, 0..2)),
        (circuit(), of(outlier()), upstream_http(), of(any::<u32>())),
        (vec(service, 0..3), of(name()), of(name())),
    )
        .prop_map(|(a, b, c)| Cluster {
            name: a.0,
            discovery: a.1,
            connect_timeout: a.2,
            lb_policy: a.3,
            transport: a.4,
            transport_matches: a.5,
            circuit: b.0,
            outlier: b.1.map(Box::new),
            http: b.2,
            buffer_bytes: b.3,
            services: c.0,
            origin: c.1,
            subset: c.2,
        })
}

fn certificate() -> impl Strategy<Value = String> {
    prop_oneof![name(), Just("file-cert:/etc/a.pem~/etc/a.key".to_owned())]
}

fn bundle() -> impl Strategy<Value = String> {
    prop_oneof![name(), Just("file-root:/etc/a.pem".to_owned())]
}

fn transport() -> impl Strategy<Value = UpstreamTransport> {
    let tls = || {
        let certificates = (of(certificate()), of(bundle()));
        (of(name()), vec(name(), 0..2), certificates, vec(string_match(), 0..2), versions())
            .prop_map(|(sni, alpn, (certificate, trust_bundle), peer_sans, versions)| {
                let tls = UpstreamTls { sni, alpn, certificate, trust_bundle, peer_sans, versions };
                Box::new(tls)
            })
    };
    let version = select(vec![ProxyProtocolVersion::V1, ProxyProtocolVersion::V2]);
    prop_oneof![
        Just(UpstreamTransport::Plaintext),
        Just(UpstreamTransport::Internal),
        tls().prop_map(UpstreamTransport::Tls),
        (version, of(tls()))
            .prop_map(|(version, tls)| UpstreamTransport::ProxyProtocol { version, tls }),
    ]
}

fn versions() -> impl Strategy<Value = TlsVersions> {
    use TlsVersion::{V12, V13};
    select(vec![(V12, V12), (V12, V13), (V13, V13)]).prop_map(|(min, max)| TlsVersions { min, max })
}

fn circuit() -> impl Strategy<Value = CircuitLimits> {
    let budget = (0..=10_000_u32, any::<u32>()).prop_map(|(per_ten_thousand, min_concurrency)| {
        RetryBudget { per_ten_thousand, min_concurrency }
    });
    let limit = || of(any::<u32>());
    (limit(), limit(), limit(), limit(), of(budget)).prop_map(
        |(max_connections, max_pending_requests, max_requests, max_retries, retry_budget)| {
            CircuitLimits {
                max_connections,
                max_pending_requests,
                max_requests,
                max_retries,
                retry_budget,
            }
        },
    )
}

fn outlier() -> impl Strategy<Value = OutlierDetection> {
    ((0..9_u32, 0..9_u32, 0..=100_u32, 0..=100_u32), (duration(), duration(), duration())).prop_map(
        |(counts, times)| OutlierDetection {
            consecutive_5xx: counts.0,
            consecutive_gateway_failure: counts.1,
            max_ejection_percent: counts.2,
            min_health_percent: counts.3,
            interval: times.0,
            base_ejection_time: times.1,
            max_ejection_time: times.2,
        },
    )
}

fn upstream_http() -> impl Strategy<Value = UpstreamHttp> {
    let protocol = select(vec![
        UpstreamProtocol::Http1,
        UpstreamProtocol::Http2,
        UpstreamProtocol::Downstream,
        UpstreamProtocol::Negotiated,
    ]);
    let age = of(duration().prop_filter("0 is none", |age| !age.is_zero()));
    (protocol, of(duration()), age, of(1..u32::MAX), of(1..u32::MAX)).prop_map(
        |(protocol, idle_timeout, age, max_requests_per_connection, streams)| UpstreamHttp {
            protocol,
            idle_timeout,
            max_connection_duration: age,
            max_requests_per_connection,
            max_concurrent_streams: streams.filter(|_| protocol != UpstreamProtocol::Http1),
        },
    )
}

pub(crate) fn route_configuration() -> impl Strategy<Value = RouteConfiguration> {
    ("[a-z0-9|]{0,6}", vec(virtual_host(), 0..3), headers(), headers(), any::<bool>()).prop_map(
        |(name, virtual_hosts, request_headers, response_headers, validate_clusters)| {
            RouteConfiguration {
                name,
                virtual_hosts,
                request_headers,
                response_headers,
                validate_clusters,
            }
        },
    )
}

fn virtual_host() -> impl Strategy<Value = VirtualHost> {
    let parts = (name(), vec(name(), 0..3), vec(route(), 0..3));
    (parts, headers(), headers(), of(retry()), any::<bool>()).prop_map(
        |(parts, request_headers, response_headers, retry_policy, include_attempt_count)| {
            VirtualHost {
                name: parts.0,
                domains: parts.1,
                routes: parts.2,
                request_headers,
                response_headers,
                retry_policy: retry_policy.map(Box::new),
                include_attempt_count,
            }
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let action = prop_oneof![
        4 => forward().prop_map(|forward| RouteAction::Forward(Box::new(forward))),
        1 => redirect().prop_map(|to| RouteAction::Redirect(Box::new(to))),
        1 => (100..600_u16, vec(any::<u8>(), 0..5))
            .prop_map(|(status, body)| RouteAction::DirectResponse(DirectResponse { status, body })),
    ];
    let per_filter = (of(route_fault()), of(route_authorization()));
    ("[a-z]{0,4}", of(name()), route_match(), action, headers(), headers(), per_filter).prop_map(
        |(
            name,
            origin,
            route_match,
            action,
            request_headers,
            response_headers,
            (fault, authorization),
        )| Route {
            name,
            origin,
            route_match,
            action,
            request_headers,
            response_headers,
            fault,
            authorization,
        },
    )
}

fn route_match() -> impl Strategy<Value = RouteMatch> {
    let text = "/[a-z]{0,4}";
    let path = prop_oneof![
        text.prop_map(PathMatch::Prefix),
        text.prop_map(PathMatch::Exact),
        text.prop_map(PathMatch::Regex),
        text.prop_map(PathMatch::PathSeparatedPrefix),
        Just(PathMatch::Connect),
    ];
    let kind = prop_oneof![
        any::<bool>().prop_map(HeaderMatchKind::Present),
        string_match().prop_map(HeaderMatchKind::String),
        any::<(i64, i64)>().prop_map(|(start, end)| HeaderMatchKind::Range { start, end }),
    ];
    let header = (name(), kind, any::<bool>(), any::<bool>()).prop_map(
        |(name, kind, invert, treat_missing_as_empty)| HeaderMatch {
            name,
            kind,
            invert,
            treat_missing_as_empty,
        },
    );
    let kind = prop_oneof![
        any::<bool>().prop_map(QueryMatchKind::Present),
        string_match().prop_map(QueryMatchKind::String),
    ];
    let query = (name(), kind).prop_map(|(name, kind)| QueryMatch { name, kind });
    (path, any::<bool>(), vec(header, 0..3), vec(query, 0..3)).prop_map(
        |(path, case_sensitive, headers, query)| RouteMatch {
            path,
            case_sensitive,
            headers,
            query,
        },
    )
}

fn cluster_specifier() -> impl Strategy<Value = ClusterSpecifier> {
    let weighted = (name(), any::<u32>(), headers(), headers()).prop_map(
        |(name, weight, request_headers, response_headers)| WeightedCluster {
            name,
            weight,
            request_headers,
            response_headers,
        },
    );
    prop_oneof![
        name().prop_map(ClusterSpecifier::Cluster),
        vec(weighted, 0..3).prop_map(ClusterSpecifier::Weighted),
    ]
}

fn forward() -> impl Strategy<Value = Forward> {
    let rewrite = prop_oneof![
        name().prop_map(PathRewrite::Prefix),
        (name(), "[a-z]{0,3}")
            .prop_map(|(pattern, substitution)| PathRewrite::Regex { pattern, substitution }),
    ];
    let connect = select(vec![Connect::Refuse, Connect::Forward, Connect::Terminate]);
    let grpc = (duration(), duration()).prop_map(|(max, offset)| GrpcTimeout { max, offset });
    let mirror = (name(), fraction()).prop_map(|(cluster, fraction)| Mirror { cluster, fraction });
    (
        (cluster_specifier(), of(some_time()), of(some_time()), of(retry())),
        (of(rewrite), of(name()), vec(mirror, 0..2)),
        (of(any::<bool>()), of(connect), of(some_time()), of(grpc)),
    )
        .prop_map(|(a, b, c)| Forward {
            cluster: a.0,
            timeout: a.1,
            idle_timeout: a.2,
            retry_policy: a.3.map(Box::new),
            path_rewrite: b.0.map(Box::new),
            host_rewrite: b.1,
            mirrors: b.2,
            websocket: c.0,
            connect: c.1,
            max_stream_duration: c.2,
            grpc_timeout: c.3.map(Box::new),
        })
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let path =
        prop_oneof![name().prop_map(RedirectPath::Full), name().prop_map(RedirectPath::Prefix),];
    let status = select(vec![301_u16, 302, 303, 307, 308]);
    (of(name()), of(name()), of(1..=u16::MAX), of(path), status, any::<bool>()).prop_map(
        |(scheme, host, port, path, status, strip_query)| Redirect {
            scheme,
            host,
            port,
            path,
            status,
            strip_query,
        },
    )
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    let condition = select(vec![
        RetryCondition::ServerError5xx,
        RetryCondition::GatewayError,
        RetryCondition::Reset,
        RetryCondition::ResetBeforeRequest,
        RetryCondition::ConnectFailure,
        RetryCondition::Retriable4xx,
        RetryCondition::RefusedStream,
        RetryCondition::RetriableStatusCodes,
        RetryCondition::EnvoyRatelimited,
        RetryCondition::GrpcCancelled,
        RetryCondition::GrpcDeadlineExceeded,
        RetryCondition::GrpcInternal,
        RetryCondition::GrpcResourceExhausted,
        RetryCondition::GrpcUnavailable,
    ]);
    (
        (vec(condition, 0..4), vec(100..600_u16, 0..3), any::<u32>()),
        (of(some_time()), some_time(), duration(), any::<bool>()),
    )
        .prop_map(|(a, b)| RetryPolicy {
            retry_on: a.0,
            retriable_status_codes: a.1,
            num_retries: a.2,
            per_try_timeout: b.0,
            back_off_base: b.1,
            back_off_max: b.2,
            avoid_previous_hosts: b.3,
        })
}

/// The filter's own settings; empty ones are none.
fn own_fault() -> impl Strategy<Value = Option<FaultInjection>> {
    let is_some = |fault: &FaultInjection| fault.delay.is_some() || fault.abort.is_some();
    fault().prop_map(move |fault| Some(fault).filter(is_some))
}

fn route_fault() -> impl Strategy<Value = RouteFault> {
    prop_oneof![Just(RouteFault::Disabled), fault().prop_map(Box::new).prop_map(RouteFault::Inject)]
}

fn fault() -> impl Strategy<Value = FaultInjection> {
    let delay =
        (duration(), fraction()).prop_map(|(fixed, fraction)| FaultDelay { fixed, fraction });
    let abort =
        (200..600_u16, fraction()).prop_map(|(status, fraction)| FaultAbort { status, fraction });
    (of(delay), of(abort)).prop_map(|(delay, abort)| FaultInjection { delay, abort })
}
