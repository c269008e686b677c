use std::thread;

use super::*;
use crate::labels::{Protocol, Reporter, Security};
use crate::{Blame, ResponseFlags, Workload};

fn metrics(series_max: usize) -> Arc<Metrics> {
    let workload = Workload { name: "reviews-v1".into(), ..Workload::default() };
    let local =
        Party { workload, principal: "spiffe://cluster.local/ns/default/sa/reviews".into() };
    Metrics::new(local, "proxy", SeriesLimits { series_max, ..SeriesLimits::SIDECAR })
}

fn key(peer: PartyId, response_code: u16) -> SeriesKey {
    SeriesKey {
        reporter: Reporter::Destination,
        peer,
        service: ServiceId::UNKNOWN,
        protocol: Protocol::Http,
        security: Security::MutualTls,
        response_code,
        flags: ResponseFlags::NONE,
        grpc_status: None,
        blame: None,
    }
}

const EXCHANGE: Exchange = Exchange {
    duration: Duration::from_micros(1500),
    request_bytes: 100,
    response_bytes: 2000,
    request_messages: 0,
    response_messages: 0,
};

fn page(metrics: &Metrics) -> String {
    let mut out = String::new();
    metrics.expose(|_| true, &mut out);
    out
}

/// The values of every sample of a metric whose line holds `part`.
fn values(page: &str, metric: &str, part: &str) -> Vec<f64> {
    let named =
        |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let lines = page.lines().filter(named).filter(|line| line.contains(part));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn shards_of_many_threads_add_up() {
    let metrics = metrics(300);
    let peer = metrics.party(Party {
        principal: "spiffe://cluster.local/ns/default/sa/web".into(),
        ..Party::default()
    });
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let shard = metrics.shard();
                for _ in 0..1000 {
                    shard.request(&key(peer, 200), &EXCHANGE);
                }
                let cluster = shard.cluster("outbound|9080||reviews");
                cluster.increment(ClusterStat::RqRetry);
                cluster.add(ClusterStat::CxActive, 3);
                cluster.decrement(ClusterStat::CxActive);
                let tcp = shard.tcp(&SeriesKey { protocol: Protocol::Tcp, ..key(peer, 0) });
                tcp.opened();
                tcp.sent(10);
            });
        }
    });
    let page = page(&metrics);
    let source = "source_principal=\"spiffe://cluster.local/ns/default/sa/web\"";
    assert_eq!(values(&page, "istio_requests_total", source), [4000.0]);
    assert_eq!(values(&page, "istio_request_duration_milliseconds_sum", source), [6000.0]);
    assert_eq!(values(&page, "istio_request_duration_milliseconds_bucket", "le=\"1\""), [0.0]);
    assert_eq!(values(&page, "istio_request_duration_milliseconds_bucket", "le=\"5\""), [4000.0]);
    assert_eq!(values(&page, "istio_response_bytes_sum", ""), [8_000_000.0]);
    assert_eq!(values(&page, "envoy_cluster_upstream_rq_retry", "reviews"), [4.0]);
    assert_eq!(values(&page, "envoy_cluster_upstream_cx_active", "reviews"), [8.0]);
    assert_eq!(values(&page, "istio_tcp_connections_opened_total", ""), [4.0]);
    assert_eq!(values(&page, "istio_tcp_sent_bytes_total", ""), [40.0]);
    assert!(values(&page, "istio_tcp_connections_closed_total", "").is_empty());
}

#[test]
fn beyond_the_limit_everything_counts_as_other() {
    let metrics = metrics(10);
    let shard = metrics.shard();
    for code in 200..299 {
        shard.request(&key(PartyId::UNKNOWN, code), &EXCHANGE);
        shard.request(&key(PartyId::UNKNOWN, code), &EXCHANGE);
    }
    metrics.shard().request(&key(PartyId::UNKNOWN, 500), &EXCHANGE);
    let page = page(&metrics);
    let all = values(&page, "istio_requests_total", "");
    assert_eq!((all.len(), all.iter().sum::<f64>()), (11, 199.0));
    assert_eq!(values(&page, "istio_requests_total", "source_workload=\"other\""), [179.0]);
    assert_eq!(values(&page, "leno_proxy_series", "kind=\"request\""), [10.0]);
    // Cells do not pile up either: ten series, and one overflow of each of two shards.
    assert_eq!(metrics.requests.rows_len(), 12);
}

