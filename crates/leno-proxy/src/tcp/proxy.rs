//! The TCP filter: one connection to one endpoint of a cluster.

use std::rc::Rc;

use leno_core::filter_chain::TcpProxy;
use leno_core::reply::Failure;
use tokio::time::Instant;

use super::ahead::Ahead;
use super::open::open;
use super::record::TcpRecord;
use super::{Bounds, Early, End, relay_metered};
use crate::lifecycle::Watcher;
use crate::limits;
use crate::listener::Facts;
use crate::upstream::tunnel::Caller;
use crate::wire::Wire;
use crate::worker::Worker;

/// What was done before the filter took over.
pub(crate) struct Begun {
    /// Bytes that came from the client.
    pub(crate) inbox: Vec<u8>,
    /// A connection that was opened for this filter already.
    pub(crate) ahead: Option<Ahead>,
}

/// Relays one connection until both sides are done. What fails is shown to the peer as a reset, since there is no other
/// way to tell it.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    facts: Rc<Facts>,
    filter: &TcpProxy,
    mut downstream: Wire,
    begun: Begun,
    life: Watcher,
) {
    let mut record = TcpRecord::open(Rc::clone(&worker), Rc::clone(&facts), filter);
    let (opened, upstream) = match begun.ahead {
        Some(ahead) => ahead.opened().await,
        // Boxed: connecting is a large state, and most of a connection's life has none.
        None => {
            let caller = Caller::of(&facts);
            (Box::pin(open(&worker, filter, &caller)).await, Vec::new())
        }
    };
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(unopened) => {
            record.unopened(unopened);
            return downstream.reset_on_drop();
        }
    };
    record.opened(&opened);
    let upstream = [std::mem::take(&mut opened.early), upstream].concat();
    let early = Early { downstream: begun.inbox, upstream };
    let bounds = Bounds {
        idle: filter.settings.idle_timeout.unwrap_or(limits::TCP_IDLE),
        until: until(filter, &facts),
        life: &life,
        upstream_buffer_max: opened.cluster.buffer_max(),
        mask: None,
    };
    let wires = (&mut downstream, &mut opened.wire);
    let meter = |received, sent| record.moved(received, sent);
    let relayed = relay_metered(wires, early, bounds, &worker.buffers, meter).await;
    match relayed.end {
        End::Finished => {}
        // Envoy's word for it; it has no flag.
        End::Idle => record.ended_by("tcp_session_idle_timeout".to_owned()),
        End::Closing => record.ended_by("drain_timeout".to_owned()),
        End::Shed => {
            record.failed(Failure::Overload);
            record.ended_by("memory_budget".to_owned());
        }
        End::TooOld => record.too_old(),
        End::Downstream(error) => {
            record.failed(Failure::DownstreamDisconnect);
            record.ended_by(error.to_string());
        }
        End::Upstream(error) => {
            record.failed(Failure::ConnectionTerminationInResponse);
            record.ended_by(error.to_string());
        }
    }
}

/// When the connection is as old as it may become.
fn until(filter: &TcpProxy, facts: &Facts) -> Option<Instant> {
    Some(Instant::from_std(facts.since) + filter.settings.max_connection_duration?)
}
