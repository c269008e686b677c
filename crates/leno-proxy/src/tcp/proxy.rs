//! The TCP filter: one connection to one endpoint of a cluster.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::endpoint::Endpoint;
use leno_core::filter_chain::TcpProxy;
use leno_core::outlier::EndpointOutcome;
use leno_core::random::Random as _;
use leno_core::reply::Failure;

use super::record::TcpRecord;
use super::{Bounds, Early, End, relay};
use crate::lifecycle::Watcher;
use crate::limits;
use crate::listener::Facts;
use crate::upstream::cluster::{ClusterState, UpstreamConnection};
use crate::upstream::connect::{self, Carries, Purpose};
use crate::wire::Wire;
use crate::worker::Worker;

/// Relays one connection until both sides are done. What fails is shown to the peer as a reset, since there is no other
/// way to tell it.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    facts: Rc<Facts>,
    filter: &TcpProxy,
    mut downstream: Wire,
    inbox: Vec<u8>,
    life: Watcher,
) {
    let mut record = TcpRecord::open(Rc::clone(&worker), Rc::clone(&facts), filter);
    match open(&worker, &facts, filter, &mut record).await {
        Err(failure) => {
            record.failed(failure);
            downstream.reset_on_drop();
        }
        Ok(mut connection) => {
            record.begun();
            let early = Early { downstream: inbox, upstream: Vec::new() };
            let idle = filter.settings.idle_timeout.unwrap_or(limits::TCP_IDLE);
            let upstream = &mut connection.wire;
            let bounds = Bounds { idle, life: &life };
            let relayed = relay(&mut downstream, upstream, early, bounds, &worker.buffers).await;
            record.moved(relayed.received, relayed.sent);
            match relayed.end {
                End::Finished | End::Idle | End::Closing => {}
                End::Downstream(error) => {
                    record.failed(Failure::DownstreamDisconnect);
                    record.ended_by(&error);
                }
                End::Upstream(error) => {
                    record.failed(Failure::ConnectionTerminationInResponse);
                    record.ended_by(&error);
                }
            }
        }
    }
}

/// Picks an endpoint and connects to it.
async fn open(
    worker: &Rc<Worker>,
    facts: &Facts,
    filter: &TcpProxy,
    record: &mut TcpRecord,
) -> Result<UpstreamConnection, Failure> {
    let view = worker.view();
    let target = filter.clusters.pick(worker.random.borrow_mut().next_u64());
    let cluster = view.cluster(&target.cluster).ok_or(Failure::ClusterNotFound)?;
    record.targeted(cluster);
    let endpoint = pick(worker, cluster, facts)?;
    record.picked(&endpoint);
    let purpose = Purpose { carries: Carries::Bytes, ends: Some(facts.ends()) };
    let connected = connect::connect(worker, cluster, &endpoint, purpose).await;
    let outcome = match &connected {
        Ok(_) => EndpointOutcome::Status(200),
        Err(_) => EndpointOutcome::ConnectFailure,
    };
    cluster.on_result(&endpoint, outcome, Instant::now());
    match connected {
        Ok(connection) => {
            record.opened(&connection, cluster.party(&endpoint, &connection.proof, worker));
            Ok(connection)
        }
        Err(error) => {
            cluster.note_connect_failure(&error);
            record.connect_failed(&error);
            Err(error.failure())
        }
    }
}

fn pick(worker: &Worker, cluster: &ClusterState, facts: &Facts) -> Result<Arc<Endpoint>, Failure> {
    let pick = Pick { now: Instant::now(), tried: &[] };
    cluster
        .pick(pick, facts.destination, &mut *worker.random.borrow_mut())
        .ok_or(Failure::NoHealthyUpstream)
}
