//! `envoy.config.listener.v3.Listener` and what hangs on it.

use std::fmt;
use std::net::{SocketAddr, SocketAddrV6};
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::{AccessLog, HttpConnectionManager, StringMatch};

/// Where a proxy accepts connections, and how it treats them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// Unique per proxy; `virtualOutbound` and `virtualInbound` are Istio's names for the captured ones.
    pub name: String,
    /// The address bound, or, with `bind_to_port: false`, the original destination it stands for
    /// (`0.0.0.0:9080` stands for every destination on port 9080).
    pub address: ListenerAddress,
    /// Where it is bound too, each with a socket of its own (`additional_addresses`).
    pub additional_addresses: Vec<ListenerAddress>,
    /// How many bytes are held of what a connection brings, softly: the piece that reaches it is still read
    /// (`per_connection_buffer_limit_bytes`). `None` leaves it to the proxy's own limits, which hold anyway.
    pub buffer_bytes: Option<u32>,
    /// Whether a socket is bound; otherwise connections come only from a listener with `use_original_dst`.
    pub bind_to_port: bool,
    /// Hand the connection to the listener that stands for its original destination; stay if there is none.
    pub use_original_dst: bool,
    /// Which side of the workload this is.
    pub direction: TrafficDirection,
    /// What is looked at before a filter chain is chosen, in order.
    pub listener_filters: Vec<ListenerFilter>,
    /// How long the listener filters may wait for bytes; zero waits for ever. Default 15 s.
    pub listener_filters_timeout: Duration,
    /// On a listener filter time-out go on without the answer instead of closing.
    pub continue_on_listener_filters_timeout: bool,
    /// The most specific match is taken (Envoy's order: port, address, server names, transport, ALPN).
    pub filter_chains: Vec<FilterChain>,
    /// Taken when no chain matches; without it the connection is closed.
    pub default_filter_chain: Option<FilterChain>,
    /// Where the records of connections go that no filter chain takes or whose handshake fails; empty is where its filter
    /// chains' records go.
    pub access_log: Vec<AccessLog>,
}

impl Listener {
    /// Every address, the first one first.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenerAddress> {
        std::iter::once(&self.address).chain(&self.additional_addresses)
    }
}

/// Where a listener gets its connections from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum ListenerAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// An IPv6 address and port where IPv4 connections are taken too (`ipv4_compat`): `[::]:80` stands for every address
    /// of either family.
    DualStack {
        /// The IPv6 address.
        dual_stack: SocketAddrV6,
    },
    /// A Unix domain socket (`address.pipe`). A socket that is already at the path is replaced.
    Pipe {
        /// Where it is.
        path: String,
        /// Permission bits of the socket's file; 0 leaves what the process's mask makes of them.
        mode: u32,
    },
    /// No socket at all: connections come from this proxy's own clusters (`internal_listener`).
    Internal,
}

impl ListenerAddress {
    /// The IP address and port, if it has one.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(address) => Some(*address),
            Self::DualStack { dual_stack } => Some((*dual_stack).into()),
            Self::Pipe { .. } | Self::Internal => None,
        }
    }
}

impl From<SocketAddr> for ListenerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::DualStack { dual_stack } => dual_stack.fmt(f),
            Self::Pipe { path, .. } => f.write_str(path),
            Self::Internal => f.write_str("internal"),
        }
    }
}

/// `envoy.config.core.v3.TrafficDirection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "Envoy's words")]
pub enum TrafficDirection {
    Unspecified,
    Inbound,
    Outbound,
}

/// What is read from a connection before its filter chain is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum ListenerFilter {
    /// Recover the destination the client dialled (`SO_ORIGINAL_DST`).
    OriginalDst,
    /// Peek a ClientHello: transport protocol, SNI, ALPN.
    TlsInspector,
    /// Peek plaintext bytes: `http/1.0`, `http/1.1` or `h2c` as application protocol.
    HttpInspector,
    /// Read a PROXY protocol header, before all else: the peer and the destination are those it names.
    ProxyProtocol {
        /// Take connections that begin with something else (`allow_requests_without_proxy_protocol`).
        allow_missing: bool,
    },
}

