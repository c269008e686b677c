//! Why a call goes where it goes: the functions of the request path, with their answers written down.
//!
//! `leno why` and the portal print a [`Decision`]; tables pin it. What is random on the request path (weights, fault,
//! mirrors) appears here as shares.

mod decision;
mod render;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use decision::{
    ClusterShare, Decision, Entry, FaultShares, ForwardOutcome, Outcome, PassedOver, RouteRef,
};

use crate::config::{TrafficDirection, TransportProtocol};
use crate::filter_chain::{ConnectionFacts, FilterChain, HttpManager, Listener, NetworkFilter};
use crate::format::{Exchange, Operator};
use crate::header_edit::HeadersMut;
use crate::http_filter::{Filter, RouteFault};
use crate::reply::{Failure, Side};
use crate::request::{Call, RequestView};
use crate::retry::Idempotence;
use crate::route_table::{
    Action, ClusterChoice, Forward, Matched, NotRouted, RouteEntry, RouteTable,
};
use crate::snapshot::Snapshot;

/// Routes that were passed over are listed up to this many.
const PASSED_OVER_MAX: usize = 50;

/// Follows a call through the snapshot.
#[must_use]
pub fn explain(snapshot: &Snapshot, entry: Entry<'_>, call: &Call) -> Decision {
    let mut decision = Decision {
        listener: None,
        filter_chain: None,
        route_configuration: None,
        virtual_host: None,
        passed_over: Vec::new(),
        route: None,
        fault: None,
        outcome: failure(Failure::FilterChainNotFound, Side::Outbound),
    };
    match entry {
        Entry::RouteConfiguration(name) => {
            decision.route_configuration = Some(name.to_owned());
            let table = snapshot.route_tables().iter().find(|table| table.name().as_str() == name);
            let table = table.map(|table| &**table);
            decide_routes((snapshot, None, table), Side::Outbound, call, &mut decision);
        }
        Entry::Destination(destination) => {
            let listener = snapshot
                .listener_for(destination)
                .or_else(|| snapshot.listeners().iter().find(|l| l.source().use_original_dst));
            decide_listener(snapshot, listener.map(|l| &**l), destination, call, &mut decision);
        }
        Entry::Listener(name, destination) => {
            let listener = snapshot.listener(name);
            decide_listener(snapshot, listener.map(|l| &**l), destination, call, &mut decision);
        }
    }
    decision
}

fn decide_listener(
    snapshot: &Snapshot,
    listener: Option<&Listener>,
    destination: SocketAddr,
    call: &Call,
    decision: &mut Decision,
) {
    let Some(listener) = listener else { return };
    decision.listener = Some(listener.name().to_string());
    let side = match listener.source().direction {
        TrafficDirection::Inbound => Side::Inbound,
        TrafficDirection::Outbound | TrafficDirection::Unspecified => Side::Outbound,
    };
    let Some(chain) = choose_chain(listener, destination, call) else { return };
    decision.filter_chain = Some(chain.name.to_string());
    match &chain.filter {
        NetworkFilter::Tcp(proxy) => {
            let clusters = shares(snapshot, &proxy.clusters, |_| Vec::new());
            decision.outcome = Outcome::Tcp { clusters };
        }
        NetworkFilter::Http(manager) => {
            let table = snapshot.routes(&manager.routes).map(|table| &**table);
            decision.route_configuration = Some(match &manager.routes {
                crate::filter_chain::RouteSource::Rds(name) => name.to_string(),
                crate::filter_chain::RouteSource::Inline(table) => table.name().to_string(),
            });
            decide_routes((snapshot, Some(manager), table), side, call, decision);
        }
    }
}

/// What a client of the mesh offers over TLS, in its order.
const MESH_PROTOCOLS: [&[u8]; 3] = [b"istio-http/1.1", b"istio", b"http/1.1"];

/// The chain for a plaintext HTTP/1.1 connection, or for TLS with the authority as server name; TLS that arrives at the
/// workload comes from a proxy of the mesh.
fn choose_chain<'l>(
    listener: &'l Listener,
    destination: SocketAddr,
    call: &Call,
) -> Option<&'l FilterChain> {
    let is_tls = call.scheme == "https";
    let host = call.authority.split(':').next();
    let is_inbound = listener.source().direction == TrafficDirection::Inbound;
    let protocols: &[&[u8]] =
        if is_tls && is_inbound { &MESH_PROTOCOLS } else { &MESH_PROTOCOLS[2..] };
    let facts = ConnectionFacts {
        destination,
        server_name: host.filter(|_| is_tls),
        transport: if is_tls { TransportProtocol::Tls } else { TransportProtocol::RawBuffer },
        application_protocols: protocols,
    };
    listener.choose(&facts).map(|chain| &**chain)
}

fn decide_routes(
    (snapshot, manager, table): (&Snapshot, Option<&HttpManager>, Option<&RouteTable>),
    side: Side,
    call: &Call,
    decision: &mut Decision,
) {
    let Some(table) = table else {
        decision.outcome = failure(Failure::RouteConfigurationNotFound, side);
        return;
    };
    let host = table.virtual_host(call);
    decision.virtual_host = host.map(|host| host.name.to_string());
    let routed = table.route(call);
    let end = routed.as_ref().map_or(usize::MAX, |matched| matched.position);
    let routes = host.map(|host| host.routes()).unwrap_or_default().iter().enumerate().take(end);
    decision.passed_over = routes
        .filter_map(|(position, route)| {
            let route_ref = RouteRef {
                position,
                name: route.name.to_string(),
                origin: route.origin.as_deref().map(str::to_owned),
            };
            Some(PassedOver { route: route_ref, missed: route.mismatch(call)? })
        })
        .take(PASSED_OVER_MAX)
        .collect();
    match routed {
        Err(NotRouted::NoVirtualHost | NotRouted::NoRoute(_)) => {
            decision.fault = fault_shares(manager, None);
            decision.outcome = failure(Failure::RouteNotFound, side);
        }
        Ok(matched) => {
            decision.fault = fault_shares(manager, Some(matched.route));
            decide_action(snapshot, &matched, call, decision);
        }
    }
}

