//! From resources to what the workers use: compile, bind, publish. Everything or nothing.
//!
//! Called on the admin thread by the configuration source (a file, ADS). A refused configuration leaves the last one in
//! force; endpoints take a shorter road and never rebuild a snapshot.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use leno_core::config::{ClusterLoadAssignment, ListenerAddress, UpstreamTransport};
use leno_core::problem::Problem;
use leno_core::snapshot::{Resources, Snapshot};
use tokio::sync::watch;

use crate::handover::{Entry, Handed};
use crate::listener::socket::Inherited;
use crate::tls::OWN_SVID;
use crate::upstream::cluster::SharedCluster;

mod endpoints;
mod sockets;

use endpoints::compile_endpoints;
pub(crate) use sockets::Sockets;
use sockets::Wanted;

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The resources are wrong; each problem names its place.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// A listener's address cannot be bound.
    #[error("listeners[{listener}].{place}: {address} cannot be bound: {source}")]
    Bind {
        /// The listener.
        listener: String,
        /// Which of its addresses: `address`, or `additional_addresses[0].address` and so on.
        place: String,
        /// Its address.
        address: ListenerAddress,
        /// What the kernel said.
        source: io::Error,
    },
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The configuration in force, as the workers see it.
#[derive(Debug)]
pub(crate) struct InForce {
    /// Counts publications.
    pub(crate) revision: u64,
    pub(crate) snapshot: Snapshot,
    /// Beside the snapshot's clusters.
    pub(crate) clusters: Vec<Arc<SharedCluster>>,
    /// By listener name, in the order of its addresses.
    pub(crate) sockets: BTreeMap<String, Vec<Arc<Sockets>>>,
}

impl InForce {
    /// Whether a socket of ours has the port, at this address or at one that it overlaps.
    fn has_port(&self, wanted: SocketAddr) -> bool {
        let mut held = self.sockets.values().flatten().filter_map(|sockets| sockets.address);
        held.any(|held| {
            let is_any = held.ip().is_unspecified() || wanted.ip().is_unspecified();
            held.port() == wanted.port() && (is_any || held.ip() == wanted.ip())
        })
    }

    /// Whether any part of it presents our own SVID.
    pub(crate) fn needs_identity(&self) -> bool {
        let mut listeners = self.snapshot.listeners().iter();
        let mut clusters = self.snapshot.clusters().iter();
        let own = |transport: &UpstreamTransport| {
            transport.tls().and_then(|tls| tls.certificate.as_deref()) == Some(OWN_SVID)
        };
        listeners.any(|listener| {
            let mut ends = listener.filter_chains().filter_map(|chain| chain.tls.as_ref());
            ends.any(|tls| tls.settings.certificate == OWN_SVID)
        }) || clusters.any(|cluster| {
            let source = cluster.source();
            let mut matches = source.transport_matches.iter().map(|entry| &entry.transport);
            own(&source.transport) || matches.any(own)
        })
    }
}

/// Publishes configuration to all workers.
#[derive(Debug)]
pub struct Publisher {
    workers: usize,
    state: Mutex<State>,
    in_force: watch::Sender<Arc<InForce>>,
    status: Mutex<Status>,
}

/// What became of the latest configurations, for people.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The source's name for what is in force: an xDS version, a file.
    pub version: Option<String>,
    /// When that came into force.
    pub updated: Option<SystemTime>,
    /// Why the latest one was refused; `None` once a later one is in force.
    pub refused: Option<String>,
}

#[derive(Debug)]
struct State {
    resources: Resources,
    /// By EDS name.
    assignments: BTreeMap<String, Arc<ClusterLoadAssignment>>,
    shared: BTreeMap<String, Arc<SharedCluster>>,
    given: Given,
}

/// Sockets and addresses that come from elsewhere than the configuration.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// Made by whoever started us.
    pub(crate) inherited: Vec<Inherited>,
    /// Accepted on for `virtualInbound`.
    pub(crate) inbound_addresses: Vec<SocketAddr>,
    /// A former process's.
    pub(crate) handed: Handed,
}

impl Given {
    /// What a listener accepts on in place of its own addresses, besides sockets that were made for it.
    fn inbound_addresses_of(&self, listener: &str) -> &[SocketAddr] {
        if listener == "virtualInbound" { &self.inbound_addresses } else { &[] }
    }

    /// Whether something stands in the place of the listener's own addresses.
    fn replaces(&self, listener: &str) -> bool {
        !self.inbound_addresses_of(listener).is_empty()
            || self.inherited.iter().any(|inherited| inherited.listener == listener)
            || self.handed.has_inherited(listener)
    }
}

impl Publisher {
    /// Nothing is in force yet.
    #[must_use]
    pub(crate) fn new(workers: usize, given: Given) -> Self {
        let empty = InForce {
            revision: 0,
            snapshot: Snapshot::empty(),
            clusters: Vec::new(),
            sockets: BTreeMap::new(),
        };
        let state = State {
            resources: Resources::default(),
            assignments: BTreeMap::new(),
            shared: BTreeMap::new(),
            given,
        };
        Self {
            workers,
            state: Mutex::new(state),
            in_force: watch::Sender::new(Arc::new(empty)),
            status: Mutex::default(),
        }
    }

