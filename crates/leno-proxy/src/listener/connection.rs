//! One accepted connection, until its filter takes over: original destination, inspection, filter chain, TLS.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::config::{ListenerFilter, TransportProtocol};
use leno_core::filter_chain::{ConnectionFacts, Listener, NetworkFilter};
use leno_telemetry::ProcessStat;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::active::{ActiveListener, Chosen};
use super::sniff::{self, ClientHello};
use super::{Facts, Proof};
use crate::http;
use crate::limits;
use crate::tcp;
use crate::tls;
use crate::wire::{Prefixed, Wire};
use crate::worker::Worker;

/// Serves one connection from its first byte to its last.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    accepted_by: Rc<ActiveListener>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // A socket that refuses these is gone already; reading will say so.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let since = Instant::now();
    let listener = accepted_by.listener();
    let destination = original_destination(&listener, &stream, local);
    let active = hand_over(&worker, accepted_by, &listener, destination);
    let listener = active.listener();
    let Some((seen, inbox)) = inspect(&worker, &listener, &stream).await else { return };

    let protocols: Vec<&[u8]> = seen.protocols().collect();
    let facts = ConnectionFacts {
        destination,
        server_name: seen.hello.as_ref().and_then(|hello| hello.server_name.as_deref()),
        transport: seen.transport(),
        application_protocols: &protocols,
    };
    let Some(chosen) = active.choose(&facts) else {
        tracing::debug!(listener = %listener.name(), %peer, %destination, "no filter chain matches");
        return;
    };
    let facts = Facts {
        direction: listener.source().direction,
        peer,
        peer_ip: peer.ip().to_canonical().to_string().into(),
        destination,
        server_name: facts.server_name.map(Arc::from),
        proof: Proof::default(),
        client_cert: None,
        is_tls: chosen.chain.tls.is_some(),
        is_http2: false,
        since,
    };
    drop(protocols);
    let Some((wire, inbox, facts)) = secure(&worker, &chosen, facts, stream, inbox).await else {
        return;
    };
    let facts = Rc::new(facts);
    match &chosen.chain.filter {
        NetworkFilter::Http(manager) => {
            let arrival = http::Arrival {
                worker,
                facts,
                manager: Arc::clone(manager),
                watcher: chosen.lifecycle.watch(),
            };
            http::serve_connection(arrival, wire, inbox).await;
        }
        NetworkFilter::Tcp(proxy) => {
            let life = chosen.lifecycle.watch();
            tcp::proxy::serve(worker, facts, proxy, wire, inbox, life).await;
        }
    }
}

/// Ends TLS if the chain does. `None`: the handshake failed, and the peer was told.
async fn secure(
    worker: &Worker,
    chosen: &Chosen,
    mut facts: Facts,
    stream: TcpStream,
    inbox: Vec<u8>,
) -> Option<(Wire, Vec<u8>, Facts)> {
    if chosen.chain.tls.is_none() {
        return Some((Wire::Tcp(stream), inbox, facts));
    }
    let acceptor = chosen.acceptor.as_ref()?;
    // Boxed: a handshake's state is large, and most of a connection's life has none.
    let handshake = Box::pin(acceptor.accept(Prefixed::new(stream, inbox)));
    let accepted = match timeout(limits::TLS_HANDSHAKE, handshake).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => {
            worker.process.metrics.add(ProcessStat::TlsHandshakeFailures, 1);
            tracing::debug!(%error, peer = %facts.peer, "TLS handshake");
            return None;
        }
        Err(_) => {
            worker.process.metrics.add(ProcessStat::TlsHandshakeFailures, 1);
            return None;
        }
    };
    facts.is_http2 = tls::is_http2(accepted.proof.alpn.as_deref());
    facts.proof = Proof::of(&accepted.proof);
    facts.client_cert = accepted.client_cert.map(Arc::from);
    if let Some(name) = accepted.server_name {
        facts.server_name = Some(Arc::from(name));
    }
    Some((accepted.wire, Vec::new(), facts))
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

/// What the inspectors saw.
#[derive(Debug, Default)]
struct Seen {
    hello: Option<Box<ClientHello>>,
    http: Option<&'static str>,
}

impl Seen {
    fn transport(&self) -> TransportProtocol {
        match self.hello {
            Some(_) => TransportProtocol::Tls,
            None => TransportProtocol::RawBuffer,
        }
    }

    fn protocols(&self) -> impl Iterator<Item = &[u8]> {
        let offered = self.hello.iter().flat_map(|hello| &hello.alpn).map(Vec::as_slice);
        offered.chain(self.http.map(str::as_bytes))
    }
}

/// Reads until every inspector has its answer. `None`: the peer left, or said too little in time.
async fn inspect(
    worker: &Worker,
    listener: &Listener,
    stream: &TcpStream,
) -> Option<(Seen, Vec<u8>)> {
    let source = listener.source();
    let wants = |filter| source.listener_filters.contains(&filter);
    let wanted = Wanted {
        tls: wants(ListenerFilter::TlsInspector),
        http: wants(ListenerFilter::HttpInspector),
    };
    let mut inbox = Vec::new();
    if !wanted.tls && !wanted.http {
        return Some((Seen::default(), inbox));
    }
    worker.buffers.ensure(&mut inbox);
    let limit = match source.listener_filters_timeout {
        Duration::ZERO => limits::STREAM_IDLE,
        limit => limit,
    };
    let seen = match timeout(limit, read_until_seen(stream, &mut inbox, &wanted)).await {
        Ok(seen) => seen?,
        Err(_) if source.continue_on_listener_filters_timeout => Seen::default(),
        Err(_) => return None,
    };
    Some((seen, inbox))
}

struct Wanted {
    tls: bool,
    http: bool,
}

async fn read_until_seen(stream: &TcpStream, inbox: &mut Vec<u8>, wanted: &Wanted) -> Option<Seen> {
    loop {
        if let Some(seen) = look(inbox, wanted) {
            return Some(seen);
        }
        stream.readable().await.ok()?;
        match stream.try_read_buf(inbox) {
            // Half-closed before it said enough: whatever it said is what it is.
            Ok(0) if !inbox.is_empty() => return Some(Seen::default()),
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// `None` asks for more bytes.
fn look(bytes: &[u8], wanted: &Wanted) -> Option<Seen> {
    let mut seen = Seen::default();
    if wanted.tls {
        match sniff::tls(bytes) {
            sniff::Tls::More => return None,
            sniff::Tls::No => {}
            sniff::Tls::Hello(hello) => {
                seen.hello = Some(hello);
                return Some(seen);
            }
        }
    }
    if wanted.http {
        match sniff::http(bytes) {
            sniff::Http::More => return None,
            answer => seen.http = answer.application_protocol(),
        }
    }
    Some(seen)
}
