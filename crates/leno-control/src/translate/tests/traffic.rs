//! DestinationRules, ServiceEntries, faults and retries, in the resources they end in.

use std::time::Duration;

use leno_core::config::{
    CircuitLimits, Discovery, LbPolicy, RouteAction, RouteFault, UpstreamTransport,
};

use super::*;

fn reviews_cluster(rule: &str, name: &str) -> Arc<Cluster> {
    let world = mesh(&format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews, namespace: default}}
spec: {{host: reviews, {rule}}}"
    ));
    let translated = translate(&world, &proxy(&world, "productpage"));
    snapshot(&translated);
    translated.clusters[&*format!("outbound|9080|{name}|reviews.default.svc.cluster.local")].clone()
}

#[test]
fn a_subset_goes_over_the_rule_and_a_port_replaces_it() {
    let rule = "trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s},
        http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRetries: 4, maxRequestsPerConnection: 5, idleTimeout: 6s}}},
        subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}},
                  {name: v2, labels: {version: v2}, trafficPolicy: {portLevelSettings: [{port: {number: 9080}, connectionPool: {tcp: {maxConnections: 9}}}]}}]";
    let whole = reviews_cluster(rule, "");
    assert_eq!(whole.lb_policy, LbPolicy::Random);
    assert_eq!(whole.connect_timeout, Duration::from_secs(2));
    let expected = CircuitLimits {
        max_connections: Some(1),
        max_pending_requests: Some(2),
        max_requests: Some(3),
        max_retries: Some(4),
        retry_budget: None,
    };
    assert_eq!(whole.circuit, expected);
    assert_eq!(whole.http.max_requests_per_connection, Some(5));
    assert_eq!(whole.http.idle_timeout, Some(Duration::from_secs(6)));
    assert_eq!(
        whole.origin.as_deref(),
        Some("/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews")
    );
    let v1 = reviews_cluster(rule, "v1");
    assert_eq!((v1.lb_policy, v1.circuit.max_connections), (LbPolicy::RoundRobin, Some(1)));
    let v2 = reviews_cluster(rule, "v2");
    assert_eq!((v2.lb_policy, v2.circuit.max_connections), (LbPolicy::Random, Some(9)));
    assert_eq!(v2.connect_timeout, Duration::from_secs(10), "a port's group replaces the whole");
}

#[test]
fn outlier_detection_and_budget_are_carried_over() {
    let cluster = reviews_cluster(
        "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 4s, maxEjectionPercent: 50},
         retryBudget: {percent: 12.5, minRetryConcurrency: 7}}",
        "",
    );
    let outlier = cluster.outlier.as_ref().unwrap();
    assert_eq!((outlier.consecutive_5xx, outlier.consecutive_gateway_failure), (3, 0));
    assert_eq!(
        (outlier.interval, outlier.base_ejection_time),
        (Duration::from_secs(1), Duration::from_secs(4))
    );
    assert_eq!(outlier.max_ejection_percent, 50);
    let budget = cluster.circuit.retry_budget.unwrap();
    assert_eq!((budget.per_ten_thousand, budget.min_concurrency), (1250, 7));
}

#[test]
fn tls_modes_of_a_rule() {
    let plain = reviews_cluster("trafficPolicy: {tls: {mode: DISABLE}}", "");
    assert_eq!(plain.transport, UpstreamTransport::Plaintext);
    assert!(plain.transport_matches.is_empty());
    let mutual = reviews_cluster("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", "");
    let UpstreamTransport::Tls(tls) = &mutual.transport else { panic!("{mutual:?}") };
    assert_eq!(tls.certificate.as_deref(), Some("default"));
    let simple = reviews_cluster("trafficPolicy: {tls: {mode: SIMPLE, sni: a.example}}", "");
    let UpstreamTransport::Tls(tls) = &simple.transport else { panic!("{simple:?}") };
    assert_eq!((tls.sni.as_deref(), tls.certificate.as_deref()), (Some("a.example"), None));
    assert_eq!(tls.peer_sans.len(), 1);
}

#[test]
fn service_entries_become_clusters_by_their_resolution() {
    let entry = |name: &str, rest: &str| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{name}.example.com], {rest}}}
