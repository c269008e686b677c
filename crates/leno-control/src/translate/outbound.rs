//! Outbound listeners: `virtualOutbound`, which captures; one per HTTP port; one per address and port for the rest.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use leno_core::config::{
    Address, ClusterSpecifier, FilterChain, FilterChainMatch, Listener, ListenerAddress,
    ListenerFilter, NetworkFilter, RouteSource, TrafficDirection, TransportProtocol,
};

use super::filter;
use super::name;
use super::proxy::{Proxy, Stacks};
use super::tcp::{TcpRoute, route};
use super::virtual_host::{http_ports, sniffed_name};
use crate::scope::Scope;
use crate::world::{Protocol, Service};

/// Everything that may influence an outbound listener, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ListenerInputs {
    /// Where captured connections arrive.
    Virtual { stacks: Stacks },
    /// Every address on a port.
    Wildcard {
        stacks: Stacks,
        port: u16,
        protocol: WildcardProtocol,
        /// Services without a virtual address, by the addresses they have.
        chains: Vec<AddressChain>,
    },
    /// One virtual address and port.
    Exact {
        address: SocketAddr,
        route: TcpRoute,
        /// The route configuration for connections that turn out to be HTTP.
        sniffed: Option<String>,
    },
}

/// Addresses, and where connections to them go.
type AddressChain = (Vec<IpNet>, TcpRoute);

/// What a connection is whose address no chain has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum WildcardProtocol {
    /// Routed by host.
    Http,
    /// A service that was given no address.
    Tcp(TcpRoute),
    /// Not of the mesh.
    Passthrough,
}

/// How long a connection may be silent before it is taken for one whose server speaks first.
const SNIFF_TIMEOUT: Duration = Duration::from_millis(500);
const DETECTABLE_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

pub(super) fn listeners(scope: &Scope<'_>, proxy: &Proxy) -> Vec<ListenerInputs> {
    let stacks = proxy.stacks;
    let mut inputs = vec![ListenerInputs::Virtual { stacks }];
    let mut wildcards: BTreeMap<u16, (WildcardProtocol, Vec<AddressChain>)> = http_ports(scope)
        .into_iter()
        .map(|port| (port, (WildcardProtocol::Http, vec![])))
        .collect();
    for service in scope.services() {
        for port in &service.ports {
            if port.protocol.is_http() || port.protocol == Protocol::Udp {
                continue;
            }
            let route = route(scope, proxy, service, port);
            let unknown = port.protocol == Protocol::Unknown;
            for address in service.virtual_ips() {
                inputs.push(ListenerInputs::Exact {
                    address: SocketAddr::new(address, port.number),
                    route: route.clone(),
                    sniffed: unknown.then(|| sniffed_name(service, port.number)),
                });
            }
            if service.virtual_ips().next().is_some() {
                continue;
            }
            let wildcard =
                wildcards.entry(port.number).or_insert((WildcardProtocol::Passthrough, vec![]));
            let addresses = addresses_of(scope, service, port.number);
            if !addresses.is_empty() {
                wildcard.1.push((addresses, route));
            } else if wildcard.0 == WildcardProtocol::Passthrough {
                wildcard.0 = WildcardProtocol::Tcp(route);
            }
        }
    }
    inputs.extend(wildcards.into_iter().map(|(port, (protocol, chains))| {
        ListenerInputs::Wildcard { stacks, port, protocol, chains }
    }));
    inputs.dedup_by(|a, b| address_of(a) == address_of(b));
    inputs
}

/// Networks of a service, or the addresses of its endpoints when it is headless.
fn addresses_of(scope: &Scope<'_>, service: &Service, port: u16) -> Vec<IpNet> {
    if !service.addresses.is_empty() {
        return service.addresses.clone();
    }
    let endpoints = scope.world().endpoints(service);
    let endpoints = endpoints.and_then(|endpoints| endpoints.by_port.get(&port));
    let address = |address: &Address| match address {
        Address::Socket(address) => Some(IpNet::from(address.ip())),
        Address::Host { .. } | Address::Pipe(_) | Address::Internal(_) => None,
    };
    endpoints.into_iter().flatten().filter_map(|endpoint| address(&endpoint.address)).collect()
}

fn address_of(inputs: &ListenerInputs) -> SocketAddr {
    match inputs {
        ListenerInputs::Virtual { stacks } => SocketAddr::new(stacks.any().0, name::OUTBOUND_PORT),
        ListenerInputs::Wildcard { stacks, port, .. } => SocketAddr::new(stacks.any().0, *port),
        ListenerInputs::Exact { address, .. } => *address,
    }
}

