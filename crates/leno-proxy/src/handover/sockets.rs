//! Sockets of a former process, for the new one to find its own among them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use super::{Entry, Role};

/// What was handed over. Whoever needs a socket takes a copy: the rest is closed when the handover is complete, and
/// with it what nobody needed.
#[derive(Debug, Default)]
pub(crate) struct Handed(Vec<(Entry, OwnedFd)>);

impl Handed {
    pub(crate) fn new(sockets: Vec<(Entry, OwnedFd)>) -> Self {
        Self(sockets)
    }

    /// Copies of the sockets that were bound for `listener` at the `address` it asks for. A listener that was given
    /// another name keeps its address; a port that the kernel chose belongs to the name.
    pub(crate) fn configured(
        &self,
        listener: &str,
        address: SocketAddr,
    ) -> io::Result<Vec<TcpListener>> {
        self.listeners(|entry| {
            entry.role == Role::Configured
                && entry.address == Some(address)
                && (address.port() != 0 || entry.listener == listener)
        })
    }

    /// Copies of the sockets that the former process was given for `listener`.
    pub(crate) fn inherited(&self, listener: &str) -> io::Result<Vec<TcpListener>> {
        self.listeners(|entry| entry.role == Role::Inherited && entry.listener == listener)
    }

    /// Whether the former process was given sockets for `listener`.
    pub(crate) fn has_inherited(&self, listener: &str) -> bool {
        self.0.iter().any(|(entry, _)| entry.role == Role::Inherited && entry.listener == listener)
    }

    /// Copies of the sockets of an inbound address.
    pub(crate) fn inbound(&self, address: SocketAddr) -> io::Result<Vec<TcpListener>> {
        self.listeners(|entry| entry.role == Role::Inbound && entry.address == Some(address))
    }

    /// A copy of the socket of an admin address.
    pub(crate) fn admin(&self, address: SocketAddr) -> io::Result<Option<TcpListener>> {
        let found =
            self.listeners(|entry| entry.role == Role::Admin && entry.address == Some(address));
        Ok(found?.pop())
    }

    /// Where the next process will come.
    pub(crate) fn meeting(&self) -> io::Result<Option<OwnedFd>> {
        let mut found = self.copies(|entry| entry.role == Role::Meeting);
        found.next().transpose()
    }

    /// Copies of the sockets for DNS.
    pub(crate) fn dns(&self) -> io::Result<crate::dns::Sockets> {
        let udp = self.copies(|entry| entry.role == Role::DnsUdp);
        Ok(crate::dns::Sockets {
            udp: udp.map(|copy| copy.map(UdpSocket::from)).collect::<io::Result<_>>()?,
            tcp: self.listeners(|entry| entry.role == Role::DnsTcp)?,
        })
    }

    fn listeners(&self, is_wanted: impl Fn(&Entry) -> bool) -> io::Result<Vec<TcpListener>> {
        self.copies(is_wanted).map(|copy| copy.map(TcpListener::from)).collect()
    }

    fn copies(
        &self,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> impl Iterator<Item = io::Result<OwnedFd>> {
        let wanted = self.0.iter().filter(move |(entry, _)| is_wanted(entry));
        wanted.map(|(_, descriptor)| descriptor.try_clone())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::{Entry, Handed, Role};

    #[test]
    fn a_listener_finds_its_sockets_by_address_and_a_chosen_port_by_name() {
        let fixed: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let entry = |role, listener: &str, address| {
            let listener = listener.to_owned();
            (Entry { role, listener, address: Some(address) }, socket().into())
        };
        let handed = Handed::new(vec![
            entry(Role::Configured, "web", fixed),
            entry(Role::Configured, "web", fixed),
            entry(Role::Configured, "tcp", any),
            entry(Role::Inherited, "out", any),
            entry(Role::Admin, "", fixed),
        ]);
        let configured = |name, address| handed.configured(name, address).unwrap().len();
        // (name, address, sockets)
        let table = [
            ("web", fixed, 2),
            ("renamed", fixed, 2),
            ("tcp", any, 1),
            ("renamed", any, 0),
            ("tcp", fixed, 2),
            ("out", any, 0),
        ];
        for (name, address, sockets) in table {
            assert_eq!(configured(name, address), sockets, "{name} {address}");
        }
        assert_eq!(handed.inherited("out").unwrap().len(), 1);
        assert!(handed.admin(fixed).unwrap().is_some() && handed.admin(any).unwrap().is_none());
        assert!(handed.meeting().unwrap().is_none());
    }
}
