//! One accepted connection, until its filter takes over: original destination, inspection, filter chain, TLS.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use leno_core::config::ListenerFilter;
use leno_core::filter_chain::{ConnectionFacts, Listener, NetworkFilter};
use leno_core::reply::Failure;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::{Accepted, NO_ADDRESS, Stream};
use super::active::{ActiveListener, Chosen};
use super::inspect::{Arrival, Ended, Inspected, Seen};
use super::{Facts, Proof, refused};
use crate::budget::Account;
use crate::http;
use crate::limits;
use crate::tcp::{self, ahead::Ahead, proxy::Begun};
use crate::tls::{self, Acceptor};
use crate::upstream::connect::Ends;
use crate::wire::{Prefixed, Wire};
use crate::worker::Worker;

/// A connection that came in, by whichever way.
pub(crate) struct Incoming {
    pub(crate) wire: Wire,
    pub(crate) ends: Ends,
    /// What is known of the peer beforehand, of a connection that came through a tunnel.
    pub(crate) carried: Carried,
    /// An upstream connection that was opened for it already.
    pub(crate) ahead: Option<Ahead>,
    /// What it makes us hold.
    pub(crate) account: Account,
}

/// What a tunnel's own connection proved; it holds for the connections within.
#[derive(Clone, Default)]
pub(crate) struct Carried {
    pub(crate) proof: Proof,
    /// The peer's element of `x-forwarded-client-cert`.
    pub(crate) client_cert: Option<Arc<str>>,
}

/// Serves one accepted connection from its first byte to its last.
pub(crate) async fn serve(worker: Rc<Worker>, accepted_by: Rc<ActiveListener>, accepted: Accepted) {
    let Accepted { stream, account } = accepted;
    let (stream, peer) = match stream {
        Stream::Tcp(stream, peer) => (stream, peer),
        Stream::Unix(stream) => {
            // Who connects to a path is on this machine and has no address.
            let ends = Ends { peer: NO_ADDRESS, destination: NO_ADDRESS };
            let (wire, carried) = (Wire::Unix(stream), Carried::default());
            let incoming = Incoming { wire, ends, carried, ahead: None, account };
            return serve_incoming(worker, accepted_by, incoming).await;
        }
    };
    // A socket that refuses these is gone already; reading will say so.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let destination = original_destination(&accepted_by.listener(), &stream, local);
    let ends = Ends { peer, destination };
    let (wire, carried) = (Wire::Tcp(stream), Carried::default());
    let incoming = Incoming { wire, ends, carried, ahead: None, account };
    serve_incoming(worker, accepted_by, incoming).await;
}

/// The same for a connection whose ends are known.
pub(crate) async fn serve_incoming(
    worker: Rc<Worker>,
    accepted_by: Rc<ActiveListener>,
    incoming: Incoming,
) {
    let Incoming { wire, ends: Ends { peer, destination }, carried, ahead: opened, account } =
        incoming;
    let since = Instant::now();
    let listener = accepted_by.listener();
    let active = hand_over(&worker, accepted_by, &listener, destination);
    let listener = active.listener();
    let mut facts = Facts::new(listener.source().direction, Ends { peer, destination }, since);
    let arrival = Arrival { worker: &worker, active: &active, listener: &listener, wire: &wire };
    // Boxed: only what waits before the first byte needs its state.
    let inspecting = account.unless_shed(Box::pin(arrival.inspect(facts.ends())));
    let inspected = match inspecting.await {
        Some(Ok(inspected)) => inspected,
        Some(Err(Ended::Left)) | None => return,
        Some(Err(Ended::Failed(failure))) => {
            return refused::note(&worker, &listener, &facts, failure, None);
        }
    };
    let Inspected { ends, seen, inbox, ahead } = inspected;
    let ahead = opened.or(ahead);
    facts = Facts::new(listener.source().direction, ends, since);
    (facts.proof, facts.client_cert) = (carried.proof, carried.client_cert);
    facts.server_name =
        seen.hello.as_ref().and_then(|hello| hello.server_name.as_deref().map(Arc::from));
    let Some(chosen) = choose(&active, &facts, &seen) else {
        tracing::debug!(listener = %listener.name(), %peer, %destination, "no filter chain matches");
        return refused::note(&worker, &listener, &facts, Failure::FilterChainNotFound, None);
    };
    facts.is_tls = chosen.chain.tls.is_some();
    let secured = match &chosen.acceptor {
        Some(acceptor) => {
            let securing = account.unless_shed(secure(acceptor, &mut facts, wire, inbox));
            securing.await.unwrap_or_else(|| Err("the memory budget is used up".to_owned()))
        }
        None if facts.is_tls => Err("the chain's TLS cannot be used".to_owned()),
        None => Ok((wire, inbox)),
    };
    let (wire, inbox) = match secured {
        Ok(secured) => secured,
        Err(reason) => {
            let failure = Failure::DownstreamTlsFailure;
            return refused::note(&worker, &listener, &facts, failure, Some(&reason));
        }
    };
    let facts = Rc::new(facts);
    match &chosen.chain.filter {
        NetworkFilter::Http(manager) => {
            drop(ahead);
            let watcher = chosen.lifecycle.watch().of(account);
            let age = manager.settings.max_connection_duration;
            watcher.retire_at(age.map(|age| tokio::time::Instant::from_std(facts.since) + age));
            let manager = Arc::clone(manager);
            let arrival = http::Arrival { worker, facts, manager, watcher };
            http::serve_connection(arrival, wire, inbox).await;
        }
        NetworkFilter::Tcp(proxy) => {
            let life = chosen.lifecycle.watch().of(account);
            let ahead = ahead.filter(|ahead| ahead.is_for(&chosen.chain));
            let begun = Begun { inbox, ahead };
            tcp::proxy::serve(worker, facts, proxy, wire, begun, life).await;
        }
    }
}

