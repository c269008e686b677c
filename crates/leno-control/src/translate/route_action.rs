//! Actions: what a VirtualService's rule does with a request that matched.

use std::time::Duration;

use base64::Engine as _;
use leno_api::spec::virtual_service::{self as spec, HeaderEdits, HttpRoute, RouteDestination};
use leno_core::config::{
    ClusterSpecifier, DirectResponse, FaultAbort, FaultDelay, FaultInjection, Forward, Fraction,
    HeaderEdit, HeaderMutation, HeaderMutations, Mirror, PathRewrite, Redirect, RedirectPath,
    RouteAction, WeightedCluster,
};

use super::destination::Destinations;
use super::retry;

/// What the rule does, for calls through `port`.
pub(super) fn action(route: &HttpRoute, destinations: &Destinations, port: u16) -> RouteAction {
    if let Some(said) = &route.redirect {
        return RouteAction::Redirect(Box::new(redirect(said, port)));
    }
    if let Some(said) = &route.direct_response {
        return RouteAction::DirectResponse(direct_response(said));
    }
    RouteAction::Forward(Box::new(Forward {
        cluster: cluster(&route.route, destinations, port),
        timeout: route.timeout.filter(|timeout| !timeout.is_zero()),
        idle_timeout: None,
        retry_policy: retry::policy(route.retries.as_ref()),
        path_rewrite: route.rewrite.as_ref().and_then(path_rewrite).map(Box::new),
        host_rewrite: host_rewrite(route),
        mirrors: mirrors(route, destinations, port),
        websocket: None,
        connect: None,
        max_stream_duration: None,
        grpc_timeout: None,
    }))
}

/// To a service without any rule: no time-out, Istio's default retries.
pub(super) fn forward_to(cluster: String) -> RouteAction {
    RouteAction::Forward(Box::new(Forward {
        cluster: ClusterSpecifier::Cluster(cluster),
        timeout: None,
        idle_timeout: None,
        retry_policy: retry::policy(None),
        path_rewrite: None,
        host_rewrite: None,
        mirrors: Vec::new(),
        websocket: None,
        connect: None,
        max_stream_duration: None,
        grpc_timeout: None,
    }))
}

fn cluster(parts: &[RouteDestination], destinations: &Destinations, port: u16) -> ClusterSpecifier {
    if let [only] = parts
        && edits(&only.headers.request).is_empty()
        && edits(&only.headers.response).is_empty()
    {
        return ClusterSpecifier::Cluster(destinations.cluster(&only.destination, port));
    }
    let alone = parts.len() == 1;
    let weighted = parts.iter().filter(|part| alone || part.weight > 0);
    let weighted = weighted.map(|part| WeightedCluster {
        name: destinations.cluster(&part.destination, port),
        weight: if alone { 100 } else { part.weight },
        request_headers: edits(&part.headers.request),
        response_headers: edits(&part.headers.response),
    });
    ClusterSpecifier::Weighted(weighted.collect())
}

fn path_rewrite(rewrite: &spec::Rewrite) -> Option<PathRewrite> {
    if let Some(regex) = &rewrite.uri_regex_rewrite {
        return Some(PathRewrite::Regex {
            pattern: regex.pattern.clone(),
            substitution: regex.rewrite.clone(),
        });
    }
    (!rewrite.uri.is_empty()).then(|| PathRewrite::Prefix(rewrite.uri.clone()))
}

/// `rewrite.authority`, or a `Host` that the rule's header edits set.
fn host_rewrite(route: &HttpRoute) -> Option<String> {
    let rewritten = route.rewrite.as_ref().map(|rewrite| rewrite.authority.as_str());
    let rewritten = rewritten.filter(|authority| !authority.is_empty());
    let set = route.headers.request.set.iter().find(|(name, _)| is_authority(name));
    rewritten.or(set.map(|(_, value)| value.as_str())).map(str::to_owned)
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

/// Header edits without the host's, which is a rewrite.
pub(super) fn edits(said: &HeaderEdits) -> HeaderMutations {
    let mutation = |edit: HeaderEdit| {
        move |(name, value): (&String, &String)| HeaderMutation {
            name: name.to_ascii_lowercase(),
            value: value.clone(),
            edit,
        }
    };
    let set = said.set.iter().filter(|(name, _)| !is_authority(name));
    let set = set.map(mutation(HeaderEdit::Overwrite));
    let add = said.add.iter().map(mutation(HeaderEdit::Append));
    HeaderMutations::new(
        said.remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
        set.chain(add).collect(),
    )
}

fn mirrors(route: &HttpRoute, destinations: &Destinations, port: u16) -> Vec<Mirror> {
    let old =
        route.mirror_percent.map(|percent| Fraction { per_million: percent.min(100) * 10_000 });
    let share = route.mirror_percentage.or(old).unwrap_or(Fraction::ALWAYS);
    let single = route.mirror.iter().map(|destination| (destination, share));
    let several = route
        .mirrors
        .iter()
        .map(|mirror| (&mirror.destination, mirror.percentage.unwrap_or(Fraction::ALWAYS)));
    single
        .chain(several)
        .filter(|(_, fraction)| *fraction != Fraction::NEVER)
        .map(|(destination, fraction)| Mirror {
            cluster: destinations.cluster(destination, port),
            fraction,
        })
        .collect()
}

fn redirect(said: &spec::Redirect, port: u16) -> Redirect {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let derived = match said.derive_port {
        Some(spec::DerivePort::FromRequestPort) => Some(port),
        // The scheme's own port is what a client takes when the redirect names none.
        Some(spec::DerivePort::FromProtocolDefault) | None => None,
    };
    let prefix = || text(&said.prefix_rewrite).map(RedirectPath::Prefix);
    Redirect {
        scheme: text(&said.scheme),
        host: text(&said.authority),
        port: said.port.filter(|port| *port != 0).or(derived),
        path: text(&said.uri).map(RedirectPath::Full).or_else(prefix),
        status: if said.redirect_code == 0 { 301 } else { said.redirect_code },
        strip_query: false,
    }
}

fn direct_response(said: &spec::DirectResponse) -> DirectResponse {
    let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text).ok();
    let body = said.body.as_ref().and_then(|body| {
        let text = body.string.clone().map(String::into_bytes);
        text.or_else(|| body.bytes.as_ref().and_then(decode))
    });
    DirectResponse { status: said.status, body: body.unwrap_or_default() }
}

/// A fault without a share hits nobody, as in Istio.
pub(super) fn fault(said: &spec::Fault) -> Option<FaultInjection> {
    let delay = said.delay.as_ref().and_then(|delay| {
        let old = Fraction { per_million: delay.percent.min(100) * 10_000 };
        let fixed: Duration = delay.fixed_delay?;
        Some(FaultDelay { fixed, fraction: delay.percentage.unwrap_or(old) })
    });
    let abort = said.abort.as_ref().and_then(|abort| {
        let fraction = abort.percentage.unwrap_or(Fraction::NEVER);
        Some(FaultAbort { status: abort.http_status?, fraction })
    });
    let delay = delay.filter(|delay| delay.fraction != Fraction::NEVER);
    let abort = abort.filter(|abort| abort.fraction != Fraction::NEVER);
    (delay.is_some() || abort.is_some()).then_some(FaultInjection { delay, abort })
}
