//! One sidecar of Bookinfo, laid out as Istio lays it out, and where its calls go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::*;
use leno_core::explain::{Entry, explain};
use leno_core::request::Call;
use leno_core::snapshot::{Resources, Snapshot};

const VIRTUAL_SERVICE: &str =
    "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";

pub(crate) fn cluster(name: &str, discovery: Discovery) -> Cluster {
    Cluster {
        lb_policy: LbPolicy::LeastRequest { choices: 2 },
        ..Cluster::minimal(name, discovery)
    }
}

fn eds(name: &str) -> Cluster {
    cluster(name, Discovery::Eds { service_name: None })
}

pub(crate) fn forward_to(cluster: ClusterSpecifier) -> RouteAction {
    let forward = Forward { timeout: None, ..Forward::minimal(cluster) };
    RouteAction::Forward(Box::new(forward))
}

pub(crate) fn route(name: &str, path: PathMatch, action: RouteAction) -> Route {
    Route { name: name.to_owned(), ..Route::minimal(path, action) }
}

pub(crate) fn virtual_host(name: &str, domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    VirtualHost { include_attempt_count: true, ..VirtualHost::minimal(name, domains, routes) }
}

pub(crate) fn table(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration::minimal(name, virtual_hosts)
}

fn any() -> PathMatch {
    PathMatch::Prefix("/".to_owned())
}

fn single(name: &str) -> ClusterSpecifier {
    ClusterSpecifier::Cluster(name.to_owned())
}

pub(crate) fn http(name: &str, routes: RouteSource) -> FilterChain {
    let manager = HttpConnectionManager {
        http_filters: vec![HttpFilter::IstioStats, HttpFilter::Fault(None), HttpFilter::Router],
        websocket: true,
        ..HttpConnectionManager::minimal(name, routes)
    };
    FilterChain::minimal(name, NetworkFilter::Http(Box::new(manager)))
}

fn tcp(name: &str, cluster: &str) -> FilterChain {
    FilterChain::minimal(name, NetworkFilter::Tcp(TcpProxy::minimal(name, cluster)))
}

pub(crate) fn listener(name: &str, address: &str, filter_chains: Vec<FilterChain>) -> Listener {
    Listener {
        bind_to_port: false,
        direction: TrafficDirection::Outbound,
        listener_filters: vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector],
        continue_on_listener_filters_timeout: true,
        ..Listener::minimal(name, address.parse().unwrap(), filter_chains)
    }
}

fn jason() -> HeaderMatch {
    HeaderMatch {
        name: "end-user".to_owned(),
        kind: HeaderMatchKind::String(StringMatch {
            pattern: StringPattern::Exact("jason".to_owned()),
            ignore_case: false,
        }),
        invert: false,
        treat_missing_as_empty: false,
    }
}

fn outbound(subset: &str) -> String {
    format!("outbound|9080|{subset}|reviews.default.svc.cluster.local")
}

fn listeners() -> Vec<Listener> {
    let mut http_port = listener(
        "0.0.0.0_9080",
        "0.0.0.0:9080",
        vec![FilterChain {
            filter_chain_match: FilterChainMatch {
                application_protocols: ["http/1.0", "http/1.1", "h2c"].map(str::to_owned).to_vec(),
                transport_protocol: Some(TransportProtocol::RawBuffer),
                ..Default::default()
            },
            ..http("9080", RouteSource::Rds("9080".to_owned()))
        }],
    );
    http_port.default_filter_chain = Some(tcp("passthrough", "PassthroughCluster"));
    let mut outbound =
        listener("virtualOutbound", "0.0.0.0:15001", vec![tcp("pass", "PassthroughCluster")]);
    outbound.bind_to_port = true;
    outbound.use_original_dst = true;
    let inbound_routes = table(
        "inbound|9080||",
        vec![virtual_host(
            "inbound|http|9080",
            &["*"],
            vec![route("default", any(), forward_to(single("inbound|9080||")))],
        )],
    );
    let inbound_routes = RouteSource::Inline(Arc::new(inbound_routes));
    let on_9080 = FilterChainMatch { destination_port: Some(9080), ..Default::default() };
    let mutual = FilterChainMatch {
        transport_protocol: Some(TransportProtocol::Tls),
        application_protocols: vec!["istio-http/1.1".to_owned()],
        ..on_9080.clone()
    };
    let permissive =
        FilterChain { filter_chain_match: on_9080, ..http("0.0.0.0_9080", inbound_routes.clone()) };
    let mutual =
        FilterChain { filter_chain_match: mutual, ..http("0.0.0.0_9080_mtls", inbound_routes) };
    let mut inbound = listener("virtualInbound", "0.0.0.0:15006", vec![permissive, mutual]);
    inbound.bind_to_port = true;
    inbound.direction = TrafficDirection::Inbound;
    inbound.default_filter_chain = Some(tcp("passthrough", "InboundPassthroughCluster"));
    vec![http_port, outbound, inbound]
}

