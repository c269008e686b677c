//! `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.

mod http_filter;

use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    ClientCertForward, Codec, EscapedSlashes, HttpConnectionManager, HttpLimits, PathNormalization,
    RouteSource, SchemeRewrite, ServerHeader,
};

use super::upstream::{HARMLESS_HTTP, http1};
use super::{access_log, route, tracing, value};
use crate::read::{Names, Reader};
use crate::wire::Writer;

/// Limits of our own, how connections end, and details of a certificate header.
const HARMLESS: &Names = &[
    (12, "drain_timeout"),
    (17, "set_current_client_cert_details"),
    (26, "delayed_close_timeout"),
    (36, "request_id_extension"),
    (54, "access_log_flush_interval"),
    (55, "flush_access_log_on_new_request"),
    (56, "access_log_options"),
    (59, "stream_flush_timeout"),
];

const CODEC: [(u32, &str, Codec); 3] =
    [(0, "AUTO", Codec::Auto), (1, "HTTP1", Codec::Http1), (2, "HTTP2", Codec::Http2)];

/// The first of two numbers for one meaning is the one written.
const ESCAPED_SLASHES: [(u32, &str, EscapedSlashes); 5] = [
    (0, "IMPLEMENTATION_SPECIFIC_DEFAULT", EscapedSlashes::Keep),
    (1, "KEEP_UNCHANGED", EscapedSlashes::Keep),
    (2, "REJECT_REQUEST", EscapedSlashes::Reject),
    (3, "UNESCAPE_AND_REDIRECT", EscapedSlashes::Redirect),
    (4, "UNESCAPE_AND_FORWARD", EscapedSlashes::Unescape),
];

const CERT_FORWARD: [(u32, &str, ClientCertForward); 4] = [
    (0, "SANITIZE", ClientCertForward::Sanitize),
    (1, "FORWARD_ONLY", ClientCertForward::ForwardOnly),
    (2, "APPEND_FORWARD", ClientCertForward::AppendForward),
    (3, "SANITIZE_SET", ClientCertForward::SanitizeSet),
];

const SERVER_HEADER: [(u32, &str, ServerHeader); 3] = [
    (0, "OVERWRITE", ServerHeader::Overwrite),
    (1, "APPEND_IF_ABSENT", ServerHeader::AppendIfAbsent),
    (2, "PASS_THROUGH", ServerHeader::PassThrough),
];

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> HttpConnectionManager {
    r.harmless(HARMLESS);
    let codec = r.choice(1, "codec_type", &CODEC).unwrap_or_default();
    r.message(8, "http_protocol_options", http1);
    let mut limits = r.message(9, "http2_protocol_options", http2_limits).unwrap_or_default();
    limits.max_request_headers_kb = r.wrapped_u32(29, "max_request_headers_kb");
    limits.stream_idle_timeout = r.duration(24, "stream_idle_timeout");
    limits.request_timeout = r.duration(28, "request_timeout").filter(|time| !time.is_zero());
    let some = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
    let bounds = r.message(35, "common_http_protocol_options", |r| {
        r.harmless(HARMLESS_HTTP);
        limits.max_headers_count = r.wrapped_u32(2, "max_headers_count").filter(|max| *max > 0);
        let idle_timeout = r.duration(1, "idle_timeout");
        let max_duration = some(r.duration(3, "max_connection_duration"));
        let max_requests = r.wrapped_u32(6, "max_requests_per_connection");
        (idle_timeout, max_duration, max_requests.filter(|max| *max > 0))
    });
    let (idle_timeout, max_connection_duration, max_requests_per_connection) =
        bounds.unwrap_or_default();
    let (websocket, connect) = upgrades(r);
    let mut suppress_envoy_headers = false;
    let http_filters = r.each(5, "http_filters", |field| {
        field.message(|r| http_filter::decode(r, &mut suppress_envoy_headers)).flatten()
    });
    HttpConnectionManager {
        stat_prefix: r.string(2, "stat_prefix"),
        codec,
        routes: routes(r),
        http_filters,
        access_log: r.each(13, "access_log", access_log::decode),
        idle_timeout,
        max_connection_duration,
        max_requests_per_connection,
        request_headers_timeout: some(r.duration(41, "request_headers_timeout")),
        limits,
        use_remote_address: r.wrapped_bool(14, "use_remote_address").unwrap_or(false),
        generate_request_id: r.wrapped_bool(15, "generate_request_id").unwrap_or(true),
        forward_client_cert: r
            .choice(16, "forward_client_cert_details", &CERT_FORWARD)
            .unwrap_or(ClientCertForward::Sanitize),
        websocket,
        connect,
        scheme: scheme(r),
        path: PathNormalization {
            normalize: r.wrapped_bool(30, "normalize_path").unwrap_or(false),
            merge_slashes: r.bool(33, "merge_slashes"),
            escaped_slashes: r
                .choice(45, "path_with_escaped_slashes_action", &ESCAPED_SLASHES)
                .unwrap_or_default(),
        },
        server_header: r
            .choice(34, "server_header_transformation", &SERVER_HEADER)
            .unwrap_or(ServerHeader::Overwrite),
        server_name: r.string(10, "server_name"),
        via: r.string(22, "via"),
        suppress_envoy_headers,
        tracing: r.message(7, "tracing", tracing::decode).flatten().map(Arc::new),
    }
}

