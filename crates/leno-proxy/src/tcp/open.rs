//! From a TCP proxy's filter to a connection: cluster, endpoint, connect; and another endpoint if the filter says so.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::endpoint::Endpoint;
use leno_core::filter_chain::{TcpProxy, Tunneling};
use leno_core::outlier::EndpointOutcome;
use leno_core::random::Random as _;
use leno_core::reply::Failure;

use crate::listener::Proof;
use crate::upstream::cluster::{ClusterState, Slot};
use crate::upstream::connect::{self, Carries, ConnectError, Ends, Purpose};
use crate::upstream::pool;
use crate::upstream::tunnel::{self, Caller};
use crate::wire::Wire;
use crate::worker::Worker;

/// A connection that stands.
pub(crate) struct Opened {
    pub(crate) cluster: Rc<ClusterState>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) wire: Wire,
    /// What the handshake proved.
    pub(crate) proof: Proof,
    /// Our address.
    pub(crate) local: Option<SocketAddr>,
    /// What came from the endpoint already.
    pub(crate) early: Vec<u8>,
    /// The connection's place in the cluster's count; a tunnel among others has none.
    _slot: Option<Slot>,
}

/// Why there is none, and how far it got.
pub(crate) struct Unopened {
    pub(crate) failure: Failure,
    pub(crate) cluster: Option<Rc<ClusterState>>,
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// What the last attempt said.
    pub(crate) reason: Option<String>,
    /// As many attempts were made as there may be.
    pub(crate) is_exhausted: bool,
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Self { failure, cluster: None, endpoint: None, reason: None, is_exhausted: false }
    }
}

/// Connects to an endpoint of the filter's cluster, for the bytes of one downstream connection.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    filter: &TcpProxy,
    caller: &Caller,
) -> Result<Opened, Unopened> {
    let view = worker.view();
    let target = filter.clusters.pick(worker.random.borrow_mut().next_u64());
    let cluster = view.cluster(worker, &target.cluster).ok_or(Failure::ClusterNotFound)?;
    let attempts_max = filter.settings.max_connect_attempts;
    open_to(worker, cluster, caller, (attempts_max, filter.tunneling.as_ref())).await
}

/// The same for a cluster that is chosen already.
async fn open_to(
    worker: &Rc<Worker>,
    cluster: &Rc<ClusterState>,
    caller: &Caller,
    (attempts_max, tunneling): (u32, Option<&Tunneling>),
) -> Result<Opened, Unopened> {
    let mut tried = Vec::new();
    loop {
        let pick = Pick { now: Instant::now(), tried: &tried };
        let towards = caller.ends.destination.into();
        let endpoint = cluster.pick(pick, towards, &mut *worker.random.borrow_mut());
        let unopened =
            |failure| Unopened { cluster: Some(Rc::clone(cluster)), ..Unopened::from(failure) };
        let endpoint = endpoint.ok_or_else(|| unopened(Failure::NoHealthyUpstream))?;
        let error = match open_at(worker, (cluster, &endpoint), caller, tunneling).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        tried.push(Arc::clone(&endpoint));
        let is_overflow = matches!(error, ConnectError::Overflow);
        let is_exhausted = tried.len() >= attempts_max as usize;
        if is_overflow || is_exhausted {
            return Err(Unopened {
                endpoint: (!is_overflow).then_some(endpoint),
                reason: Some(error.to_string()),
                is_exhausted: is_exhausted && !is_overflow,
                ..unopened(error.failure())
            });
        }
    }
}

/// The same for an endpoint that is picked already.
pub(crate) async fn open_at(
    worker: &Rc<Worker>,
    (cluster, endpoint): (&Rc<ClusterState>, &Arc<Endpoint>),
    caller: &Caller,
    tunneling: Option<&Tunneling>,
) -> Result<Opened, ConnectError> {
    let connected = match tunneling {
        Some(tunneling) => {
            let asking = tunnel::open(worker, (cluster, endpoint), (tunneling, caller));
            Box::pin(asking).await
        }
        None => plain(worker, (cluster, endpoint), caller.ends).await,
    };
    let outcome = match &connected {
        Ok(_) => EndpointOutcome::Status(200),
        // Nobody was asked: it says nothing about the endpoint.
        Err(error @ ConnectError::Overflow) => {
            cluster.note_connect_failure(error);
            return Err(ConnectError::Overflow);
        }
        Err(error) => {
            cluster.note_connect_failure(error);
            EndpointOutcome::ConnectFailure
        }
    };
    cluster.on_result(endpoint, outcome, Instant::now());
    let tunnel::Opened { wire, proof, local, early, slot } = connected?;
    let (cluster, endpoint) = (Rc::clone(cluster), Arc::clone(endpoint));
    Ok(Opened { cluster, endpoint, wire, proof, local, early, _slot: slot })
}

async fn plain(
    worker: &Rc<Worker>,
    (cluster, endpoint): (&Rc<ClusterState>, &Arc<Endpoint>),
    ends: Ends,
) -> Result<tunnel::Opened, ConnectError> {
    let purpose = Purpose { carries: Carries::Bytes, ends: Some(ends) };
    let connection = connect::connect(worker, cluster, endpoint, purpose).await?;
    let pool::Connection { wire, proof, local, _slot: slot, .. } = *connection;
    Ok(tunnel::Opened { wire, proof, local, early: Vec::new(), slot: Some(slot) })
}
