//! An exchange that stopped being HTTP (101, or 2xx to CONNECT): bytes both ways until both sides are done.
//!
//! Each side is a connection of its own or a stream (RFC 8441), in any combination.

use super::downstream::{Carrier, Downstream};
use super::exchange::Failed;
use super::forward::Answered;
use super::session::Session;
use super::upstream::Upstream;
use super::{After, headers, websocket};
use crate::lifecycle::Watcher;
use crate::limits;
use crate::tcp::{Bounds, Early, End, Leg, Relayed, relay};
use crate::worker::Worker;
use leno_core::reply::Failure;
use leno_http::h2::Then;

/// How a tunnel that came over HTTP is relayed: it idles as TCP does, and ends with its connection.
pub(super) fn bounds(life: &Watcher, mask: Option<[u8; 4]>) -> Bounds<'_> {
    Bounds { idle: limits::TCP_IDLE, until: None, life, upstream_buffer_max: usize::MAX, mask }
}

/// Passes the head of the agreement on, then relays. What carried the exchange ends with the tunnel.
pub(super) async fn tunnel(session: &mut Session, answered: Answered) -> Result<After, Failed> {
    websocket::agree(&session.request, &mut session.response);
    headers::respond(session);
    session.downstream.begin(&session.response, Then::More);
    let (is_websocket, mask) =
        (session.request.upgrade() == Some("websocket"), session.draw() as u32);
    let Downstream { carrier, watcher, worker, .. } = &mut session.downstream;
    let mut early = Early::default();
    if let Carrier::Http1(end) = carrier {
        if end.flush().await.is_err() {
            return Err(Failure::DownstreamDisconnect.into());
        }
        worker.buffers.release(&mut end.out.bytes);
        early.downstream = std::mem::take(&mut end.inbox);
    }
    let mask = is_websocket.then(|| mask.to_ne_bytes());
    let bounds = bounds(watcher, mask);
    let relayed = match answered.attempt.upstream {
        Upstream::Http1(upstream) => {
            let Some((mut connection, inbox)) = upstream.into_tunnel() else {
                return Ok(After::Close);
            };
            early.upstream = inbox;
            pass(carrier, &mut connection.wire, early, bounds, worker).await
        }
        Upstream::Http2(upstream) => {
            pass(carrier, &mut upstream.into_stream(), early, bounds, worker).await
        }
    };
    note(session, &relayed);
    Ok(After::Close)
}

/// Writes into the record how a tunnel ended.
pub(super) fn note(session: &mut Session, relayed: &Relayed) {
    session.record.moved(relayed.received, relayed.sent);
    match relayed.end {
        End::Finished | End::Closing | End::TooOld => {}
        End::Shed => session.record.failed(Failure::Overload, session.facts.side()),
        End::Idle => session.record.failed(Failure::StreamIdleTimeout, session.facts.side()),
        End::Downstream(_) => {
            session.record.failed(Failure::DownstreamDisconnect, session.facts.side());
        }
        End::Upstream(_) => {
            let failure = Failure::ConnectionTerminationInResponse;
            session.record.failed(failure, session.facts.side());
        }
    }
}

/// Relays between what carries the exchange and the other end.
pub(super) async fn pass(
    carrier: &mut Carrier,
    upstream: &mut impl Leg,
    early: Early,
    bounds: Bounds<'_>,
    worker: &Worker,
) -> Relayed {
    match carrier {
        Carrier::Http1(end) => relay(&mut end.wire, upstream, early, bounds, &worker.buffers).await,
        Carrier::Http2(end) => {
            relay(end.stream_mut(), upstream, early, bounds, &worker.buffers).await
        }
    }
}
