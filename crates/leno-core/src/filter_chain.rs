//! Which filter chain of a listener takes a connection.
//!
//! Envoy's rule: destination port, address, server name, transport protocol, application protocol, in this order; each
//! step keeps the chains that fit most specifically and never looks back at the others. No chain left: the default
//! filter chain, or the connection is closed.

mod compile;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::authorization::Authorization;
use crate::config::{self, TransportProtocol};
use crate::format::Format;
use crate::header_edit::HeaderEdits;
use crate::http_filter::Filter;
use crate::name::ResourceName;
use crate::route_table::{ClusterChoice, RouteTable};
use crate::string_match::StringMatcher;

/// A compiled [`config::Listener`].
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    source: Arc<config::Listener>,
    chains: Box<[Arc<FilterChain>]>,
    default_chain: Option<Arc<FilterChain>>,
}

/// One way to treat a connection.
#[derive(Debug)]
pub struct FilterChain {
    /// For logs and explanation.
    pub name: Arc<str>,
    /// TLS termination; `None` is plaintext.
    pub tls: Option<TlsTermination>,
    /// How many connections it takes; each of them, in order, before TLS.
    pub connection_limits: Box<[ConnectionLimit]>,
    /// Who may connect at all; each of them, in order, before `filter`.
    pub authorization: Box<[ConnectionAuthorization]>,
    /// What is done with the bytes.
    pub filter: NetworkFilter,
    applies: config::FilterChainMatch,
}

/// A compiled [`config::ConnectionAuthorization`].
#[derive(Debug)]
pub struct ConnectionAuthorization {
    /// What is checked.
    pub check: Authorization,
    /// Prefix in statistics.
    pub stat_prefix: Arc<str>,
    /// Prefix in the statistics of the rules that decide.
    pub rules_stat_prefix: Arc<str>,
    /// Prefix in the statistics of the shadow rules.
    pub shadow_rules_stat_prefix: Arc<str>,
}

/// A compiled [`config::ConnectionLimit`].
#[derive(Debug)]
pub struct ConnectionLimit {
    /// Prefix in statistics.
    pub stat_prefix: Arc<str>,
    /// How many connections may be open at once, over all workers.
    pub max_connections: usize,
    /// How long one beyond that is held before it is closed.
    pub delay: Option<Duration>,
    /// Whether it does anything.
    pub is_enabled: bool,
}

/// TLS towards the downstream.
#[derive(Debug)]
pub struct TlsTermination {
    /// As configured: names of secrets, ALPN, whether a certificate is required.
    pub settings: config::DownstreamTls,
    peer_sans: Box<[StringMatcher]>,
}

impl TlsTermination {
    /// Whether a peer with these URI SANs may connect; without a list every identity of the bundle may.
    pub fn accepts<'a>(&self, mut sans: impl Iterator<Item = &'a str>) -> bool {
        self.peer_sans.is_empty()
            || sans.any(|san| self.peer_sans.iter().any(|wanted| wanted.is_match(san.as_bytes())))
    }
}

/// The terminal network filter.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants hold documented types")]
pub enum NetworkFilter {
    Http(Arc<HttpManager>),
    Tcp(Arc<TcpProxy>),
}

/// A compiled [`config::HttpConnectionManager`].
#[derive(Debug)]
pub struct HttpManager {
    /// As configured.
    pub settings: config::HttpConnectionManager,
    /// Where requests find their route: [`crate::snapshot::Snapshot::routes`].
    pub routes: RouteSource,
    /// What a request passes, in this order; the last is the router.
    pub filters: Box<[Filter]>,
}

/// Where the routes of an [`HttpManager`] are.
#[derive(Debug)]
pub enum RouteSource {
    /// In the snapshot, under this name; a connection sees updates from its next request on.
    Rds(ResourceName),
    /// Written in place.
    Inline(Arc<RouteTable>),
}

/// A compiled [`config::TcpProxy`].
#[derive(Debug)]
pub struct TcpProxy {
    /// As configured.
    pub settings: config::TcpProxy,
    /// Which cluster the bytes go to.
    pub clusters: ClusterChoice,
    /// How a tunnel to the endpoint is asked for.
    pub tunneling: Option<Tunneling>,
}

/// A compiled [`config::Tunneling`].
#[derive(Debug)]
pub struct Tunneling {
    /// Host and port asked for.
    pub hostname: Format,
    /// Sent with the request.
    pub headers: HeaderEdits,
}