/// The same port of the other family, where a listener stands for every address and the workload has both.
pub(super) fn beside(stacks: Stacks, port: u16) -> Vec<ListenerAddress> {
    stacks.any().1.map(|other| SocketAddr::new(other, port).into()).into_iter().collect()
}

pub(super) fn translate(inputs: &ListenerInputs) -> Listener {
    let address = address_of(inputs);
    let name = format!("{}_{}", address.ip(), address.port());
    match inputs {
        ListenerInputs::Virtual { stacks } => {
            Listener { additional_addresses: beside(*stacks, address.port()), ..capture(address) }
        }
        ListenerInputs::Wildcard { stacks, port, protocol, chains } => {
            let rest = match protocol {
                WildcardProtocol::Http => http(&name, port.to_string()),
                WildcardProtocol::Tcp(route) => to(route),
                WildcardProtocol::Passthrough => filter::tcp_to(name::PASSTHROUGH),
            };
            let chains = chains.iter().map(|(addresses, route)| FilterChain {
                filter_chain_match: FilterChainMatch {
                    prefix_ranges: addresses.clone(),
                    ..FilterChainMatch::default()
                },
                ..chain(&stat_prefix(&route.cluster), to(route))
            });
            Listener {
                additional_addresses: beside(*stacks, *port),
                filter_chains: chains.collect(),
                default_filter_chain: Some(chain(&name, rest)),
                ..listener(name, address)
            }
        }
        ListenerInputs::Exact { route, sniffed, .. } => {
            let rest = Some(chain(&name, to(route)));
            let Some(routes) = sniffed else {
                return Listener { default_filter_chain: rest, ..listener(name, address) };
            };
            let http = FilterChain {
                filter_chain_match: FilterChainMatch {
                    transport_protocol: Some(TransportProtocol::RawBuffer),
                    application_protocols: DETECTABLE_HTTP.map(str::to_owned).to_vec(),
                    ..FilterChainMatch::default()
                },
                ..chain(&format!("{name}-http"), http(&name, routes.clone()))
            };
            Listener {
                listener_filters: vec![ListenerFilter::TlsInspector, ListenerFilter::HttpInspector],
                listener_filters_timeout: SNIFF_TIMEOUT,
                continue_on_listener_filters_timeout: true,
                filter_chains: vec![http],
                default_filter_chain: rest,
                ..listener(name, address)
            }
        }
    }
}

/// Takes what the redirect brings and hands it on; what nobody stands for goes where it was going.
fn capture(address: SocketAddr) -> Listener {
    let own_port =
        FilterChainMatch { destination_port: Some(address.port()), ..FilterChainMatch::default() };
    // A connection to the capture port itself would come round for ever.
    let loops = FilterChain {
        filter_chain_match: own_port,
        ..chain("virtualOutbound-blackhole", filter::tcp_to(name::BLACK_HOLE))
    };
    Listener {
        bind_to_port: true,
        use_original_dst: true,
        listener_filters: vec![ListenerFilter::OriginalDst],
        filter_chains: vec![loops],
        default_filter_chain: Some(chain(
            "virtualOutbound-catchall-tcp",
            filter::tcp_to(name::PASSTHROUGH),
        )),
        ..listener("virtualOutbound".to_owned(), address)
    }
}

pub(super) fn listener(name: String, address: SocketAddr) -> Listener {
    Listener {
        access_log: Vec::new(),
        name,
        address: address.into(),
        additional_addresses: Vec::new(),
        buffer_bytes: None,
        bind_to_port: false,
        use_original_dst: false,
        direction: TrafficDirection::Outbound,
        listener_filters: Vec::new(),
        listener_filters_timeout: Duration::from_secs(15),
        continue_on_listener_filters_timeout: false,
        filter_chains: Vec::new(),
        default_filter_chain: None,
    }
}

pub(super) fn chain(name: &str, filter: NetworkFilter) -> FilterChain {
    let filter_chain_match = FilterChainMatch::default();
    FilterChain { filter_chain_match, ..FilterChain::minimal(name, filter) }
}

fn http(listener: &str, routes: String) -> NetworkFilter {
    let stat_prefix = format!("outbound_{listener}");
    filter::http(stat_prefix, RouteSource::Rds(routes), TrafficDirection::Outbound)
}

fn to(route: &TcpRoute) -> NetworkFilter {
    filter::tcp(stat_prefix(&route.cluster), route.cluster.clone(), route.idle_timeout)
}

fn stat_prefix(cluster: &ClusterSpecifier) -> String {
    match cluster {
        ClusterSpecifier::Cluster(name) => name.clone(),
        ClusterSpecifier::Weighted(parts) => {
            parts.first().map(|part| part.name.clone()).unwrap_or_default()
        }
    }
}
