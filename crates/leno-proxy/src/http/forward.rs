//! Getting an answer from an endpoint: pick, connect, send, and again where that is safe and wanted.
//!
//! Called by the exchange with a request that is ready to leave. The response's head comes back in
//! [`Session::response`]; [`respond`] passes the rest on.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_core::circuit::CircuitGuard;
use leno_core::endpoint::{ActiveRequest, Endpoint};
use leno_core::keep_alive::announced_timeout;
use leno_core::reply::Failure;
use leno_core::route_table::{Forward, VirtualHost};
use leno_http::h2::Code;
use leno_http::{BodyLength, Known};
use leno_telemetry::{ClusterStat, ClusterStats, LimitReached};

use super::attempt::{Attempt, Broken, Kept, asks_for_tunnel};
use super::call::Call;
use super::exchange::Failed;
use super::mirror::{self, Mirrors};
use super::replay::Replay;
use super::session::Session;
use super::timers::{Expired, Timers};
use super::upstream::Upstream;
use super::{After, grpc, headers};
use crate::upstream::cluster::{ClusterState, Towards};

/// What the exchange decided before forwarding.
pub(super) struct Plan<'a> {
    pub(super) cluster: &'a Rc<ClusterState>,
    pub(super) forward: &'a Forward,
    pub(super) virtual_host: &'a VirtualHost,
    pub(super) mirrors: Mirrors,
    /// What the authority was resolved to, for a cluster that goes there.
    pub(super) resolved: Option<Arc<[SocketAddr]>>,
}

impl Plan<'_> {
    /// Where the request goes, for a cluster without endpoints of its own.
    pub(super) fn towards(&self, original: SocketAddr) -> Towards<'_> {
        Towards { original, resolved: self.resolved.as_deref().unwrap_or_default() }
    }
}

/// An attempt whose response has begun, with everything it holds.
pub(super) struct Answered {
    pub(super) attempt: Box<Attempt>,
    pub(super) timers: Timers,
    pub(super) cluster: Rc<ClusterState>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) guards: Guards,
}

/// What an exchange counts as in use until it is over.
pub(super) struct Guards {
    pub(super) _active: ActiveRequest,
    pub(super) _request: CircuitGuard,
    pub(super) stats: ClusterStats,
}

impl Drop for Guards {
    fn drop(&mut self) {
        self.stats.decrement(ClusterStat::RqActive);
    }
}

/// Attempts until one is answered, or until there is no further one. Mirrors get their copy as soon as the request is
/// complete, whatever becomes of it here.
pub(super) async fn forward(session: &mut Session, plan: Plan<'_>) -> Result<Answered, Failed> {
    let has_body =
        session.request.body() != BodyLength::Empty && !asks_for_tunnel(&session.request);
    let mut call = Call::new(session, plan);
    if has_body {
        let answered = call.run(session).await;
        if let (true, Some(body)) = (session.downstream.is_request_done(), call.replay.body()) {
            mirror::send(session, &call.plan.mirrors, body);
        }
        answered
    } else {
        mirror::send(session, &call.plan.mirrors, &[]);
        call.run(session).await
    }
}

/// Passes the response on to its end.
pub(super) async fn respond(session: &mut Session, answered: Answered) -> Result<After, Failed> {
    headers::respond(session);
    let Answered { mut attempt, mut timers, cluster, endpoint, guards } = answered;
    // What is still to come of the request is sent once: the response has begun.
    let mut replay = Replay::new(false);
    let downstream = &mut session.downstream;
    session.record.head_sent(downstream.begin(&session.response, attempt.rest()));
    let mut kept = Kept { replay: &mut replay, timers: &mut timers };
    let mut has_waited = false;
    let passed = poll_fn(|cx| {
        let polled = attempt.poll_body(cx, downstream, &mut kept);
        has_waited |= polled.is_pending();
        polled
    })
    .await;
    session.record.moved(attempt.sent(), attempt.received());
    session.downstream.taken += attempt.received();
    drop(guards);
    if let Err(broken) = passed {
        return Ok(cut_off(session, broken));
    }
    let now = if has_waited { session.record.tick() } else { session.record.ended_at_once() };
    grpc::finish(session, &mut attempt, (&cluster, &endpoint));
    match attempt.upstream {
        Upstream::Http1(end) => {
            if let Some(connection) = end.finish(&session.worker.buffers) {
                if connection.served == 1 {
                    let field = session.response.fields().get(Known::KeepAlive);
                    let timeout = field.and_then(announced_timeout);
                    endpoint.live.keep_alive.update(|known| known.on_announced(timeout));
                }
                cluster.give_back(&endpoint, connection, now);
            }
        }
        Upstream::Http2(_) => {}
    }
    Ok(session.downstream.finish())
}

/// The response broke off after its head: all that is left to say it with is the end of the connection.
fn cut_off(session: &mut Session, broken: Broken) -> After {
    // The endpoint's own deadline: clients take CANCEL behind theirs for it, and nothing else.
    let is_deadline = matches!(broken, Broken::Reset) && grpc::is_late(session);
    let code = if is_deadline { Code::CANCEL } else { Code::INTERNAL_ERROR };
    let failure = match broken {
        Broken::Downstream => Failure::DownstreamDisconnect,
        Broken::Shed => Failure::Overload,
        Broken::Request(invalid) => {
            session.record.detail(invalid.code());
            Failure::DownstreamProtocolError
        }
        Broken::Upstream(_)
        | Broken::UpstreamEnded
        | Broken::Response(_)
        | Broken::Reset
        | Broken::Refused => Failure::ConnectionTerminationInResponse,
        Broken::Expired(expired) => {
            if expired == Expired::SlowBody {
                session.worker.process.metrics.reached(LimitReached::SlowBody);
            }
            expired.failure()
        }
    };
    session.record.failed(failure, session.facts.side());
    session.downstream.abandon(code)
}
