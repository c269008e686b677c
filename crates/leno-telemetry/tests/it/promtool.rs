//! A full page goes through Prometheus' own checker.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use leno_telemetry::{
    AuthorizationKey, AuthorizationScope, AuthorizationStat, Blame, ClusterStat, Exchange, Metrics,
    Party, ProcessStat, Protocol, Reporter, ResponseFlag, ResponseFlags, Security, SeriesKey,
    SeriesLimits, Service, Workload, metrics,
};

fn party(name: &str) -> Party {
    let workload = Workload {
        name: format!("{name}-v1"),
        namespace: "default".into(),
        app: name.into(),
        version: "v1".into(),
        canonical_name: name.into(),
        canonical_revision: "v1".into(),
        cluster_id: "Kubernetes".into(),
    };
    Party { workload, principal: format!("spiffe://cluster.local/ns/default/sa/{name}") }
}

/// Every metric with at least one sample.
fn full_page() -> String {
    let metrics = Metrics::new(party("productpage"), "proxy", SeriesLimits::SIDECAR);
    let shard = metrics.shard();
    let key = SeriesKey {
        reporter: Reporter::Source,
        peer: metrics.party(party("reviews")),
        service: metrics.service(Service {
            host: "reviews.default.svc.cluster.local".into(),
            name: "reviews".into(),
            namespace: "default".into(),
        }),
        protocol: Protocol::Http,
        security: Security::MutualTls,
        response_code: 200,
        flags: ResponseFlags::NONE,
        grpc_status: None,
        blame: None,
    };
    let exchange = Exchange {
        duration: Duration::from_millis(7),
        request_bytes: 300,
        response_bytes: 5000,
        request_messages: 2,
        response_messages: 1,
    };
    shard.request(&key, &exchange);
    let overflow = ResponseFlag::UpstreamOverflow.into();
    let failed =
        SeriesKey { response_code: 503, flags: overflow, blame: Some(Blame::Policy), ..key };
    shard.request(&failed, &exchange);
    let grpc = SeriesKey { protocol: Protocol::Grpc, grpc_status: Some(14), ..key };
    shard.request(&grpc, &exchange);
    let tcp = shard.tcp(&SeriesKey { protocol: Protocol::Tcp, response_code: 0, ..key });
    tcp.opened();
    tcp.sent(1);
    tcp.received(2);
    tcp.closed();
    shard
        .cluster("outbound|9080||reviews.default.svc.cluster.local")
        .increment(ClusterStat::RqRetry);
    for scope in [AuthorizationScope::Requests, AuthorizationScope::Connections] {
        let key = |rules_prefix: &str| AuthorizationKey {
            scope,
            stat_prefix: "inbound".into(),
            rules_prefix: rules_prefix.into(),
            shadow_rules_prefix: "trial".into(),
        };
        shard.authorization(&key("")).increment(AuthorizationStat::Denied);
        shard.authorization(&key("own")).increment(AuthorizationStat::ShadowAllowed);
    }
    let limit = metrics.connection_limit(&"few".into());
    limit.opened();
    limit.limited();
    metrics.set(ProcessStat::SnapshotRevision, 41);
    page(&metrics)
}

fn page(metrics: &Arc<Metrics>) -> String {
    let mut page = String::new();
    metrics.expose(|_| true, &mut page);
    page
}

#[test]
fn promtool_finds_nothing_but_the_unit_that_istio_chose() {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/setup");
    child.stdin.take().unwrap().write_all(full_page().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let unit =
        "istio_request_duration_milliseconds use base unit \"seconds\" instead of \"milliseconds\"";
    assert_eq!(said.trim(), unit);
}

#[test]
fn authorization_is_counted_by_its_prefixes() {
    let page = full_page();
    for line in [
        "envoy_http_rbac_denied{envoy_http_conn_manager_prefix=\"inbound\"} 1",
        "envoy_http_rbac_denied{envoy_rbac_http_prefix=\"own\",envoy_http_conn_manager_prefix=\"inbound\"} 0",
        "envoy_http_rbac_shadow_allowed{envoy_rbac_http_prefix=\"trial\",envoy_http_conn_manager_prefix=\"inbound\"} 1",
        "envoy_rbac_denied{envoy_rbac_prefix=\"inbound\"} 1",
    ] {
        assert_eq!(page.lines().filter(|each| *each == line).count(), 1, "{line}");
    }
}

#[test]
fn every_metric_of_the_table_is_on_the_page_with_its_head() {
    let page = full_page();
    for metric in metrics::all() {
        let head = format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}",
            name = metric.name,
            help = metric.help,
            kind = metric.kind.as_str()
        );
        assert!(page.contains(&head), "{}", metric.name);
    }
}

#[test]
fn a_request_series_has_istios_labels_and_values() {
    let page = full_page();
    let line = page
        .lines()
        .find(|line| line.starts_with("istio_requests_total{") && line.contains("\"503\""))
        .unwrap();
    let expected = "istio_requests_total{reporter=\"source\",\
        source_workload=\"productpage-v1\",source_workload_namespace=\"default\",\
        source_principal=\"spiffe://cluster.local/ns/default/sa/productpage\",source_app=\"productpage\",\
        source_version=\"v1\",source_cluster=\"Kubernetes\",source_canonical_service=\"productpage\",\
        source_canonical_revision=\"v1\",\
        destination_workload=\"reviews-v1\",destination_workload_namespace=\"default\",\
        destination_principal=\"spiffe://cluster.local/ns/default/sa/reviews\",destination_app=\"reviews\",\
        destination_version=\"v1\",destination_cluster=\"Kubernetes\",destination_canonical_service=\"reviews\",\
        destination_canonical_revision=\"v1\",\
        destination_service=\"reviews.default.svc.cluster.local\",destination_service_name=\"reviews\",\
        destination_service_namespace=\"default\",request_protocol=\"http\",response_flags=\"UO\",\
        connection_security_policy=\"mutual_tls\",response_code=\"503\"} 1";
    assert_eq!(line, expected);
    assert!(page.contains("response_code=\"200\",grpc_response_status=\"14\"} 1"));
}
