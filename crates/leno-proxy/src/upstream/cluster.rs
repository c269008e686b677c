//! What a cluster has besides its settings: endpoints, circuit, pools, balancing. It hangs on the cluster's name, so a
//! new snapshot resets none of it.
//!
//! [`SharedCluster`] is one per process (atomics, no lock); [`ClusterState`] is one per worker that uses the cluster and
//! holds what need not be shared.

mod connections;
mod pools;
mod process;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Cache};
use leno_core::balance::{Balancer, Pick};
use leno_core::budget::Budget;
use leno_core::circuit::{CircuitGuard, Limited, Overflow};
use leno_core::cluster::Cluster;
use leno_core::config::{
    Address, ClusterLoadAssignment, Discovery, EndpointHealth, LbEndpoint, LocalityEndpoints,
    RetryBudget, UpstreamProtocol,
};
use leno_core::endpoint::{Endpoint, EndpointSet};
use leno_core::outlier::{self, EjectionCause, EndpointOutcome};
use leno_core::random::Random;
use leno_core::reply::Failure;
use leno_http::Version;
use leno_telemetry::{
    ClusterStat, ClusterStats, Party, PartyId, Service, ServiceId, Shard, Workload,
};

use self::pools::{PoolOf, Pools, key};
pub(crate) use self::process::{SharedCluster, Slot};
use super::by_authority::Names;
use super::connect::ConnectError;
use super::dial::DialError;
use super::pool::Connection;
use super::shared::Spoken;
use crate::limits;
use crate::listener::Proof;
use crate::worker::Worker;

/// An upstream connection, counted against its cluster's limit. Boxed: it goes from hand to hand in every exchange.
pub(crate) type UpstreamConnection = Box<Connection<Slot>>;

/// One worker's part of a cluster.
pub(crate) struct ClusterState {
    pub(crate) shared: Arc<SharedCluster>,
    settings: RefCell<Arc<Cluster>>,
    endpoints: RefCell<Cache<Arc<ArcSwap<EndpointSet>>, Arc<EndpointSet>>>,
    balancer: RefCell<Balancer>,
    pub(crate) budget: RefCell<Budget>,
    pools: RefCell<Pools>,
    connections: Rc<Cell<u32>>,
    pub(crate) stats: ClusterStats,
    /// The service it stands for, for metrics.
    service: Cell<ServiceId>,
    /// One set of one endpoint per original destination met.
    originals: RefCell<HashMap<SocketAddr, Arc<EndpointSet>>>,
    /// Names met, for clusters that go where a request's authority says.
    names: Names,
}

/// Where a request or connection was going by itself, for clusters without endpoints of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Towards<'a> {
    /// The connection's original destination.
    pub(crate) original: SocketAddr,
    /// What the request's authority was resolved to.
    pub(crate) resolved: &'a [SocketAddr],
}

impl From<SocketAddr> for Towards<'static> {
    fn from(original: SocketAddr) -> Self {
        Self { original, resolved: &[] }
    }
}

impl ClusterState {
    pub(crate) fn new(
        settings: Arc<Cluster>,
        shared: Arc<SharedCluster>,
        now: Instant,
        shard: &Shard,
    ) -> Self {
        Self {
            stats: shard.cluster(settings.name().as_str()),
            service: Cell::new(service_of(&settings, shard)),
            endpoints: RefCell::new(Cache::new(Arc::clone(&shared.endpoints))),
            balancer: RefCell::new(Balancer::new(&settings)),
            budget: RefCell::new(Budget::new(budget_of(&settings), now)),
            pools: RefCell::default(),
            connections: Rc::default(),
            originals: RefCell::default(),
            names: Names::default(),
            settings: RefCell::new(settings),
            shared,
        }
    }

