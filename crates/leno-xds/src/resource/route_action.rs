//! `RouteAction`, `RedirectAction` and `DirectResponseAction` of `envoy.config.route.v3`.

use std::time::Duration;

use leno_core::config::{
    ClusterSpecifier, Connect, DirectResponse, Forward, Fraction, GrpcTimeout, Mirror, PathRewrite,
    Redirect, RedirectPath, WeightedCluster,
};

use super::header_edits::{self, HeaderFields, header_fields};
use super::{retry, value};
use crate::read::{Field, Names, Reader};
use crate::wire::Writer;

/// A cluster that is not there is always a 503.
const HARMLESS: &Names = &[(20, "cluster_not_found_response_code")];

/// Envoy's timeout where a route says none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

const WEIGHT_HEADERS: (HeaderFields, HeaderFields) = header_fields([4, 9, 5, 6]);

const REDIRECT_STATUS: [(u32, &str, u16); 5] = [
    (0, "MOVED_PERMANENTLY", 301),
    (1, "FOUND", 302),
    (2, "SEE_OTHER", 303),
    (3, "TEMPORARY_REDIRECT", 307),
    (4, "PERMANENT_REDIRECT", 308),
];

pub(crate) fn forward(r: &mut Reader<'_, '_>) -> Forward {
    r.harmless(HARMLESS);
    r.choice(11, "priority", &[(0, "DEFAULT", ())]);
    let one = r.optional_string(1, "cluster").map(ClusterSpecifier::Cluster);
    let weighted = r.message(3, "weighted_clusters", weighted).map(ClusterSpecifier::Weighted);
    let prefix = r.optional_string(5, "prefix_rewrite").map(PathRewrite::Prefix);
    let regex = r.message(32, "regex_rewrite", |r| PathRewrite::Regex {
        pattern: r.message(1, "pattern", value::regex).unwrap_or_default(),
        substitution: r.string(2, "substitution"),
    });
    if prefix.is_some() && regex.is_some() {
        r.problem("only one of prefix_rewrite and regex_rewrite is expected");
    }
    let some = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
    let (websocket, connect) = upgrades(r);
    let (max_stream_duration, grpc_timeout) = stream_limits(r);
    Forward {
        cluster: exactly_one(r, one, weighted),
        timeout: some(r.duration(8, "timeout").or(Some(DEFAULT_TIMEOUT))),
        idle_timeout: some(r.duration(24, "idle_timeout")),
        retry_policy: r.message(9, "retry_policy", retry::decode).map(Box::new),
        path_rewrite: prefix.or(regex).map(Box::new),
        host_rewrite: r.optional_string(6, "host_rewrite_literal"),
        mirrors: r.messages(30, "request_mirror_policies", mirror),
        websocket,
        connect,
        max_stream_duration: some(max_stream_duration),
        grpc_timeout: grpc_timeout.map(Box::new),
    }
}

/// What the route says of WebSocket and of CONNECT.
fn upgrades(r: &mut Reader<'_, '_>) -> (Option<bool>, Option<Connect>) {
    let (mut websocket, mut connect) = (None, None);
    r.messages(25, "upgrade_configs", |r| {
        let kind = r.required_string(1, "upgrade_type");
        let enabled = r.wrapped_bool(2, "enabled").unwrap_or(true);
        let ends_here = r.message(3, "connect_config", |_| ()).is_some();
        if kind.eq_ignore_ascii_case("connect") {
            connect = Some(match (enabled, ends_here) {
                (false, _) => Connect::Refuse,
                (true, false) => Connect::Forward,
                (true, true) => Connect::Terminate,
            });
            return;
        }
        if ends_here {
            r.problem_at("connect_config", "goes with upgrade type CONNECT");
        }
        if kind.eq_ignore_ascii_case("websocket") {
            websocket = Some(enabled);
        } else {
            let what = format!("\"{kind}\" is not supported; websocket and CONNECT are");
            r.problem_at("upgrade_type", &what);
        }
    });
    (websocket, connect)
}

/// How long streams may last, gRPC's by their own word. The older spellings are two fields of the action itself.
fn stream_limits(r: &mut Reader<'_, '_>) -> (Option<Duration>, Option<GrpcTimeout>) {
    let older = (r.duration(23, "max_grpc_timeout"), r.duration(28, "grpc_timeout_offset"));
    let limits = r.message(36, "max_stream_duration", |r| {
        let whole = r.duration(1, "max_stream_duration");
        let max = r.duration(2, "grpc_timeout_header_max");
        (whole, (max, r.duration(3, "grpc_timeout_header_offset")))
    });
    let (whole, newer) = limits.unwrap_or_default();
    let grpc = |(max, offset): (Option<Duration>, Option<Duration>)| {
        Some(GrpcTimeout { max: max?, offset: offset.unwrap_or_default() })
    };
    (whole, grpc(newer).or_else(|| grpc(older)))
}

/// `cluster` or `weighted_clusters`, as routes and TCP proxies say it.
pub(crate) fn exactly_one(
    r: &Reader<'_, '_>,
    one: Option<ClusterSpecifier>,
    weighted: Option<ClusterSpecifier>,
) -> ClusterSpecifier {
    match (one, weighted) {
        (Some(specifier), None) | (None, Some(specifier)) => specifier,
        _ => {
            r.problem("exactly one of cluster and weighted_clusters is expected");
            ClusterSpecifier::Cluster(String::new())
        }
    }
}

