//! `envoy.config.listener.v3.Listener`.

use std::net::SocketAddr;
use std::time::Duration;

use leno_core::config::{
    Address, FilterChain, FilterChainMatch, Listener, ListenerAddress, ListenerFilter,
    NetworkFilter, TrafficDirection, TransportProtocol,
};

use super::address::Binding;
use super::{access_log, address, authorization, connection_limit, network_filter, tls, value};
use crate::read::{Field, Names, Reader, exactly};
use crate::wire::Writer;

/// Names in statistics and socket tuning.
const HARMLESS: &Names = &[
    (6, "metadata"),
    (8, "drain_type"),
    (12, "tcp_fast_open_queue_length"),
    (20, "connection_balance_config"),
    (21, "reuse_port"),
    (24, "tcp_backlog_size"),
    (28, "stat_prefix"),
    (29, "enable_reuse_port"),
    (31, "ignore_global_conn_limit"),
    (34, "max_connections_to_accept_per_socket_event"),
    (35, "bypass_overload_manager"),
    (37, "tcp_keepalive"),
];
const HARMLESS_CHAIN: &Names = &[(5, "metadata"), (9, "transport_socket_connect_timeout")];

const DEFAULT_FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

const DIRECTIONS: [(u32, &str, TrafficDirection); 3] = [
    (0, "UNSPECIFIED", TrafficDirection::Unspecified),
    (1, "INBOUND", TrafficDirection::Inbound),
    (2, "OUTBOUND", TrafficDirection::Outbound),
];

const PROXY_PROTOCOL: &str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

const LISTENER_FILTERS: [(&str, &str, ListenerFilter); 4] = [
    (
        "envoy.filters.listener.original_dst",
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        ListenerFilter::OriginalDst,
    ),
    (
        "envoy.filters.listener.tls_inspector",
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        ListenerFilter::TlsInspector,
    ),
    (
        "envoy.filters.listener.http_inspector",
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
        ListenerFilter::HttpInspector,
    ),
    (
        "envoy.filters.listener.proxy_protocol",
        PROXY_PROTOCOL,
        ListenerFilter::ProxyProtocol { allow_missing: false },
    ),
];

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> Listener {
    r.harmless(HARMLESS);
    let old_bind = r.message(7, "deprecated_v1", |r| r.wrapped_bool(1, "bind_to_port")).flatten();
    let filters_timeout = r.duration(15, "listener_filters_timeout");
    let (address, additional_addresses) = (address(r), additional_addresses(r));
    if address == ListenerAddress::Internal && !additional_addresses.is_empty() {
        r.problem_at("additional_addresses", "a listener without a socket has none");
    }
    Listener {
        name: r.string(1, "name"),
        address,
        additional_addresses,
        buffer_bytes: r.wrapped_u32(5, "per_connection_buffer_limit_bytes"),
        bind_to_port: r.wrapped_bool(26, "bind_to_port").or(old_bind).unwrap_or(true),
        use_original_dst: r.wrapped_bool(4, "use_original_dst").unwrap_or(false),
        direction: r
            .choice(16, "traffic_direction", &DIRECTIONS)
            .unwrap_or(TrafficDirection::Unspecified),
        listener_filters: r.each(9, "listener_filters", |f| f.message(listener_filter).flatten()),
        listener_filters_timeout: filters_timeout.unwrap_or(DEFAULT_FILTERS_TIMEOUT),
        continue_on_listener_filters_timeout: r.bool(17, "continue_on_listener_filters_timeout"),
        filter_chains: r.each(3, "filter_chains", |f| f.message(filter_chain).flatten()),
        default_filter_chain: r.message(25, "default_filter_chain", filter_chain).flatten(),
        access_log: r.each(22, "access_log", access_log::decode),
    }
}

fn address(r: &mut Reader<'_, '_>) -> ListenerAddress {
    let address = r.message(2, "address", bound);
    let is_internal = r.message(27, "internal_listener", |_| ()).is_some();
    match address {
        None if is_internal => return ListenerAddress::Internal,
        Some(address) if !is_internal => return address.unwrap_or_else(nowhere),
        None => r.problem_at("address", "is missing"),
        Some(_) => r.problem_at("address", "a listener without a socket has none"),
    }
    nowhere()
}

