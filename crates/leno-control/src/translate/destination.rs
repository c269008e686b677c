//! From a destination as a VirtualService names it to a cluster's name.

use std::collections::BTreeMap;

use leno_api::spec::virtual_service::{Destination, HttpRoute, TcpRoute, VirtualService};

use super::name;
use crate::scope::{Scope, fqdn};
use crate::world::Rule;

/// What is known about the services that one VirtualService sends to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destinations {
    /// Where short names are from.
    namespace: String,
    /// The only port of those that have one, by host.
    single_ports: BTreeMap<String, u16>,
}

impl Destinations {
    pub(super) fn new(rule: &Rule<VirtualService>, scope: &Scope<'_>) -> Self {
        let of_http = rule.spec.http.iter().flat_map(http_destinations);
        let of_tcp = rule.spec.tcp.iter().flat_map(tcp_destinations);
        let hosts = of_http.chain(of_tcp).map(|named| fqdn(&named.host, rule.namespace()));
        let single_ports = hosts.filter_map(|host| {
            let service = scope.service(&host)?;
            match service.ports.as_slice() {
                [port] => Some((host, port.number)),
                _ => None,
            }
        });
        Self { namespace: rule.namespace().to_owned(), single_ports: single_ports.collect() }
    }

    /// The cluster of a destination, called through `port`: the port it names, else its only one, else the caller's.
    pub(super) fn cluster(&self, destination: &Destination, port: u16) -> String {
        let host = fqdn(&destination.host, &self.namespace);
        let named = destination.port.map(|port| port.number).filter(|number| *number != 0);
        let port = named.or_else(|| self.single_ports.get(&host).copied()).unwrap_or(port);
        name::outbound_cluster(port, &destination.subset, &host)
    }
}

fn http_destinations(route: &HttpRoute) -> impl Iterator<Item = &Destination> {
    let weighted = route.route.iter().map(|part| &part.destination);
    weighted.chain(&route.mirror).chain(route.mirrors.iter().map(|mirror| &mirror.destination))
}

fn tcp_destinations(route: &TcpRoute) -> impl Iterator<Item = &Destination> {
    route.route.iter().map(|part| &part.destination)
}
