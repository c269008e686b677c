//! The HTTP filters of a connection manager: one table of those that are known, by name and by type.

use leno_core::config::HttpFilter;

use super::super::{authorization, fault, value};
use crate::read::{Names, Reader};
use crate::wire::Writer;

/// Statistics, spans and the retry header check of the router.
const HARMLESS_ROUTER: &Names = &[
    (1, "dynamic_stats"),
    (2, "start_child_span"),
    (3, "upstream_log"),
    (7, "suppress_grpc_request_failure_code_stats"),
    (9, "upstream_log_options"),
];

/// Names and types of the filters; each with nothing set.
fn known_filters() -> [(&'static str, &'static str, HttpFilter); 6] {
    let check = HttpFilter::Authorization(Box::default());
    [
        (fault::FILTER, fault::TYPE, HttpFilter::Fault(None)),
        (authorization::FILTER, authorization::TYPE, check),
        ("istio.stats", "stats.PluginConfig", HttpFilter::IstioStats),
        ("istio.peer_metadata", "io.istio.http.peer_metadata.Config", HttpFilter::PeerMetadata),
        (
            "envoy.filters.http.dynamic_forward_proxy",
            "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
            HttpFilter::DynamicForwardProxy,
        ),
        (
            "envoy.filters.http.router",
            "envoy.extensions.filters.http.router.v3.Router",
            HttpFilter::Router,
        ),
    ]
}

/// Filters that do nothing unless a route says so (and then the route is refused), that only count, or that tell what
/// is told anyway: where a tunnel goes and whose it is (Istio's HBONE listeners).
const IDLE_FILTERS: [&str; 4] = [
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "envoy.extensions.filters.http.set_filter_state.v3.Config",
    "io.istio.http.connect_authority.Config",
];

/// One filter; `None` for what is left out. What the router says of Envoy's headers goes to `suppress_envoy_headers`.
pub(super) fn decode(
    r: &mut Reader<'_, '_>,
    suppress_envoy_headers: &mut bool,
) -> Option<HttpFilter> {
    let name = r.string(1, "name");
    let optional = r.bool(6, "is_optional");
    if r.bool(7, "disabled") {
        return disabled_filter(r, &name);
    }
    let filter = r.any(4, "typed_config", |kind, r| {
        let mut known = known_filters().into_iter();
        if let Some((.., filter)) = known.find(|(_, full_name, _)| *full_name == kind) {
            return Some(with_settings(filter, r, suppress_envoy_headers));
        }
        if optional || IDLE_FILTERS.contains(&kind) {
            r.leave_out("is not acted on");
        } else {
            r.problem(&format!("{kind} is not a supported HTTP filter"));
            r.skip();
        }
        None
    });
    filter.unwrap_or_else(|| {
        let found = known_filters().into_iter().find(|(known, ..)| *known == name);
        if found.is_none() {
            r.problem(&format!("\"{name}\" is not a supported HTTP filter"));
        }
        found.map(|(.., filter)| filter)
    })
}

/// The filter with what its configuration sets.
fn with_settings(
    filter: HttpFilter,
    r: &mut Reader<'_, '_>,
    suppress_envoy_headers: &mut bool,
) -> HttpFilter {
    match filter {
        HttpFilter::Fault(_) => {
            let own = fault::decode(r);
            let is_some = own.delay.is_some() || own.abort.is_some();
            return HttpFilter::Fault(is_some.then_some(own));
        }
        HttpFilter::Authorization(_) => {
            return HttpFilter::Authorization(Box::new(authorization::decode(r)));
        }
        HttpFilter::IstioStats | HttpFilter::PeerMetadata => r.skip(),
        HttpFilter::DynamicForwardProxy => value::dns_cache(r, 1),
        HttpFilter::Router => {
            r.harmless(HARMLESS_ROUTER);
            *suppress_envoy_headers = r.bool(4, "suppress_envoy_headers");
        }
    }
    filter
}

/// One that does nothing until a route says so; only the fault and the authorization filter can be told by a route.
fn disabled_filter(r: &mut Reader<'_, '_>, name: &str) -> Option<HttpFilter> {
    let kind = r.any(4, "typed_config", |kind, r| {
        r.skip();
        kind.to_owned()
    });
    if name == fault::FILTER || kind.as_deref() == Some(fault::TYPE) {
        return Some(HttpFilter::Fault(None));
    }
    if name == authorization::FILTER || kind.as_deref() == Some(authorization::TYPE) {
        return Some(HttpFilter::Authorization(Box::default()));
    }
    r.leave_out("is disabled");
    None
}

/// The same filter as it is written; `suppress_envoy_headers` is a field of the router.
pub(super) fn encode(w: &mut Writer, filter: &HttpFilter, suppress_envoy_headers: bool) {
    let is_it = |each: &HttpFilter| std::mem::discriminant(each) == std::mem::discriminant(filter);
    let found = known_filters().into_iter().find(|(.., each)| is_it(each));
    let (name, full_name, _) = found.expect("every HTTP filter is in the table");
    // A proxy that is not Istio's does not have these two, and may go without; it can print a typed struct.
    let is_istio = matches!(filter, HttpFilter::IstioStats | HttpFilter::PeerMetadata);
    w.string(1, name);
    if is_istio {
        w.any(4, "udpa.type.v1.TypedStruct", |w| {
            w.string(1, &format!("type.googleapis.com/{full_name}"));
        });
    } else {
        w.any(4, full_name, |w| match filter {
            HttpFilter::Fault(Some(own)) => fault::encode(w, own),
            HttpFilter::Authorization(own) => authorization::encode(w, own),
            HttpFilter::DynamicForwardProxy => value::write_dns_cache(w, 1),
            HttpFilter::Router => w.bool(4, suppress_envoy_headers),
            HttpFilter::Fault(None) | HttpFilter::IstioStats | HttpFilter::PeerMetadata => {}
        });
    }
    w.bool(6, is_istio);
}
