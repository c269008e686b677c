//! How many connections a filter chain takes: `envoy.filters.network.connection_limit`, asked as soon as the chain is
//! known, before TLS and before anything is done with the connection's bytes. [`super::connection`] calls it.
//!
//! Counted by the names of listener and filter chain, over all workers and across updates of the configuration.

use std::sync::Arc;
use std::time::Duration;

use leno_core::filter_chain::FilterChain;
use leno_telemetry::ConnectionLimitStats;

use super::admission::{Count, Counted};
use crate::process::Process;

/// One filter of a chain, with its counts.
#[derive(Debug)]
pub(crate) struct ConnectionLimit {
    max_connections: usize,
    delay: Option<Duration>,
    count: Count,
    stats: Arc<ConnectionLimitStats>,
}

/// What one connection takes of a chain's limits, until dropped. Empty without limits.
pub(crate) type Places = Box<[Place]>;

/// A connection in the counts of one filter.
#[derive(Debug)]
pub(crate) struct Place {
    stats: Arc<ConnectionLimitStats>,
    _counted: Option<Counted>,
}

/// A connection that is beyond a limit: to be closed, after `delay`.
pub(crate) struct Beyond {
    pub(crate) delay: Option<Duration>,
    /// It counts as active until it is closed.
    pub(crate) _places: Places,
}

impl ConnectionLimit {
    /// The filters of a chain of `listener` that are switched on.
    pub(crate) fn of_chain(listener: &str, chain: &FilterChain, process: &Process) -> Box<[Self]> {
        let enabled = chain.connection_limits.iter().filter(|limit| limit.is_enabled);
        let with_counts = |(at, limit): (usize, &leno_core::filter_chain::ConnectionLimit)| Self {
            max_connections: limit.max_connections,
            delay: limit.delay,
            count: process.admission.count(format!("{listener} {} {at}", chain.name)),
            stats: process.metrics.connection_limit(&limit.stat_prefix),
        };
        enabled.enumerate().map(with_counts).collect()
    }
}

impl Place {
    fn take(limit: &ConnectionLimit, counted: Option<Counted>) -> Self {
        limit.stats.opened();
        Self { stats: Arc::clone(&limit.stats), _counted: counted }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stats.closed();
    }
}

/// Takes a connection into the counts of all limits, in order.
///
/// # Errors
/// The first limit that is reached.
pub(crate) fn admit(limits: &[ConnectionLimit]) -> Result<Places, Beyond> {
    let mut places = Vec::with_capacity(limits.len());
    for limit in limits {
        let counted = limit.count.admit(limit.max_connections);
        let is_beyond = counted.is_none();
        places.push(Place::take(limit, counted));
        if is_beyond {
            limit.stats.limited();
            return Err(Beyond { delay: limit.delay, _places: places.into() });
        }
    }
    Ok(places.into())
}
