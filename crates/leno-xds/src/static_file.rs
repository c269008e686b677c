//! An Envoy bootstrap file, YAML or JSON, as the same values that ADS gives.
//!
//! The decoders are those of the wire; every problem has its line and column. Proto3's JSON rules hold: names in
//! snake_case or lowerCamel, durations as `"0.5s"`, wrappers bare, enums by name, `Any` by `@type`.

use std::net::SocketAddr;

use leno_core::config::{Cluster, Listener};

use crate::Node;
use crate::discovery::Variant;
use crate::problem::{Decoded, Problem, Report};
use crate::read::{Names, Path, Reader};
use crate::resource::{address, cluster, listener, value};
use crate::tree::{Shape, Tree};

/// What a bootstrap file says.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticFile {
    /// Who the proxy is.
    pub node: Option<Node>,
    /// Listeners written in the file.
    pub listeners: Vec<Listener>,
    /// Clusters written in the file.
    pub clusters: Vec<Cluster>,
    /// Where the admin port listens.
    pub admin: Option<SocketAddr>,
    /// Where the process stops taking more.
    pub overload: Overload,
    /// The control plane, if listeners and clusters (also) come from one.
    pub ads: Option<AdsSource>,
}

/// What `overload_manager.resource_monitors` bound; what is done at which share of them is the proxy's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overload {
    /// Bytes that connections may make it hold (`fixed_heap.max_heap_size_bytes`).
    pub memory_bytes: Option<u64>,
    /// Downstream connections (`downstream_connections.max_active_downstream_connections`).
    pub connections: Option<u64>,
}

/// `dynamic_resources.ads_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdsSource {
    /// Which protocol to speak.
    pub variant: Variant,
    /// The cluster, among the file's own, that the control plane is reached by.
    pub cluster: String,
}

/// Processes, statistics and logs of a program that this one is not.
const HARMLESS: &Names = &[
    (4, "cluster_manager"),
    (5, "flags_path"),
    (6, "stats_sinks"),
    (7, "stats_flush_interval"),
    (8, "watchdog"),
    (9, "tracing"),
    (13, "stats_config"),
    (16, "enable_dispatcher_stats"),
    (17, "layered_runtime"),
    (21, "bootstrap_extensions"),
    (26, "node_context_params"),
    (27, "watchdogs"),
    (31, "typed_dns_resolver_config"),
    (33, "perf_tracing_file_path"),
    (34, "default_regex_engine"),
    (38, "application_log_config"),
    (39, "deferred_stat_options"),
    (41, "memory_allocator_manager"),
];

const HEAP: &str = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
const CONNECTIONS: &str =
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

/// How a file says it, and what is meant.
const API_TYPES: [(u32, &str, Variant); 4] = [
    (2, "GRPC", Variant::StateOfTheWorld),
    (3, "DELTA_GRPC", Variant::Delta),
    (5, "AGGREGATED_GRPC", Variant::StateOfTheWorld),
    (6, "AGGREGATED_DELTA_GRPC", Variant::Delta),
];

/// Reads a bootstrap file.
///
/// # Errors
/// Every problem of the file with its path, line and column; a document that cannot be parsed at all is one problem.
pub fn parse(text: &str) -> Result<Decoded<StaticFile>, Vec<Problem>> {
    let tree = Tree::parse(text).map_err(|problem| vec![problem])?;
    if matches!(tree.shape, Shape::Null) {
        let what = "there is nothing in it; an Envoy bootstrap is expected".to_owned();
        return Err(vec![Problem { path: String::new(), what, place: None }]);
    }
    let report = Report::default();
    let file = Reader::text(&tree, Path::ROOT, &report).read(bootstrap);
    report.finish(file)
}