    /// What became of the latest configurations.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which version is in force, or why one is not.
    pub fn note(&self, version: &str, outcome: Result<(), &Refused>) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                *status = Status {
                    version: Some(version.to_owned()),
                    updated: Some(SystemTime::now()),
                    refused: None,
                };
            }
            Err(refused) => status.refused = Some(format!("{version}: {refused}")),
        }
    }

    /// Follows what is in force.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.subscribe()
    }

    /// What is in force now.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.borrow())
    }

    /// The resources in force.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.lock().resources.clone()
    }

    /// Where a listener accepts connections, if it is bound.
    #[must_use]
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.in_force.borrow().sockets.get(listener)?.first()?.address
    }

    /// Where a listener accepts connections, address by address, those without a port left out.
    #[must_use]
    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        let in_force = self.in_force.borrow();
        let sockets = in_force.sockets.get(listener).into_iter().flatten();
        sockets.filter_map(|sockets| sockets.address).collect()
    }

    /// Puts `resources` in force, or refuses all of them.
    ///
    /// # Errors
    /// Every problem of the resources, or the listener that cannot be bound.
    pub fn publish(&self, resources: Resources) -> Result<(), Refused> {
        let mut state = self.lock();
        let current = self.in_force();
        let snapshot =
            Snapshot::compile(&resources, Some(&current.snapshot)).map_err(Refused::Problems)?;
        let sockets = self.open_sockets(&state, &snapshot, &current)?;
        let endpoints = compile_endpoints(&state, &snapshot)?;
        // From here on nothing can fail.
        let mut shared = BTreeMap::new();
        for (cluster, set) in snapshot.clusters().iter().zip(endpoints) {
            let name = cluster.name().to_string();
            let known = state.shared.get(&name).cloned().unwrap_or_default();
            if let Some(set) = set {
                known.endpoints.store(Arc::new(set));
            }
            shared.insert(name, known);
        }
        let clusters = snapshot.clusters().iter();
        let clusters = clusters.map(|cluster| Arc::clone(&shared[cluster.name().as_str()]));
        let next = InForce {
            revision: current.revision + 1,
            clusters: clusters.collect(),
            sockets,
            snapshot,
        };
        // A socket that is not listened on any more must not fill its queue: the workers close theirs in a moment.
        for former in current.sockets.values().flatten() {
            if !next.sockets.values().flatten().any(|sockets| Arc::ptr_eq(sockets, former)) {
                former.let_go();
            }
        }
        state.shared = shared;
        state.resources = resources;
        self.in_force.send_replace(Arc::new(next));
        Ok(())
    }

    /// Every listening socket, for another process.
    pub(crate) fn sockets(&self) -> io::Result<Vec<(Entry, OwnedFd)>> {
        let _unchanged = self.lock();
        let in_force = self.in_force();
        let mut all = Vec::new();
        for (name, sockets) in &in_force.sockets {
            for sockets in sockets {
                all.append(&mut sockets.copies(name)?);
            }
        }
        Ok(all)
    }

    /// Closes what is held of the listening sockets besides the workers' handles.
    pub(crate) fn let_go(&self) {
        for sockets in self.in_force().sockets.values().flatten() {
            sockets.let_go();
        }
    }

    /// Closes what a former process handed over and nobody took.
    pub(crate) fn forget_handed(&self) {
        self.lock().given.handed = Handed::default();
    }

    /// Notes what is refused now, if anything; what is in force is another matter.
    pub(crate) fn note_refused(&self, refused: Option<String>) {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).refused = refused;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change is made at the end, in one piece: a panic leaves the state before it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_sockets(
        &self,
        state: &State,
        snapshot: &Snapshot,
        current: &InForce,
    ) -> Result<BTreeMap<String, Vec<Arc<Sockets>>>, Refused> {
        let mut sockets = BTreeMap::new();
        for listener in snapshot.listeners().iter().filter(|l| l.source().bind_to_port) {
            let (name, source) = (listener.name().to_string(), listener.source());
            let known = current.sockets.get(&name).map(Vec::as_slice).unwrap_or_default();
            let all = if state.given.replaces(&name) { 1 } else { usize::MAX };
            let addresses = source.addresses().enumerate().take(all);
            let mut opened = Vec::new();
            for (at, address) in addresses.filter(|(_, a)| **a != ListenerAddress::Internal) {
                if let Some(known) = known.iter().find(|known| known.wanted == *address) {
                    opened.push(Arc::clone(known));
                    continue;
                }
                let is_ours = address.socket().is_some_and(|wanted| current.has_port(wanted));
                let wanted = Wanted { listener: &name, address, is_ours, workers: self.workers };
                let refused = |source| Refused::Bind {
                    listener: name.clone(),
                    place: match at {
                        0 => "address".to_owned(),
                        more => format!("additional_addresses[{}].address", more - 1),
                    },
                    address: address.clone(),
                    source,
                };
                opened.push(Arc::new(Sockets::open(&state.given, wanted).map_err(refused)?));
            }
            sockets.insert(name, opened);
        }
        Ok(sockets)
    }
}
