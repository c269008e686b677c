//! Counters in shards: each worker writes its own, a scrape adds them up.
//!
//! A cell has one writer, so an update is a relaxed load, an add and a store: no lock, no read-modify-write on the bus.
//! A scrape may see one request's count and not yet its bytes; the next scrape has both.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) mod cells;
mod connection_limit;
pub(crate) mod family;

use crate::labels::{Names, Party, PartyId, SeriesKey, Service, ServiceId, lock};
use crate::metrics::{
    AuthorizationScope, AuthorizationStat, ClusterStat, LimitReached, ProcessStat,
};
use cells::{AuthorizationCells, ClusterCells, RequestCells, TcpCells};
pub use connection_limit::ConnectionLimitStats;
use connection_limit::ConnectionLimits;
use family::{Family, Local};

/// How many label sets are told apart; beyond, they share one called `other`.
#[derive(Clone, Copy, Debug)]
pub struct SeriesLimits {
    /// Label sets of the request metrics, and as many again of the TCP metrics.
    pub series_max: usize,
    /// Clusters.
    pub clusters_max: usize,
    /// Workloads and services that may be named at all, in use or not.
    pub names_max: usize,
}

impl SeriesLimits {
    /// The limits of a sidecar: a scrape stays in the low megabytes, and a peer that invents workload names cannot
    /// make us hold more than a few hundred KiB.
    pub const SIDECAR: Self = Self { series_max: 300, clusters_max: 2000, names_max: 4096 };
}

/// Everything one process counts. Shared; workers write through their [`Shard`].
#[derive(Debug)]
pub struct Metrics {
    local: Mutex<Arc<Party>>,
    pub(crate) component: &'static str,
    pub(crate) names: Names,
    pub(crate) requests: Family<SeriesKey, RequestCells>,
    pub(crate) tcp: Family<SeriesKey, TcpCells>,
    pub(crate) clusters: Family<Arc<str>, ClusterCells>,
    pub(crate) authorization: Family<AuthorizationKey, AuthorizationCells>,
    pub(crate) connection_limits: ConnectionLimits,
    process: Box<[AtomicU64]>,
    limits: Box<[AtomicU64]>,
}

impl Metrics {
    /// `local` is the workload this proxy belongs to; `component` is written into `istio_build`.
    #[must_use]
    pub fn new(local: Party, component: &'static str, limits: SeriesLimits) -> Arc<Self> {
        Arc::new(Self {
            local: Mutex::new(Arc::new(local)),
            component,
            names: Names::new(limits.names_max),
            requests: Family::new(limits.series_max, SeriesKey::overflow),
            tcp: Family::new(limits.series_max, SeriesKey::overflow),
            clusters: Family::new(limits.clusters_max, |_| crate::labels::OTHER.into()),
            authorization: Family::new(limits.series_max, AuthorizationKey::overflow),
            connection_limits: ConnectionLimits::new(limits.series_max),
            process: ProcessStat::TABLE.iter().map(|_| AtomicU64::new(0)).collect(),
            limits: LimitReached::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Says which SPIFFE id the local workload has, once it is known.
    pub fn set_principal(&self, principal: &str) {
        let mut local = lock(&self.local);
        *local = Arc::new(Party { principal: principal.to_owned(), ..Party::clone(&local) });
    }

    /// The workload this proxy belongs to.
    #[must_use]
    pub fn local(&self) -> Arc<Party> {
        lock(&self.local).clone()
    }

    /// A worker's own part. Each worker makes one, once.
    #[must_use]
    pub fn shard(self: &Arc<Self>) -> Shard {
        Shard {
            metrics: self.clone(),
            requests: RefCell::default(),
            recent: RefCell::default(),
            tcp: RefCell::default(),
            clusters: RefCell::default(),
            authorization: RefCell::default(),
        }
    }

    /// The id of a party; takes a lock, so keep the id (per connection or endpoint).
    #[must_use]
    pub fn party(&self, party: Party) -> PartyId {
        self.names.party_id(party)
    }

    /// The id of a service; takes a lock, so keep the id (per cluster).
    #[must_use]
    pub fn service(&self, service: Service) -> ServiceId {
        self.names.service_id(service)
    }

    /// Sets a gauge of the process.
    pub fn set(&self, stat: ProcessStat, value: u64) {
        self.process[stat as usize].store(value, Relaxed);
    }

    /// Adds to a counter or gauge of the process; any thread may.
    pub fn add(&self, stat: ProcessStat, delta: i64) {
        self.process[stat as usize].fetch_add(delta.cast_unsigned(), Relaxed);
    }

    /// A counter or gauge of the process.
    #[must_use]
    pub fn value(&self, stat: ProcessStat) -> u64 {
        self.process[stat as usize].load(Relaxed)
    }

    /// The counts of the connection limit filters with this prefix. Takes a lock: for updates of the configuration.
    #[must_use]
    pub fn connection_limit(&self, stat_prefix: &Arc<str>) -> Arc<ConnectionLimitStats> {
        self.connection_limits.stats(stat_prefix)
    }

    /// A limit was reached once more; any thread may say so.
    pub fn reached(&self, limit: LimitReached) {
        self.limits[limit as usize].fetch_add(1, Relaxed);
    }

    /// How often a limit was reached.
    #[must_use]
    pub fn times_reached(&self, limit: LimitReached) -> u64 {
        self.limits[limit as usize].load(Relaxed)
    }
}

/// What one finished request adds.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// Request head and body.
    pub request_bytes: u64,
    /// Response head and body.
    pub response_bytes: u64,
    /// gRPC messages to the endpoint.
    pub request_messages: u64,
    /// gRPC messages from it.
    pub response_messages: u64,
}

/// One worker's counters. Not `Send`: it stays on its thread.
#[derive(Debug)]
pub struct Shard {
    metrics: Arc<Metrics>,
    requests: RefCell<Local<SeriesKey, RequestCells>>,
    /// The series counted last: that of the next request, more often than not.
    recent: RefCell<Option<(SeriesKey, Arc<RequestCells>)>>,
    tcp: RefCell<Local<SeriesKey, TcpCells>>,
    clusters: RefCell<Local<Arc<str>, ClusterCells>>,
    authorization: RefCell<Local<AuthorizationKey, AuthorizationCells>>,
}

impl Shard {
    /// The process's part, for interning.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Counts one finished request: six adds, and a lookup where the one before was of another series.
    pub fn request(&self, key: &SeriesKey, exchange: &Exchange) {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, cells)) = recent.as_ref().filter(|(counted, _)| counted == key) {
            return cells.add(exchange);
        }
        let known = self.requests.borrow().known(key).cloned();
        let cells =
            known.unwrap_or_else(|| self.requests.borrow_mut().cells(key, &self.metrics.requests));
        cells.add(exchange);
        *recent = Some((*key, cells));
    }

