//! The bytes of one connection, plaintext, tunnelled or TLS, downstream or upstream.
//!
//! A closed enum, not a type parameter: the exchange and the relay are compiled once and the branch costs less than
//! the system call behind it. Owned by exactly one task.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use leno_sys::tcp::{Delivery, delivery};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub(crate) mod hangup;
mod prefixed;
mod socket;
mod tunnel;

pub use prefixed::Prefixed;
pub use socket::Socket;
pub(crate) use socket::unpaced;
pub use tunnel::Tunnel;

/// One connection.
#[derive(Debug)]
pub enum Wire {
    /// Plaintext TCP.
    Tcp(Socket),
    /// A Unix domain socket (address `pipe`), or one half of a pair within the process.
    Unix(UnixStream),
    /// A stream of an HTTP/2 connection, once a CONNECT was agreed to.
    Tunnel(Tunnel),
    /// TLS over any of them.
    Tls(Box<tokio_rustls::TlsStream<Prefixed>>),
}

impl Wire {
    /// Appends what arrived to `buffer`, within its spare capacity; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the socket and of the TLS layer.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        use std::future::Future as _;
        match self {
            Self::Tcp(socket) => pin!(socket.read_buf(buffer)).poll(cx),
            Self::Unix(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Self::Tunnel(tunnel) => tunnel.poll_read(cx, buffer),
            Self::Tls(stream) => poll_records(stream, buffer, cx),
        }
    }

    /// Ready when a read may find something; `Pending` (the waker is registered) costs no system call and needs no
    /// buffer. TLS may hold bytes that the socket knows nothing of, so it is always asked.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // An error is found by the read that follows.
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Unix(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Tunnel(_) | Self::Tls(_) => Poll::Ready(()),
        }
    }

    /// Reads without having the connection for oneself: for the inspectors, which come before TLS.
    pub(crate) fn poll_inspect(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = match self {
                Self::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(buffer)
                }
                Self::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_read_buf(buffer)
                }
                Self::Tunnel(tunnel) => return tunnel.poll_read(cx, buffer),
                Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(&mut **socket).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tunnel(tunnel) => tunnel.poll_read_into(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Whether nothing arrived and the other side is still there; asks the reactor first, so that a quiet connection
    /// costs no system call. A byte that did arrive is lost.
    pub fn is_quiet(&mut self) -> bool {
        let mut stray = [0];
        let blocks = |read: io::Result<usize>| {
            read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        match self {
            Self::Tcp(stream) => blocks(stream.try_read(&mut stray)),
            Self::Unix(stream) => blocks(stream.try_read(&mut stray)),
            Self::Tunnel(_) | Self::Tls(_) => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut stray = ReadBuf::new(&mut stray);
                self.poll_read_into(&mut cx, &mut stray).is_pending()
            }
        }
    }

    /// Writes a prefix of `bytes`.
    ///
    /// # Errors
    /// Those of the socket and of the TLS layer.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => {
                let written = ready!(Pin::new(&mut **socket).poll_write(cx, bytes));
                socket.wrote(&written);
                Poll::Ready(written)
            }
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tunnel(tunnel) => tunnel.poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_parts(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => {
                let written = ready!(Pin::new(&mut **socket).poll_write_vectored(cx, parts));
                socket.wrote(&written);
                Poll::Ready(written)
            }
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tunnel(_) | Self::Tls(_) => {
                let first = parts.iter().find(|part| !part.is_empty());
                self.poll_write(cx, first.map_or(&[], |part| part))
            }
        }
    }

    /// Moves what TLS still holds to the socket; nothing to do for plaintext.
    ///
    /// # Errors
    /// Those of the socket and of the TLS layer.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // What a tunnel has to send is the worker's flusher's to write.
            Self::Tcp(_) | Self::Unix(_) | Self::Tunnel(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Says that nothing more will be written (`close_notify`, FIN); reading goes on.
    ///
    /// # Errors
    /// Those of the socket and of the TLS layer.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(&mut **socket).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tunnel(tunnel) => {
                tunnel.send_end();
                Poll::Ready(Ok(()))
            }
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Makes dropping the connection a reset (RST) and not an orderly end, so that the peer sees what we saw.
    pub fn reset_on_drop(&self) {
        if let Some(tunnel) = self.tunnel() {
            tunnel.reset();
        }
        if let Some(stream) = self.tcp() {
            // Only a hint to the peer: a socket that is gone already needs none.
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// The TCP socket underneath.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Unix(_) | Self::Tunnel(_) => None,
            Self::Tls(stream) => stream.get_ref().0.stream.tcp(),
        }
    }

    /// Whether the peer of an accepted connection has shown that it takes what is written as it comes, so that more of it
    /// may be under way: larger reads for it, fewer wake-ups.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_fast(),
            Self::Unix(_) | Self::Tunnel(_) => false,
            Self::Tls(stream) => stream.get_ref().0.stream.is_fast(),
        }
    }

    fn tunnel(&self) -> Option<&Tunnel> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tunnel(tunnel) => Some(tunnel),
            Self::Tls(stream) => stream.get_ref().0.stream.tunnel(),
        }
    }

    /// Bytes that TLS wrote to its socket; `None` for plaintext, whose writer knows.
    #[must_use]
    pub fn encrypted(&self) -> Option<u64> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Tunnel(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().0.written),
        }
    }

    /// How far the bytes written to its socket came; `None` where the kernel does not tell.
    #[must_use]
    pub fn delivery(&self) -> Option<Delivery> {
        delivery(self.tcp()?).ok()
    }

    /// Our address; `None` for a Unix socket, a tunnel or a connection that is gone.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }
}

/// Reads record by record until `buffer` is full or nothing more is there: who writes it on then has more to write at
/// once.
fn poll_records(
    stream: &mut tokio_rustls::TlsStream<Prefixed>,
    buffer: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    use std::future::Future as _;
    let before = buffer.len();
    loop {
        let read = pin!(stream.read_buf(buffer)).poll(cx);
        let has_more = matches!(read, Poll::Ready(Ok(LONG_RECORD..)));
        if has_more && buffer.len() < buffer.capacity() {
            continue;
        }
        // An end or an error is met again by the read that follows.
        let count = buffer.len() - before;
        return if count > 0 { Poll::Ready(Ok(count)) } else { read };
    }
}

/// Bytes of a record which another one may follow at once: those of short messages stand alone.
const LONG_RECORD: usize = 4096;

/// Bytes on their way out: written from the front, refilled only when empty.
///
/// One buffer holds head and body, so that a small message is one system call.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// What is to be written, from `written` on.
    pub bytes: Vec<u8>,
    written: usize,
    sent: u64,
}

impl Outgoing {
    /// Whether everything was handed to the wire.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Bytes that ever left.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Gives back the room of what was written, once it is worth the copy of what waits.
    pub fn compact(&mut self) {
        if self.written > self.pending() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Writes until nothing waits.
    ///
    /// # Errors
    /// Those of [`Wire::poll_write`]; a wire that takes nothing is `WriteZero`.
    pub fn poll_drain(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let count = ready!(wire.poll_write(cx, &self.bytes[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.sent += count as u64;
        }
        self.clear();
        wire.poll_flush(cx)
    }
}
