//! The routes of one virtual host: a VirtualService's rules in order, or the service itself.

use std::sync::Arc;

use leno_api::spec::virtual_service::{HttpMatch, HttpRoute, VirtualService};
use leno_core::config::{HeaderMutations, Route, RouteFault, RouteMatch};

use super::destination::Destinations;
use super::name;
use super::proxy::Proxy;
use super::route_action::{action, edits, fault, forward_to};
use super::route_match::{any_request, holds_for_caller, route_match, takes_everything};
use crate::scope::Scope;
use crate::world::Rule;

/// A VirtualService as one proxy sees it through one port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RuleInputs {
    rule: Arc<Rule<VirtualService>>,
    /// For each rule, for each of its matches (one for a rule without): whether it holds for the caller.
    applies: Vec<Vec<bool>>,
    destinations: Destinations,
}

impl RuleInputs {
    /// `None` when no rule can hold for calls of this proxy to this port.
    pub(super) fn new(
        rule: &Arc<Rule<VirtualService>>,
        scope: &Scope<'_>,
        proxy: &Proxy,
        port: u16,
    ) -> Option<Self> {
        let unconditional = [HttpMatch::default()];
        let of_route = |route: &HttpRoute| {
            let matches =
                if route.matches.is_empty() { &unconditional[..] } else { &route.matches };
            let holds = |one: &HttpMatch| holds_for_caller(&one.caller, &rule.spec, port, proxy);
            matches.iter().map(holds).collect::<Vec<bool>>()
        };
        let applies: Vec<Vec<bool>> = rule.spec.http.iter().map(of_route).collect();
        let some = applies.iter().flatten().any(|applies| *applies);
        let destinations = Destinations::new(rule, scope);
        some.then(|| Self { rule: rule.clone(), applies, destinations })
    }
}

/// The rules that hold, in order, up to the first that takes everything.
pub(super) fn of_rule(inputs: &RuleInputs, port: u16) -> Vec<Route> {
    let RuleInputs { rule, applies, destinations } = inputs;
    let mut routes: Vec<Route> = Vec::new();
    for (said, applies) in rule.spec.http.iter().zip(applies) {
        let matches: Vec<(&str, RouteMatch)> = if said.matches.is_empty() {
            vec![("", any_request())]
        } else {
            said.matches.iter().map(|one| (one.name.as_str(), route_match(one))).collect()
        };
        for ((match_name, route_match), _) in matches.into_iter().zip(applies).filter(|(_, a)| **a)
        {
            let last = takes_everything(&route_match);
            routes.push(Route {
                name: joined(&said.name, match_name),
                origin: Some(rule.origin()),
                route_match,
                action: action(said, destinations, port),
                request_headers: edits(&said.headers.request),
                response_headers: edits(&said.headers.response),
                fault: said.fault.as_ref().and_then(fault).map(Box::new).map(RouteFault::Inject),
                authorization: None,
            });
            if last {
                return routes;
            }
        }
    }
    routes
}

fn joined(route: &str, one: &str) -> String {
    match (route, one) {
        (route, "") => route.to_owned(),
        ("", one) => one.to_owned(),
        (route, one) => format!("{route}.{one}"),
    }
}

/// The service itself.
pub(super) fn to_service(host: &str, port: u16) -> Route {
    plain("default", forward_to(name::outbound_cluster(port, "", host)))
}

pub(super) fn plain(name: &str, action: leno_core::config::RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        origin: None,
        route_match: any_request(),
        action,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        fault: None,
        authorization: None,
    }
}