fn mesh() -> Snapshot {
    let mut to_jason = route("jason", any(), forward_to(single(&outbound("v2"))));
    to_jason.route_match.headers.push(jason());
    to_jason.origin = Some(VIRTUAL_SERVICE.to_owned());
    to_jason.fault = Some(RouteFault::Inject(Box::new(FaultInjection {
        delay: Some(FaultDelay { fixed: Duration::from_secs(5), fraction: Fraction::ALWAYS }),
        abort: None,
    })));
    let part = |subset: &str, weight| WeightedCluster {
        name: outbound(subset),
        weight,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
    };
    let canary = ClusterSpecifier::Weighted(vec![part("v1", 99), part("v3", 1)]);
    let mut others = route("others", any(), forward_to(canary));
    others.origin = Some(VIRTUAL_SERVICE.to_owned());
    let domains = ["reviews", "reviews:9080", "reviews.default", "10.96.0.7"];
    let routes = table(
        "9080",
        vec![
            virtual_host(
                "reviews.default.svc.cluster.local:9080",
                &domains,
                vec![to_jason, others],
            ),
            virtual_host(
                "allow_any",
                &["*"],
                vec![route("allow_any", any(), forward_to(single("PassthroughCluster")))],
            ),
        ],
    );
    let clusters = [
        eds(&outbound("v1")),
        eds(&outbound("v2")),
        eds(&outbound("v3")),
        cluster("PassthroughCluster", Discovery::OriginalDst { port: None }),
        cluster("InboundPassthroughCluster", Discovery::OriginalDst { port: None }),
        cluster("inbound|9080||", Discovery::Static(Arc::default())),
    ];
    let resources = Resources {
        listeners: listeners().into_iter().map(|l| (l.name.clone(), Arc::new(l))).collect(),
        routes: BTreeMap::from([(routes.name.clone(), Arc::new(routes))]),
        clusters: clusters.into_iter().map(|c| (c.name.clone(), Arc::new(c))).collect(),
    };
    Snapshot::compile(&resources, None).unwrap()
}

/// What is decided for a call, one fact a line.
fn check(entry: Entry<'_>, call: &Call, expected: &[&str]) {
    let decision = explain(&mesh(), entry, call).to_string();
    for line in expected {
        assert!(decision.lines().any(|found| found == *line), "no {line:?} in:\n{decision}");
    }
}

fn destination(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

#[test]
fn outbound_calls_go_where_the_virtual_service_says() {
    let entry = Entry::Destination(destination("10.96.0.7:9080"));
    let call = Call::get("reviews:9080", "/reviews/0");
    check(
        entry,
        &call,
        &[
            "listener: 0.0.0.0_9080",
            "filter chain: 9080",
            "route configuration: 9080",
            "virtual host: reviews.default.svc.cluster.local:9080",
            &format!("passed over: #0 jason from {VIRTUAL_SERVICE}, missed header end-user"),
            &format!("route: #1 others from {VIRTUAL_SERVICE}"),
            "forward to outbound|9080|v1|reviews.default.svc.cluster.local: 99 %",
            "forward to outbound|9080|v3|reviews.default.svc.cluster.local: 1 %",
        ],
    );
    check(
        entry,
        &call.with_header("end-user", "jason"),
        &[
            "fault: delay 5000 ms for 100 % (flag DI)",
            "forward to outbound|9080|v2|reviews.default.svc.cluster.local: 100 %",
        ],
    );
    check(
        entry,
        &Call::get("unknown.example", "/"),
        &["virtual host: allow_any", "forward to PassthroughCluster: 100 %"],
    );
}

#[test]
fn what_is_not_plaintext_http_passes_as_bytes() {
    let mut call = Call::get("reviews:9080", "/");
    call.scheme = "https".to_owned();
    check(
        Entry::Destination(destination("10.96.0.7:9080")),
        &call,
        &["filter chain: passthrough", "bytes to PassthroughCluster: 100 %"],
    );
    check(
        Entry::Destination(destination("192.0.2.1:5432")),
        &call,
        &["listener: virtualOutbound", "bytes to PassthroughCluster: 100 %"],
    );
}

#[test]
fn inbound_calls_reach_the_workload() {
    let call = Call::get("reviews:9080", "/reviews/0");
    let entry = |address| Entry::Listener("virtualInbound", destination(address));
    check(
        entry("10.0.0.1:9080"),
        &call,
        &["route configuration: inbound|9080||", "forward to inbound|9080||: 100 %"],
    );
    let mutual = Call { scheme: "https".to_owned(), ..call.clone() };
    check(entry("10.0.0.1:9080"), &mutual, &["filter chain: 0.0.0.0_9080_mtls"]);
    check(
        entry("10.0.0.1:8000"),
        &call,
        &["filter chain: passthrough", "bytes to InboundPassthroughCluster: 100 %"],
    );
    check(
        Entry::Listener("nope", destination("10.0.0.1:8000")),
        &call,
        &["failure: close NR filter_chain_not_found, blame config"],
    );
}