/// The filter chain for what was found out.
fn choose(active: &ActiveListener, facts: &Facts, seen: &Seen) -> Option<Chosen> {
    let protocols: Vec<&[u8]> = seen.protocols().collect();
    active.choose(&ConnectionFacts {
        destination: facts.destination,
        server_name: facts.server_name.as_deref(),
        transport: seen.transport(),
        application_protocols: &protocols,
    })
}

/// Ends TLS. Says why a handshake failed; the peer was told.
async fn secure(
    acceptor: &Acceptor,
    facts: &mut Facts,
    wire: Wire,
    inbox: Vec<u8>,
) -> Result<(Wire, Vec<u8>), String> {
    // Boxed: a handshake's state is large, and most of a connection's life has none.
    let handshake = Box::pin(acceptor.accept(Prefixed::new(wire, inbox)));
    let accepted = match timeout(limits::TLS_HANDSHAKE, handshake).await {
        Ok(accepted) => accepted.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no TLS handshake within {:?}", limits::TLS_HANDSHAKE)),
    };
    facts.is_http2 = tls::is_http2(accepted.proof.alpn.as_deref());
    facts.proof = Proof::of(&accepted.proof);
    facts.client_cert = accepted.client_cert.map(Arc::from);
    if let Some(name) = accepted.server_name {
        facts.server_name = Some(Arc::from(name));
    }
    Ok((accepted.wire, Vec::new()))
}

/// Where the peer wanted to go: what the kernel's redirect remembers, else the address it connected to.
fn original_destination(listener: &Listener, stream: &TcpStream, local: SocketAddr) -> SocketAddr {
    let source = listener.source();
    let is_asked =
        source.use_original_dst || source.listener_filters.contains(&ListenerFilter::OriginalDst);
    if !is_asked {
        return local;
    }
    match leno_sys::original::original_destination(stream) {
        Ok(Some(destination)) => destination,
        Ok(None) => local,
        Err(error) => {
            tracing::debug!(%error, "original destination");
            local
        }
    }
}

/// The listener that stands for the destination, if connections are to be handed over.
fn hand_over(
    worker: &Worker,
    accepted_by: Rc<ActiveListener>,
    listener: &Listener,
    destination: SocketAddr,
) -> Rc<ActiveListener> {
    if !listener.source().use_original_dst {
        return accepted_by;
    }
    let view = worker.view();
    let standing = view.snapshot().listener_for(destination);
    // A listener with a socket of its own has its own connections.
    let standing = standing.filter(|standing| !standing.source().bind_to_port);
    standing.and_then(|standing| worker.listener(standing.name())).unwrap_or(accepted_by)
}
