//! Kept upstream connections of one endpoint on one worker, last in first out.
//!
//! The last one used is the least likely to have been closed, and the rest may grow old and go. Per worker, no lock.
//! A connection is in the pool or in one exchange, never in both.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::cluster::Transport;

use crate::limits::IDLE_PER_ENDPOINT;
use crate::listener::Proof;
use crate::wire::Wire;

/// One upstream connection with what belongs to it.
#[derive(Debug)]
pub(crate) struct Connection<G> {
    /// Its bytes.
    pub(crate) wire: Wire,
    /// Exchanges it has served.
    pub(crate) served: u32,
    /// How it was opened; an endpoint that is talked to in another way cannot use it.
    pub(crate) transport: Arc<Transport>,
    /// What its TLS handshake proved.
    pub(crate) proof: Proof,
    /// Our address, for access records.
    pub(crate) local: Option<SocketAddr>,
    /// Counted against the cluster's limits until dropped.
    pub(crate) _slot: G,
}

impl<G> Connection<G> {
    /// Whether an endpoint with this transport could have opened it.
    fn fits(&self, transport: &Arc<Transport>) -> bool {
        let settings =
            |transport: &Arc<Transport>| transport.tls.as_ref().map(|tls| tls.settings.clone());
        Arc::ptr_eq(&self.transport, transport) || settings(&self.transport) == settings(transport)
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
}

#[derive(Debug)]
struct Kept<G> {
    connection: Connection<G>,
    since: Instant,
}

impl<G> Default for Pool<G> {
    fn default() -> Self {
        Self { kept: RefCell::default() }
    }
}

impl<G> Pool<G> {
    /// The connection used last that fits the transport and is quiet; the others met on the way are closed.
    pub(crate) fn checkout(&self, transport: &Arc<Transport>) -> Option<Connection<G>> {
        loop {
            let mut connection = self.kept.borrow_mut().pop()?.connection;
            if connection.fits(transport) && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// Keeps `connection` for another exchange.
    pub(crate) fn give_back(&self, connection: Connection<G>, now: Instant) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= IDLE_PER_ENDPOINT {
            // The oldest: it is the first to be closed by the other side anyway.
            kept.remove(0);
        }
        kept.push(Kept { connection, since: now });
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

    /// Closes what is too old or was closed by the other side.
    pub(crate) fn sweep(&self, now: Instant, idle_max: Duration) {
        self.kept.borrow_mut().retain_mut(|kept| {
            now.duration_since(kept.since) < idle_max && kept.connection.is_quiet()
        });
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
    use tokio::net::{TcpListener, TcpStream};

    use super::{Connection, Pool};
    use crate::listener::Proof;
    use crate::wire::Wire;

    fn plaintext() -> Arc<Transport> {
        Arc::new(Transport { name: "default".into(), tls: None, proxy_protocol: None })
    }

    async fn connection() -> (Connection<()>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire::Tcp(near.unwrap());
        let connection = Connection {
            wire,
            served: 0,
            transport: plaintext(),
            proof: Proof::default(),
            local: None,
            _slot: (),
        };
        (connection, far.unwrap().0)
    }

    #[tokio::test]
    async fn the_last_connection_comes_out_first_and_a_closed_one_never() {
        let pool = Pool::default();
        let now = Instant::now();
        let (older, _far_older) = connection().await;
        let older_local = older.wire.local_addr();
        let (closed, far_closed) = connection().await;
        drop(far_closed);
        closed.wire.tcp().unwrap().readable().await.unwrap();
        for kept in [older, closed] {
            pool.give_back(kept, now);
        }
        let taken = pool.checkout(&plaintext()).unwrap();
        assert_eq!(taken.wire.local_addr(), older_local);
        assert!(pool.checkout(&plaintext()).is_none() && pool.is_empty());
    }

    #[tokio::test]
    async fn a_sweep_closes_what_is_idle_too_long() {
        let pool = Pool::default();
        let now = Instant::now();
        let (kept, _far) = connection().await;
        pool.give_back(kept, now);
        let idle = Duration::from_secs(60);
        pool.sweep(now + idle / 2, idle);
        assert_eq!(pool.len(), 1);
        pool.sweep(now + idle, idle);
        assert!(pool.is_empty());
    }
}
