//! Circuit limits of a cluster: connections, pending requests, requests, retries.
//!
//! Limits come from the snapshot, counters hang on the cluster's name and outlive it, shared by all workers: a plain
//! struct of atomics, no lock. A refusal is flag `UO`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config;

/// Limits with Envoy's defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitLimits {
    limits: [u32; 4],
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// Connections to the cluster.
    Connections,
    /// Requests that wait for a connection.
    PendingRequests,
    /// Requests in flight.
    Requests,
    /// Retries in flight.
    Retries,
}

impl Limited {
    const fn slot(self) -> usize {
        match self {
            Self::Connections => 0,
            Self::PendingRequests => 1,
            Self::Requests => 2,
            Self::Retries => 3,
        }
    }
}

impl CircuitLimits {
    pub(crate) fn compile(config: &config::CircuitLimits) -> Self {
        // Where a budget is set it alone limits retries.
        let retries = match config.retry_budget {
            Some(_) => u32::MAX,
            None => config.max_retries.unwrap_or(3),
        };
        Self {
            limits: [
                config.max_connections.unwrap_or(1024),
                config.max_pending_requests.unwrap_or(1024),
                config.max_requests.unwrap_or(1024),
                retries,
            ],
        }
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self, what: Limited) -> u32 {
        self.limits[what.slot()]
    }
}

/// What a cluster uses right now.
#[derive(Debug, Default)]
pub struct Circuit {
    in_use: [AtomicU32; 4],
}

/// The limit was reached: answer 503 with flag `UO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow(
    /// Which limit.
    pub Limited,
);

/// One unit in use; given back on drop.
#[derive(Debug)]
pub struct CircuitGuard {
    circuit: Arc<Circuit>,
    what: Limited,
}

impl Circuit {
    /// Takes one unit, or says which limit refused it. Never exceeds the limit, whatever other workers do.
    pub fn try_acquire(
        self: &Arc<Self>,
        limits: &CircuitLimits,
        what: Limited,
    ) -> Result<CircuitGuard, Overflow> {
        let limit = limits.limit(what);
        // Relaxed: the number guards no other memory.
        self.in_use[what.slot()]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                (used < limit).then_some(used + 1)
            })
            .map(|_| CircuitGuard { circuit: Arc::clone(self), what })
            .map_err(|_| Overflow(what))
    }

    /// How much is in use.
    #[must_use]
    pub fn in_use(&self, what: Limited) -> u32 {
        self.in_use[what.slot()].load(Ordering::Relaxed)
    }
}

impl Drop for CircuitGuard {
    fn drop(&mut self) {
        self.circuit.in_use[self.what.slot()].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Limited; 4] =
        [Limited::Connections, Limited::PendingRequests, Limited::Requests, Limited::Retries];

    #[test]
    fn defaults_are_envoys_and_a_budget_replaces_the_retry_limit() {
        let limits = CircuitLimits::compile(&config::CircuitLimits::default());
        assert_eq!(ALL.map(|what| limits.limit(what)), [1024, 1024, 1024, 3]);
        let budget = config::RetryBudget { per_ten_thousand: 2000, min_concurrency: 3 };
        let config = config::CircuitLimits {
            max_requests: Some(5),
            retry_budget: Some(budget),
            ..Default::default()
        };
        let limits = CircuitLimits::compile(&config);
        assert_eq!(ALL.map(|what| limits.limit(what)), [1024, 1024, 5, u32::MAX]);
    }

    #[test]
    fn each_limit_counts_alone_and_guards_give_back() {
        let config = config::CircuitLimits {
            max_connections: Some(1),
            max_pending_requests: Some(0),
            max_requests: Some(2),
            ..Default::default()
        };
        let limits = CircuitLimits::compile(&config);
        let circuit = Arc::new(Circuit::default());
        let first = circuit.try_acquire(&limits, Limited::Requests).unwrap();
        let _second = circuit.try_acquire(&limits, Limited::Requests).unwrap();
        let refused = circuit.try_acquire(&limits, Limited::Requests);
        assert_eq!(refused.unwrap_err(), Overflow(Limited::Requests));
        assert!(circuit.try_acquire(&limits, Limited::Connections).is_ok());
        assert!(circuit.try_acquire(&limits, Limited::PendingRequests).is_err());
        drop(first);
        assert!(circuit.try_acquire(&limits, Limited::Requests).is_ok());
        assert_eq!(circuit.in_use(Limited::Requests), 1);
        assert_eq!(circuit.in_use(Limited::Connections), 0);
    }
}