/// Stands in where an address was wrong; the problem is reported.
fn nowhere() -> ListenerAddress {
    SocketAddr::from(([0, 0, 0, 0], 0)).into()
}

/// The addresses beside the first one. What is said of their sockets alone is tuning.
fn additional_addresses(r: &mut Reader<'_, '_>) -> Vec<ListenerAddress> {
    let more = r.messages(33, "additional_addresses", |r| {
        r.harmless(&[(2, "socket_options"), (3, "tcp_keepalive")]);
        let address = r.message(1, "address", bound);
        if address.is_none() {
            r.problem_at("address", "is missing");
        }
        address.flatten()
    });
    exactly(more.into_iter().flatten())
}

/// An address to bind; `None` where it is none, which is reported.
fn bound(r: &mut Reader<'_, '_>) -> Option<ListenerAddress> {
    let Binding { address, mode, ipv4_compat } = address::decode_binding(r);
    match address {
        // Where IPv4 is meant anyway, there is nothing to be compatible with.
        Address::Socket(SocketAddr::V6(dual_stack)) if ipv4_compat => {
            return Some(ListenerAddress::DualStack { dual_stack });
        }
        Address::Socket(address) => return Some(address.into()),
        Address::Pipe(path) => {
            return Some(ListenerAddress::Pipe { path, mode: mode.unwrap_or_default() });
        }
        Address::Host { name, .. } => r.problem(&format!("\"{name}\" is not an IP address")),
        Address::Internal(_) => {
            r.problem("a listener without a socket has internal_listener instead")
        }
    }
    None
}

fn listener_filter(r: &mut Reader<'_, '_>) -> Option<ListenerFilter> {
    // Looking at the first bytes where it was not asked for delays nothing but server-first protocols, and those no
    // longer than the filters' time-out.
    r.harmless(&[(4, "filter_disabled")]);
    let name = r.string(1, "name");
    let mut allow_missing = false;
    let kind = r.any(3, "typed_config", |kind, r| {
        if kind == PROXY_PROTOCOL {
            r.harmless(&[(5, "stat_prefix")]);
            allow_missing = r.bool(2, "allow_requests_without_proxy_protocol");
        } else {
            // Fingerprints and buffer sizes: nothing that a filter chain matches.
            r.skip();
        }
        kind.to_owned()
    });
    let found = LISTENER_FILTERS.iter().find(|(known, full_name, _)| match &kind {
        Some(kind) => kind == full_name,
        None => *known == name,
    });
    if found.is_none() {
        let kind = kind.unwrap_or(name);
        r.problem(&format!("{kind} is not a supported listener filter"));
    }
    found.map(|(.., filter)| match filter {
        ListenerFilter::ProxyProtocol { .. } => ListenerFilter::ProxyProtocol { allow_missing },
        other => *other,
    })
}

fn filter_chain(r: &mut Reader<'_, '_>) -> Option<FilterChain> {
    r.harmless(HARMLESS_CHAIN);
    let mut before = network_filter::Before::default();
    let mut filters =
        r.each(3, "filters", |f| f.message(|r| network_filter::decode(r, &mut before)).flatten());
    let chain_match = r.message(1, "filter_chain_match", chain_match);
    let tls = r.message(6, "transport_socket", tls::downstream).flatten();
    let name = r.string(7, "name");
    let filter = filters.pop();
    if filter.is_none() || !filters.is_empty() {
        r.problem_at("filters", "exactly one connection manager or TCP proxy is expected");
    }
    let filter: NetworkFilter = filter?;
    let filter_chain_match = chain_match.unwrap_or_default();
    let network_filter::Before { connection_limits, authorization } = before;
    Some(FilterChain { name, filter_chain_match, tls, connection_limits, authorization, filter })
}

