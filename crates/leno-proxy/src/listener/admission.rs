//! Who may connect: connections counted per listener, per filter chain and per peer, across all workers.
//!
//! Asked once for each connection, at accept and when its filter chain is known; never on the path of a request. What is
//! beyond a limit is closed at once, counted, and told in the log once a while.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use leno_telemetry::LimitReached;

use crate::limits::{self, ProcessLimits};

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The listener has as many as it may.
    Listener,
    /// The peer has as many as it may.
    Peer,
    /// The process is beyond its memory budget.
    Memory,
}

impl Refusal {
    /// Under which limit it is counted.
    pub(crate) const fn limit(self) -> LimitReached {
        match self {
            Self::Listener => LimitReached::ListenerConnections,
            Self::Peer => LimitReached::PeerConnections,
            Self::Memory => LimitReached::MemoryConnections,
        }
    }
}

const SHARDS: usize = 16;

/// The counts of one process.
#[derive(Debug)]
pub(crate) struct Admission {
    per_listener: usize,
    per_peer: u32,
    /// By the names of listeners and filter chains: they outlive every update of the configuration.
    named: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    peers: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: RandomState,
    told: Told,
}

/// Where the connections of one listener or filter chain are counted.
#[derive(Clone, Debug)]
pub(crate) struct Count(Arc<AtomicUsize>);

/// One connection in the counts, until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Count {
    /// Counts one more, up to `max`.
    pub(crate) fn admit(&self, max: usize) -> Option<Counted> {
        if self.0.fetch_add(1, Relaxed) >= max {
            self.0.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Counted(Arc::clone(&self.0)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One accepted connection in the counts of its listener and its peer, until dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    peer: IpAddr,
    _listener: Counted,
}

impl Admission {
    pub(crate) fn new(limits: &ProcessLimits) -> Self {
        Self {
            per_listener: limits.connections_per_listener,
            per_peer: u32::try_from(limits.connections_per_peer).unwrap_or(u32::MAX),
            named: Mutex::default(),
            peers: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            told: Told::default(),
        }
    }

    /// The count of this name. Takes a lock: for updates of the configuration.
    pub(crate) fn count(&self, name: String) -> Count {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody counts with any more goes with the configuration that had it.
        named.retain(|_, count| Arc::strong_count(count) > 1);
        Count(Arc::clone(named.entry(name).or_default()))
    }

    /// Takes one connection into the counts, or says why not.
    pub(crate) fn admit(
        self: &Arc<Self>,
        listener: &Count,
        peer: IpAddr,
    ) -> Result<Admitted, Refusal> {
        let listener = listener.admit(self.per_listener).ok_or(Refusal::Listener)?;
        let peer = peer_of(peer);
        let mut shard = self.shard(peer);
        let count = shard.entry(peer).or_default();
        if *count >= self.per_peer {
            return Err(Refusal::Peer);
        }
        *count += 1;
        drop(shard);
        Ok(Admitted { admission: Arc::clone(self), peer, _listener: listener })
    }

    /// Tells the operator of a refusal, not more often than [`limits::REFUSALS_LOGGED`].
    pub(crate) fn tell(&self, refusal: Refusal, listener: &str, peer: IpAddr) {
        if let Some(more) = self.told.now(Instant::now()) {
            let limit = refusal.limit().label();
            tracing::warn!(listener, %peer, limit, more, "connection refused");
        }
    }

    fn shard(&self, peer: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, u32>> {
        let at = self.hasher.hash_one(peer) as usize % SHARDS;
        self.peers[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut shard = self.admission.shard(self.peer);
        if let Some(count) = shard.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.peer);
            }
        }
    }
}

/// Whom an address stands for: who has one IPv6 address has its /64.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// When something was told last, and how often it was not since.
#[derive(Debug)]
struct Told {
    since: Instant,
    /// Milliseconds after `since`, plus one; 0 is never.
    last_ms: AtomicU64,
    kept_back: AtomicU64,
}

impl Default for Told {
    fn default() -> Self {
        let (last_ms, kept_back) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { since: Instant::now(), last_ms, kept_back }
    }
}

impl Told {
    /// Whether to tell now, and how many were kept back before. Two threads may tell at the same moment.
    fn now(&self, now: Instant) -> Option<u64> {
        let now_ms =
            u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX - 1);
        let last = self.last_ms.load(Relaxed);
        let pause_ms = u64::try_from(limits::REFUSALS_LOGGED.as_millis()).unwrap_or(u64::MAX);
        if last != 0 && now_ms + 1 < last + pause_ms {
            self.kept_back.fetch_add(1, Relaxed);
            return None;
        }
        self.last_ms.store(now_ms + 1, Relaxed);
        Some(self.kept_back.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Instant;

    use super::{Admission, Refusal, Told};
    use crate::limits::{ProcessLimits, REFUSALS_LOGGED};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(connections_per_listener: usize, connections_per_peer: usize) -> Arc<Admission> {
        let limits = ProcessLimits {
            connections_per_listener,
            connections_per_peer,
            ..ProcessLimits::of_machine(NonZeroUsize::MIN)
        };
        Arc::new(Admission::new(&limits))
    }

    #[test]
    fn a_listener_and_a_peer_have_their_number_and_no_more() {
        let admission = admission(3, 2);
        let (web, other) = (admission.count("web".into()), admission.count("other".into()));
        let refusal = |outcome: Result<_, Refusal>| outcome.map(|_| ()).err();
        let first = admission.admit(&web, ip("10.0.0.1")).unwrap();
        let _second = admission.admit(&web, ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(refusal(admission.admit(&web, ip("10.0.0.1"))), Some(Refusal::Peer));
        let _third = admission.admit(&web, ip("10.0.0.2")).unwrap();
        assert_eq!(refusal(admission.admit(&web, ip("10.0.0.3"))), Some(Refusal::Listener));
        assert_eq!(refusal(admission.admit(&other, ip("10.0.0.1"))), Some(Refusal::Peer));
        drop(first);
        let _again = admission.admit(&web, ip("10.0.0.1")).unwrap();
        assert_eq!(refusal(admission.admit(&web, ip("10.0.0.4"))), Some(Refusal::Listener));
    }

    #[test]
    fn an_ipv6_peer_is_its_network_and_nothing_stays_behind() {
        let admission = admission(10, 1);
        let web = admission.count("web".into());
        let one = admission.admit(&web, ip("2001:db8:1:2::1")).unwrap();
        assert!(admission.admit(&web, ip("2001:db8:1:2:ffff::9")).is_err());
        let _two = admission.admit(&web, ip("2001:db8:1:3::1")).unwrap();
        drop(one);
        let left: usize = admission.peers.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert_eq!(left, 1);
        drop(web);
        let _new = admission.count("new".into());
        assert_eq!(admission.named.lock().unwrap().len(), 2, "a connection still counts there");
        drop(_two);
        let _newer = admission.count("newer".into());
        assert_eq!(admission.named.lock().unwrap().len(), 2);
    }

    #[test]
    fn refusals_are_told_once_a_while_with_their_number() {
        let told = Told::default();
        let start = Instant::now();
        assert_eq!(told.now(start), Some(0));
        assert_eq!((told.now(start), told.now(start + REFUSALS_LOGGED / 2)), (None, None));
        assert_eq!(told.now(start + 2 * REFUSALS_LOGGED), Some(2));
    }
}