/// What the fault filters inject, the first that has anything to say; without a listener, what the route says.
fn fault_shares(manager: Option<&HttpManager>, route: Option<&RouteEntry>) -> Option<FaultShares> {
    let filters = manager.map(|manager| manager.filters.iter());
    let fault = match filters {
        Some(mut filters) => filters.find_map(|filter| match filter {
            Filter::Fault(filter) => filter.of(route),
            Filter::Authorization(_)
            | Filter::PeerMetadata
            | Filter::Stats
            | Filter::DynamicForwardProxy
            | Filter::Router => None,
        }),
        None => route.and_then(|route| match route.fault.as_ref()? {
            RouteFault::Inject(fault) => Some(&**fault),
            RouteFault::Disabled => None,
        }),
    }?;
    Some(FaultShares {
        delay: fault.delay().map(|(length, share)| (millis(length), share.per_million)),
        abort: fault.abort().map(|(status, share)| (status, share.per_million)),
    })
}

fn decide_action(snapshot: &Snapshot, matched: &Matched<'_>, call: &Call, decision: &mut Decision) {
    let route = matched.route;
    decision.route = Some(RouteRef {
        position: matched.position,
        name: route.name.to_string(),
        origin: route.origin.as_deref().map(str::to_owned),
    });
    decision.outcome = match &route.action {
        Action::Forward(forward) => {
            Outcome::Forward(Box::new(forward_outcome(snapshot, matched, forward, call)))
        }
        Action::Redirect(redirect) => Outcome::Redirect {
            status: redirect.status(),
            location: text(&matched.redirect_location(redirect, call)),
        },
        Action::DirectResponse(response) => {
            Outcome::DirectResponse { status: response.status, body_bytes: response.body.len() }
        }
    };
}

fn forward_outcome(
    snapshot: &Snapshot,
    matched: &Matched<'_>,
    forward: &Forward,
    call: &Call,
) -> ForwardOutcome {
    let path = matched.rewritten_path(call);
    let mirrors = forward.mirrors.iter();
    ForwardOutcome {
        clusters: shares(snapshot, &forward.clusters, |position| {
            let mut edits = Recorder::default();
            matched.edit_request(Some(&forward.clusters.targets()[position]), &mut edits);
            edits.0
        }),
        path: path.map_or_else(|| call.path.clone(), |path| text(&path)),
        authority: matched.rewritten_host().unwrap_or(&call.authority).to_owned(),
        timeout_ms: forward.timeout.map(millis),
        idle_timeout_ms: forward.idle_timeout.map(millis),
        retries: forward.retry.as_ref().map_or(0, |policy| policy.num_retries),
        per_try_timeout_ms: forward
            .retry
            .as_ref()
            .and_then(|policy| policy.per_try_timeout)
            .map(millis),
        is_idempotent: Idempotence::of_method(call.method()) == Idempotence::Idempotent,
        mirrors: mirrors.map(|m| (m.cluster.to_string(), m.fraction.per_million)).collect(),
    }
}

fn shares(
    snapshot: &Snapshot,
    choice: &ClusterChoice,
    edits: impl Fn(usize) -> Vec<String>,
) -> Vec<ClusterShare> {
    let total = choice.total_weight().max(1);
    let share = |(position, target): (usize, &crate::route_table::ClusterTarget)| {
        let known = snapshot.cluster_id(&target.cluster).map(|id| snapshot.cluster(id));
        let per_million = u64::from(target.weight) * 1_000_000 / total;
        ClusterShare {
            name: target.cluster.to_string(),
            per_million: u32::try_from(per_million).unwrap_or(1_000_000),
            is_known: known.is_some(),
            origin: known.and_then(|cluster| cluster.source().origin.clone()),
            request_edits: edits(position),
        }
    };
    choice.targets().iter().enumerate().map(share).collect()
}

/// Writes edits down instead of making them.
#[derive(Default)]
struct Recorder(Vec<String>);

/// What an exchange would fill in stays as it is written.
impl Exchange for Recorder {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        out.extend_from_slice(operator.to_string().as_bytes());
    }
}

impl HeadersMut for Recorder {
    fn contains(&self, _name: &str) -> bool {
        false
    }

    fn remove(&mut self, name: &str) {
        self.0.push(format!("remove {name}"));
    }

    fn append(&mut self, name: &str, value: &[u8]) {
        self.0.push(format!("add {name}: {}", text(value)));
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        self.0.push(format!("set {name}: {}", text(value)));
    }
}

fn failure(failure: Failure, side: Side) -> Outcome {
    let reaction = failure.reaction();
    Outcome::Failure {
        status: reaction.status,
        flag: reaction.flag.to_owned(),
        detail: reaction.detail.to_owned(),
        blame: reaction.blame(side).as_str().to_owned(),
    }
}

fn millis(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
