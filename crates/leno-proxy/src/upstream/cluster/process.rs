//! The process's part of a cluster, and the places of its connections. Shared by all workers: atomics, no lock.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use leno_core::circuit::{Circuit, CircuitGuard, Limited};
use leno_core::endpoint::EndpointSet;
use leno_telemetry::{ClusterStat, ClusterStats};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The process's part of a cluster.
#[derive(Debug)]
pub(crate) struct SharedCluster {
    /// The endpoints now; swapped alone.
    pub(crate) endpoints: Arc<ArcSwap<EndpointSet>>,
    /// What is in use.
    pub(crate) circuit: Arc<Circuit>,
    /// Told when a connection is free again while requests wait for one.
    freed: Notify,
    /// Whether any worker ever used it.
    is_used: AtomicBool,
}

impl Default for SharedCluster {
    fn default() -> Self {
        Self {
            endpoints: Arc::new(ArcSwap::from_pointee(EndpointSet::empty())),
            circuit: Arc::default(),
            freed: Notify::new(),
            is_used: AtomicBool::new(false),
        }
    }
}

impl SharedCluster {
    /// Ready when a connection may have become free.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// A worker made its part of it.
    pub(crate) fn note_used(&self) {
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// Whether any worker has a part of it.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// A connection was given back or ended.
    pub(super) fn note_free(&self) {
        if self.circuit.in_use(Limited::PendingRequests) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// One upstream connection's place in the cluster's count; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    guard: Option<CircuitGuard>,
    shared: Arc<SharedCluster>,
    count: Rc<Cell<u32>>,
    stats: ClusterStats,
}

impl Slot {
    /// Counts one more connection, on the worker too.
    pub(super) fn new(
        guard: Option<CircuitGuard>,
        shared: &Arc<SharedCluster>,
        count: Rc<Cell<u32>>,
        stats: ClusterStats,
    ) -> Self {
        count.set(count.get() + 1);
        stats.increment(ClusterStat::CxActive);
        Self { guard, shared: Arc::clone(shared), count, stats }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        self.stats.decrement(ClusterStat::CxActive);
        self.guard = None;
        self.shared.note_free();
    }
}
