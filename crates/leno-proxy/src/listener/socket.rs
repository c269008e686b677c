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
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Inherited, bind, bind_path, share_out};

    #[test]
    fn workers_share_one_port_and_strangers_are_refused() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == address));
        let error = bind(address, 1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
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
            let bound = bind("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
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
