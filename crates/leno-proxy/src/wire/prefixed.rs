//! What TLS reads from: a connection, and bytes of it that were read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Wire;
use crate::limits;

/// A connection some of whose first bytes were read already: by the inspectors, or ahead of TLS, which asks for 4 KiB
/// at a time.
#[derive(Debug)]
pub struct Prefixed {
    pub(super) stream: Wire,
    prefix: Vec<u8>,
    at: usize,
    /// Whether the last read took all the room there was.
    is_bulk: bool,
    /// Bytes written to the socket.
    pub(super) written: u64,
}

impl Prefixed {
    /// `prefix` is what was read from `stream` before.
    #[must_use]
    pub fn new(stream: Wire, prefix: Vec<u8>) -> Self {
        Self { stream, prefix, at: 0, is_bulk: false, written: 0 }
    }

    /// Reads more than was asked for. Who finds nothing holds no buffer.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (self.at, self.is_bulk) = (0, false);
        self.prefix.clear();
        self.prefix.reserve_exact(limits::TLS_AHEAD_BYTES);
        let read = self.stream.poll_read(cx, &mut self.prefix);
        match read {
            Poll::Ready(Ok(1..)) => self.is_bulk = self.prefix.len() == self.prefix.capacity(),
            Poll::Ready(_) | Poll::Pending => self.prefix = Vec::new(),
        }
        read.map_ok(drop)
    }

    fn count(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = polled {
            self.written += count as u64;
        }
        polled
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.at == this.prefix.len() {
            if !this.is_bulk {
                ready!(this.stream.poll_read_into(cx, buffer))?;
                this.is_bulk = buffer.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_ahead(cx))?;
        }
        let rest = &this.prefix[this.at..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.at += count;
        if this.at == this.prefix.len() && !this.is_bulk {
            (this.prefix, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.stream.poll_write(cx, bytes);
        self.count(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.stream.poll_write_parts(cx, parts);
        self.count(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::Prefixed;
    use crate::limits::TLS_AHEAD_BYTES;
    use crate::wire::Wire;

    async fn read(prefix: &[u8], pieces: &[usize], asked: &[usize]) -> Vec<u8> {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut prefixed = Prefixed::new(Wire::Unix(far), prefix.to_vec());
        let total = prefix.len() + pieces.iter().sum::<usize>();
        let write = async {
            let mut at = 0;
            for piece in pieces {
                let bytes: Vec<u8> = (at..at + piece).map(|n| (n % 251) as u8).collect();
                near.write_all(&bytes).await.unwrap();
                at += piece;
            }
        };
        let read = async {
            let mut all = Vec::new();
            let mut asked = asked.iter().cycle();
            while all.len() < total {
                let mut buffer = vec![0; *asked.next().unwrap()];
                let count = prefixed.read(&mut buffer).await.unwrap();
                assert!(count > 0);
                all.extend_from_slice(&buffer[..count]);
            }
            all
        };
        tokio::join!(write, read).1
    }

    proptest! {
        #[test]
        fn what_is_read_ahead_comes_in_order_and_whole(
            prefix in proptest::collection::vec(any::<u8>(), 0..40),
            pieces in proptest::collection::vec(1..3 * TLS_AHEAD_BYTES, 1..5),
            asked in proptest::collection::vec(1_usize..9000, 1..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let seen = runtime.block_on(read(&prefix, &pieces, &asked));
            let sent = (0..pieces.iter().sum::<usize>()).map(|n| (n % 251) as u8);
            prop_assert!(seen.into_iter().eq(prefix.into_iter().chain(sent)));
        }
    }
}
