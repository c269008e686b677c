//! An ADS server of ours with whatever a test sets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use leno_control::identity::{Identity, IdentityOptions};
use leno_control::limits::DiscoveryLimits;
use leno_control::push::{
    Admission, Encoded, ProxyEntry, ProxyTable, Push, ResourceSet, Resources,
};
use leno_core::config::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration};
use leno_xds::server::Wanted;
use leno_xds::{ByType, Node, ResourceType};
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};

/// How long anything may take before the test has seen enough.
const PATIENCE: Duration = Duration::from_secs(30);

/// What proxies are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Everything {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<RouteConfiguration>,
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) endpoints: Vec<ClusterLoadAssignment>,
}

/// A running server.
pub(crate) struct Served {
    fixed: Arc<Fixed>,
    /// For those of this network namespace, and by a socket file for all others.
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) table: ProxyTable,
    pub(crate) admission: Admission,
    _folder: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Fixed {
    set: Mutex<Arc<ResourceSet>>,
    revision: watch::Sender<u64>,
}

impl Resources for Fixed {
    fn current(&self, _: &Node) -> Arc<ResourceSet> {
        Arc::clone(&self.set.lock().unwrap())
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

fn encode<T>(values: &[T], name: fn(&T) -> &str, encode: fn(&T) -> Vec<u8>) -> Arc<Wanted> {
    let encoded =
        values.iter().map(|value| (Arc::from(name(value)), Encoded::new(encode(value).into())));
    Arc::new(encoded.collect::<BTreeMap<_, _>>())
}

impl Served {
    pub(crate) fn start() -> Self {
        Self::start_within(DiscoveryLimits::USUAL)
    }

    /// One that keeps other limits.
    pub(crate) fn start_within(limits: DiscoveryLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = IdentityOptions::new(folder.path().join("ca"));
        let fixed = Arc::new(Fixed { set: Mutex::default(), revision: watch::channel(0).0 });
        let push = Push {
            resources: Arc::clone(&fixed) as Arc<dyn Resources>,
            proxies: ProxyTable::new(),
            admission: Admission::new(limits),
            identity: Identity::open(options, SystemTime::now()).unwrap(),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("ads");
        let here = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        here.set_nonblocking(true).unwrap();
        let service = push.service();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // On a thread of its own: the test waits for Envoy without giving way.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let here = tokio::net::UnixListener::from_std(here).unwrap();
                let server = || {
                    tonic::transport::Server::builder().add_service(service.clone())
                };
                tokio::select! {
                    ended = server().serve_with_incoming(TcpListenerStream::new(listener)) => ended.unwrap(),
                    ended = server().serve_with_incoming(UnixListenerStream::new(here)) => ended.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            fixed,
            address,
            socket,
            table: push.proxies,
            admission: push.admission,
            _folder: folder,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Makes `everything` what proxies shall have from now on.
    pub(crate) fn set(&self, revision: u64, everything: &Everything) {
        let mut by_type = ByType::default();
        by_type[ResourceType::Listener] =
            encode(&everything.listeners, |x| &x.name, leno_xds::encode_listener);
        by_type[ResourceType::Route] =
            encode(&everything.routes, |x| &x.name, leno_xds::encode_route);
        by_type[ResourceType::Cluster] =
            encode(&everything.clusters, |x| &x.name, leno_xds::encode_cluster);
        by_type[ResourceType::Endpoint] =
            encode(&everything.endpoints, |x| &x.cluster_name, leno_xds::encode_endpoints);
        *self.fixed.set.lock().unwrap() = Arc::new(ResourceSet { revision, by_type });
        self.fixed.revision.send_replace(revision);
    }

    /// Waits until the one connected proxy is as `until` says; what it is then.
    pub(crate) async fn wait(&self, until: impl Fn(&ProxyEntry) -> bool) -> ProxyEntry {
        let mut changes = self.table.changes();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(entry) = self.table.list().into_iter().find(&until) {
                    return entry;
                }
                changes.changed().await.unwrap();
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {:#?}", self.table.list()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
