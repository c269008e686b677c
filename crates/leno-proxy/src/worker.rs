//! One thread that carries traffic: its runtime, its view of the configuration, its pools.
//!
//! Nothing here is shared with other workers but atomics and the snapshot. Tasks are `!Send` and hold an `Rc` of the
//! [`Worker`]; a request takes one [`View`] and keeps it, so all of its decisions agree.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::name::ResourceName;
use leno_core::random::SplitMix64;
use leno_core::snapshot::{ClusterId, Snapshot};
use leno_http::h2::Heads;
use leno_telemetry::ProcessStat;
use tokio::sync::watch;

use crate::budget::{Account, Grade, WorkerBudget};
use crate::buffers::{Buffers, Size};
use crate::http::Exporters;
use crate::http2::Flusher;
use crate::lane::{Lane, Spent};
use crate::limits;
use crate::listener::active::ActiveListener;
use crate::listener::admission::Admitted;
use crate::process::{Process, Shutdown};
use crate::publish::InForce;
use crate::telemetry::WorkerTelemetry;
use crate::upstream::cluster::ClusterState;
use crate::upstream::connectors::Connectors;
use crate::upstream::dial::{Dialer, InboundDialer};

mod thread;

pub(crate) use thread::run;

/// The configuration as one worker sees it: the snapshot with the worker's own part of each cluster beside it, made when
/// the cluster is first used.
pub(crate) struct View {
    in_force: Arc<InForce>,
    clusters: Box<[OnceCell<Rc<ClusterState>>]>,
}

impl View {
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.in_force.snapshot
    }

    /// The cluster of this name; `worker` is the one whose view this is.
    pub(crate) fn cluster(
        &self,
        worker: &Worker,
        name: &ResourceName,
    ) -> Option<&Rc<ClusterState>> {
        let at = self.snapshot().cluster_id(name)?.index();
        Some(self.clusters[at].get_or_init(|| worker.first_use(&self.in_force, at)))
    }
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) process: Arc<Process>,
    pub(crate) buffers: Buffers,
    /// What its connections hold.
    pub(crate) budget: Rc<WorkerBudget>,
    /// Writes what HTTP/2 connections have to send.
    pub(crate) flusher: Flusher,
    /// Where work that can wait does.
    pub(crate) lane: Lane,
    /// Where HTTP/2 connections are read into, one after the other.
    pub(crate) read_buffer: RefCell<Vec<u8>>,
    /// Where their heads are decoded.
    pub(crate) heads: RefCell<Heads>,
    pub(crate) random: RefCell<SplitMix64>,
    pub(crate) dialer: Dialer,
    pub(crate) connectors: Connectors,
    pub(crate) telemetry: WorkerTelemetry,
    pub(crate) mirrors_in_flight: Cell<usize>,
    /// Where spans go.
    pub(crate) exporters: Exporters,
    view: RefCell<Rc<View>>,
    /// Those that were used, by name: what they have outlives a configuration.
    clusters: RefCell<HashMap<ResourceName, Rc<ClusterState>>>,
    listeners: RefCell<BTreeMap<Arc<str>, Rc<ActiveListener>>>,
    connections: Rc<Cell<usize>>,
    connections_max: usize,
}

/// One downstream connection's place in the worker's count.
pub(crate) struct ConnectionSlot {
    count: Rc<Cell<usize>>,
    /// Once there is a connection.
    taken: Option<Arc<Process>>,
    /// In the counts that all workers share.
    admitted: Option<Admitted>,
}

impl ConnectionSlot {
    /// There is a connection now: until here the place was only kept for one.
    pub(crate) fn take(&mut self, worker: &Worker, admitted: Admitted) -> Account {
        worker.process.metrics.add(ProcessStat::DownstreamConnections, 1);
        self.taken = Some(Arc::clone(&worker.process));
        self.admitted = Some(admitted);
        worker.budget.open()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        if let Some(process) = &self.taken {
            process.metrics.add(ProcessStat::DownstreamConnections, -1);
        }
    }
}

/// What a worker thread is started with.
pub(crate) struct Seed {
    pub(crate) id: usize,
    pub(crate) process: Arc<Process>,
    pub(crate) random: u64,
    pub(crate) dialer: InboundDialer,
    pub(crate) connections_max: usize,
}

impl Worker {
    pub(crate) fn new(seed: Seed, in_force: Arc<InForce>, spent: Spent) -> Self {
        Self {
            id: seed.id,
            telemetry: WorkerTelemetry::new(&seed.process.metrics, Arc::clone(&seed.process.logs)),
            budget: WorkerBudget::new(
                Arc::clone(&seed.process.budget),
                Arc::clone(&seed.process.metrics),
                seed.id,
            ),
            process: seed.process,
            buffers: Buffers::default(),
            flusher: Flusher::default(),
            lane: Lane::new(spent),
            read_buffer: RefCell::new(Vec::with_capacity(limits::HTTP2_READ_BYTES)),
            heads: RefCell::default(),
            random: RefCell::new(SplitMix64::new(seed.random)),
            dialer: Dialer::new(seed.dialer),
            connectors: Connectors::default(),
            mirrors_in_flight: Cell::new(0),
            exporters: Exporters::default(),
            view: RefCell::new(Rc::new(View { in_force, clusters: Box::default() })),
            clusters: RefCell::default(),
            listeners: RefCell::default(),
            connections: Rc::default(),
            connections_max: seed.connections_max,
        }
    }

    /// The configuration now; a request loads it once and keeps it.
    pub(crate) fn view(&self) -> Rc<View> {
        Rc::clone(&self.view.borrow())
    }

