//! One accepted connection, until its filter takes over: original destination, inspection, filter chain, TLS.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use leno_core::config::ListenerFilter;
use leno_core::filter_chain::{ConnectionFacts, FilterChain, Listener, NetworkFilter};
use leno_core::reply::Failure;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::accept::{Accepted, NO_ADDRESS, Stream, canonical};
use super::active::{ActiveListener, Chosen};
use super::inspect::{Arrival, Ended, Inspected, Seen};
use super::limit::{Beyond, Places};
use super::{Facts, Proof, authorize, limit, refused};
use crate::budget::Account;
use crate::http;
use crate::lifecycle::{Phase, Watcher};
use crate::limits;
use crate::tcp::{self, ahead::Ahead, proxy::Begun};
use crate::tls::{self, Acceptor};
use crate::upstream::connect::Ends;
use crate::wire::{Prefixed, Socket, Wire};
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
pub(crate) fn serve(
    worker: Rc<Worker>,
    accepted_by: Rc<ActiveListener>,
    accepted: Accepted,
) -> impl Future<Output = ()> {
    let Accepted { stream, account, slot } = accepted;
    let serving = incoming(&accepted_by, stream, account)
        .map(|incoming| Box::pin(settle(worker, accepted_by, incoming)));
    async move {
        if let Some(serving) = serving {
            serve_settled(serving).await;
        }
        drop(slot);
    }
}

/// What was accepted, with its ends; `None` when it is gone again.
fn incoming(accepted_by: &ActiveListener, stream: Stream, account: Account) -> Option<Incoming> {
    let carried = Carried::default();
    let (wire, ends) = match stream {
        Stream::Tcp(stream, peer) => {
            let original = original_destination(&accepted_by.listener(), &stream);
            let destination = match original {
                Some(destination) => destination,
                // A socket that does not tell is gone already.
                None => canonical(stream.local_addr().ok()?),
            };
            (Wire::Tcp(Socket::accepted(stream)), Ends { peer, destination })
        }
        // Who connects to a path is on this machine and has no address.
        Stream::Unix(stream) => {
            (Wire::Unix(stream), Ends { peer: NO_ADDRESS, destination: NO_ADDRESS })
        }
    };
    Some(Incoming { wire, ends, carried, ahead: None, account })
}

/// The same for a connection whose ends are known.
pub(crate) fn serve_incoming(
    worker: Rc<Worker>,
    accepted_by: Rc<ActiveListener>,
    incoming: Incoming,
) -> impl Future<Output = ()> {
    serve_settled(Box::pin(settle(worker, accepted_by, incoming)))
}

/// How a connection is served, once that is settled. What HTTP/1.1 holds between two requests is all that an idle
/// connection costs, so everything that is larger has an allocation of its own.
enum Settled {
    Http1(Box<http::Session>),
    /// By a filter or a protocol whose state is larger.
    Other(Pin<Box<dyn Future<Output = ()>>>),
}

async fn serve_settled(settling: Pin<Box<impl Future<Output = Option<(Settled, Places)>>>>) {
    let Some((settled, _places)) = settling.await else { return };
    match settled {
        Settled::Http1(session) => http::serve(session).await,
        Settled::Other(serving) => serving.await,
    }
}

/// Finds out how a connection is served, and ends TLS; `None` when it is over with that. The places are held as long as it
/// is served.
async fn settle(
    worker: Rc<Worker>,
    accepted_by: Rc<ActiveListener>,
    incoming: Incoming,
) -> Option<(Settled, Places)> {
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
    let inspected = match inspecting.await? {
        Ok(inspected) => inspected,
        Err(Ended::Left) => return None,
        Err(Ended::Failed(failure)) => {
            refused::note(&worker, &listener, &facts, failure, None);
            return None;
        }
    };
    let Inspected { ends, seen, inbox, ahead } = inspected;
    let ahead = opened.or(ahead);
    facts = Facts::new(listener.source().direction, ends, since);
    (facts.direct, facts.proof, facts.client_cert) = (peer, carried.proof, carried.client_cert);
    facts.server_name =
        seen.hello.as_ref().and_then(|hello| hello.server_name.as_deref().map(Arc::from));
    let Some(chosen) = choose(&active, &facts, &seen) else {
        tracing::debug!(listener = %listener.name(), %peer, %destination, "no filter chain matches");
        refused::note(&worker, &listener, &facts, Failure::FilterChainNotFound, None);
        return None;
    };
    let places = match limit::admit(&chosen.limits) {
        Ok(places) => places,
        Err(beyond) => {
            hold(chosen.lifecycle.watch().of(account), beyond).await;
            refused::limited(&worker, &chosen.chain, &facts);
            return None;
        }
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
            refused::note(&worker, &listener, &facts, failure, Some(&reason));
            return None;
        }
    };
    if let Err(denied) = authorize::authorize(&worker, &chosen.chain, &facts) {
        refused::denied(&worker, &chosen.chain, &facts, &denied);
        return None;
    }
    let Chosen { chain, lifecycle, .. } = chosen;
    let watcher = lifecycle.watch().of(account).buffering(listener.source().buffer_bytes);
    let known = (chain, Rc::new(facts), watcher);
    Some((begin(worker, known, (wire, inbox, ahead)).await?, places))
}

/// Holds a connection that is beyond a limit, unserved, for as long as the limit says, or until its chain is closed.
async fn hold(watcher: Watcher, beyond: Beyond) {
    let Some(delay) = beyond.delay else { return };
    let mut end = std::pin::pin!(tokio::time::sleep(delay));
    std::future::poll_fn(|cx| {
        watcher.register(cx);
        if watcher.phase() == Phase::Serving { end.as_mut().poll(cx) } else { Poll::Ready(()) }
    })
    .await;
}

type Known = (Arc<FilterChain>, Rc<Facts>, Watcher);

/// Hands the connection to its filter.
async fn begin(
    worker: Rc<Worker>,
    (chain, facts, watcher): Known,
    (wire, inbox, ahead): (Wire, Vec<u8>, Option<Ahead>),
) -> Option<Settled> {
    if let NetworkFilter::Http(manager) = &chain.filter {
        let age = manager.settings.max_connection_duration;
        watcher.retire_at(age.map(|age| tokio::time::Instant::from_std(facts.since) + age));
        let manager = Arc::clone(manager);
        let arrival = http::Arrival { worker, facts, manager, watcher };
        return Some(match http::begin(arrival, wire, inbox).await? {
            http::Begun::Http1(session) => Settled::Http1(session),
            http::Begun::Http2(serving) => Settled::Other(serving),
        });
    }
    let ahead = ahead.filter(|ahead| ahead.is_for(&chain));
    Some(Settled::Other(Box::pin(async move {
        if let NetworkFilter::Tcp(proxy) = &chain.filter {
            let begun = Begun { inbox, ahead };
            tcp::proxy::serve(worker, facts, proxy, wire, begun, watcher).await;
        }
    })))
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

/// Where the peer wanted to go, as the kernel's redirect remembers it; `None`: to the address it connected to.
fn original_destination(listener: &Listener, stream: &TcpStream) -> Option<SocketAddr> {
    let source = listener.source();
    let is_asked =
        source.use_original_dst || source.listener_filters.contains(&ListenerFilter::OriginalDst);
    if !is_asked {
        return None;
    }
    let asked = leno_sys::original::original_destination(stream);
    asked.inspect_err(|error| tracing::debug!(%error, "original destination")).ok()?.map(canonical)
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