    /// Takes over new settings; endpoints, pools, counters and the budget's memory stay.
    pub(crate) fn update(&self, settings: &Arc<Cluster>, shard: &Shard) {
        if Arc::ptr_eq(&self.settings.borrow(), settings) {
            return;
        }
        self.service.set(service_of(settings, shard));
        *self.balancer.borrow_mut() = Balancer::new(settings);
        self.budget.borrow_mut().reconfigure(budget_of(settings));
        self.originals.borrow_mut().clear();
        *self.settings.borrow_mut() = Arc::clone(settings);
    }

    pub(crate) fn settings(&self) -> Ref<'_, Arc<Cluster>> {
        self.settings.borrow()
    }

    /// What may be held of what an upstream connection brings, softly.
    pub(crate) fn buffer_max(&self) -> usize {
        self.settings.borrow().source().buffer_bytes.map_or(usize::MAX, |max| max as usize)
    }

    /// The endpoint for one attempt. `towards` counts for clusters that have none of their own.
    pub(crate) fn pick(
        &self,
        pick: Pick<'_>,
        towards: Towards<'_>,
        random: &mut impl Random,
    ) -> Option<Arc<Endpoint>> {
        match &self.settings.borrow().source().discovery {
            Discovery::OriginalDst { port } => {
                let port = port.unwrap_or(towards.original.port());
                let original = SocketAddr::new(towards.original.ip(), port);
                return self.original(original, &[], pick.now);
            }
            Discovery::DynamicForwardProxy => {
                let (first, more) = towards.resolved.split_first()?;
                return self.original(*first, more, pick.now);
            }
            Discovery::Eds { .. }
            | Discovery::Static(_)
            | Discovery::StrictDns(_)
            | Discovery::LogicalDns(_) => {}
        }
        let mut endpoints = self.endpoints.borrow_mut();
        self.balancer.borrow_mut().pick(endpoints.load(), pick, random).cloned()
    }

    /// The names to resolve authorities with, where they say where requests go.
    pub(crate) fn by_authority(&self) -> Option<&Names> {
        let settings = self.settings.borrow();
        (settings.source().discovery == Discovery::DynamicForwardProxy).then_some(&self.names)
    }

    fn original(
        &self,
        destination: SocketAddr,
        more: &[SocketAddr],
        now: Instant,
    ) -> Option<Arc<Endpoint>> {
        let mut originals = self.originals.borrow_mut();
        if let Some(known) = originals.get(&destination) {
            return known.endpoints().first().cloned();
        }
        let endpoint = LbEndpoint {
            additional_addresses: more.to_vec(),
            address: Address::Socket(destination),
            health: EndpointHealth::Unknown,
            weight: 1,
            labels: std::collections::BTreeMap::new(),
            workload: None,
        };
        let locality = LocalityEndpoints { endpoints: vec![endpoint], ..Default::default() };
        let settings = self.settings.borrow();
        let assignment = ClusterLoadAssignment {
            cluster_name: settings.name().to_string(),
            localities: vec![locality],
        };
        let set = EndpointSet::compile(&settings, &Arc::new(assignment), None, now).ok()?;
        if originals.len() >= limits::ORIGINAL_DESTINATIONS {
            originals.clear();
        }
        originals.entry(destination).or_insert(Arc::new(set)).endpoints().first().cloned()
    }

    /// Counts how a request to an endpoint ended; may set the endpoint aside.
    pub(crate) fn on_result(&self, endpoint: &Endpoint, outcome: EndpointOutcome, now: Instant) {
        let settings = self.settings.borrow();
        if let Some(outlier) = &settings.source().outlier {
            let mut endpoints = self.endpoints.borrow_mut();
            if let Some(ejection) =
                outlier::on_result(outlier, endpoints.load(), endpoint, outcome, now)
            {
                self.stats.increment(ClusterStat::EjectionsTotal);
                self.stats.increment(match ejection.cause {
                    EjectionCause::Consecutive5xx => ClusterStat::EjectionsConsecutive5xx,
                    EjectionCause::ConsecutiveGatewayFailure => ClusterStat::EjectionsGateway,
                });
                tracing::info!(
                    cluster = %settings.name(), endpoint = ?endpoint.address, cause = ?ejection.cause,
                    "endpoint ejected"
                );
            }
        }
    }

    /// Which version is spoken with the endpoint on behalf of a request of this version.
    pub(crate) fn spoken(&self, endpoint: &Endpoint, asked: Version) -> Spoken {
        match self.settings.borrow().source().http.protocol {
            UpstreamProtocol::Http1 => Spoken::Http1,
            UpstreamProtocol::Http2 => Spoken::Http2,
            UpstreamProtocol::Downstream if asked == Version::Http2 => Spoken::Http2,
            UpstreamProtocol::Downstream => Spoken::Http1,
            UpstreamProtocol::Negotiated if endpoint.transport.tls.is_some() => Spoken::Negotiated,
            UpstreamProtocol::Negotiated => Spoken::Http1,
        }
    }

    /// Who is behind the endpoint, for metrics: the workload the control plane names, the id its handshake proved.
    pub(crate) fn party(
        &self,
        endpoint: &Arc<Endpoint>,
        proof: &Proof,
        worker: &Worker,
    ) -> PartyId {
        if let Some(known) = self.pools.borrow().get(&key(endpoint))
            && let Some(party) = known.party
            && (known.principal == proof.peer || proof.peer.is_none())
        {
            return party;
        }
        let workload = endpoint.workload.as_deref().map(Workload::from).unwrap_or_default();
        let principal = proof.peer.as_deref().unwrap_or_default().to_owned();
        let party = worker.telemetry.shard.metrics().party(Party { workload, principal });
        let mut pools = self.pools.borrow_mut();
        let kept = pools.entry(key(endpoint)).or_insert_with(|| PoolOf::new(endpoint));
        kept.party = Some(party);
        kept.principal.clone_from(&proof.peer);
        party
    }

    /// The service that requests to this cluster are for.
    pub(crate) fn service(&self) -> ServiceId {
        self.service.get()
    }

    /// Counts a connection that was not made.
    pub(crate) fn note_connect_failure(&self, error: &ConnectError) {
        self.stats.increment(match error {
            ConnectError::Overflow => ClusterStat::RqPendingOverflow,
            ConnectError::Dial(DialError::Timeout(_)) => ClusterStat::CxConnectTimeout,
            ConnectError::Dial(_) | ConnectError::Tls(_) | ConnectError::Tunnel(_) => {
                ClusterStat::CxConnectFail
            }
        });
    }

    /// Counts a deadline that passed.
    pub(crate) fn note_timeout(&self, failure: Failure) {
        match failure {
            Failure::ResponseTimeout => self.stats.increment(ClusterStat::RqTimeout),
            Failure::PerTryTimeout => self.stats.increment(ClusterStat::RqPerTryTimeout),
            _ => {}
        }
    }

    /// Takes one unit of a limit.
    pub(crate) fn acquire(&self, what: Limited) -> Result<CircuitGuard, Overflow> {
        self.shared.circuit.try_acquire(self.settings.borrow().limits(), what)
    }

    /// Ready when a connection may have become free.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.shared.freed()
    }

    /// Sets the gauges that describe the endpoints; one worker does it for all.
    pub(crate) fn measure(&self, now: Instant) {
        let set = self.shared.endpoints.load();
        let (available, total) = set.availability(now);
        let ejected = set.endpoints().iter().filter(|e| e.live.is_ejected(now)).count();
        self.stats.set(ClusterStat::MembershipTotal, total as u64);
        self.stats.set(ClusterStat::MembershipHealthy, available as u64);
        self.stats.set(ClusterStat::EjectionsActive, ejected as u64);
    }
}

fn service_of(settings: &Cluster, shard: &Shard) -> ServiceId {
    let service = settings.source().services.first();
    service.map_or(ServiceId::UNKNOWN, |service| shard.metrics().service(Service::from(service)))
}

fn budget_of(cluster: &Cluster) -> RetryBudget {
    const DEFAULT: RetryBudget = RetryBudget { per_ten_thousand: 2000, min_concurrency: 3 };
    cluster.source().circuit.retry_budget.unwrap_or(DEFAULT)
}
