//! The connections of one worker to a cluster's endpoints: which may carry a request, which are kept, counted and closed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::circuit::{Limited, Overflow};
use leno_core::endpoint::Endpoint;
use leno_core::retry::Idempotence;
use leno_telemetry::ClusterStat;

use super::pools::{PoolOf, key};
use super::{ClusterState, Slot, UpstreamConnection};
use crate::limits;
use crate::upstream::connect::Link;
use crate::upstream::pool::Wanted;
use crate::upstream::shared::{Shared, Spoken, Use};

impl ClusterState {
    /// What can carry a request to the endpoint at once.
    pub(crate) fn ready(
        &self,
        endpoint: &Arc<Endpoint>,
        spoken: Spoken,
        (idempotence, now): (Idempotence, Instant),
    ) -> Option<Link> {
        if spoken != Spoken::Http1 {
            let pools = self.pools.borrow();
            let shared = pools.get(&key(endpoint)).map(|kept| &kept.shared)?;
            let found = shared.find(&endpoint.transport, self.use_of(), now);
            if found.is_some() || spoken == Spoken::Http2 {
                return found.map(Link::Shared);
            }
        }
        let kept = self.checkout(endpoint, idempotence, now);
        kept.map(Link::Exclusive)
    }

    /// The endpoint's shared connections.
    pub(crate) fn shared(&self, endpoint: &Arc<Endpoint>) -> Rc<Shared> {
        let mut pools = self.pools.borrow_mut();
        let kept = pools.entry(key(endpoint)).or_insert_with(|| PoolOf::new(endpoint));
        Rc::clone(&kept.shared)
    }

    /// How much one shared connection may be used.
    fn use_of(&self) -> Use {
        let settings = self.settings.borrow();
        let http = &settings.source().http;
        let limit = |limit: Option<u32>| limit.unwrap_or(u32::MAX);
        Use {
            streams: limit(http.max_concurrent_streams) as usize,
            requests: limit(http.max_requests_per_connection),
            age: http.max_connection_duration.unwrap_or(Duration::MAX),
        }
    }

    /// A kept connection to the endpoint that may be trusted with a request.
    pub(crate) fn checkout(
        &self,
        endpoint: &Arc<Endpoint>,
        idempotence: Idempotence,
        now: Instant,
    ) -> Option<UpstreamConnection> {
        let (transport, known) = (&endpoint.transport, &endpoint.live.keep_alive);
        let age_max = self.use_of().age;
        let wanted = Wanted { transport, known, now, idempotence, age_max };
        self.pools.borrow().get(&key(endpoint))?.pool.checkout(wanted)
    }

    /// Keeps a connection for the next exchange, unless it has served enough.
    pub(crate) fn give_back(
        &self,
        endpoint: &Arc<Endpoint>,
        connection: UpstreamConnection,
        now: Instant,
    ) {
        let limit = self.use_of();
        let is_private = connection.transport.proxy_protocol.is_some();
        if is_private || connection.served >= limit.requests {
            return;
        }
        // An endpoint that was swept away meanwhile has no pool: the connection is closed.
        if let Some(kept) = self.pools.borrow().get(&key(endpoint)) {
            if connection.is_aged(limit.age, now) {
                return kept.pool.note_aged();
            }
            kept.pool.give_back(connection, now);
        }
        self.shared.note_free();
    }

    /// A place for one more connection. A worker that has none to this cluster always gets one: the limit counts all
    /// workers, and a worker without a connection could wait for ever on another worker's.
    pub(crate) fn reserve(&self) -> Result<Slot, Overflow> {
        let settings = self.settings.borrow();
        let guard = match self.shared.circuit.try_acquire(settings.limits(), Limited::Connections) {
            Ok(guard) => Some(guard),
            Err(_) if self.connections.get() == 0 => None,
            Err(overflow) => return Err(overflow),
        };
        let count = Rc::clone(&self.connections);
        Ok(Slot::new(guard, &self.shared, count, self.stats.clone()))
    }

    /// Closes one connection that idles, so that its place can be taken: to another endpoint, or to the wanted one when it
    /// is not to be used again.
    pub(crate) fn evict(&self, wanted: &Arc<Endpoint>) -> bool {
        let pools = self.pools.borrow();
        let others = pools.iter().filter(|(other, _)| **other != key(wanted));
        others
            .chain(pools.get_key_value(&key(wanted)))
            .any(|(_, kept)| kept.pool.evict() || kept.shared.evict())
    }

    /// Closes kept connections that are too old or closed by the other side, and pools of endpoints that are gone.
    pub(crate) fn sweep(&self, now: Instant) {
        let idle = self.settings.borrow().source().http.idle_timeout;
        let idle = idle.unwrap_or(limits::UPSTREAM_IDLE);
        let limit = self.use_of();
        self.pools.borrow_mut().retain(|_, kept| {
            kept.pool.sweep(now, (idle, limit.age), &kept.live.keep_alive);
            let aged = kept.shared.sweep(now, idle, limit) + kept.pool.take_aged();
            self.stats.add(ClusterStat::CxMaxDurationReached, aged.into());
            !kept.pool.is_empty() || !kept.shared.is_empty() || kept.live.active() > 0
        });
    }
}
