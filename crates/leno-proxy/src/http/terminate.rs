//! A CONNECT that ends here (`connect_config`): the endpoint gets the tunnel's bytes, and knows of no tunnel.
//!
//! The client is answered once there is a connection: 200, or the status of the failure (503 for an endpoint that cannot
//! be reached), as HBONE's own proxies do it.

use std::net::SocketAddr;
use std::rc::Rc;

use leno_core::reply::Failure;
use leno_http::Version;
use leno_http::h2::Then;
use leno_telemetry::ClusterStat;

use super::downstream::{Carrier, Downstream};
use super::exchange::{Failed, resolve};
use super::session::Session;
use super::{After, headers, tunnel};
use crate::limits;
use crate::tcp::open::{Opened, Unopened, open_to};
use crate::tcp::{Bounds, Early};
use crate::upstream::cluster::{ClusterState, Towards};
use crate::upstream::connect::Ends;

/// Connects, answers, relays. What carried the exchange ends with the tunnel.
pub(super) async fn terminate(
    session: &mut Session,
    cluster: &Rc<ClusterState>,
) -> Result<After, Failed> {
    let ends = Ends { peer: session.facts.peer, destination: destination(session) };
    let worker = Rc::clone(&session.worker);
    // Boxed: connecting is a large state, and most of a connection's life has none.
    let opening = Box::pin(async {
        let resolved = resolve(session, cluster).await?;
        let resolved = resolved.as_deref().unwrap_or_default();
        let towards = Towards { original: ends.destination, resolved };
        open_to(&worker, cluster, (ends, towards), 1).await
    });
    let mut opened = match opening.await {
        Ok(opened) => opened,
        Err(unopened) => return Err(refused(session, unopened)),
    };
    cluster.stats.increment(ClusterStat::RqTotal);
    let Opened { endpoint, connection, .. } = &opened;
    let party = cluster.party(endpoint, &connection.proof, &worker);
    session.record.tunnelled(&opened, party);
    let early = Early { downstream: agree(session).await?, upstream: Vec::new() };
    let Downstream { carrier, watcher, worker, .. } = &mut session.downstream;
    let bounds = Bounds { idle: limits::TCP_IDLE, until: None, life: watcher, mask: None };
    let wire = &mut opened.connection.wire;
    let relayed = tunnel::pass(carrier, wire, early, bounds, worker).await;
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

fn refused(session: &mut Session, unopened: Unopened) -> Failed {
    if let Some(endpoint) = &unopened.endpoint {
        session.record.attempted(endpoint);
    }
    if let Some(reason) = &unopened.reason {
        session.record.transport_failed(reason);
    }
    unopened.failure.into()
}
