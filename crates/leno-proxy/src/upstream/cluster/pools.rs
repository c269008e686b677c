//! What one worker keeps of each endpoint of a cluster: connections, and who is behind it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use leno_core::endpoint::{Endpoint, EndpointLive};
use leno_telemetry::PartyId;

use super::Slot;
use crate::upstream::pool::Pool;
use crate::upstream::shared::Shared;

/// Hashes the address of an allocation: distinct already, so that mixing its bits is enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ByAddress(u64);

impl BuildHasher for ByAddress {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for ByAddress {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, address: usize) {
        // Fibonacci hashing: the high bits, which the table takes, depend on all of the address.
        self.0 = (self.0 ^ address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The connections of each endpoint in use, by [`key`].
pub(super) type Pools = HashMap<usize, PoolOf, ByAddress>;

/// What a worker keeps of one endpoint.
pub(super) struct PoolOf {
    /// Keeps the key (its address) taken.
    pub(super) live: Arc<EndpointLive>,
    pub(super) pool: Rc<Pool<Slot>>,
    pub(super) shared: Rc<Shared>,
    /// The workload behind it, for metrics; known once a request went there.
    pub(super) party: Option<PartyId>,
    pub(super) principal: Option<Arc<str>>,
}

impl PoolOf {
    /// Nothing is known and kept of it yet.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self {
            live: Arc::clone(&endpoint.live),
            pool: Rc::default(),
            shared: Rc::default(),
            party: None,
            principal: None,
        }
    }
}

/// The endpoint's place in [`Pools`]: what happens to an address keeps its allocation from set to set.
pub(super) fn key(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(&endpoint.live) as usize
}
