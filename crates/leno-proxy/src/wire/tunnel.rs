//! A stream of an HTTP/2 connection whose CONNECT was agreed to, as a connection of its own.
//!
//! One of the wires; what it sends, the worker's flusher writes.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use leno_core::circuit::CircuitGuard;
use leno_http::Fields;
use leno_http::h2::Code;
use tokio::io::ReadBuf;

use crate::http2::Stream;

/// A stream that became a tunnel.
pub struct Tunnel {
    stream: Stream,
    /// Its place among the requests to a cluster; none of a downstream tunnel.
    _place: Option<CircuitGuard>,
    moved: Rc<Cell<(u64, u64)>>,
}

impl Tunnel {
    pub(crate) fn new(stream: Stream, place: Option<CircuitGuard>) -> Self {
        Self { stream, _place: place, moved: Rc::default() }
    }

    /// Bytes received and sent so far.
    pub(crate) fn moved(&self) -> Rc<Cell<(u64, u64)>> {
        Rc::clone(&self.moved)
    }

    fn note(&self, received: usize, sent: usize) {
        let (before_received, before_sent) = self.moved.get();
        self.moved.set((before_received + received as u64, before_sent + sent as u64));
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let read = self.stream.poll_read(cx, buffer);
        if let Poll::Ready(Ok(count)) = read {
            self.note(count, 0);
        }
        read
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream.poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.note(0, count);
        }
        written
    }

    pub(super) fn poll_read_into(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.remaining();
        let read = self.stream.poll_take(cx, room, |bytes| buffer.put_slice(bytes));
        if let Poll::Ready(Ok(count)) = read {
            self.note(count, 0);
        }
        read.map_ok(|_| ())
    }

    /// Says that nothing more will be sent.
    pub(super) fn send_end(&self) {
        self.stream.send_end(const { &Fields::new() });
    }

    /// Ends it in both directions, as a connection that broke (RFC 9113 §8.5).
    pub(super) fn reset(&self) {
        self.stream.reset(Code::CONNECT_ERROR);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tunnel")
    }
}
