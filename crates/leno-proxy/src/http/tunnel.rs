//! An exchange that stopped being HTTP (101, or 2xx to CONNECT): bytes both ways until both sides are done.

use super::downstream::{Carrier, Downstream};
use super::exchange::Failed;
use super::forward::Answered;
use super::session::Session;
use super::upstream::Upstream;
use super::{After, headers};
use crate::limits;
use crate::tcp::{Bounds, Early, End, relay};
use leno_core::reply::Failure;
use leno_http::h2::Then;

/// Passes the head of the agreement on, then relays. The connection ends with the tunnel.
pub(super) async fn tunnel(session: &mut Session, answered: Answered) -> Result<After, Failed> {
    headers::respond(session);
    session.downstream.begin(&session.response, Then::More);
    let Downstream { carrier: Carrier::Http1(downstream), watcher, .. } = &mut session.downstream
    else {
        return Ok(After::Close);
    };
    if downstream.flush().await.is_err() {
        return Err(Failure::DownstreamDisconnect.into());
    }
    let Upstream::Http1(upstream) = answered.attempt.upstream else { return Ok(After::Close) };
    let Some((mut connection, upstream)) = upstream.into_tunnel() else {
        return Ok(After::Close);
    };
    let early = Early { downstream: std::mem::take(&mut downstream.inbox), upstream };
    let bounds = Bounds { idle: limits::TCP_IDLE, life: watcher };
    let buffers = &session.worker.buffers;
    let relayed = relay(&mut downstream.wire, &mut connection.wire, early, bounds, buffers).await;
    session.record.moved(relayed.received, relayed.sent);
    match relayed.end {
        End::Finished | End::Closing => {}
        End::Idle => session.record.failed(Failure::StreamIdleTimeout, session.facts.side()),
        End::Downstream(_) => {
            session.record.failed(Failure::DownstreamDisconnect, session.facts.side());
        }
        End::Upstream(_) => {
            let failure = Failure::ConnectionTerminationInResponse;
            session.record.failed(failure, session.facts.side());
        }
    }
    Ok(After::Close)
}