#[test]
fn blame_is_a_metric_of_its_own() {
    let metrics = metrics(300);
    let shard = metrics.shard();
    let service = metrics.service(Service { host: "ratings".into(), ..Service::default() });
    for blame in [Some(Blame::App), Some(Blame::Network), None] {
        shard.request(&SeriesKey { blame, service, ..key(PartyId::UNKNOWN, 503) }, &EXCHANGE);
    }
    let page = page(&metrics);
    assert_eq!(values(&page, "istio_requests_total", "response_code=\"503\""), [3.0]);
    assert_eq!(values(&page, "leno_request_blame_total", "blame=\"network\""), [1.0]);
    assert_eq!(
        values(&page, "leno_request_blame_total", "destination_service=\"ratings\"").len(),
        2
    );
}

#[test]
fn a_principal_without_mutual_tls_is_unknown() {
    let metrics = metrics(300);
    let plain = SeriesKey { security: Security::None, ..key(PartyId::UNKNOWN, 200) };
    metrics.shard().request(&plain, &EXCHANGE);
    let page = page(&metrics);
    assert_eq!(values(&page, "istio_requests_total", "destination_principal=\"unknown\""), [1.0]);
    assert_eq!(values(&page, "istio_requests_total", "destination_workload=\"reviews-v1\""), [1.0]);
}

#[test]
fn a_filter_leaves_out_whole_metrics() {
    let metrics = metrics(300);
    metrics.set(ProcessStat::SnapshotRevision, 7);
    let mut out = String::new();
    metrics.expose(|name| name == "leno_snapshot_revision", &mut out);
    assert_eq!(
        out,
        "# HELP leno_snapshot_revision The revision in force.\n# TYPE leno_snapshot_revision gauge\nleno_snapshot_revision 7\n"
    );
}

#[test]
fn label_values_are_escaped() {
    let metrics = metrics(300);
    let service = metrics.service(Service { host: "a\"b\\c\nd".into(), ..Service::default() });
    metrics.shard().request(&SeriesKey { service, ..key(PartyId::UNKNOWN, 200) }, &EXCHANGE);
    assert_eq!(
        values(&page(&metrics), "istio_requests_total", r#"destination_service="a\"b\\c\nd""#),
        [1.0]
    );
}

#[test]
fn series_of_who_is_gone_make_room_for_who_comes() {
    let metrics = metrics(10);
    let (one, other) = (metrics.shard(), metrics.shard());
    let start = Instant::now();
    let held = one.tcp(&SeriesKey { protocol: Protocol::Tcp, ..key(PartyId::UNKNOWN, 0) });
    // (hour, the codes that come in it, those that are told apart at its end)
    let table: [(u32, std::ops::Range<u16>, &[u16]); 4] = [
        (0, 200..210, &[200, 201, 202, 203, 204, 205, 206, 207, 208, 209]),
        // No room: nothing has been idle for so long yet.
        (0, 300..303, &[200, 201, 202, 203, 204, 205, 206, 207, 208, 209]),
        (1, 208..210, &[208, 209]),
        (1, 300..303, &[208, 209, 300, 301, 302]),
    ];
    for (hour, codes, told) in table {
        for code in codes {
            one.request(&key(PartyId::UNKNOWN, code), &EXCHANGE);
            other.request(&key(PartyId::UNKNOWN, code), &EXCHANGE);
        }
        let now = start + family::IDLE * hour;
        for shard in [&one, &other, &one] {
            shard.sweep(now);
        }
        let page = page(&metrics);
        let seen = |code: &u16| {
            let label = format!("response_code=\"{code}\"");
            !values(&page, "istio_requests_total", &label).is_empty()
        };
        let seen: Vec<u16> = (200..400).filter(seen).collect();
        assert_eq!(seen, told, "{hour}");
    }
    // Half full is no reason to forget anybody, and what somebody holds is never forgotten.
    for shard in [&one, &other] {
        shard.sweep(start + family::IDLE * 100);
    }
    assert_eq!(values(&page(&metrics), "leno_proxy_series", "kind=\"request\""), [5.0]);
    held.opened();
    assert_eq!(values(&page(&metrics), "istio_tcp_connections_opened_total", ""), [1.0]);
}