/// Whether WebSocket and CONNECT are accepted.
fn upgrades(r: &mut Reader<'_, '_>) -> (bool, bool) {
    let (mut websocket, mut connect) = (false, false);
    r.messages(23, "upgrade_configs", |r| {
        let kind = r.required_string(1, "upgrade_type");
        let enabled = r.wrapped_bool(3, "enabled").unwrap_or(true);
        if kind.eq_ignore_ascii_case("websocket") {
            websocket |= enabled;
        } else if kind.eq_ignore_ascii_case("connect") {
            connect |= enabled;
        } else {
            let what = format!("\"{kind}\" is not supported; websocket and CONNECT are");
            r.problem_at("upgrade_type", &what);
        }
    });
    (websocket, connect)
}

fn scheme(r: &mut Reader<'_, '_>) -> SchemeRewrite {
    let rewrite = r.message(48, "scheme_header_transformation", |r| {
        let scheme = r.optional_string(1, "scheme_to_overwrite");
        let match_upstream = r.bool(2, "match_upstream");
        match (scheme.as_deref(), match_upstream) {
            (None, false) => SchemeRewrite::Keep,
            (None, true) => SchemeRewrite::MatchUpstream,
            (Some("http"), false) => SchemeRewrite::Http,
            (Some("https"), false) => SchemeRewrite::Https,
            (Some(_), true) => {
                r.problem("exactly one of scheme_to_overwrite and match_upstream is expected");
                SchemeRewrite::Keep
            }
            (Some(other), false) => {
                let what = format!("\"{other}\" is not http or https");
                r.problem_at("scheme_to_overwrite", &what);
                SchemeRewrite::Keep
            }
        }
    });
    rewrite.unwrap_or_default()
}

/// `Http2ProtocolOptions` of a listener; flood protection is our own, and whether CONNECT is allowed is for routes to say.
fn http2_limits(r: &mut Reader<'_, '_>) -> HttpLimits {
    const NAMES: &Names = &[
        (5, "allow_connect"),
        (7, "max_outbound_frames"),
        (8, "max_outbound_control_frames"),
        (15, "connection_keepalive"),
    ];
    r.harmless(NAMES);
    HttpLimits {
        hpack_table_bytes: r.wrapped_u32(1, "hpack_table_size"),
        max_concurrent_streams: r.wrapped_u32(2, "max_concurrent_streams").filter(|max| *max > 0),
        initial_stream_window_bytes: r.wrapped_u32(3, "initial_stream_window_size"),
        initial_connection_window_bytes: r.wrapped_u32(4, "initial_connection_window_size"),
        ..HttpLimits::default()
    }
}