    /// Room for the next read of a connection whose last one took all there was: this much, while there is memory.
    pub(crate) fn room(&self, wanted: Size) -> Size {
        if self.budget.grade() == Grade::Normal { wanted } else { Size::Ordinary }
    }

    /// The running listener of this name.
    pub(crate) fn listener(&self, name: &str) -> Option<Rc<ActiveListener>> {
        self.listeners.borrow().get(name).cloned()
    }

    /// A place for one more downstream connection; `None` at the limit.
    pub(crate) fn admit(&self) -> Option<ConnectionSlot> {
        if self.connections.get() >= self.connections_max {
            return None;
        }
        self.connections.set(self.connections.get() + 1);
        let count = Rc::clone(&self.connections);
        Some(ConnectionSlot { count, taken: None, admitted: None })
    }

    /// Takes over a newly published configuration.
    fn adopt(self: &Rc<Self>, in_force: Arc<InForce>) {
        let clusters: Box<[OnceCell<Rc<ClusterState>>]> =
            in_force.clusters.iter().map(|_| OnceCell::new()).collect();
        self.clusters.borrow_mut().retain(|name, state| {
            let Some(at) = in_force.snapshot.cluster_id(name).map(ClusterId::index) else {
                return false;
            };
            let is_same = Arc::ptr_eq(&state.shared, &in_force.clusters[at]);
            if is_same {
                state.update(&in_force.snapshot.clusters()[at], &self.telemetry.shard);
                clusters[at].get_or_init(|| Rc::clone(state));
            }
            is_same
        });
        *self.view.borrow_mut() = Rc::new(View { in_force: Arc::clone(&in_force), clusters });
        self.adopt_listeners(&in_force);
    }

    /// Makes this worker's part of a cluster.
    fn first_use(&self, in_force: &InForce, at: usize) -> Rc<ClusterState> {
        let settings = &in_force.snapshot.clusters()[at];
        let shared = &in_force.clusters[at];
        shared.note_used();
        let mut known = self.clusters.borrow_mut();
        // A request that began before the last configuration may be the first to ask.
        if let Some(state) = known.get(settings.name())
            && Arc::ptr_eq(&state.shared, shared)
        {
            return Rc::clone(state);
        }
        let state = Rc::new(ClusterState::new(
            Arc::clone(settings),
            Arc::clone(shared),
            Instant::now(),
            &self.telemetry.shard,
        ));
        known.insert(settings.name().clone(), Rc::clone(&state));
        state
    }

    fn adopt_listeners(self: &Rc<Self>, in_force: &InForce) {
        let mut listeners = self.listeners.borrow_mut();
        let mut next = BTreeMap::new();
        for listener in in_force.snapshot.listeners() {
            let active = match listeners.remove(listener.name()) {
                Some(active) => {
                    active.update(listener, &self.process);
                    active
                }
                None => Rc::new(ActiveListener::new(listener, &self.process)),
            };
            for sockets in in_force.sockets.get(&**listener.name()).into_iter().flatten() {
                for socket in sockets.take(self.id) {
                    active.accept_from(self, socket, sockets.is_open());
                }
            }
            next.insert(Arc::clone(listener.name()), active);
        }
        for gone in listeners.values() {
            gone.close(self.process.drain);
        }
        *listeners = next;
    }

    /// Does what a stage of the process's end asks for; a stage may be met again.
    fn follow(&self, stage: Shutdown) {
        let (drain, lame_duck) = (self.process.drain, self.process.lame_duck);
        match stage {
            Shutdown::No => {}
            Shutdown::LameDuck => {
                self.for_each_listener(|listener| listener.drain(lame_duck + drain));
            }
            Shutdown::Quiet | Shutdown::Drain | Shutdown::Now => {
                self.process.publisher.let_go();
                self.for_each_listener(|listener| listener.close(drain));
            }
        }
    }

    fn for_each_listener(&self, work: impl Fn(&ActiveListener)) {
        for listener in self.listeners.borrow().values() {
            work(listener);
        }
    }

    /// Accepts nothing more and finishes what there is, within `limit`.
    async fn finish(&self, limit: Duration, shutdown: &mut watch::Receiver<Shutdown>) {
        self.follow(Shutdown::Drain);
        let end = Instant::now() + limit;
        while self.connections.get() > 0
            && Instant::now() < end
            && *shutdown.borrow_and_update() != Shutdown::Now
        {
            let pause = tokio::time::sleep(Duration::from_millis(20));
            tokio::select! {
                () = pause => {}
                _ = shutdown.changed() => {}
            }
        }
        // What is left is cut off, and may still write its record.
        self.for_each_listener(ActiveListener::cut);
        let end = Instant::now() + limits::CUT_OFF;
        while self.connections.get() > 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.telemetry.flush();
    }

    fn sweep(&self) {
        let now = Instant::now();
        self.connectors.sweep();
        self.budget.settle();
        self.telemetry.sweep(now);
        self.exporters.sweep();
        if self.id == 0 {
            // One worker measures for all, so it knows what any of them uses.
            let view = self.view();
            let used = view.in_force.clusters.iter().enumerate().filter(|(_, c)| c.is_used());
            used.for_each(|(at, _)| {
                view.clusters[at].get_or_init(|| self.first_use(&view.in_force, at));
            });
        }
        for cluster in self.clusters.borrow().values() {
            cluster.sweep(now);
            if self.id == 0 {
                cluster.measure(now);
            }
        }
    }
}
