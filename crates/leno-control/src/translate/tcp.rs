//! TCP: where a connection to a service's port goes.

use std::time::Duration;

use leno_api::spec::virtual_service::CallerMatch;
use leno_core::config::{ClusterSpecifier, HeaderMutations, WeightedCluster};

use super::destination::Destinations;
use super::name;
use super::policy::resolve;
use super::proxy::Proxy;
use super::route_match::holds_for_caller;
use crate::scope::Scope;
use crate::world::{Port, Service};

/// Where connections to one port of one service go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TcpRoute {
    pub(super) cluster: ClusterSpecifier,
    pub(super) idle_timeout: Option<Duration>,
}

/// The first rule that holds for the caller, else the service itself.
pub(super) fn route(scope: &Scope<'_>, proxy: &Proxy, service: &Service, port: &Port) -> TcpRoute {
    let rules = scope.destination_rules(service, &proxy.labels);
    let policies = resolve(&rules, port.number);
    let pool = policies.first().and_then(|(_, policy)| policy.settings.connection_pool.as_ref());
    TcpRoute {
        cluster: of_rules(scope, proxy, service, port).unwrap_or_else(|| {
            ClusterSpecifier::Cluster(name::outbound_cluster(port.number, "", &service.host))
        }),
        idle_timeout: pool.and_then(|pool| pool.tcp.idle_timeout),
    }
}

fn of_rules(
    scope: &Scope<'_>,
    proxy: &Proxy,
    service: &Service,
    port: &Port,
) -> Option<ClusterSpecifier> {
    let rule = scope.virtual_service(&service.host)?;
    let holds = |one: &CallerMatch| holds_for_caller(one, &rule.spec, port.number, proxy);
    let said = rule.spec.tcp.iter().find(|route| {
        let unconditional = route.matches.is_empty() && holds(&CallerMatch::default());
        unconditional || route.matches.iter().any(holds)
    })?;
    let destinations = Destinations::new(rule, scope);
    if let [only] = said.route.as_slice() {
        let name = destinations.cluster(&only.destination, port.number);
        return Some(ClusterSpecifier::Cluster(name));
    }
    let weighted = said.route.iter().filter(|part| part.weight > 0).map(|part| WeightedCluster {
        name: destinations.cluster(&part.destination, port.number),
        weight: part.weight,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
    });
    Some(ClusterSpecifier::Weighted(weighted.collect()))
}
