//! What the clients of a scenario saw.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Failures that are told in full.
const TOLD: usize = 5;

/// Protocols that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Tcp,
    WebSocket,
}

impl Protocol {
    pub(super) const ALL: [Self; 3] = [Self::Http1, Self::Tcp, Self::WebSocket];

    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
        }
    }
}

/// Counts of one scenario, shared by its clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    exchanges: [AtomicU64; 3],
    connections: [AtomicU64; 3],
    failed: [AtomicU64; 3],
    told: Mutex<Vec<String>>,
}

impl Tally {
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

    /// Whether every protocol got somewhere.
    pub(super) fn is_under_way(&self) -> bool {
        self.exchanges.iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// What was seen; `happened` says how often what.
    pub(super) fn report(&self, happened: String) -> Report {
        let counts = |counts: &[AtomicU64; 3]| -> [u64; 3] {
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
    exchanges: [u64; 3],
    connections: [u64; 3],
    failed: [u64; 3],
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
