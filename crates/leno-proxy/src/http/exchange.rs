//! The path of a request, top to bottom. Every stage is a line here; what a stage does is in its own file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use leno_core::authorization::Permit;
use leno_core::config::Connect;
use leno_core::fault::Fault;
use leno_core::filter_chain::HttpManager;
use leno_core::http_filter::Filter;
use leno_core::reply::Failure;
use leno_core::route_table::{Action, ClusterTarget, Forward, Matched, RouteEntry};
use leno_http::Method;
use leno_telemetry::ResponseFlag;

use super::edited::Edited;
use super::forward::{self, Plan};
use super::session::Session;
use super::view::View;
use super::{After, authorize, grpc, headers, mirror, reply, spans, terminate, tunnel};
use crate::budget::Grade;
use crate::upstream::cluster::ClusterState;
use crate::worker::View as Configuration;

/// One request and its response, and what may follow on the connection.
///
/// The configuration is loaded once: every decision of this request agrees with the others. The record is finished on
/// every way out, also when this future is dropped.
pub(super) async fn exchange(
    session: &mut Session,
    manager: &HttpManager,
    (started, head_bytes): (Instant, usize),
) -> After {
    let configuration = session.worker.view();
    headers::receive(session);
    session.record.open(started, head_bytes);
    spans::begin(session);
    grpc::recognise(session);
    let outcome = route(session, manager, &configuration).await;
    let after = match outcome {
        Ok(after) => after,
        Err(Failed { failure, status }) => reply::fail(session, failure, status).await,
    };
    session.finish_record();
    after
}

/// A failure, with the status that takes the place of the table's.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) status: Option<u16>,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, status: None }
    }
}

async fn route(
    session: &mut Session,
    manager: &HttpManager,
    configuration: &Configuration,
) -> Result<After, Failed> {
    if session.worker.budget.grade() >= Grade::RefuseStreams {
        session.worker.budget.note_refused();
        return Err(Failure::Overload.into());
    }
    if session.downstream.has_left() {
        // Reset before its turn came (CVE-2023-44487, CVE-2025-8671): no endpoint needs to hear of it.
        return Err(Failure::DownstreamDisconnect.into());
    }
    let table = configuration.snapshot().routes(&manager.routes);
    let table = table.ok_or(Failure::RouteConfigurationNotFound)?;
    if let Some(location) = headers::read_path(session)? {
        return reply::redirect_path(session, &location).await;
    }
    let view = View { head: &session.request, scheme: headers::scheme(session) };
    let matched = table.route(&view).map_err(|_| Failure::RouteNotFound);
    if let Ok(matched) = &matched {
        session.record.routed(matched);
    }
    let route = matched.as_ref().ok().map(|matched| matched.route);
    let permit = run_filters(session, manager, route).await?;
    let matched = matched?;
    match &matched.route.action {
        Action::Forward(forward) => {
            let target = forward.clusters.pick(session.draw());
            forward_to(session, configuration, (&matched, forward, target), permit).await
        }
        Action::Redirect(redirect) => {
            let view = View { head: &session.request, scheme: headers::scheme(session) };
            let location = matched.redirect_location(redirect, &view);
            reply::redirect(session, &matched, redirect.status(), &location).await
        }
        Action::DirectResponse(direct) => reply::direct(session, &matched, direct).await,
    }
}

type Chosen<'a> = (&'a Matched<'a>, &'a Forward, &'a ClusterTarget);

