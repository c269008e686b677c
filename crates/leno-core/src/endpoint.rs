//! The endpoints of one cluster, compiled from a load assignment. Swapped alone: a new set never rebuilds a snapshot.
//!
//! Each address keeps its [`EndpointLive`] from set to set, so that an update resets neither ejections nor the count of
//! requests in flight.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, ResolvedBy, Transport, check_assignment};
use crate::config::{Address, ClusterLoadAssignment, EndpointHealth, Locality, WorkloadRef};
use crate::keep_alive::SharedKeepAlive;
use crate::problem::{Problem, Report};

/// The endpoints of one cluster at one time.
#[derive(Debug)]
pub struct EndpointSet {
    source: Arc<ClusterLoadAssignment>,
    endpoints: Box<[Arc<Endpoint>]>,
    /// By priority, then in the assignment's order.
    groups: Box<[LocalityGroup]>,
    changes: Arc<AtomicU32>,
}

/// Endpoints of one place and priority.
#[derive(Clone, Debug)]
pub(crate) struct LocalityGroup {
    pub(crate) priority: u32,
    pub(crate) weight: Option<u32>,
    /// Positions in the set.
    pub(crate) endpoints: Range<u32>,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// Where it is too, tried after `address`.
    pub additional_addresses: Box<[SocketAddr]>,
    /// What the control plane says of it.
    pub health: EndpointHealth,
    /// At least 1.
    pub weight: u32,
    /// 0 is used first.
    pub priority: u32,
    /// The place.
    pub locality: Arc<Locality>,
    /// How it is talked to.
    pub transport: Arc<Transport>,
    /// Which workload it is.
    pub workload: Option<Arc<WorkloadRef>>,
    /// What happens to it; shared with earlier and later sets.
    pub live: Arc<EndpointLive>,
}

/// What happens to one address: requests in flight, failures in a row, ejection. Atomics, shared by all workers.
///
/// Updates are relaxed and not one transaction: two workers that fail in the same instant may count one failure too
/// few or eject one endpoint more than the share allows. Nothing else depends on them.
#[derive(Debug)]
pub struct EndpointLive {
    /// Zero of the times below.
    since: Instant,
    active: AtomicU32,
    pub(crate) consecutive_5xx: AtomicU32,
    pub(crate) consecutive_gateway: AtomicU32,
    /// How many base ejection times the latest ejection took.
    pub(crate) ejections: AtomicU32,
    /// Milliseconds after `since`; zero was never ejected.
    ejected_until_ms: AtomicU64,
    /// When it closes idle connections.
    pub keep_alive: SharedKeepAlive,
}

/// A request in flight; ends on drop.
#[derive(Debug)]
pub struct ActiveRequest(Arc<EndpointLive>);

impl EndpointSet {
    /// Checks and compiles. `previous` gives known addresses their live state. Reports every problem, each path starting
    /// with `endpoints[NAME]`; addresses must be resolved.
    pub fn compile(
        cluster: &Cluster,
        source: &Arc<ClusterLoadAssignment>,
        previous: Option<&Self>,
        now: Instant,
    ) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(format!("endpoints[{}]", source.cluster_name));
        check_assignment(source, ResolvedBy::Nobody, &mut report);
        report.finish(|| ())?;
        let mut known: HashMap<&Address, Arc<EndpointLive>> = previous
            .map(|set| set.endpoints.iter().map(|e| (&e.address, Arc::clone(&e.live))).collect())
            .unwrap_or_default();
        let mut endpoints = Vec::new();
        let mut groups = Vec::with_capacity(source.localities.len());
        for group in &source.localities {
            let first = position(endpoints.len());
            for endpoint in &group.endpoints {
                let live = known
                    .entry(&endpoint.address)
                    .or_insert_with(|| Arc::new(EndpointLive::new(now)));
                endpoints.push(Arc::new(Endpoint {
                    address: endpoint.address.clone(),
                    additional_addresses: endpoint.additional_addresses.as_slice().into(),
                    health: endpoint.health,
                    weight: endpoint.weight.max(1),
                    priority: group.priority,
                    locality: Arc::clone(&group.locality),
                    transport: Arc::clone(cluster.transport_for(&endpoint.labels)),
                    workload: endpoint.workload.clone(),
                    live: Arc::clone(live),
                }));
            }
            groups.push(LocalityGroup {
                priority: group.priority,
                weight: group.weight,
                endpoints: first..position(endpoints.len()),
            });
        }
        groups.sort_by_key(|group| group.priority);
        Ok(Self {
            source: Arc::clone(source),
            endpoints: endpoints.into(),
            groups: groups.into(),
            changes: previous.map(|set| Arc::clone(&set.changes)).unwrap_or_default(),
        })
    }

    /// A cluster without endpoints.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            source: Arc::new(ClusterLoadAssignment::default()),
            endpoints: Box::new([]),
            groups: Box::new([]),
            changes: Arc::default(),
        }
    }

    /// What it was compiled from; needed to compile again when the cluster's transports change.
    #[must_use]
    pub fn source(&self) -> &Arc<ClusterLoadAssignment> {
        &self.source
    }

    /// Every endpoint, in the assignment's order.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// The groups of each priority, 0 first; a priority that nobody has is empty.
    pub(crate) fn priorities(&self) -> impl Iterator<Item = &[LocalityGroup]> {
        let levels = self.groups.last().map_or(0, |group| group.priority + 1);
        (0..levels).map(|level| {
            let first = self.groups.partition_point(|group| group.priority < level);
            let end = self.groups.partition_point(|group| group.priority <= level);
            &self.groups[first..end]
        })
    }

    /// Counts ejections, so that a balancer notices them without looking at every endpoint.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many endpoints take new requests, and how many there are.
    #[must_use]
    pub fn availability(&self, now: Instant) -> (usize, usize) {
        let available = self.endpoints.iter().filter(|endpoint| endpoint.is_available(now)).count();
        (available, self.endpoints.len())
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("an assignment of billions of endpoints does not fit a message")
}

impl Endpoint {
    /// Whether the control plane calls it usable and it is not ejected.
    #[must_use]
    pub fn is_available(&self, now: Instant) -> bool {
        self.health.is_available() && !self.live.is_ejected(now)
    }
}

impl EndpointLive {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            active: AtomicU32::new(0),
            consecutive_5xx: AtomicU32::new(0),
            consecutive_gateway: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            keep_alive: SharedKeepAlive::default(),
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Requests in flight.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether outlier detection has set it aside.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until().is_some_and(|until| now < until)
    }

    /// When its latest ejection ends or ended; `None` if it was never ejected.
    #[must_use]
    pub fn ejected_until(&self) -> Option<Instant> {
        match self.ejected_until_ms.load(Ordering::Relaxed) {
            0 => None,
            after_ms => self.since.checked_add(Duration::from_millis(after_ms)),
        }
    }

    pub(crate) fn eject_until(&self, until: Instant) {
        let after = until.saturating_duration_since(self.since).as_millis();
        self.ejected_until_ms
            .store(u64::try_from(after).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests;
