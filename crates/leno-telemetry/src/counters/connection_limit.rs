//! What connection limit filters count, by their `stat_prefix`. Shared by all workers: counted once for each connection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The counts of the filters with one prefix.
#[derive(Debug, Default)]
pub struct ConnectionLimitStats {
    active: AtomicU64,
    limited: AtomicU64,
}

impl ConnectionLimitStats {
    /// A connection came, beyond the limit or not.
    pub fn opened(&self) {
        self.active.fetch_add(1, Relaxed);
    }

    /// One that came went.
    pub fn closed(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    /// One that came is beyond the limit.
    pub fn limited(&self) {
        self.limited.fetch_add(1, Relaxed);
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct ConnectionLimits {
    by_prefix: Mutex<BTreeMap<Arc<str>, Arc<ConnectionLimitStats>>>,
    max: usize,
}

impl ConnectionLimits {
    /// With as many prefixes as `max`; further ones count together.
    pub(crate) fn new(max: usize) -> Self {
        Self { by_prefix: Mutex::default(), max }
    }

    pub(crate) fn stats(&self, prefix: &Arc<str>) -> Arc<ConnectionLimitStats> {
        let mut all = self.by_prefix.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = all.len() >= self.max && !all.contains_key(prefix);
        let prefix = if is_full { Arc::from(crate::labels::OTHER) } else { Arc::clone(prefix) };
        Arc::clone(all.entry(prefix).or_default())
    }

    /// Prefix, connections that are open, connections that were beyond the limit.
    pub(crate) fn all(&self) -> Vec<(Arc<str>, u64, u64)> {
        let all = self.by_prefix.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(prefix, stats): (&Arc<str>, &Arc<ConnectionLimitStats>)| {
            (Arc::clone(prefix), stats.active.load(Relaxed), stats.limited.load(Relaxed))
        };
        all.iter().map(row).collect()
    }
}
