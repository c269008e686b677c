//! `envoy.config.cluster.v3.Cluster`.

use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    Cluster, ClusterLoadAssignment, Discovery, LbPolicy, ServiceRef, TransportMatch,
    UpstreamTransport,
};
use serde_json::{Map, Value};

use super::{endpoint, tls, upstream, value};
use crate::read::{Field, Names, Reader, exactly};
use crate::wire::Writer;

/// Names in statistics, buffer sizes, how DNS is asked and cached, when warming ends, how old hosts are cleaned up.
const HARMLESS: &Names = &[
    (13, "http_protocol_options"),
    (16, "dns_refresh_rate"),
    (17, "dns_lookup_family"),
    (20, "cleanup_interval"),
    (28, "alt_stat_name"),
    (30, "upstream_connection_options"),
    (32, "ignore_health_on_host_removal"),
    (39, "respect_dns_ttl"),
    (44, "dns_failure_refresh_rate"),
    (47, "track_timeout_budgets"),
    (49, "track_cluster_stats"),
    (50, "preconnect_policy"),
    (54, "wait_for_warm_on_init"),
    (55, "typed_dns_resolver_config"),
    (58, "dns_jitter"),
];

/// How endpoints of several places and moments are weighed.
const HARMLESS_BALANCING: &Names = &[
    (2, "zone_aware_lb_config"),
    (3, "locality_weighted_lb_config"),
    (4, "update_merge_window"),
    (6, "close_connections_on_host_set_change"),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
    ForwardProxy,
}

const KINDS: [(u32, &str, Kind); 5] = [
    (0, "STATIC", Kind::Static),
    (1, "STRICT_DNS", Kind::StrictDns),
    (2, "LOGICAL_DNS", Kind::LogicalDns),
    (3, "EDS", Kind::Eds),
    (4, "ORIGINAL_DST", Kind::OriginalDst),
];

/// The one `cluster_type` beside the numbered ones.
const FORWARD_PROXY: &str = "envoy.clusters.dynamic_forward_proxy";
const FORWARD_PROXY_CONFIG: &str =
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";
/// How many connections may be coalesced, and which TLS names are checked: there is no TLS to such hosts.
const HARMLESS_FORWARD_PROXY: &Names =
    &[(2, "allow_insecure_cluster_options"), (3, "allow_coalesced_connections")];

const LEAST_REQUEST: u32 = 1;
const POLICIES: [(u32, &str, LbPolicy); 4] = [
    (0, "ROUND_ROBIN", LbPolicy::RoundRobin),
    (LEAST_REQUEST, "LEAST_REQUEST", LbPolicy::LeastRequest { choices: 2 }),
    (3, "RANDOM", LbPolicy::Random),
    (6, "CLUSTER_PROVIDED", LbPolicy::ClusterProvided),
];

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's own panic threshold, in hundredths of a percent.
const DEFAULT_PANIC: u32 = 5_000;
const ISTIO: &str = "istio";

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> Cluster {
    r.harmless(HARMLESS);
    let metadata = value::metadata(r, 25, &[ISTIO]);
    let istio = metadata.get(ISTIO);
    let panic = r.message(27, "common_lb_config", |r| {
        r.harmless(HARMLESS_BALANCING);
        r.message(1, "healthy_panic_threshold", value::percent)
    });
    let panic = panic.flatten().unwrap_or(DEFAULT_PANIC);
    let outlier =
        r.message(19, "outlier_detection", |r| upstream::outlier(r, panic / 100)).map(Box::new);
    if outlier.is_none() && panic != DEFAULT_PANIC {
        r.not_acted_on("common_lb_config.healthy_panic_threshold");
    }
    Cluster {
        name: r.required_string(1, "name"),
        discovery: discovery(r),
        connect_timeout: r.duration(4, "connect_timeout").unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        lb_policy: lb_policy(r),
        transport: r
            .message(24, "transport_socket", tls::upstream)
            .unwrap_or(UpstreamTransport::Plaintext),
        transport_matches: r.messages(43, "transport_socket_matches", transport_match),
        circuit: upstream::circuit(r),
        outlier,
        buffer_bytes: r.wrapped_u32(5, "per_connection_buffer_limit_bytes"),
        http: upstream::http(r),
        services: istio.map(services).unwrap_or_default(),
        origin: value::text_at(istio, "config"),
        subset: value::text_at(istio, "subset"),
    }
}