fn chain_match(r: &mut Reader<'_, '_>) -> FilterChainMatch {
    let transport = match r.string(9, "transport_protocol").as_str() {
        "" => None,
        "tls" => Some(TransportProtocol::Tls),
        "raw_buffer" => Some(TransportProtocol::RawBuffer),
        other => {
            r.problem_at("transport_protocol", &format!("\"{other}\" is not tls or raw_buffer"));
            None
        }
    };
    let port = r.field(8, "destination_port");
    FilterChainMatch {
        destination_port: port.and_then(|field| field.wrapped(Field::port)),
        prefix_ranges: r.messages(3, "prefix_ranges", value::cidr).into_iter().flatten().collect(),
        transport_protocol: transport,
        application_protocols: r.strings(10, "application_protocols"),
        server_names: r.strings(11, "server_names"),
    }
}

pub(crate) fn encode(w: &mut Writer, listener: &Listener) {
    w.string(1, &listener.name);
    match &listener.address {
        ListenerAddress::Internal => w.message(27, |_| ()),
        address => w.message(2, |w| encode_address(w, address)),
    }
    for chain in &listener.filter_chains {
        w.message(3, |w| encode_chain(w, chain));
    }
    if listener.use_original_dst {
        w.wrapped_bool(4, true);
    }
    w.wrapped(5, listener.buffer_bytes);
    for filter in &listener.listener_filters {
        let (known, allow_missing) = match filter {
            ListenerFilter::ProxyProtocol { allow_missing } => {
                (ListenerFilter::ProxyProtocol { allow_missing: false }, *allow_missing)
            }
            other => (*other, false),
        };
        let found = LISTENER_FILTERS.iter().find(|(.., each)| *each == known);
        let (name, full_name, _) = found.expect("every listener filter is in the table");
        w.message(9, |w| {
            w.string(1, name);
            w.any(3, full_name, |w| w.bool(2, allow_missing));
        });
    }
    w.duration(15, listener.listener_filters_timeout);
    w.number(16, value::number_of(&DIRECTIONS, listener.direction));
    w.bool(17, listener.continue_on_listener_filters_timeout);
    access_log::encode(w, 22, &listener.access_log);
    if let Some(chain) = &listener.default_filter_chain {
        w.message(25, |w| encode_chain(w, chain));
    }
    if !listener.bind_to_port {
        w.wrapped_bool(26, false);
    }
    for address in &listener.additional_addresses {
        w.message(33, |w| w.message(1, |w| encode_address(w, address)));
    }
}

fn encode_address(w: &mut Writer, address: &ListenerAddress) {
    match address {
        ListenerAddress::Socket(address) => address::encode_socket(w, *address, false),
        ListenerAddress::DualStack { dual_stack } => {
            address::encode_socket(w, (*dual_stack).into(), true);
        }
        ListenerAddress::Pipe { path, mode } => w.message(2, |w| {
            w.string(1, path);
            w.number(2, (*mode).into());
        }),
        // Has none; the listener says so.
        ListenerAddress::Internal => {}
    }
}

fn encode_chain(w: &mut Writer, chain: &FilterChain) {
    if chain.filter_chain_match != FilterChainMatch::default() {
        w.message(1, |w| encode_match(w, &chain.filter_chain_match));
    }
    for limit in &chain.connection_limits {
        w.message(3, |w| {
            w.string(1, connection_limit::FILTER);
            w.any(4, connection_limit::TYPE, |w| connection_limit::encode(w, limit));
        });
    }
    for filter in &chain.authorization {
        w.message(3, |w| {
            w.string(1, authorization::NETWORK_FILTER);
            w.any(4, authorization::NETWORK_TYPE, |w| authorization::encode_network(w, filter));
        });
    }
    network_filter::encode(w, 3, &chain.filter);
    if let Some(tls) = &chain.tls {
        tls::write_downstream(w, 6, tls);
    }
    w.string(7, &chain.name);
}

fn encode_match(w: &mut Writer, chain_match: &FilterChainMatch) {
    for range in &chain_match.prefix_ranges {
        value::write_cidr(w, 3, range);
    }
    w.wrapped(8, chain_match.destination_port.map(u32::from));
    match chain_match.transport_protocol {
        Some(TransportProtocol::Tls) => w.string(9, "tls"),
        Some(TransportProtocol::RawBuffer) => w.string(9, "raw_buffer"),
        None => {}
    }
    w.strings(10, &chain_match.application_protocols);
    w.strings(11, &chain_match.server_names);
}