fn weighted(r: &mut Reader<'_, '_>) -> Vec<WeightedCluster> {
    r.harmless(&[(2, "runtime_key_prefix")]);
    let clusters = r.messages(1, "clusters", |r| WeightedCluster {
        name: r.required_string(1, "name"),
        weight: r.wrapped_u32(2, "weight").unwrap_or(0),
        request_headers: header_edits::decode(r, &WEIGHT_HEADERS.0),
        response_headers: header_edits::decode(r, &WEIGHT_HEADERS.1),
    });
    if let Some(total) = r.wrapped_u32(3, "total_weight") {
        let sum: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
        if sum != u64::from(total) {
            r.problem_at("total_weight", &format!("is {total}, but the weights add up to {sum}"));
        }
    }
    clusters
}

fn mirror(r: &mut Reader<'_, '_>) -> Mirror {
    r.harmless(&[(4, "trace_sampled")]);
    Mirror {
        cluster: r.required_string(1, "cluster"),
        fraction: r
            .message(3, "runtime_fraction", value::runtime_fraction)
            .unwrap_or(Fraction::ALWAYS),
    }
}

pub(crate) fn redirect(r: &mut Reader<'_, '_>) -> Redirect {
    let https = r.bool(4, "https_redirect").then(|| "https".to_owned());
    let full = r.optional_string(2, "path_redirect").map(RedirectPath::Full);
    let prefix = r.optional_string(5, "prefix_rewrite").map(RedirectPath::Prefix);
    if full.is_some() && prefix.is_some() {
        r.problem("only one of path_redirect and prefix_rewrite is expected");
    }
    Redirect {
        scheme: r.optional_string(7, "scheme_redirect").or(https),
        host: r.optional_string(1, "host_redirect"),
        port: r.field(8, "port_redirect").and_then(Field::port),
        path: full.or(prefix),
        status: r.choice(3, "response_code", &REDIRECT_STATUS).unwrap_or(301),
        strip_query: r.bool(6, "strip_query"),
    }
}

pub(crate) fn direct_response(r: &mut Reader<'_, '_>) -> DirectResponse {
    let status = r.u32(1, "status");
    if !(100..600).contains(&status) {
        r.problem_at("status", "is not within 100 and 599");
    }
    let body = r.message(2, "body", value::inline_data).unwrap_or_default();
    DirectResponse { status: status as u16, body }
}

pub(crate) fn write_forward(w: &mut Writer, forward: &Forward) {
    match &forward.cluster {
        ClusterSpecifier::Cluster(name) => w.string(1, name),
        ClusterSpecifier::Weighted(clusters) => w.message(3, |w| write_weighted(w, clusters)),
    }
    match forward.path_rewrite.as_deref() {
        Some(PathRewrite::Prefix(prefix)) => w.string(5, prefix),
        Some(PathRewrite::Regex { pattern, substitution }) => w.message(32, |w| {
            value::write_regex(w, 1, pattern);
            w.string(2, substitution);
        }),
        None => {}
    }
    w.string(6, forward.host_rewrite.as_deref().unwrap_or_default());
    // Absent would be fifteen seconds.
    w.duration(8, forward.timeout.unwrap_or_default());
    if let Some(policy) = &forward.retry_policy {
        w.message(9, |w| retry::encode(w, policy));
    }
    if let Some(idle) = forward.idle_timeout {
        w.duration(24, idle);
    }
    write_upgrades(w, forward);
    if forward.max_stream_duration.is_some() || forward.grpc_timeout.is_some() {
        w.message(36, |w| {
            if let Some(whole) = forward.max_stream_duration {
                w.duration(1, whole);
            }
            if let Some(grpc) = &forward.grpc_timeout {
                w.duration(2, grpc.max);
                w.duration(3, grpc.offset);
            }
        });
    }
    for mirror in &forward.mirrors {
        w.message(30, |w| {
            w.string(1, &mirror.cluster);
            value::write_runtime_fraction(w, 3, mirror.fraction);
        });
    }
}

fn write_upgrades(w: &mut Writer, forward: &Forward) {
    if let Some(enabled) = forward.websocket {
        w.message(25, |w| {
            w.string(1, "websocket");
            w.wrapped_bool(2, enabled);
        });
    }
    if let Some(connect) = forward.connect {
        w.message(25, |w| {
            w.string(1, "CONNECT");
            w.wrapped_bool(2, connect != Connect::Refuse);
            if connect == Connect::Terminate {
                w.message(3, |_| ());
            }
        });
    }
}

fn write_weighted(w: &mut Writer, clusters: &[WeightedCluster]) {
    for cluster in clusters {
        w.message(1, |w| {
            w.string(1, &cluster.name);
            w.wrapped(2, Some(cluster.weight));
            header_edits::encode(w, &WEIGHT_HEADERS.0, &cluster.request_headers);
            header_edits::encode(w, &WEIGHT_HEADERS.1, &cluster.response_headers);
        });
    }
}

pub(crate) fn write_redirect(w: &mut Writer, redirect: &Redirect) {
    w.string(1, redirect.host.as_deref().unwrap_or_default());
    match &redirect.path {
        Some(RedirectPath::Full(path)) => w.string(2, path),
        Some(RedirectPath::Prefix(prefix)) => w.string(5, prefix),
        None => {}
    }
    // A status that no redirect has goes out as a number that no proxy takes.
    let code = REDIRECT_STATUS.iter().find(|(.., status)| *status == redirect.status);
    w.number(3, code.map_or(redirect.status.into(), |(number, ..)| (*number).into()));
    w.bool(6, redirect.strip_query);
    w.string(7, redirect.scheme.as_deref().unwrap_or_default());
    w.number(8, redirect.port.unwrap_or_default().into());
}

pub(crate) fn write_direct_response(w: &mut Writer, response: &DirectResponse) {
    w.number(1, response.status.into());
    if !response.body.is_empty() {
        value::write_inline_data(w, 2, &response.body);
    }
}
