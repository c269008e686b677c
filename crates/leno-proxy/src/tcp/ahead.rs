//! A connection that is opened while it is not yet known whether it is wanted, because the server may be the one who
//! speaks first.
//!
//! The listener asks for it while it waits for the client's first bytes, and hands it on to the filter that it was opened
//! for. Whoever authorizes connections does so before one is opened ahead: what a server says first must not reach a
//! client that may not talk to it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use leno_core::filter_chain::{FilterChain, NetworkFilter, TcpProxy};

use super::open::{Opened, Unopened, open};
use crate::buffers::Buffers;
use crate::upstream::connect::Ends;
use crate::upstream::tunnel::Caller;
use crate::worker::Worker;

/// A connection for one filter chain, and what its server said so far.
pub(crate) struct Ahead {
    chain: Arc<FilterChain>,
    stage: Stage,
    /// Bytes from upstream.
    early: Vec<u8>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Unopened>>>>;

enum Stage {
    Opening(Opening),
    Done(Result<Box<Opened>, Unopened>),
}

/// What was heard from a server while its client was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It speaks first, or has ended: no client's bytes are needed to know what this is.
    Server,
    /// An HTTP/2 server's settings, which may be sent before a request (RFC 9113 §3.4): the client decides.
    Settings,
    /// It cannot be reached.
    Nothing,
}

impl Ahead {
    /// Begins to connect, if bytes on this chain are passed on as they are.
    pub(crate) fn begin(worker: &Rc<Worker>, chain: &Arc<FilterChain>, ends: Ends) -> Option<Self> {
        tcp_filter(chain)?;
        let (worker, chain) = (Rc::clone(worker), Arc::clone(chain));
        let of = Arc::clone(&chain);
        let opening = async move {
            let filter = tcp_filter(&of).expect("looked at above");
            open(&worker, filter, &Caller::at(ends)).await
        };
        Some(Self { chain, stage: Stage::Opening(Box::pin(opening)), early: Vec::new() })
    }

    /// Ready when there is something to hear.
    pub(crate) fn poll_heard(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<Heard> {
        loop {
            match &mut self.stage {
                Stage::Opening(opening) => {
                    let opened = ready!(opening.as_mut().poll(cx));
                    self.stage = Stage::Done(opened.map(Box::new));
                }
                Stage::Done(Err(_)) => return Poll::Ready(Heard::Nothing),
                Stage::Done(Ok(opened)) => {
                    buffers.ensure(&mut self.early);
                    let read = opened.wire.poll_read(cx, &mut self.early);
                    if read.is_pending() {
                        buffers.release(&mut self.early);
                    }
                    // An end or an error is the relay's to see again.
                    let is_end = !matches!(ready!(read), Ok(1..));
                    match is_settings(&self.early) {
                        None if !is_end => {}
                        Some(true) => return Poll::Ready(Heard::Settings),
                        _ => return Poll::Ready(Heard::Server),
                    }
                }
            }
        }
    }

    /// A connection that stands already.
    pub(crate) fn of(chain: &Arc<FilterChain>, opened: Opened) -> Self {
        let stage = Stage::Done(Ok(Box::new(opened)));
        Self { chain: Arc::clone(chain), stage, early: Vec::new() }
    }

    /// Whether it was opened for this chain.
    pub(crate) fn is_for(&self, chain: &Arc<FilterChain>) -> bool {
        Arc::ptr_eq(&self.chain, chain)
    }

    /// The connection, and the bytes that came from it.
    pub(crate) async fn opened(self) -> (Result<Opened, Unopened>, Vec<u8>) {
        let opened = match self.stage {
            Stage::Opening(opening) => opening.await,
            Stage::Done(opened) => opened.map(|opened| *opened),
        };
        (opened, self.early)
    }
}

/// The filter of a chain that passes plaintext bytes on.
fn tcp_filter(chain: &FilterChain) -> Option<&TcpProxy> {
    match &chain.filter {
        NetworkFilter::Tcp(filter) if chain.tls.is_none() => Some(filter),
        NetworkFilter::Tcp(_) | NetworkFilter::Http(_) => None,
    }
}

/// Whether a server's first bytes are an HTTP/2 SETTINGS frame; `None` asks for more of them.
fn is_settings(bytes: &[u8]) -> Option<bool> {
    const HEADER: usize = 9;
    // Length, type 4, no flags, stream 0. Nobody sends hundreds of settings.
    let fits = |(at, byte): (usize, &u8)| match at {
        0 | 1 => *byte == 0,
        2 => byte.is_multiple_of(6),
        3 => *byte == 4,
        _ => *byte == 0,
    };
    if !bytes.iter().take(HEADER).enumerate().all(fits) {
        return Some(false);
    }
    (bytes.len() >= HEADER).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::is_settings;

    #[test]
    fn settings_of_an_http2_server_are_told_from_greetings() {
        // (first bytes of a server, answer)
        let table: [(&[u8], Option<bool>); 8] = [
            (b"", None),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some(true)),
            (b"\0\0\0\x04\0\0\0\0\0", Some(true)),
            (b"\0\0\x12\x04\0", None),
            (b"\0\0\x12\x04\x01\0\0\0\0", Some(false)),
            (b"\x4a\0\0\0\x0a8.0.33\0", Some(false)),
            (b"220 mail.example.com ESMTP\r\n", Some(false)),
            (b"INFO {\"server_id\":", Some(false)),
        ];
        for (bytes, answer) in table {
            assert_eq!(is_settings(bytes), answer, "{}", bytes.escape_ascii());
        }
    }
}
