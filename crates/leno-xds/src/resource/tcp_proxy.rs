//! `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.

use leno_core::config::{ClusterSpecifier, HeaderMutations, TcpProxy, Tunneling, WeightedCluster};

use super::header_edits::{self, HeaderFields};
use super::{access_log, route_action};
use crate::read::{Names, Reader};
use crate::wire::Writer;

/// When records are written, and how often connecting is tried.
const HARMLESS: &Names = &[
    (15, "access_log_flush_interval"),
    (16, "flush_access_log_on_connected"),
    (17, "access_log_options"),
];

/// What the endpoint answers beside its status is nobody's here, and request ids are made anyway.
const HARMLESS_TUNNELING: &Names = &[
    (4, "propagate_response_headers"),
    (6, "propagate_response_trailers"),
    (7, "request_id_extension"),
    (8, "request_id_header"),
    (9, "request_id_metadata_key"),
];

const TUNNELING_HEADERS: HeaderFields =
    HeaderFields { add: (3, "headers_to_add"), remove: (0, "") };

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> TcpProxy {
    r.harmless(HARMLESS);
    let one = r.optional_string(2, "cluster").map(ClusterSpecifier::Cluster);
    let weighted = r.message(10, "weighted_clusters", |r| {
        ClusterSpecifier::Weighted(r.messages(1, "clusters", |r| WeightedCluster {
            name: r.required_string(1, "name"),
            weight: r.u32(2, "weight"),
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
        }))
    });
    TcpProxy {
        stat_prefix: r.string(1, "stat_prefix"),
        cluster: route_action::exactly_one(r, one, weighted),
        idle_timeout: r.duration(8, "idle_timeout"),
        max_connection_duration: r.duration(13, "max_downstream_connection_duration"),
        max_connect_attempts: max_connect_attempts(r),
        tunneling: r.message(12, "tunneling_config", tunneling),
        access_log: r.each(5, "access_log", access_log::decode),
    }
}

fn tunneling(r: &mut Reader<'_, '_>) -> Tunneling {
    r.harmless(HARMLESS_TUNNELING);
    let hostname = r.required_string(1, "hostname");
    Tunneling { hostname, headers: header_edits::decode(r, &TUNNELING_HEADERS) }
}

fn max_connect_attempts(r: &mut Reader<'_, '_>) -> u32 {
    let attempts = r.wrapped_u32(7, "max_connect_attempts").unwrap_or(1);
    if attempts == 0 {
        r.problem_at("max_connect_attempts", "is zero; at least 1 is expected");
    }
    attempts.max(1)
}

pub(crate) fn encode(w: &mut Writer, proxy: &TcpProxy) {
    w.string(1, &proxy.stat_prefix);
    match &proxy.cluster {
        ClusterSpecifier::Cluster(name) => w.string(2, name),
        ClusterSpecifier::Weighted(clusters) => w.message(10, |w| {
            for cluster in clusters {
                w.message(1, |w| {
                    w.string(1, &cluster.name);
                    w.number(2, cluster.weight.into());
                });
            }
        }),
    }
    access_log::encode(w, 5, &proxy.access_log);
    if proxy.max_connect_attempts != 1 {
        w.wrapped(7, Some(proxy.max_connect_attempts));
    }
    if let Some(idle) = proxy.idle_timeout {
        w.duration(8, idle);
    }
    if let Some(tunneling) = &proxy.tunneling {
        w.message(12, |w| {
            w.string(1, &tunneling.hostname);
            header_edits::encode(w, &TUNNELING_HEADERS, &tunneling.headers);
        });
    }
    if let Some(duration) = proxy.max_connection_duration {
        w.duration(13, duration);
    }
}