/// What is known of a connection when its filter chain is chosen.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts<'a> {
    /// The original destination.
    pub destination: SocketAddr,
    /// SNI of the ClientHello.
    pub server_name: Option<&'a str>,
    /// Whether the TLS inspector saw a ClientHello.
    pub transport: TransportProtocol,
    /// ALPN of the ClientHello in the client's order, or what the HTTP inspector saw.
    pub application_protocols: &'a [&'a [u8]],
}

impl Listener {
    /// Unique per proxy.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it was compiled from; settings that need no compiling are read here.
    #[must_use]
    pub fn source(&self) -> &Arc<config::Listener> {
        &self.source
    }

    /// Every filter chain in order; the default one is the last.
    pub fn filter_chains(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// The filter chain that takes the connection; `None` closes it (flag `NR`).
    #[must_use]
    pub fn choose(&self, connection: &ConnectionFacts<'_>) -> Option<&Arc<FilterChain>> {
        self.choose_specific(connection).or(self.default_chain.as_ref())
    }

    fn choose_specific(&self, connection: &ConnectionFacts<'_>) -> Option<&Arc<FilterChain>> {
        let ip = connection.destination.ip().to_canonical();
        let name = connection.server_name.unwrap_or("");
        let port = best(self.chains.iter(), |chain| chain.port_fit(connection.destination.port()))?;
        let chains = || self.chains.iter();
        let by_port =
            || chains().filter(|c| c.port_fit(connection.destination.port()) == Some(port));
        let address = best(by_port(), |chain| chain.address_fit(ip))?;
        let by_address = || by_port().filter(|c| c.address_fit(ip) == Some(address));
        let server = best(by_address(), |chain| chain.server_name_fit(name))?;
        let by_name = || by_address().filter(|c| c.server_name_fit(name) == Some(server));
        let transport = best(by_name(), |chain| chain.transport_fit(connection.transport))?;
        let by_transport =
            || by_name().filter(|c| c.transport_fit(connection.transport) == Some(transport));
        let protocols = connection.application_protocols;
        let protocol = best(by_transport(), |chain| chain.protocol_fit(protocols))?;
        by_transport().find(|chain| chain.protocol_fit(protocols) == Some(protocol))
    }
}

/// The best fit among chains; `None` if none fits at all.
fn best<'a>(
    chains: impl Iterator<Item = &'a Arc<FilterChain>>,
    fit: impl Fn(&FilterChain) -> Option<usize>,
) -> Option<usize> {
    chains.filter_map(|chain| fit(chain)).max()
}

/// How specifically a chain fits, step by step: `None` is not at all, 0 is "matches anything", more is better.
impl FilterChain {
    fn port_fit(&self, port: u16) -> Option<usize> {
        match self.applies.destination_port {
            None => Some(0),
            Some(wanted) => (wanted == port).then_some(1),
        }
    }

    fn address_fit(&self, ip: IpAddr) -> Option<usize> {
        if self.applies.prefix_ranges.is_empty() {
            return Some(0);
        }
        let ranges = self.applies.prefix_ranges.iter();
        ranges
            .filter(|range| range.contains(&ip))
            .map(|range| usize::from(range.prefix_len()))
            .max()
    }

    fn server_name_fit(&self, name: &str) -> Option<usize> {
        if self.applies.server_names.is_empty() {
            return Some(0);
        }
        let fit = |wanted: &String| match wanted.strip_prefix('*') {
            // `*.example.com`: at least one label in front, and a longer suffix is more specific.
            Some(suffix) => {
                let start = name.len().checked_sub(suffix.len()).filter(|&start| start > 0)?;
                name.get(start..)?.eq_ignore_ascii_case(suffix).then_some(suffix.len())
            }
            None => name.eq_ignore_ascii_case(wanted).then_some(usize::MAX),
        };
        self.applies.server_names.iter().filter_map(fit).max()
    }

    fn transport_fit(&self, transport: TransportProtocol) -> Option<usize> {
        match self.applies.transport_protocol {
            None => Some(0),
            Some(wanted) => (wanted == transport).then_some(1),
        }
    }

    fn protocol_fit(&self, offered: &[&[u8]]) -> Option<usize> {
        let wanted = &self.applies.application_protocols;
        if wanted.is_empty() {
            return Some(0);
        }
        // The client's earlier offers count more.
        let is_wanted = |offer: &&[u8]| wanted.iter().any(|w| w.as_bytes() == *offer);
        offered.iter().position(is_wanted).map(|position| offered.len() - position)
    }
}