async fn forward_to(
    session: &mut Session,
    configuration: &Configuration,
    (matched, forward, target): Chosen<'_>,
    _: Permit,
) -> Result<After, Failed> {
    let cluster = configuration.cluster(&session.worker, &target.cluster);
    let cluster = cluster.ok_or(Failure::ClusterNotFound)?;
    session.record.targeted(cluster);
    if may_tunnel(session, forward)? == Connect::Terminate {
        // Boxed, as below: rare, and every exchange would carry a tunnel's state.
        return Box::pin(terminate::terminate(session, cluster)).await;
    }
    edit_request(session, matched, target);
    let mirrors = mirror::choose(session, configuration, forward);
    let resolved = resolve(session, cluster).await?;
    let virtual_host = matched.virtual_host;
    let plan = Plan { cluster, forward, virtual_host, mirrors, resolved };
    let answered = forward::forward(session, plan).await?;
    headers::note_service_time(session);
    if matched.edits_response(Some(target)) {
        matched.edit_response(Some(target), &mut Edited::response(session));
    }
    if answered.attempt.is_upgraded() {
        Box::pin(tunnel::tunnel(session, answered)).await
    } else {
        forward::respond(session, answered).await
    }
}

/// What becomes of the tunnel that a request may ask for.
fn may_tunnel(session: &Session, forward: &Forward) -> Result<Connect, Failure> {
    let (request, settings) = (&session.request, &session.manager.settings);
    let is_websocket = request.upgrade().is_some();
    if request.method() != Method::Connect && !is_websocket {
        return Ok(Connect::Forward);
    }
    let by_listener = |is_allowed| if is_allowed { Connect::Forward } else { Connect::Refuse };
    let connect = match forward.websocket {
        Some(is_allowed) if is_websocket => by_listener(is_allowed),
        None if is_websocket => by_listener(settings.websocket),
        _ => forward.connect.unwrap_or(by_listener(settings.connect)),
    };
    if connect == Connect::Refuse {
        return Err(Failure::UpgradeNotAllowed);
    }
    Ok(connect)
}

/// Where the authority says the request goes, for a cluster that asks for it.
pub(super) async fn resolve(
    session: &Session,
    cluster: &ClusterState,
) -> Result<Option<Arc<[SocketAddr]>>, Failure> {
    let Some(names) = cluster.by_authority() else { return Ok(None) };
    let (authority, own) = (session.request.authority(), session.facts.destination);
    // Boxed: rare, and the future of every exchange would carry it.
    Box::pin(names.resolve(authority, own)).await.map(Some)
}

/// What the route changes of the request before it leaves.
fn edit_request(session: &mut Session, matched: &Matched<'_>, target: &ClusterTarget) {
    // Operators see the path and the host as they came, as in Envoy.
    if matched.edits_request(Some(target)) {
        matched.edit_request(Some(target), &mut Edited::request(session));
    }
    let view = View { head: &session.request, scheme: headers::scheme(session) };
    if let Some(path) = matched.rewritten_path(&view) {
        headers::set_target(&mut session.request, &path);
    }
    if let Some(host) = matched.rewritten_host() {
        session.request.set_authority(host);
    }
}

/// What comes before the route's action, in the configured order; a request without a route passes it, too.
async fn run_filters(
    session: &mut Session,
    manager: &HttpManager,
    route: Option<&RouteEntry>,
) -> Result<Permit, Failed> {
    let (mut permit, mut asked) = (Permit::unasked(), 0);
    for filter in &manager.filters {
        match filter {
            Filter::Fault(filter) => {
                if let Some(fault) = filter.of(route) {
                    inject_fault(session, fault).await?;
                }
            }
            Filter::Authorization(filter) => {
                permit = authorize::authorize(session, (asked, filter), route, permit)?;
                asked += 1;
            }
            Filter::PeerMetadata => headers::receive_peer(session),
            Filter::Stats | Filter::DynamicForwardProxy | Filter::Router => {}
        }
    }
    Ok(permit)
}

/// Waits and answers as fault injection says.
async fn inject_fault(session: &mut Session, fault: &Fault) -> Result<(), Failed> {
    let decision = fault.decide(&mut *session.worker.random.borrow_mut());
    if let Some(delay) = decision.delay {
        session.record.flag(ResponseFlag::DelayInjected);
        session.downstream.pause(delay).await.map_err(|_| Failure::DownstreamDisconnect)?;
    }
    match decision.abort {
        Some(status) => Err(Failed { failure: Failure::FaultAbort, status: Some(status) }),
        None => Ok(()),
    }
}