    /// Lets series that have counted nothing for an hour make room where more than half of it is taken: a scrape shows them no
    /// longer. To be called every minute or so, and not from the request path.
    pub fn sweep(&self, now: Instant) {
        // A handle kept anywhere keeps a series.
        self.recent.take();
        self.requests.borrow_mut().sweep(now, &self.metrics.requests);
        self.tcp.borrow_mut().sweep(now, &self.metrics.tcp);
        self.clusters.borrow_mut().sweep(now, &self.metrics.clusters);
        self.authorization.borrow_mut().sweep(now, &self.metrics.authorization);
    }

    /// The counters of one kind of TCP connection; keep the handle for the connection's life.
    #[must_use]
    pub fn tcp(&self, key: &SeriesKey) -> TcpStats {
        let cells = self.tcp.borrow_mut().cells(key, &self.metrics.tcp);
        TcpStats { cells, one_thread: PhantomData }
    }

    /// The counters of an authorization filter; keep the handle for the connection's life.
    #[must_use]
    pub fn authorization(&self, key: &AuthorizationKey) -> AuthorizationStats {
        let cells = self.authorization.borrow_mut().cells(key, &self.metrics.authorization);
        AuthorizationStats { cells, one_thread: PhantomData }
    }

    /// The counters of a cluster; keep the handle as long as the cluster. They survive a change of its settings.
    #[must_use]
    pub fn cluster(&self, name: &str) -> ClusterStats {
        let cells = self.clusters.borrow_mut().cells(&name.into(), &self.metrics.clusters);
        ClusterStats { cells, one_thread: PhantomData }
    }
}

/// Which authorization filter counts. Filters with the same prefixes count together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthorizationKey {
    /// What it stands before.
    pub scope: AuthorizationScope,
    /// `stat_prefix` of the connection manager or of the filter.
    pub stat_prefix: Arc<str>,
    /// `rules_stat_prefix`; empty is none.
    pub rules_prefix: Arc<str>,
    /// `shadow_rules_stat_prefix`; empty is none.
    pub shadow_rules_prefix: Arc<str>,
}

impl AuthorizationKey {
    fn overflow(self) -> Self {
        let (other, none) = (Arc::from(crate::labels::OTHER), Arc::from(""));
        Self {
            stat_prefix: other,
            rules_prefix: Arc::clone(&none),
            shadow_rules_prefix: none,
            scope: self.scope,
        }
    }
}

/// The counters of one authorization filter on one worker; not `Send`, as a cell has one writer.
#[derive(Clone, Debug)]
pub struct AuthorizationStats {
    cells: Arc<AuthorizationCells>,
    one_thread: PhantomData<Rc<()>>,
}

impl AuthorizationStats {
    /// Adds one.
    pub fn increment(&self, stat: AuthorizationStat) {
        cells::bump(self.cells.cell(stat), 1);
    }
}

/// The TCP counters of one label set on one worker; not `Send`, as a cell has one writer.
#[derive(Clone, Debug)]
pub struct TcpStats {
    cells: Arc<TcpCells>,
    one_thread: PhantomData<Rc<()>>,
}

impl TcpStats {
    /// A connection was opened.
    pub fn opened(&self) {
        cells::bump(&self.cells.opened, 1);
    }

    /// A connection was closed.
    pub fn closed(&self) {
        cells::bump(&self.cells.closed, 1);
    }

    /// Bytes went to the caller.
    pub fn sent(&self, bytes: u64) {
        cells::bump(&self.cells.sent, bytes);
    }

    /// Bytes came from the caller.
    pub fn received(&self, bytes: u64) {
        cells::bump(&self.cells.received, bytes);
    }
}

/// The counters of one cluster on one worker; not `Send`, as a cell has one writer.
#[derive(Clone, Debug)]
pub struct ClusterStats {
    cells: Arc<ClusterCells>,
    one_thread: PhantomData<Rc<()>>,
}

impl ClusterStats {
    /// Adds one.
    pub fn increment(&self, stat: ClusterStat) {
        cells::bump(self.cells.cell(stat), 1);
    }

    /// Takes one from a gauge.
    pub fn decrement(&self, stat: ClusterStat) {
        cells::bump(self.cells.cell(stat), u64::MAX);
    }

    /// Adds many.
    pub fn add(&self, stat: ClusterStat, count: u64) {
        cells::bump(self.cells.cell(stat), count);
    }

    /// Sets a gauge. Workers' gauges are added up, so one that every worker sees alike (members of a cluster) is set by
    /// one of them.
    pub fn set(&self, stat: ClusterStat, value: u64) {
        self.cells.cell(stat).store(value, Relaxed);
    }
}

#[cfg(test)]
mod tests;
