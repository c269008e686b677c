//! From a TCP proxy's filter to a connection: cluster, endpoint, connect; and another endpoint if the filter says so.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::endpoint::Endpoint;
use leno_core::filter_chain::TcpProxy;
use leno_core::outlier::EndpointOutcome;
use leno_core::random::Random as _;
use leno_core::reply::Failure;

use crate::upstream::cluster::{ClusterState, Towards, UpstreamConnection};
use crate::upstream::connect::{self, Carries, ConnectError, Ends, Purpose};
use crate::worker::Worker;

/// A connection that stands.
pub(crate) struct Opened {
    pub(crate) cluster: Rc<ClusterState>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) connection: UpstreamConnection,
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
    worker: &Worker,
    filter: &TcpProxy,
    ends: Ends,
) -> Result<Opened, Unopened> {
    let view = worker.view();
    let target = filter.clusters.pick(worker.random.borrow_mut().next_u64());
    let cluster = view.cluster(worker, &target.cluster).ok_or(Failure::ClusterNotFound)?;
    let attempts_max = filter.settings.max_connect_attempts;
    open_to(worker, cluster, (ends, ends.destination.into()), attempts_max).await
}

/// The same for a cluster that is chosen already; `towards` says where, to one that has no endpoints of its own.
pub(crate) async fn open_to(
    worker: &Worker,
    cluster: &Rc<ClusterState>,
    (ends, towards): (Ends, Towards<'_>),
    attempts_max: u32,
) -> Result<Opened, Unopened> {
    let mut tried = Vec::new();
    loop {
        let pick = Pick { now: Instant::now(), tried: &tried };
        let endpoint = cluster.pick(pick, towards, &mut *worker.random.borrow_mut());
        let unopened =
            |failure| Unopened { cluster: Some(Rc::clone(cluster)), ..Unopened::from(failure) };
        let endpoint = endpoint.ok_or_else(|| unopened(Failure::NoHealthyUpstream))?;
        let error = match attempt(worker, cluster, &endpoint, ends).await {
            Ok(connection) => {
                return Ok(Opened { cluster: Rc::clone(cluster), endpoint, connection });
            }
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

async fn attempt(
    worker: &Worker,
    cluster: &Rc<ClusterState>,
    endpoint: &Arc<Endpoint>,
    ends: Ends,
) -> Result<UpstreamConnection, ConnectError> {
    let purpose = Purpose { carries: Carries::Bytes, ends: Some(ends) };
    let connected = connect::connect(worker, cluster, endpoint, purpose).await;
    let outcome = match &connected {
        Ok(_) => EndpointOutcome::Status(200),
        // Nobody was asked: it says nothing about the endpoint.
        Err(error @ ConnectError::Overflow) => {
            cluster.note_connect_failure(error);
            return connected;
        }
        Err(error) => {
            cluster.note_connect_failure(error);
            EndpointOutcome::ConnectFailure
        }
    };
    cluster.on_result(endpoint, outcome, Instant::now());
    connected
}