---
"
        )
    };
    let http = "ports: [{number: 80, name: http, protocol: HTTP}]";
    let text = [
        entry("dns", &format!("resolution: DNS, {http}")),
        entry("none", &format!("resolution: NONE, {http}")),
        entry("fixed", &format!("resolution: STATIC, {http}, endpoints: [{{address: 10.0.0.1, ports: {{http: 8080}}, weight: 3}}]")),
        entry("tcp", "resolution: NONE, addresses: [10.1.0.0/16], ports: [{number: 5432, name: tcp, protocol: TCP}]"),
    ]
    .concat();
    let world = mesh(&text);
    let translated = translate(&world, &proxy(&world, "productpage"));
    snapshot(&translated);
    let cluster = |host: &str, port: u16| {
        &translated.clusters[&*format!("outbound|{port}||{host}.example.com")]
    };
    let Discovery::StrictDns(listed) = &cluster("dns", 80).discovery else { panic!() };
    assert_eq!(listed.localities[0].endpoints.len(), 1);
    assert_eq!(cluster("none", 80).discovery, Discovery::OriginalDst { port: None });
    assert!(cluster("none", 80).transport_matches.is_empty());
    assert_eq!(cluster("fixed", 80).discovery, Discovery::Eds { service_name: None });
    let fixed = &translated.endpoints["outbound|80||fixed.example.com"].localities[0].endpoints[0];
    assert_eq!(
        (format!("{:?}", fixed.address), fixed.weight),
        ("Socket(10.0.0.1:8080)".to_owned(), 3)
    );
    let listener = &translated.listeners["0.0.0.0_5432"];
    assert_eq!(listener.filter_chains[0].filter_chain_match.prefix_ranges.len(), 1);
    assert_eq!(goes(&text, &Call::get("dns.example.com:80", "/")), "80||dns.example.com");
}

#[test]
fn faults_timeouts_and_retries_are_on_the_route() {
    let world = mesh(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http:
  - timeout: 0.5s
    retries: {attempts: 2, perTryTimeout: 100ms, retryOn: '5xx,418', backoff: 10ms}
    fault: {delay: {fixedDelay: 5s, percentage: {value: 80}}, abort: {httpStatus: 500, percentage: {value: 0.01}}}
    headers: {request: {set: {X-A: '1'}, add: {x-b: '2'}, remove: [x-c]}, response: {remove: [Server]}}
    route: [{destination: {host: ratings}}]",
    );
    let translated = translate(&world, &proxy(&world, "reviews-v2"));
    let hosts = &translated.routes["9080"].virtual_hosts;
    let host = hosts.iter().find(|host| host.name == "ratings.default.svc.cluster.local:9080");
    let route = &host.unwrap().routes[0];
    let Some(RouteFault::Inject(fault)) = &route.fault else { panic!() };
    assert_eq!(fault.delay.as_ref().unwrap().fraction.per_million, 800_000);
    assert_eq!(fault.abort.as_ref().unwrap().fraction.per_million, 100);
    let RouteAction::Forward(forward) = &route.action else { panic!() };
    assert_eq!(forward.timeout, Some(Duration::from_millis(500)));
    let retries = forward.retry_policy.as_ref().unwrap();
    assert_eq!((retries.num_retries, &retries.retriable_status_codes[..]), (2, &[418][..]));
    assert_eq!(retries.per_try_timeout, Some(Duration::from_millis(100)));
    assert_eq!(route.request_headers.edits.len(), 2);
    assert_eq!(route.request_headers.remove, ["x-c"]);
    assert_eq!(route.response_headers.remove, ["server"]);
    assert_eq!(
        route.origin.as_deref(),
        Some("/apis/networking.istio.io/v1/namespaces/default/virtual-service/ratings")
    );
}

#[test]
fn tcp_rules_split_connections() {
    let world = mesh(
        "apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: 240.240.0.9, ports: [{name: tcp, port: 6379}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: default}
spec: {hosts: [db], tcp: [{match: [{port: 6379}], route: [{destination: {host: db, subset: a}, weight: 80}, {destination: {host: db, subset: b}, weight: 20}]}]}",
    );
    let translated = translate(&world, &proxy(&world, "reviews-v1"));
    let chain = translated.listeners["240.240.0.9_6379"].default_filter_chain.clone().unwrap();
    let text = serde_json::to_string(&chain.filter).unwrap();
    assert!(text.contains("outbound|6379|a|db.default.svc.cluster.local"), "{text}");
    assert!(text.contains("\"weight\":20"), "{text}");
}

#[test]
fn http2_is_routed_and_each_engine_meets_its_own_kind() {
    let world = mesh(
        "apiVersion: v1
kind: Service
metadata: {name: rpc, namespace: default}
spec: {clusterIP: 240.240.0.9, ports: [{name: grpc, port: 50051}, {name: http, port: 80}]}",
    );
    let leno = proxy(&world, "productpage");
    let envoy = Proxy { engine: Engine::Envoy, ..leno.clone() };
    use leno_core::config::UpstreamProtocol;
    for (proxy, plain) in [(&leno, UpstreamProtocol::Negotiated), (&envoy, UpstreamProtocol::Http1)]
    {
        let translated = translate(&world, proxy);
        assert!(translated.routes.contains_key("50051"));
        let spoken = |port| {
            let name = format!("outbound|{port}||rpc.default.svc.cluster.local");
            translated.clusters[name.as_str()].http.protocol
        };
        assert_eq!((spoken(50051), spoken(80)), (UpstreamProtocol::Http2, plain));
        snapshot(&translated);
    }
}