fn discovery(r: &mut Reader<'_, '_>) -> Discovery {
    let custom = r.message(38, "cluster_type", custom_type);
    let kind = match custom {
        Some(kind) => kind,
        None => r.choice(2, "type", &KINDS).unwrap_or(Kind::Static),
    };
    let eds = r.message(3, "eds_cluster_config", |r| {
        if r.message(1, "eds_config", value::from_ads).is_none() {
            r.problem_at("eds_config", "is missing");
        }
        r.optional_string(2, "service_name")
    });
    let written = r.message(33, "load_assignment", endpoint::decode);
    if written.is_none() && matches!(kind, Kind::Static | Kind::StrictDns | Kind::LogicalDns) {
        r.problem_at("load_assignment", "is missing");
    }
    if written.is_some() && matches!(kind, Kind::Eds | Kind::OriginalDst | Kind::ForwardProxy) {
        r.problem_at("load_assignment", "is for clusters that are not discovered");
    }
    if eds.is_some() != (kind == Kind::Eds) {
        r.problem_at("eds_cluster_config", "goes with type EDS, and type EDS with it");
    }
    let port = r.message(34, "original_dst_lb_config", |r| {
        let port = r.field(3, "upstream_port_override");
        port.and_then(|field| field.wrapped(Field::port))
    });
    if port.is_some() && kind != Kind::OriginalDst {
        r.problem_at("original_dst_lb_config", "goes with type ORIGINAL_DST");
    }
    let written = Arc::new(written.unwrap_or_default());
    match kind {
        Kind::Static => Discovery::Static(written),
        Kind::StrictDns => Discovery::StrictDns(written),
        Kind::LogicalDns => Discovery::LogicalDns(written),
        Kind::Eds => Discovery::Eds { service_name: eds.flatten() },
        Kind::OriginalDst => Discovery::OriginalDst { port: port.flatten() },
        Kind::ForwardProxy => Discovery::DynamicForwardProxy,
    }
}

/// `CustomClusterType`; its name is told where it is not known.
fn custom_type(r: &mut Reader<'_, '_>) -> Kind {
    let name = r.required_string(1, "name");
    if name != FORWARD_PROXY {
        r.problem_at("name", &format!("\"{name}\" is not supported; {FORWARD_PROXY} is"));
    }
    r.any(2, "typed_config", |kind, r| {
        if kind == FORWARD_PROXY_CONFIG {
            r.harmless(HARMLESS_FORWARD_PROXY);
            value::dns_cache(r, 1);
        } else {
            r.problem(&format!("{kind} is not a supported cluster type"));
            r.skip();
        }
    });
    Kind::ForwardProxy
}

fn lb_policy(r: &mut Reader<'_, '_>) -> LbPolicy {
    let policy = r.choice(6, "lb_policy", &POLICIES).unwrap_or(LbPolicy::RoundRobin);
    let choices = r.message(37, "least_request_lb_config", |r| r.wrapped_u32(1, "choice_count"));
    r.message(56, "round_robin_lb_config", |_| ());
    match policy {
        LbPolicy::LeastRequest { .. } => {
            let choices = choices.flatten().unwrap_or(2);
            if choices < 2 {
                r.problem_at("least_request_lb_config.choice_count", "must be at least 2");
            }
            LbPolicy::LeastRequest { choices }
        }
        other => other,
    }
}

fn transport_match(r: &mut Reader<'_, '_>) -> TransportMatch {
    let labels = endpoint::labels(&r.structure(2, "match"));
    let transport = r.message(3, "transport_socket", tls::upstream);
    TransportMatch {
        name: r.required_string(1, "name"),
        labels,
        transport: transport.unwrap_or(UpstreamTransport::Plaintext),
    }
}

