//! What the clients of a scenario saw.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Failures that are told in full.
const TOLD: usize = 5;

/// Protocols that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Tcp,
    WebSocket,
    Http2,
    Grpc,
}

/// How many there are.
pub(super) const PROTOCOLS: usize = 5;

impl Protocol {
    pub(super) const ALL: [Self; PROTOCOLS] =
        [Self::Http1, Self::Tcp, Self::WebSocket, Self::Http2, Self::Grpc];

    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }
}

/// Counts of one scenario, shared by its clients.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    exchanges: [AtomicU64; PROTOCOLS],
    connections: [AtomicU64; PROTOCOLS],
    failed: [AtomicU64; PROTOCOLS],
    told: Mutex<Vec<String>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            exchanges: Default::default(),
            connections: Default::default(),
            failed: Default::default(),
            told: Mutex::default(),
        }
    }
}

impl Tally {
    /// Since the scenario's load began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn exchanged(&self, protocol: Protocol) {
        self.exchanges[protocol as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn connected(&self, protocol: Protocol) {
        self.connections[protocol as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, protocol: Protocol, what: impl fmt::Display) {
        self.failed[protocol as usize].fetch_add(1, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.len() < TOLD {
            told.push(format!("{}: {what}", protocol.name()));
        }
    }

    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Whether every one of these protocols got somewhere.
    pub(super) fn is_under_way(&self, clients: [usize; PROTOCOLS]) -> bool {
        let all = self.exchanges.iter().zip(clients);
        all.filter(|(_, clients)| *clients > 0).all(|(count, _)| count.load(Ordering::Relaxed) > 0)
    }

    /// What was seen; `happened` says how often what.
    pub(super) fn report(&self, happened: String) -> Report {
        let counts = |counts: &[AtomicU64; PROTOCOLS]| -> [u64; PROTOCOLS] {
            std::array::from_fn(|at| counts[at].load(Ordering::Relaxed))
        };
        let told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Report {
            happened,
            exchanges: counts(&self.exchanges),
            connections: counts(&self.connections),
            failed: counts(&self.failed),
            told,
        }
    }
}

/// One line of the soak.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Report {
    pub(super) happened: String,
    exchanges: [u64; PROTOCOLS],
    connections: [u64; PROTOCOLS],
    failed: [u64; PROTOCOLS],
    told: Vec<String>,
}

impl Report {
    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges.iter().sum()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.iter().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.happened)?;
        for protocol in Protocol::ALL {
            let at = protocol as usize;
            if self.connections[at] == 0 {
                continue;
            }
            let (exchanges, connections) = (self.exchanges[at], self.connections[at]);
            write!(f, " {} {exchanges} over {connections},", protocol.name())?;
        }
        write!(f, " {} failed", self.failed())?;
        for told in &self.told {
            write!(f, "\n    {told}")?;
        }
        Ok(())
    }
}
