//! A loopback address of its own for each workload: its pod address on this host.
//!
//! Sidecars meet on these addresses with Istio's port numbers and never collide. An address is owned by whoever holds
//! its guard socket, so a crashed run gives it back at once, and no file has to be cleaned up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;

use crate::exit::{Code, WithCode as _};

/// 127.64.0.0/10: loopback, and out of the way of what people use.
const BASE: u32 = u32::from_be_bytes([127, 64, 0, 0]);
const HOST_BITS: u32 = 22;
/// Datagrams to this port mean nothing; binding it is the ownership.
const GUARD_PORT: u16 = 15099;
/// With four million addresses a second attempt is rare already.
const ATTEMPTS: usize = 64;

/// An address nobody else has while this lives.
#[derive(Debug)]
pub(super) struct PodAddress {
    pub(super) ip: IpAddr,
    _guard: UdpSocket,
}

impl PodAddress {
    /// Where a program listens that shares the host's network: the same place in 127.128.0.0/10, out of its sidecar's
    /// way and of other programs' on the same port.
    pub(super) fn of_program(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ (0b11 << HOST_BITS))),
            IpAddr::V6(ip) => IpAddr::V6(ip),
        }
    }
}

/// Takes a free address.
pub(super) fn allocate() -> Result<PodAddress> {
    for _ in 0..ATTEMPTS {
        let host = rand::rng().random_range(1..(1_u32 << HOST_BITS) - 1);
        match own(BASE | host) {
            Ok(address) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).context("a loopback address for the workload"),
        }
    }
    bail!("no loopback address of 127.64.0.0/10 is free")
}

fn own(address: u32) -> io::Result<PodAddress> {
    let ip = IpAddr::V4(Ipv4Addr::from_bits(address));
    Ok(PodAddress { ip, _guard: UdpSocket::bind((ip, GUARD_PORT))? })
}

/// Listens for the workload's inbound connections on its pod address.
pub(super) fn listen(ip: IpAddr, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new(ip, port);
    match TcpListener::bind(address) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let hint = "ports below net.ipv4.ip_unprivileged_port_start are the superuser's on the host side; \
                        choose a higher --port or lower that setting";
            Err(error)
                .with_context(|| format!("listening on {address}: {hint}"))
                .code(Code::Refused)
        }
        Err(error) => Err(error).with_context(|| format!("listening on {address}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_loopback_and_owned_once() {
        let first = allocate().unwrap();
        let second = allocate().unwrap();
        assert_ne!(first.ip, second.ip);
        let IpAddr::V4(ip) = first.ip else { panic!("{}", first.ip) };
        assert_eq!((ip.octets()[0], ip.octets()[1] & 0xc0), (127, 64));
        let IpAddr::V4(program) = first.of_program() else { panic!("{}", first.of_program()) };
        assert_eq!((program.octets()[0], program.octets()[1] & 0xc0), (127, 128));
        assert_eq!(program.to_bits() & 0x3f_ffff, ip.to_bits() & 0x3f_ffff);
        assert_eq!(own(ip.to_bits()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        own(ip.to_bits()).unwrap();
    }
}
