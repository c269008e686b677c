//! Listening sockets: one per worker by `SO_REUSEPORT`, or one inherited socket duplicated.
//!
//! Made on the admin thread before a snapshot is published, so that a taken port refuses the configuration instead
//! of half applying it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::limits::LISTEN_BACKLOG;

/// A socket given to us: by `--listen-fd NAME=FD`, or made inside an application's network namespace.
#[derive(Debug)]
pub struct Inherited {
    /// The listener it stands for.
    pub listener: String,
    /// The socket, already listening.
    pub socket: TcpListener,
}

impl Inherited {
    /// Takes over `fd`.
    #[must_use]
    pub fn new(listener: String, fd: OwnedFd) -> Self {
        Self { listener, socket: TcpListener::from(fd) }
    }

    /// The same socket once for each worker, ready for a reactor.
    ///
    /// # Errors
    /// When the descriptor is not a listening socket or cannot be duplicated.
    pub fn duplicate(&self, workers: usize) -> io::Result<Vec<TcpListener>> {
        self.socket.set_nonblocking(true)?;
        (0..workers).map(|_| self.socket.try_clone()).collect()
    }
}

/// Binds `address` once for each worker; port 0 is chosen once and shared.
///
/// # Errors
/// `AddrInUse` also when the other owner would share the port: two proxies on one port would each get half of
/// the connections.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let first = if address.port() == 0 {
        open(address)?
    } else {
        refuse_shared(address)?;
        open(address)?
    };
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(bound)?);
    }
    Ok(sockets)
}

/// `SO_REUSEPORT` would let any process of our user join or be joined; a probe without it is told the truth.
fn refuse_shared(address: SocketAddr) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    if address.is_ipv6() {
        probe.set_only_v6(true)?;
    }
    probe.bind(&SockAddr::from(address))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(LISTEN_BACKLOG).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::{Inherited, bind};

    #[test]
    fn workers_share_one_port_and_strangers_are_refused() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == address));
        let error = bind(address, 1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_inherited_socket_is_duplicated_for_each_worker() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inherited = Inherited::new("virtualOutbound".into(), socket.into());
        let copies = inherited.duplicate(2).unwrap();
        assert_eq!(copies.len(), 2);
        assert!(copies.iter().all(|s| s.local_addr().unwrap() == address));
    }
}
