//! Listening sockets: one per worker by `SO_REUSEPORT`, or one inherited socket duplicated.
//!
//! Made on the admin thread before a snapshot is published, so that a taken port refuses the configuration instead
//! of half applying it.

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

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

    /// Another handle of the same socket, ready for a reactor.
    ///
    /// # Errors
    /// When the descriptor is not a listening socket or cannot be duplicated.
    pub fn duplicate(&self) -> io::Result<TcpListener> {
        self.socket.set_nonblocking(true)?;
        self.socket.try_clone()
    }
}

/// Gives each of `workers` its handles of `sockets`: every socket is somebody's, and nobody is without one. Sockets are
/// never closed for being too many, since each has connections of its own in its queue.
///
/// # Errors
/// When a descriptor cannot be duplicated.
pub fn share_out(sockets: &[TcpListener], workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let of = |worker: usize| {
        let own = (0..sockets.len()).filter(|at| at % workers == worker);
        let shared =
            (worker >= sockets.len() && !sockets.is_empty()).then(|| worker % sockets.len());
        own.chain(shared).map(|at| sockets[at].try_clone()).collect()
    };
    (0..workers).map(of).collect()
}

/// A listening socket of either kind.
#[derive(Debug)]
pub enum Listening {
    /// At an IP address and port.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

/// Listens at `path`, with these permission bits unless they are 0, in place of the socket that is there. The change is
/// one step: whoever connects meanwhile gets the old one or the new one.
///
/// # Errors
/// `AddrInUse` where something else than a socket is there.
pub fn bind_path(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        _ => {}
    }
    let mut new = path.as_os_str().to_owned();
    new.push("~");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&new)?;
    if mode != 0 {
        std::fs::set_permissions(&new, Permissions::from_mode(mode))?;
    }
    std::fs::rename(&new, path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where to listen, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The address; port 0 is chosen once and shared.
    pub address: SocketAddr,
    /// Whether a socket of IPv6 takes connections of IPv4 too (RFC 3493 section 5.3).
    pub is_dual_stack: bool,
    /// Whether this process itself has the port at the moment, at this address or one that it overlaps.
    pub is_ours: bool,
}

impl Place {
    /// An address for connections of its own family, on a port that nobody has.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address, is_dual_stack: false, is_ours: false }
    }

    fn socket(&self) -> io::Result<Socket> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if self.address.is_ipv6() {
            socket.set_only_v6(!self.is_dual_stack)?;
        }
        Ok(socket)
    }

    /// Whether a socket that somebody else made takes whom this place is for.
    #[must_use]
    pub fn fits(&self, socket: &TcpListener) -> bool {
        let is_dual_stack = || SockRef::from(socket).only_v6().is_ok_and(|only_v6| !only_v6);
        !self.address.is_ipv6() || self.is_dual_stack == is_dual_stack()
    }
}

/// Binds the place once for each worker.
///
/// # Errors
/// `AddrInUse` also when another owner would share the port: two proxies on one port would each get half of
/// the connections.
pub fn bind(place: Place, workers: usize) -> io::Result<Vec<TcpListener>> {
    if place.address.port() != 0 && !place.is_ours {
        refuse_shared(place)?;
    }
    let first = open(place)?;
    let bound = Place { address: first.local_addr()?, ..place };
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(bound)?);
    }
    Ok(sockets)
}

/// `SO_REUSEPORT` would let any process of our user join or be joined; a probe without it is told the truth.
fn refuse_shared(place: Place) -> io::Result<()> {
    place.socket()?.bind(&SockAddr::from(place.address))
}

fn open(place: Place) -> io::Result<TcpListener> {
    let socket = place.socket()?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(place.address))?;
    socket.listen(i32::try_from(LISTEN_BACKLOG).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Inherited, Place, bind, bind_path, share_out};

    #[test]
    fn workers_share_one_port_and_strangers_are_refused() {
        let sockets = bind(Place::at("127.0.0.1:0".parse().unwrap()), 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == address));
        let error = bind(Place::at(address), 1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        let ours = Place { is_ours: true, ..Place::at(address) };
        assert_eq!(bind(ours, 1).unwrap()[0].local_addr().unwrap(), address);
    }

    #[test]
    fn a_socket_of_ipv6_takes_ipv4_where_it_is_to() {
        for is_dual_stack in [false, true] {
            let place = Place { is_dual_stack, ..Place::at("[::]:0".parse().unwrap()) };
            let socket = &bind(place, 1).unwrap()[0];
            let port = socket.local_addr().unwrap().port();
            assert!(std::net::TcpStream::connect(("::1", port)).is_ok());
            let ipv4 = std::net::TcpStream::connect(("127.0.0.1", port));
            assert_eq!(ipv4.is_ok(), is_dual_stack);
            assert!(place.fits(socket));
            assert!(!Place { is_dual_stack: !is_dual_stack, ..place }.fits(socket));
        }
    }

    #[test]
    fn each_socket_has_a_worker_and_each_worker_a_socket() {
        // (sockets, workers, handles of each worker)
        let table: [(usize, usize, &[usize]); 5] = [
            (1, 1, &[1]),
            (1, 3, &[1, 1, 1]),
            (3, 3, &[1, 1, 1]),
            (5, 2, &[3, 2]),
            (2, 3, &[1, 1, 1]),
        ];
        for (sockets, workers, handles) in table {
            let bound = bind(Place::at("127.0.0.1:0".parse().unwrap()), sockets).unwrap();
            let shared = share_out(&bound, workers).unwrap();
            let counts: Vec<usize> = shared.iter().map(Vec::len).collect();
            assert_eq!(counts, handles, "{sockets} {workers}");
        }
    }

    #[test]
    fn a_path_is_taken_from_a_socket_and_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let first = bind_path(&path, 0o600).unwrap();
        let second = bind_path(&path, 0o660).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(second.accept().is_ok(), "the newer one is connected to");
        assert_eq!(first.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        assert_eq!(bind_path(&file, 0).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn an_inherited_socket_is_the_same_when_duplicated() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inherited = Inherited::new("virtualOutbound".into(), socket.into());
        assert_eq!(inherited.duplicate().unwrap().local_addr().unwrap(), address);
    }
}