/// One way to treat a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FilterChain {
    /// For logs and explanation.
    pub name: String,
    /// When this chain is taken.
    pub filter_chain_match: FilterChainMatch,
    /// TLS termination; `None` is plaintext.
    pub tls: Option<DownstreamTls>,
    /// How many connections it takes; each of them, in order, before TLS.
    pub connection_limits: Vec<ConnectionLimit>,
    /// Who may connect at all; each of them, in order, before `filter`.
    pub authorization: Vec<super::ConnectionAuthorization>,
    /// What is done with the bytes.
    pub filter: NetworkFilter,
}

/// `envoy.filters.network.connection_limit`: what is beyond it is closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectionLimit {
    /// Prefix in statistics.
    pub stat_prefix: String,
    /// How many connections may be open at once, over all workers.
    pub max_connections: u64,
    /// How long one beyond that is held, unserved, before it is closed; `None` is not at all.
    pub delay: Option<Duration>,
    /// Whether it does anything (`runtime_enabled`).
    pub is_enabled: bool,
}

/// Every listed field must match; an empty field matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct FilterChainMatch {
    /// The original destination's port.
    pub destination_port: Option<u16>,
    /// The original destination's address; the longest prefix wins.
    pub prefix_ranges: Vec<IpNet>,
    /// Seen by the TLS inspector.
    pub transport_protocol: Option<TransportProtocol>,
    /// ALPN of the ClientHello, or what the HTTP inspector saw.
    pub application_protocols: Vec<String>,
    /// SNI; `*.example.com` is a suffix wildcard.
    pub server_names: Vec<String>,
}

/// `FilterChainMatch.transport_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum TransportProtocol {
    /// `tls`
    Tls,
    /// `raw_buffer`
    RawBuffer,
}

/// `DownstreamTlsContext`, certificates named as SDS secrets (`default` is the proxy's own SVID, `ROOTCA` the bundle).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DownstreamTls {
    /// Refuse a client without a certificate.
    pub require_client_certificate: bool,
    /// Secret with our certificate and key.
    pub certificate: String,
    /// Secret with the trust bundle peers are verified with.
    pub trust_bundle: Option<String>,
    /// URI SANs the peer may have; empty accepts every identity of the bundle.
    pub peer_sans: Vec<StringMatch>,
    /// ALPN offered, most preferred first.
    pub alpn: Vec<String>,
    /// Which versions are spoken.
    pub versions: TlsVersions,
}

/// `TlsParameters`: the versions a handshake may agree on, both included. Older ones than these are never spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TlsVersions {
    /// `tls_minimum_protocol_version`; default TLS 1.2.
    pub min: TlsVersion,
    /// `tls_maximum_protocol_version`; default TLS 1.3.
    pub max: TlsVersion,
}

impl Default for TlsVersions {
    fn default() -> Self {
        Self { min: TlsVersion::V12, max: TlsVersion::V13 }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246)
    V12,
    /// TLS 1.3 (RFC 8446)
    V13,
}

/// The terminal network filter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the variants hold documented types")]
pub enum NetworkFilter {
    Http(Box<HttpConnectionManager>),
    Tcp(TcpProxy),
}

/// `envoy.filters.network.tcp_proxy`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct TcpProxy {
    /// Prefix in statistics.
    pub stat_prefix: String,
    /// The cluster bytes go to, or several with weights.
    pub cluster: super::ClusterSpecifier,
    /// Close when no byte moved for this long; `None` is one hour.
    pub idle_timeout: Option<Duration>,
    /// A connection this old is closed (`max_downstream_connection_duration`); `None` never.
    pub max_connection_duration: Option<Duration>,
    /// Endpoints tried until one takes the connection; at least 1, which is the default.
    pub max_connect_attempts: u32,
    /// Send the bytes through a CONNECT request to the endpoint (`tunneling_config`).
    pub tunneling: Option<Tunneling>,
    /// Where records go.
    pub access_log: Vec<AccessLog>,
}

/// `TcpProxy.TunnelingConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tunneling {
    /// Host and port asked for; may have command operators (`%DOWNSTREAM_LOCAL_ADDRESS%`).
    pub hostname: String,
    /// Sent with the request (`headers_to_add`).
    pub headers: super::HeaderMutations,
}