fn bootstrap(r: &mut Reader<'_, '_>) -> StaticFile {
    r.harmless(HARMLESS);
    let resources = r.message(2, "static_resources", |r| {
        (r.messages(1, "listeners", listener::decode), r.messages(2, "clusters", cluster::decode))
    });
    let (listeners, clusters) = resources.unwrap_or_default();
    let ads = r.message(3, "dynamic_resources", dynamic).flatten();
    if let Some(ads) = &ads
        && !clusters.iter().any(|cluster| cluster.name == ads.cluster)
    {
        let what = format!("cluster \"{}\" is not among static_resources.clusters", ads.cluster);
        r.problem_at("dynamic_resources.ads_config", &what);
    }
    let admin = r.message(12, "admin", |r| {
        r.harmless(&[(1, "access_log_path"), (2, "profile_path"), (5, "access_log")]);
        r.message(3, "address", address::decode_socket)
    });
    StaticFile {
        node: r.message(1, "node", node),
        listeners,
        clusters,
        admin: admin.flatten(),
        overload: r.message(15, "overload_manager", overload).unwrap_or_default(),
        ads,
    }
}

fn overload(r: &mut Reader<'_, '_>) -> Overload {
    r.harmless(&[(1, "refresh_interval"), (3, "actions"), (4, "loadshed_points")]);
    r.harmless(&[(5, "buffer_factory_config")]);
    let monitors = r.messages(2, "resource_monitors", |r| {
        r.string(1, "name");
        let mut overload = Overload::default();
        r.any(3, "typed_config", |kind, r| match kind {
            HEAP => overload.memory_bytes = positive(r, 1, "max_heap_size_bytes"),
            CONNECTIONS => {
                overload.connections = positive(r, 1, "max_active_downstream_connections");
            }
            other => {
                r.leave_out(&format!("{other} is not a supported resource monitor"));
            }
        });
        overload
    });
    monitors.into_iter().fold(Overload::default(), |all, one| Overload {
        memory_bytes: one.memory_bytes.or(all.memory_bytes),
        connections: one.connections.or(all.connections),
    })
}

fn positive(r: &mut Reader<'_, '_>, number: u32, name: &str) -> Option<u64> {
    let value = r.field(number, name).and_then(|field| field.i64());
    let value = value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
    if value.is_none() {
        r.problem_at(name, "is no positive number");
    }
    value
}

fn node(r: &mut Reader<'_, '_>) -> Node {
    r.harmless(&[(4, "locality"), (12, "dynamic_parameters")]);
    Node {
        id: r.string(1, "id"),
        cluster: r.string(2, "cluster"),
        metadata: r.structure(3, "metadata"),
        user_agent: r.string(6, "user_agent_name"),
        features: r.strings(10, "client_features"),
    }
}

fn dynamic(r: &mut Reader<'_, '_>) -> Option<AdsSource> {
    r.message(1, "lds_config", value::from_ads);
    r.message(2, "cds_config", value::from_ads);
    let source = r.message(3, "ads_config", |r| {
        const HARMLESS: &Names = &[
            (5, "request_timeout"),
            (6, "rate_limit_settings"),
            (7, "set_node_on_first_message_only"),
        ];
        r.harmless(HARMLESS);
        r.choice(8, "transport_api_version", &[(0, "AUTO", ()), (2, "V3", ())]);
        let variant = r.choice(1, "api_type", &API_TYPES).unwrap_or(Variant::StateOfTheWorld);
        let services = r.messages(4, "grpc_services", |r| {
            r.harmless(&[(3, "timeout"), (5, "initial_metadata")]);
            let name = r.message(1, "envoy_grpc", |r| {
                r.harmless(&[(2, "authority"), (3, "retry_policy")]);
                r.required_string(1, "cluster_name")
            });
            if name.is_none() {
                r.problem_at("envoy_grpc", "is missing");
            }
            name.unwrap_or_default()
        });
        match <[String; 1]>::try_from(services) {
            Ok([cluster]) => Some(AdsSource { variant, cluster }),
            Err(_) => {
                r.problem_at("grpc_services", "exactly one is expected");
                None
            }
        }
    });
    source.flatten()
}
