//! `envoy.config.core.v3.Address`: of listeners, endpoints and the admin page.

use std::net::{IpAddr, SocketAddr};

use leno_core::config::{Address, InternalAddress};

use crate::read::{Field, Reader};
use crate::wire::Writer;

/// Stands in where an address was wrong; the problem is reported.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

const PROTOCOLS: [(u32, &str, ()); 1] = [(0, "TCP", ())];

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> Address {
    let Binding { address, mode, .. } = decode_binding(r);
    if mode.is_some() {
        r.not_acted_on("pipe.mode");
    }
    address
}

/// An address that a socket is to be bound to.
pub(crate) struct Binding {
    pub(crate) address: Address,
    /// The permission bits of a Unix socket.
    pub(crate) mode: Option<u32>,
    /// Whether a socket of IPv6 takes connections of IPv4 too; says nothing of an address that is connected to.
    pub(crate) ipv4_compat: bool,
}

/// The same, with what counts for whoever binds it.
pub(crate) fn decode_binding(r: &mut Reader<'_, '_>) -> Binding {
    let (mut mode, mut ipv4_compat) = (None, false);
    let socket = r.message(1, "socket_address", |r| {
        r.choice(1, "protocol", &PROTOCOLS);
        ipv4_compat = r.bool(6, "ipv4_compat");
        let name = r.required_string(2, "address");
        let port = r.field(3, "port_value").and_then(Field::u32).unwrap_or_default();
        let Ok(port) = u16::try_from(port) else {
            r.problem_at("port_value", "is not a port; 0 to 65535 are");
            return Address::Socket(NOWHERE);
        };
        match name.parse() {
            Ok(ip) => Address::Socket(SocketAddr::new(ip, port)),
            Err(_) => Address::Host { name, port },
        }
    });
    let pipe = r.message(2, "pipe", |r| {
        mode = r.field(2, "mode").and_then(Field::u32);
        Address::Pipe(r.required_string(1, "path"))
    });
    let internal = r.message(3, "envoy_internal_address", |r| {
        Address::Internal(Box::new(InternalAddress {
            listener: r.required_string(1, "server_listener_name"),
            endpoint_id: r.string(2, "endpoint_id"),
            destination: None,
        }))
    });
    let mut given = [socket, pipe, internal].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(address), None) => Binding { address, mode, ipv4_compat },
        _ => {
            r.problem("exactly one of socket_address, pipe and envoy_internal_address is expected");
            Binding { address: Address::Socket(NOWHERE), mode: None, ipv4_compat: false }
        }
    }
}

/// An address that must be an IP address and a port.
pub(crate) fn decode_socket(r: &mut Reader<'_, '_>) -> SocketAddr {
    match decode(r) {
        Address::Socket(address) => address,
        Address::Host { name, .. } => {
            r.problem(&format!("\"{name}\" is not an IP address"));
            NOWHERE
        }
        Address::Pipe(_) | Address::Internal(_) => {
            r.problem("an IP address is expected here");
            NOWHERE
        }
    }
}

pub(crate) fn encode(w: &mut Writer, number: u32, address: &Address) {
    w.message(number, |w| match address {
        Address::Socket(address) => encode_socket(w, *address, false),
        Address::Host { name, port } => write_socket(w, name, *port, false),
        Address::Pipe(path) => w.message(2, |w| w.string(1, path)),
        Address::Internal(internal) => w.message(3, |w| {
            w.string(1, &internal.listener);
            w.string(2, &internal.endpoint_id);
        }),
    });
}

/// `Address.socket_address`; `ipv4_compat` is for those that are bound.
pub(crate) fn encode_socket(w: &mut Writer, address: SocketAddr, ipv4_compat: bool) {
    write_socket(w, &address.ip().to_string(), address.port(), ipv4_compat);
}

fn write_socket(w: &mut Writer, address: &str, port: u16, ipv4_compat: bool) {
    w.message(1, |w| {
        w.string(2, address);
        // A port is a oneof member: Envoy wants it said, even zero.
        w.explicit(3, port.into());
        w.bool(6, ipv4_compat);
    });
}
