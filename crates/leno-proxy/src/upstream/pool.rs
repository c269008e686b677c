//! Kept upstream connections of one endpoint on one worker, last in first out.
//!
//! The last one used is the least likely to have been closed, and the rest may grow old and go. When one is too old to be
//! used is learnt from the endpoint ([`leno_core::keep_alive`]): the oldest stays beyond that, unused, as its witness. Per
//! worker, no lock. A connection is in the pool or in one exchange, never in both.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::cluster::Transport;
use leno_core::config::UpstreamTls;
use leno_core::keep_alive::SharedKeepAlive;
use leno_core::retry::Idempotence;
use leno_http::h1::Client;

use crate::limits::IDLE_PER_ENDPOINT;
use crate::listener::Proof;
use crate::wire::Wire;

/// One upstream connection with what belongs to it.
#[derive(Debug)]
pub(crate) struct Connection<G> {
    /// Its bytes.
    pub(crate) wire: Wire,
    /// Its machine, for as long as it speaks HTTP/1.
    pub(crate) client: Client,
    /// Exchanges it has served.
    pub(crate) served: u32,
    /// When it was opened.
    pub(crate) opened: Instant,
    /// How long it had been idle when it was taken for the exchange that it is in.
    pub(crate) idle: Duration,
    /// How it was opened; an endpoint that is talked to in another way cannot use it.
    pub(crate) transport: Arc<Transport>,
    /// What its TLS handshake proved.
    pub(crate) proof: Proof,
    /// Whether it speaks HTTP/2.
    pub(crate) is_http2: bool,
    /// Our address, for access records.
    pub(crate) local: Option<SocketAddr>,
    /// Counted against the cluster's limits until dropped.
    pub(crate) _slot: G,
}

/// Whether an endpoint with the transport `wanted` could have opened a connection by `transport`.
pub(super) fn fits(transport: &Arc<Transport>, wanted: &Arc<Transport>) -> bool {
    fn settings(transport: &Transport) -> Option<&UpstreamTls> {
        transport.tls.as_ref().map(|tls| &tls.settings)
    }
    Arc::ptr_eq(transport, wanted) || settings(transport) == settings(wanted)
}

impl<G> Connection<G> {
    /// Whether it has stood for so long.
    pub(crate) fn is_aged(&self, age: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.opened) >= age
    }

    /// Whether nothing arrived since the last response: an end or a stray byte makes the connection useless.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet()
    }
}

/// Kept connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Pool<G> {
    kept: RefCell<Vec<Kept<G>>>,
    /// Connections that were closed for their age since somebody asked.
    aged: Cell<u32>,
}

#[derive(Debug)]
struct Kept<G> {
    connection: Box<Connection<G>>,
    since: Instant,
    /// The idle time at which it was last seen open.
    seen: Duration,
}

impl<G> Kept<G> {
    fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Found closed after `idle`: that happened since it was seen last.
    fn note_closed(&self, idle: Duration, known: &SharedKeepAlive) {
        known.update(|known| known.on_closed(self.seen.max(idle / 2)));
    }
}

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// How the endpoint is talked to.
    pub(crate) transport: &'a Arc<Transport>,
    /// What is known of the endpoint's idle connections.
    pub(crate) known: &'a SharedKeepAlive,
    pub(crate) now: Instant,
    pub(crate) idempotence: Idempotence,
    /// How long one may have stood.
    pub(crate) age_max: Duration,
}

impl<G> Default for Pool<G> {
    fn default() -> Self {
        Self { kept: RefCell::default(), aged: Cell::default() }
    }
}

impl<G> Pool<G> {
    /// The connection used last that fits the transport and is quiet, unless even that one may be closed at any moment;
    /// closed ones met on the way are dropped.
    pub(crate) fn checkout(&self, wanted: Wanted<'_>) -> Option<Box<Connection<G>>> {
        loop {
            let mut kept = self.kept.borrow_mut();
            let idle = kept.last()?.idle(wanted.now);
            if !wanted.known.load().may_carry(idle, wanted.idempotence) {
                return None;
            }
            let mut last = kept.pop()?;
            drop(kept);
            if !fits(&last.connection.transport, wanted.transport) {
                continue;
            }
            if last.connection.is_aged(wanted.age_max, wanted.now) {
                self.note_aged();
                continue;
            }
            if last.connection.is_quiet() {
                last.connection.idle = idle;
                return Some(last.connection);
            }
            last.note_closed(idle, wanted.known);
        }
    }

    /// Keeps `connection` for another exchange.
    pub(crate) fn give_back(&self, connection: Box<Connection<G>>, now: Instant) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= IDLE_PER_ENDPOINT {
            // The oldest: it is the first to be closed by the other side anyway.
            kept.remove(0);
        }
        kept.push(Kept { connection, since: now, seen: Duration::ZERO });
    }

    /// Counts a connection that is closed for its age.
    pub(crate) fn note_aged(&self) {
        self.aged.set(self.aged.get() + 1);
    }

    /// How many connections were closed for their age since the last call.
    pub(crate) fn take_aged(&self) -> u32 {
        self.aged.take()
    }

    /// Closes the oldest kept connection, if there is one.
    pub(crate) fn evict(&self) -> bool {
        let mut kept = self.kept.borrow_mut();
        let is_there = !kept.is_empty();
        if is_there {
            drop(kept.remove(0));
        }
        is_there
    }

    /// Closes what is too old or was closed by the other side, and learns from it.
    pub(crate) fn sweep(
        &self,
        now: Instant,
        (idle_max, age_max): (Duration, Duration),
        known: &SharedKeepAlive,
    ) {
        let mut all = self.kept.borrow_mut();
        all.retain_mut(|kept| {
            let idle = kept.idle(now);
            if idle >= idle_max {
                return false;
            }
            if kept.connection.is_aged(age_max, now) {
                self.note_aged();
                return false;
            }
            if kept.connection.is_quiet() {
                kept.seen = idle;
                return true;
            }
            kept.note_closed(idle, known);
            false
        });
        let Some(oldest) = all.first() else { return };
        known.update(|known| known.on_alive(oldest.seen));
        if let Some(within) = known.load().used_within() {
            let aged = all.iter().take_while(|kept| kept.seen >= within).count();
            // All but the witness.
            all.drain(1..aged.max(1));
        }
    }

    /// Connections kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.borrow().len()
    }

    /// Whether none is kept.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }
}
