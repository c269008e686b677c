//! A CONNECT that ends here (`connect_config`): the endpoint gets the tunnel's bytes, and knows of no tunnel.
//!
//! An endpoint that is a listener of this proxy serves the tunnel like any connection that it accepts, with the identity
//! that the tunnel's own connection proved. Where the endpoint is known before the first byte, the client is answered
//! once there is a connection to it: 200, or the status of the failure (503 for one that cannot be reached), as HBONE's
//! own proxies do it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use leno_core::balance::Pick;
use leno_core::config::Address;
use leno_core::filter_chain::NetworkFilter;
use leno_core::reply::Failure;
use leno_http::Version;
use leno_http::h2::Then;
use leno_telemetry::ClusterStat;
use tokio::net::UnixStream;

use super::downstream::{Carrier, Downstream};
use super::exchange::{Failed, resolve};
use super::session::Session;
use super::{After, headers, tunnel};
use crate::listener::connection::{Carried, Incoming};
use crate::listener::internal;
use crate::tcp::ahead::Ahead;
use crate::tcp::open::{Unopened, open, open_at};
use crate::tcp::{Early, relay};
use crate::upstream::cluster::{ClusterState, Towards};
use crate::upstream::connect::Ends;
use crate::upstream::tunnel::Caller;
use crate::wire::{Tunnel, Wire};

/// Connects, answers, relays. What carried the exchange ends with the tunnel.
pub(super) async fn terminate(
    session: &mut Session,
    cluster: &Rc<ClusterState>,
) -> Result<After, Failed> {
    let ends = Ends { peer: session.facts.peer, destination: destination(session) };
    let worker = Rc::clone(&session.worker);
    let resolved = resolve(session, cluster).await?;
    let resolved = resolved.as_deref().unwrap_or_default();
    let towards = Towards { original: ends.destination, resolved };
    let pick = Pick { now: Instant::now(), tried: &[] };
    let endpoint = cluster.pick(pick, towards, &mut *worker.random.borrow_mut());
    let endpoint = endpoint.ok_or(Failure::NoHealthyUpstream)?;
    session.record.attempted(&endpoint);
    cluster.stats.increment(ClusterStat::RqTotal);
    if let Address::Internal(internal) = &endpoint.address {
        return within(session, &internal.listener, ends).await;
    }
    let caller = Caller::at(ends);
    // Boxed: connecting is a large state, and most of a connection's life has none.
    let opening = Box::pin(open_at(&worker, (cluster, &endpoint), &caller, None));
    let mut opened = opening.await.map_err(|error| {
        session.record.transport_failed(&error);
        error.failure()
    })?;
    let party = cluster.party(&endpoint, &opened.proof, &worker);
    session.record.tunnelled(&opened, party);
    let early = Early { downstream: agree(session).await?, upstream: Vec::new() };
    let Downstream { carrier, watcher, worker, .. } = &mut session.downstream;
    let bounds = tunnel::bounds(watcher, None);
    let relayed = tunnel::pass(carrier, &mut opened.wire, early, bounds, worker).await;
    tunnel::note(session, &relayed);
    Ok(After::Close)
}

/// Where the tunnel goes: the authority, where that is an address; of a name, the port at the address that the client
/// connected to.
fn destination(session: &Session) -> SocketAddr {
    let authority = session.request.authority();
    let port = || authority.rsplit_once(':')?.1.parse().ok();
    authority.parse().unwrap_or_else(|_| {
        let mut here = session.facts.destination;
        here.set_port(port().unwrap_or(here.port()));
        here
    })
}

/// Has a listener of this proxy serve the tunnel.
async fn within(session: &mut Session, listener: &str, ends: Ends) -> Result<After, Failed> {
    let worker = Rc::clone(&session.worker);
    let active = internal::find(&worker, listener).ok_or(Failure::NoHealthyUpstream)?;
    let facts = &session.facts;
    let carried = Carried { proof: facts.proof.within(), client_cert: facts.client_cert.clone() };
    let mut ahead = None;
    if let Some(chain) = internal::chain_for(&active, ends)
        && let NetworkFilter::Tcp(filter) = &chain.filter
    {
        let opened = Box::pin(open(&worker, filter, &Caller::at(ends))).await;
        let opened = opened.map_err(|unopened| refused(session, &unopened))?;
        ahead = Some(Ahead::of(&chain, opened));
    }
    let inbox = agree(session).await?;
    let account = worker.budget.open();
    let Downstream { carrier, watcher, .. } = &mut session.downstream;
    match carrier {
        Carrier::Http2(end) => {
            let Some(stream) = end.take_stream() else { return Ok(After::Close) };
            let tunnel = Tunnel::new(stream, None);
            let moved = tunnel.moved();
            let incoming = Incoming { wire: Wire::Tunnel(tunnel), ends, carried, ahead, account };
            internal::serve(&worker, active, incoming).await;
            let (received, sent) = moved.get();
            session.record.moved(received, sent);
        }
        Carrier::Http1(end) => {
            let (near, far) = UnixStream::pair().map_err(|_| Failure::Overload)?;
            let incoming = Incoming { wire: Wire::Unix(far), ends, carried, ahead, account };
            let early = Early { downstream: inbox, upstream: Vec::new() };
            let bounds = tunnel::bounds(watcher, None);
            let mut near = Wire::Unix(near);
            let relaying = relay(&mut end.wire, &mut near, early, bounds, &worker.buffers);
            let serving = internal::serve(&worker, active, incoming);
            let (relayed, ()) = tokio::join!(relaying, serving);
            tunnel::note(session, &relayed);
        }
    }
    Ok(After::Close)
}

/// Says 200, and hands out what the client sent behind its request.
async fn agree(session: &mut Session) -> Result<Vec<u8>, Failed> {
    session.response.start(Version::Http11, 200);
    headers::respond(session);
    let now = session.record.tick();
    session.record.answered(200, now);
    let head_bytes = session.downstream.begin(&session.response, Then::More);
    session.record.head_sent(head_bytes);
    let Carrier::Http1(end) = &mut session.downstream.carrier else { return Ok(Vec::new()) };
    end.flush().await.map_err(|_| Failure::DownstreamDisconnect)?;
    Ok(std::mem::take(&mut end.inbox))
}

fn refused(session: &mut Session, unopened: &Unopened) -> Failed {
    if let Some(endpoint) = &unopened.endpoint {
        session.record.attempted(endpoint);
    }
    if let Some(reason) = &unopened.reason {
        session.record.transport_failed(reason);
    }
    unopened.failure.into()
}
