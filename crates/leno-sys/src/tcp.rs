//! What the kernel knows of a TCP connection that its user does not: which bytes the other side has, and
//! whether the connection is over.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// `TCP_CLOSE` of `include/net/tcp_states.h`: nothing is left of the connection.
const CLOSED: u8 = 7;

/// How far the bytes of a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Bytes that were written and that the other side's kernel has not acknowledged (`SIOCOUTQ`).
    /// Stays what it was when the connection is reset.
    pub unacknowledged: u64,
    /// Whether the connection is over in both directions: reset, or ended by both sides.
    pub is_over: bool,
}

/// How far the bytes of this TCP socket came.
///
/// # Errors
/// The socket is no TCP socket.
pub fn delivery(socket: &impl AsFd) -> io::Result<Delivery> {
    let socket = socket.as_fd().as_raw_fd();
    let mut waiting: libc::c_int = 0;
    // SAFETY: the request writes one int to where it is told, which lives throughout the call.
    if unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut waiting) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The state is the first byte of `struct tcp_info`; the kernel writes as much of it as there is room for.
    let mut state: u8 = 0;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the kernel writes at most `length` bytes to `state` and the length to `length`; both live throughout the call.
    let asked = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    let unacknowledged = u64::try_from(waiting).unwrap_or_default();
    Ok(Delivery { unacknowledged, is_over: state == CLOSED })
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use super::{Delivery, delivery};

    const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut pair = (near, listener.accept().unwrap().0);
        // As on any kept connection: something was asked and answered, so that answers carry the acknowledgements.
        for _ in 0..20 {
            pair.0.write_all(b"ask").unwrap();
            pair.1.read_exact(&mut [0; 3]).unwrap();
            pair.1.write_all(b"answer").unwrap();
            pair.0.read_exact(&mut [0; 6]).unwrap();
        }
        pair
    }

    fn reset(stream: TcpStream) {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    }

    /// What the writer of a request learns when the other side does this before and that after it.
    fn check(
        before: impl FnOnce(&TcpStream) -> bool,
        after: impl FnOnce(TcpStream),
    ) -> (Result<usize, ErrorKind>, Delivery) {
        let (mut near, far) = pair();
        let is_closed = before(&far);
        let mut far = Some(far);
        if is_closed {
            far = None;
        }
        near.write_all(REQUEST).unwrap();
        if let Some(far) = far {
            after(far);
        }
        let read = near.read(&mut [0; 16]).map_err(|error| error.kind());
        (read, delivery(&near).unwrap())
    }

    #[test]
    fn a_request_to_a_closed_socket_is_refused_byte_for_byte() {
        let (read, delivery) = check(|_| true, drop);
        assert_eq!(read, Ok(0), "the end came before the reset");
        let unacknowledged = REQUEST.len() as u64;
        assert_eq!(delivery, Delivery { unacknowledged, is_over: true });
    }

    #[test]
    fn a_request_that_was_read_is_acknowledged_by_the_end_that_follows() {
        let (read, delivery) = check(
            |_| false,
            |mut far| {
                far.read_exact(&mut [0; REQUEST.len()]).unwrap();
            },
        );
        assert_eq!((read, delivery), (Ok(0), Delivery { unacknowledged: 0, is_over: false }));
    }

    #[test]
    fn a_reset_alone_proves_nothing() {
        // The request was read, and nothing acknowledged it: a reset's own number does not count.
        let (read, delivery) = check(
            |_| false,
            |mut far| {
                far.read_exact(&mut [0; REQUEST.len()]).unwrap();
                reset(far);
            },
        );
        assert_eq!(read, Err(ErrorKind::ConnectionReset));
        assert!(delivery.is_over && delivery.unacknowledged > 0, "{delivery:?}");
    }

    #[test]
    fn an_end_alone_proves_nothing() {
        // Only the sending direction is over: the request can still be read, acknowledged or not.
        let (read, delivery) = check(
            |far| {
                far.shutdown(Shutdown::Write).unwrap();
                false
            },
            |mut far| {
                far.read_exact(&mut [0; REQUEST.len()]).unwrap();
                std::mem::forget(far);
            },
        );
        assert_eq!(read, Ok(0));
        assert!(!delivery.is_over, "{delivery:?}");
    }
}