/// `metadata.filter_metadata.istio.services`; entries that are not services are skipped, they only name things.
fn services(istio: &Map<String, Value>) -> Vec<ServiceRef> {
    let list = istio.get("services").and_then(Value::as_array);
    let service = |value: &Value| {
        let fields = value.as_object();
        Some(ServiceRef {
            host: value::text_at(fields, "host")?,
            name: value::text_at(fields, "name")?,
            namespace: value::text_at(fields, "namespace")?,
        })
    };
    exactly(list.into_iter().flatten().filter_map(service))
}

pub(crate) fn encode(w: &mut Writer, cluster: &Cluster) {
    w.string(1, &cluster.name);
    encode_discovery(w, &cluster.discovery);
    w.duration(4, cluster.connect_timeout);
    encode_policy(w, cluster.lb_policy);
    upstream::write_circuit(w, &cluster.circuit);
    if let Some(outlier) = &cluster.outlier {
        upstream::write_outlier(w, outlier);
    }
    if cluster.transport != UpstreamTransport::Plaintext {
        tls::write_upstream(w, 24, &cluster.transport);
    }
    value::write_metadata(w, 25, &[(ISTIO, istio_metadata(cluster))]);
    let panic =
        cluster.outlier.as_ref().map_or(DEFAULT_PANIC / 100, |outlier| outlier.min_health_percent);
    w.message(27, |w| value::write_percent(w, 1, panic.saturating_mul(100)));
    w.wrapped(5, cluster.buffer_bytes);
    upstream::write_http(w, &cluster.http);
    for each in &cluster.transport_matches {
        w.message(43, |w| {
            w.string(1, &each.name);
            w.structure(2, &endpoint::labels_json(&each.labels));
            tls::write_upstream(w, 3, &each.transport);
        });
    }
}

fn encode_discovery(w: &mut Writer, discovery: &Discovery) {
    let (kind, written): (Kind, Option<&ClusterLoadAssignment>) = match discovery {
        Discovery::Eds { service_name } => {
            w.message(3, |w| {
                value::write_ads(w, 1);
                w.string(2, service_name.as_deref().unwrap_or_default());
            });
            (Kind::Eds, None)
        }
        Discovery::Static(written) => (Kind::Static, Some(written)),
        Discovery::StrictDns(written) => (Kind::StrictDns, Some(written)),
        Discovery::LogicalDns(written) => (Kind::LogicalDns, Some(written)),
        Discovery::OriginalDst { port } => {
            if let Some(port) = port {
                w.message(34, |w| w.wrapped(3, Some((*port).into())));
            }
            (Kind::OriginalDst, None)
        }
        Discovery::DynamicForwardProxy => {
            w.message(38, |w| {
                w.string(1, FORWARD_PROXY);
                w.any(2, FORWARD_PROXY_CONFIG, |w| value::write_dns_cache(w, 1));
            });
            return;
        }
    };
    w.number(2, value::number_of(&KINDS, kind));
    if let Some(written) = written {
        w.message(33, |w| endpoint::encode(w, written));
    }
}

fn encode_policy(w: &mut Writer, policy: LbPolicy) {
    if let LbPolicy::LeastRequest { choices } = policy {
        w.number(6, LEAST_REQUEST.into());
        w.message(37, |w| w.wrapped(1, Some(choices)));
    } else {
        w.number(6, value::number_of(&POLICIES, policy));
    }
}

fn istio_metadata(cluster: &Cluster) -> Map<String, Value> {
    let mut istio = Map::new();
    if let Some(origin) = &cluster.origin {
        istio.insert("config".to_owned(), Value::from(origin.as_str()));
    }
    if let Some(subset) = &cluster.subset {
        istio.insert("subset".to_owned(), Value::from(subset.as_str()));
    }
    if !cluster.services.is_empty() {
        let services = cluster.services.iter().map(|service| {
            serde_json::json!({
                "host": service.host, "name": service.name, "namespace": service.namespace,
            })
        });
        istio.insert("services".to_owned(), services.collect());
    }
    istio
}
