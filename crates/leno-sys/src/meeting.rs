//! The meeting point of two processes of one user: a Unix socket at a path, over which one hands descriptors to the
//! other ([`crate::passing`]).
//!
//! Only the owner may open it (mode 0600), and both ends check with the kernel who the other one is: somebody else's
//! sockets are never taken, and ours are given to nobody else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

/// The longest path that fits into a Unix socket's address, in bytes.
pub const PATH_BYTES_MAX: usize = 107;

/// Processes that may wait to be met; one is the rule.
const WAITING_MAX: i32 = 4;

/// Waits at `path` for whoever comes; a file that an ended process left there is replaced. Non-blocking.
///
/// # Errors
/// `AddrInUse` when somebody waits there already; else as `bind(2)`.
pub fn wait_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    // On Linux the file is made with the mode that the socket has when it is bound: there is no moment in between.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let address = SocketAddrUnix::new(path)?;
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) if visit(path)?.is_none() => {
            std::fs::remove_file(path)?;
            bind(&socket, &address)?;
        }
        outcome => outcome?,
    }
    listen(&socket, WAITING_MAX)?;
    Ok(socket)
}

/// Goes to whoever waits at `path`; `None` when nobody does. Blocking.
///
/// # Errors
/// `PermissionDenied` when another user's process waits there.
pub fn visit(path: &Path) -> io::Result<Option<OwnedFd>> {
    let socket = open(SocketFlags::CLOEXEC)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => check_peer(&socket).map(|()| Some(socket)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Asks the kernel who came to [`wait_at`]'s socket, before a word is exchanged; root may come to anybody.
///
/// # Errors
/// `PermissionDenied` for another user's process.
pub fn check_visitor(line: impl AsFd) -> io::Result<()> {
    check_peer(line)
}

/// How long a receive on `line` waits; a send waits as long.
///
/// # Errors
/// As `setsockopt(2)`.
pub fn set_patience(line: impl AsFd, patience: Duration) -> io::Result<()> {
    set_socket_timeout(&line, Timeout::Recv, Some(patience))?;
    Ok(set_socket_timeout(&line, Timeout::Send, Some(patience))?)
}

fn open(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

fn check_peer(line: impl AsFd) -> io::Result<()> {
    let peer = socket_peercred(line)?.uid;
    if peer == rustix::process::geteuid() || peer.is_root() {
        return Ok(());
    }
    let who = format!("the other process is user {}'s", peer.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, who))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{check_visitor, visit, wait_at};
    use crate::passing::{receive, send};

    #[test]
    fn a_visitor_and_the_one_who_waits_exchange_messages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meeting");
        assert!(visit(&path).unwrap().is_none(), "nobody is there yet");
        let waiting = wait_at(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let waiting = std::os::unix::net::UnixListener::from(waiting);
        assert_eq!(waiting.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let visitor = visit(&path).unwrap().unwrap();
        let host = waiting.accept().unwrap().0;
        check_visitor(&host).unwrap();
        send(&visitor, b"hello", &[]).unwrap();
        assert_eq!(receive(&host, 16).unwrap().bytes, b"hello");
    }

    #[test]
    fn a_place_is_taken_over_from_the_dead_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("meeting");
        let waiting = wait_at(&path).unwrap();
        assert_eq!(wait_at(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(waiting);
        assert!(path.exists(), "an ended process leaves its file");
        let _next = wait_at(&path).unwrap();
        assert!(visit(&path).unwrap().is_some());
    }
}
