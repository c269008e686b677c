//! Who may connect and open streams: what is there is counted against the limits, and so is what was refused.
//!
//! One for both ports. A place is taken when a connection or a stream begins and is free again when its value is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use leno_identity::SpiffeId;
use tonic::Status;

use crate::limits::{self, DiscoveryLimits, Limit};

/// The places of both ports. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: DiscoveryLimits,
    taken: Mutex<Taken>,
    reached: [AtomicU64; Limit::ALL.len()],
}

#[derive(Debug, Default)]
struct Taken {
    /// Connections that are served.
    connections: usize,
    /// Connections that are there to be told that they may not be.
    refused: usize,
    streams: usize,
    by_address: HashMap<IpAddr, usize>,
    by_identity: HashMap<SpiffeId, usize>,
    told: Option<Instant>,
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Connection {
    admission: Admission,
    address: IpAddr,
    /// Which limit leaves it no place.
    refused: Option<Limit>,
    streams: AtomicUsize,
    is_met: AtomicBool,
}

/// A stream's place.
#[derive(Debug)]
pub(super) struct StreamPlace {
    admission: Admission,
    connection: Option<Arc<Connection>>,
    identity: Option<SpiffeId>,
}

impl Admission {
    /// Nobody there yet.
    #[must_use]
    pub fn new(limits: DiscoveryLimits) -> Self {
        let reached = [const { AtomicU64::new(0) }; Limit::ALL.len()];
        Self(Arc::new(Shared { limits, taken: Mutex::default(), reached }))
    }

    /// What is in force.
    #[must_use]
    pub fn limits(&self) -> &DiscoveryLimits {
        &self.0.limits
    }

    /// How often a limit was reached.
    #[must_use]
    pub fn reached(&self, limit: Limit) -> u64 {
        self.0.reached[limit as usize].load(Relaxed)
    }

    /// Connections and streams that are served now.
    #[must_use]
    pub fn served(&self) -> (usize, usize) {
        let taken = self.taken();
        (taken.connections, taken.streams)
    }

    /// A place for a connection from `peer`; one that is refused if there is none, and `None` if there are too many of those.
    pub(crate) fn connect(&self, peer: IpAddr) -> Option<Arc<Connection>> {
        let address = whose(peer);
        let limits = self.limits();
        let refused = {
            let mut taken = self.taken();
            let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
            let refused = if taken.connections >= limits.connections {
                Some(Limit::Connections)
            } else if of_address >= limits.per_address() {
                Some(Limit::PerAddress)
            } else {
                None
            };
            match refused {
                None => {
                    taken.connections += 1;
                    *taken.by_address.entry(address).or_default() += 1;
                }
                Some(limit) if taken.refused >= limits::REFUSED_AT_ONCE => {
                    drop(taken);
                    self.reach(limit, &peer);
                    return None;
                }
                Some(_) => taken.refused += 1,
            }
            refused
        };
        if let Some(limit) = refused {
            self.reach(limit, &peer);
        }
        Some(Arc::new(Connection {
            admission: self.clone(),
            address,
            refused,
            streams: AtomicUsize::new(0),
            is_met: AtomicBool::new(false),
        }))
    }

    /// A place for a discovery stream of this connection and identity, as far as either is known.
    ///
    /// # Errors
    /// What to tell the proxy.
    pub(super) fn open(
        &self,
        connection: Option<&Arc<Connection>>,
        identity: Option<&SpiffeId>,
    ) -> Result<StreamPlace, Status> {
        let of_connection = connection.map_or(0, |connection| connection.streams.load(Relaxed));
        if of_connection >= limits::STREAMS_PER_CONNECTION {
            let asker = connection.map_or_else(String::new, |one| one.address.to_string());
            return Err(self.exhausted(
                Limit::StreamsPerConnection,
                &asker,
                format!("this connection has {of_connection} discovery streams, which is the limit; open another one"),
            ));
        }
        if let Some(id) = identity {
            let mut taken = self.taken();
            let of_identity = taken.by_identity.get(id).copied().unwrap_or_default();
            if of_identity >= self.limits().per_identity() {
                drop(taken);
                return Err(self.exhausted(
                    Limit::PerIdentity,
                    id,
                    format!(
                        "{id} has {of_identity} discovery streams, which is the limit ({} % of --xds-connections); \
                         give its workloads more than one service account or raise --xds-connections",
                        limits::PER_IDENTITY_PERCENT
                    ),
                ));
            }
            *taken.by_identity.entry(id.clone()).or_default() += 1;
        }
        self.taken().streams += 1;
        if let Some(connection) = connection {
            connection.streams.fetch_add(1, Relaxed);
        }
        Ok(StreamPlace {
            admission: self.clone(),
            connection: connection.cloned(),
            identity: identity.cloned(),
        })
    }

    /// The status for a limit that ends a call.
    pub(super) fn exhausted(
        &self,
        limit: Limit,
        asker: &dyn std::fmt::Display,
        message: String,
    ) -> Status {
        self.reach(limit, asker);
        Status::resource_exhausted(message)
    }

    /// Counts a limit that was reached, and tells of it in the log, but not each time.
    pub(crate) fn reach(&self, limit: Limit, asker: &dyn std::fmt::Display) {
        self.0.reached[limit as usize].fetch_add(1, Relaxed);
        let is_due = {
            let told = &mut self.taken().told;
            let is_due = told.is_none_or(|told| told.elapsed() >= limits::LOGGED);
            if is_due {
                *told = Some(Instant::now());
            }
            is_due
        };
        if is_due {
            tracing::warn!(limit = limit.label(), peer = %asker, "xDS: a limit is reached");
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// What every call is answered with, if it has no place.
    pub(super) fn refusal(&self) -> Option<Status> {
        let limits = self.admission.limits();
        let what = match self.refused? {
            Limit::PerAddress => format!(
                "{} has {} connections to the control plane, which is the limit ({} % of --xds-connections); raise --xds-connections",
                self.address,
                limits.per_address(),
                limits::PER_ADDRESS_PERCENT
            ),
            _ => format!(
                "the control plane has {} connections, which is the limit; raise --xds-connections, and the open files of its process",
                limits.connections
            ),
        };
        Some(Status::resource_exhausted(what))
    }

    /// Somebody who may asked for something: the connection may wait now.
    pub(super) fn meet(&self) {
        self.is_met.store(true, Relaxed);
    }

    pub(super) fn is_met(&self) -> bool {
        self.is_met.load(Relaxed)
    }

    /// How long it may go without a request.
    pub(super) fn patience(&self) -> std::time::Duration {
        match self.refused {
            Some(_) => limits::REFUSED_STAY,
            None => self.admission.limits().first_request * 2,
        }
    }

    /// It asked for nothing in time.
    pub(super) fn give_up(&self) {
        if self.refused.is_none() {
            self.admission.reach(Limit::FirstRequest, &self.address);
        }
    }
}

impl StreamPlace {
    /// The first request came.
    pub(super) fn meet(&self) {
        if let Some(connection) = &self.connection {
            connection.meet();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut taken = self.admission.taken();
        if self.refused.is_some() {
            taken.refused -= 1;
        } else {
            taken.connections -= 1;
            leave(&mut taken.by_address, &self.address);
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.streams.fetch_sub(1, Relaxed);
        }
        let mut taken = self.admission.taken();
        taken.streams -= 1;
        if let Some(id) = &self.identity {
            leave(&mut taken.by_identity, id);
        }
    }
}

fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

/// Whose address it is, as far as it can be told: hosts have a /64 of IPv6 to themselves.
fn whose(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests;