fn routes(r: &mut Reader<'_, '_>) -> RouteSource {
    let rds = r.message(3, "rds", |r| {
        if r.message(1, "config_source", value::from_ads).is_none() {
            r.problem_at("config_source", "is missing");
        }
        RouteSource::Rds(r.required_string(2, "route_config_name"))
    });
    let inline = r.message(4, "route_config", route::decode_inline);
    match (rds, inline.map(|routes| RouteSource::Inline(Arc::new(routes)))) {
        (Some(source), None) | (None, Some(source)) => source,
        _ => {
            r.problem("exactly one of rds and route_config is expected");
            RouteSource::Rds(String::new())
        }
    }
}

pub(crate) fn encode(w: &mut Writer, manager: &HttpConnectionManager) {
    w.number(1, value::number_of(&CODEC, manager.codec));
    w.string(2, &manager.stat_prefix);
    match &manager.routes {
        RouteSource::Rds(name) => w.message(3, |w| {
            value::write_ads(w, 1);
            w.string(2, name);
        }),
        RouteSource::Inline(routes) => w.message(4, |w| route::encode(w, routes)),
    }
    for filter in &manager.http_filters {
        w.message(5, |w| http_filter::encode(w, filter, manager.suppress_envoy_headers));
    }
    if let Some(tracing) = &manager.tracing {
        w.message(7, |w| tracing::encode(w, tracing));
    }
    w.string(10, &manager.server_name);
    access_log::encode(w, 13, &manager.access_log);
    w.wrapped_bool(14, manager.use_remote_address);
    w.wrapped_bool(15, manager.generate_request_id);
    w.number(16, value::number_of(&CERT_FORWARD, manager.forward_client_cert));
    w.string(22, &manager.via);
    w.number(34, value::number_of(&SERVER_HEADER, manager.server_header));
    if manager.path.normalize {
        w.wrapped_bool(30, true);
    }
    w.bool(33, manager.path.merge_slashes);
    w.number(45, value::number_of(&ESCAPED_SLASHES, manager.path.escaped_slashes));
    if manager.websocket {
        w.message(23, |w| w.string(1, "websocket"));
    }
    if manager.connect {
        w.message(23, |w| w.string(1, "CONNECT"));
    }
    write_scheme(w, manager.scheme);
    write_limits(w, &manager.limits);
    write_connection_bounds(w, manager);
    if let Some(timeout) = manager.request_headers_timeout {
        w.duration(41, timeout);
    }
}

fn write_scheme(w: &mut Writer, scheme: SchemeRewrite) {
    match scheme {
        SchemeRewrite::Keep => {}
        SchemeRewrite::Http => w.message(48, |w| w.string(1, "http")),
        SchemeRewrite::Https => w.message(48, |w| w.string(1, "https")),
        SchemeRewrite::MatchUpstream => w.message(48, |w| w.bool(2, true)),
    }
}

fn write_limits(w: &mut Writer, limits: &HttpLimits) {
    let HttpLimits { hpack_table_bytes: table, max_concurrent_streams: streams, .. } = *limits;
    let windows = [limits.initial_stream_window_bytes, limits.initial_connection_window_bytes];
    if table.is_some() || streams.is_some() || windows.iter().any(Option::is_some) {
        w.message(9, |w| {
            w.wrapped(1, table);
            w.wrapped(2, streams);
            w.wrapped(3, windows[0]);
            w.wrapped(4, windows[1]);
        });
    }
    if let Some(idle) = limits.stream_idle_timeout {
        w.duration(24, idle);
    }
    if let Some(timeout) = limits.request_timeout {
        w.duration(28, timeout);
    }
    w.wrapped(29, limits.max_request_headers_kb);
}

fn write_connection_bounds(w: &mut Writer, manager: &HttpConnectionManager) {
    let (idle, duration) = (manager.idle_timeout, manager.max_connection_duration);
    let requests = manager.max_requests_per_connection;
    let fields = manager.limits.max_headers_count;
    if idle.is_none() && duration.is_none() && requests.is_none() && fields.is_none() {
        return;
    }
    w.message(35, |w| {
        if let Some(idle) = idle {
            w.duration(1, idle);
        }
        w.wrapped(2, fields);
        if let Some(duration) = duration {
            w.duration(3, duration);
        }
        w.wrapped(6, requests);
    });
}
