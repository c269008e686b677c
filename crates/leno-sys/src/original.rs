//! Where a captured connection was going before the redirect took it.
//!
//! Called once per accepted connection by the outbound listener. The answer
//! comes from the connection tracker of the namespace the listening socket was
//! made in, so it works from outside that namespace.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::io::Errno;
use socket2::SockRef;

/// The destination the peer dialled, or `None` when nothing was redirected
/// (the connection was made straight to the listener's own address).
///
/// Fails only when the socket itself is unusable (closed, not TCP).
pub fn original_destination(socket: &impl AsFd) -> io::Result<Option<SocketAddr>> {
    let socket = SockRef::from(socket);
    let local = socket.local_addr()?.as_socket();
    let local = match local {
        // A connection of IPv4 at a socket of IPv6 is tracked as one of IPv4.
        Some(local) => SocketAddr::new(local.ip().to_canonical(), local.port()),
        None => return Ok(None),
    };
    let original = match local {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    match original {
        Ok(address) => Ok(address.as_socket().filter(|found| *found != local)),
        Err(error) if is_untracked(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tracker has no entry, or no tracker is loaded: nothing was redirected.
fn is_untracked(error: &io::Error) -> bool {
    let known = [Errno::NOENT, Errno::NOPROTOOPT, Errno::OPNOTSUPP];
    known.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::original_destination;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_that_nobody_redirected_has_no_original_destination() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(original_destination(&accepted).unwrap(), None);
    }
}
