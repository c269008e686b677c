//! Kept upstream connections of one endpoint on one worker, last in first out.
//!
//! The last one used is the least likely to have been closed, and the rest may grow old and go. When one is too old to be
//! used is learnt from the endpoint ([`leno_core::keep_alive`]): the oldest stays beyond that, unused, as its witness. Per
//! worker, no lock. A connection is in the pool or in one exchange, never in both.

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use leno_core::cluster::Transport;
    use leno_core::keep_alive::SharedKeepAlive;
    use leno_core::retry::Idempotence;
    use leno_http::Limits;
    use leno_http::h1::Client;
    use tokio::net::{TcpListener, TcpStream};

    use super::{Connection, Pool, Wanted};
    use crate::listener::Proof;
    use crate::wire::Wire;

    fn plaintext() -> Arc<Transport> {
        Arc::new(Transport { name: "default".into(), tls: None, proxy_protocol: None })
    }

    async fn connection() -> (Box<Connection<()>>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire::Tcp(near.unwrap());
        let connection = Box::new(Connection {
            wire,
            client: Client::new(Limits::DEFAULT),
            served: 0,
            opened: Instant::now(),
            idle: Duration::ZERO,
            transport: plaintext(),
            proof: Proof::default(),
            is_http2: false,
            local: None,
            _slot: (),
        });
        (connection, far.unwrap().0)
    }

    fn take(
        pool: &Pool<()>,
        known: &SharedKeepAlive,
        now: Instant,
        idempotence: Idempotence,
    ) -> Option<Box<Connection<()>>> {
        let age_max = Duration::from_secs(3600);
        pool.checkout(Wanted { transport: &plaintext(), known, now, idempotence, age_max })
    }

    #[tokio::test]
    async fn the_last_connection_comes_out_first_and_a_closed_one_never() {
        let pool = Pool::default();
        let known = SharedKeepAlive::default();
        let now = Instant::now();
        let (older, _far_older) = connection().await;
        let older_local = older.wire.local_addr();
        let (closed, far_closed) = connection().await;
        drop(far_closed);
        closed.wire.tcp().unwrap().readable().await.unwrap();
        for kept in [older, closed] {
            pool.give_back(kept, now);
        }
        let now = now + Duration::from_millis(4);
        let taken = take(&pool, &known, now, Idempotence::Idempotent).unwrap();
        assert_eq!(taken.wire.local_addr(), older_local);
        assert!(take(&pool, &known, now, Idempotence::Idempotent).is_none() && pool.is_empty());
        let learnt = known.load().used_within();
        assert!(learnt.is_some_and(|within| within <= Duration::from_millis(10)), "{learnt:?}");
    }

    #[tokio::test]
    async fn what_is_too_old_for_one_request_stays_for_another() {
        let pool = Pool::default();
        let known = SharedKeepAlive::default();
        let now = Instant::now();
        let (kept, _far) = connection().await;
        pool.give_back(kept, now);
        let late = now + Duration::from_secs(5);
        assert!(take(&pool, &known, late, Idempotence::NotIdempotent).is_none());
        assert!(take(&pool, &known, late, Idempotence::Idempotent).is_some());
    }

    #[tokio::test]
    async fn one_witness_outlives_what_is_retired() {
        let pool = Pool::default();
        let known = SharedKeepAlive::default();
        known.update(|known| known.on_announced(Some(Duration::from_secs(5))));
        let now = Instant::now();
        let mut far = Vec::new();
        for age in [4, 3, 0] {
            let (kept, other) = connection().await;
            far.push(other);
            pool.give_back(kept, now + Duration::from_secs(4 - age));
        }
        let late = now + Duration::from_secs(5);
        pool.sweep(late, (Duration::from_secs(3600), Duration::MAX), &known);
        assert_eq!(pool.len(), 2, "the witness, and the one that is young");
        assert!(take(&pool, &known, late, Idempotence::Idempotent).is_some());
        assert!(take(&pool, &known, late, Idempotence::Idempotent).is_none());
        assert_eq!(pool.len(), 1);
    }

    #[tokio::test]
    async fn a_sweep_closes_what_is_idle_too_long() {
        let pool = Pool::default();
        let known = SharedKeepAlive::default();
        let now = Instant::now();
        let (kept, _far) = connection().await;
        pool.give_back(kept, now);
        let idle = Duration::from_secs(60);
        pool.sweep(now + idle / 2, (idle, Duration::MAX), &known);
        assert_eq!(pool.len(), 1);
        pool.sweep(now + idle, (idle, Duration::MAX), &known);
        assert!(pool.is_empty());
    }

    #[tokio::test]
    async fn what_has_stood_too_long_is_neither_used_nor_kept() {
        let pool = Pool::default();
        let known = SharedKeepAlive::default();
        let now = Instant::now();
        let mut far = Vec::new();
        for _ in 0..2 {
            let (kept, other) = connection().await;
            far.push(other);
            pool.give_back(kept, now + Duration::from_secs(3599));
        }
        let late = now + Duration::from_secs(3600);
        pool.sweep(late, (Duration::from_secs(60), Duration::from_secs(7200)), &known);
        assert_eq!((pool.len(), pool.take_aged()), (2, 0));
        assert!(
            take(&pool, &known, late + Duration::from_secs(1), Idempotence::Idempotent).is_none()
        );
        assert_eq!((pool.len(), pool.take_aged()), (0, 2));
        let (kept, _far) = connection().await;
        pool.give_back(kept, late);
        pool.sweep(late, (Duration::from_secs(60), Duration::from_secs(3599)), &known);
        assert_eq!((pool.len(), pool.take_aged()), (0, 1));
    }
}
