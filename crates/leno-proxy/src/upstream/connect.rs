//! From an endpoint to a connection that can carry a request: the circuit's leave, the socket, TLS.
//!
//! The slow road of an exchange, taken when no kept connection fits. At the cluster's connection limit the request
//! waits for a connection to become free, as many requests as the circuit allows.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::circuit::Limited;
use leno_core::config::{Address, ProxyProtocolVersion};
use leno_core::endpoint::Endpoint;
use leno_core::reply::Failure;
use leno_core::retry::{AttemptOutcome, Idempotence};
use leno_http::Limits;
use leno_http::h1::Client;
use leno_telemetry::{ClusterStat, ProcessStat};
use tokio::time::timeout;

use super::cluster::{ClusterState, Slot, UpstreamConnection};
use super::dial::{DialError, Route};
use super::internal;
use super::pool::Connection;
use super::shared::Spoken;
use crate::http2::{self, Peerage};
use crate::listener::Proof;
use crate::listener::sniff::proxy_protocol;
use crate::tls;
use crate::wire::{Outgoing, Wire};
use crate::worker::Worker;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("a circuit limit is reached")]
    Overflow,
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Tls(String),
    /// The endpoint gave no tunnel.
    #[error("no tunnel: {0}")]
    Tunnel(String),
}

impl ConnectError {
    /// The request's failure, if there is no further attempt.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Overflow => Failure::Overflow,
            Self::Dial(DialError::Timeout(_)) => Failure::ConnectTimeout,
            Self::Dial(DialError::Connect(_) | DialError::NoListener(_)) => Failure::ConnectFailure,
            Self::Dial(DialError::Unresolved(_)) => Failure::DnsResolution,
            Self::Tls(_) => Failure::TlsFailure,
            Self::Tunnel(_) => Failure::ConnectFailure,
        }
    }

    /// The same, as far as retrying is concerned.
    pub(crate) fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Overflow => AttemptOutcome::Overflow,
            Self::Dial(_) | Self::Tls(_) | Self::Tunnel(_) => AttemptOutcome::ConnectFailure,
        }
    }
}

/// What a connection is opened for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    /// What goes over it.
    pub(crate) carries: Carries,
    /// On whose behalf; `None` for the proxy's own (mirrors).
    pub(crate) ends: Option<Ends>,
}

/// What goes over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Carries {
    /// HTTP: requests of many clients, one after another.
    Requests,
    /// Whatever one client sends. It is that client's alone, and never offers to speak HTTP.
    Bytes,
}

/// The ends of a downstream connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    /// Where the peer wanted to go.
    pub(crate) destination: SocketAddr,
}

/// What carries one request.
pub(crate) enum Link {
    /// An HTTP/1 connection of its own.
    Exclusive(UpstreamConnection),
    /// An HTTP/2 connection that takes one more.
    Shared(Rc<http2::Connection>),
}

impl Link {
    /// What the TLS handshake proved.
    pub(crate) fn proof(&self) -> &Proof {
        match self {
            Self::Exclusive(connection) => &connection.proof,
            Self::Shared(connection) => &connection.peerage().proof,
        }
    }

    /// As Envoy writes it.
    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Exclusive(_) => "HTTP/1.1",
            Self::Shared(_) => "HTTP/2",
        }
    }

    /// Our address.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Exclusive(connection) => connection.local,
            Self::Shared(connection) => connection.peerage().local,
        }
    }
}

/// Opens a connection for a request to `endpoint`, or waits for one that others opened.
pub(crate) async fn link(
    worker: &Rc<Worker>,
    cluster: &Rc<ClusterState>,
    endpoint: &Arc<Endpoint>,
    (purpose, spoken): (Purpose, Spoken),
) -> Result<Link, ConnectError> {
    let exclusive = async || {
        let connection = connect(worker, cluster, endpoint, purpose).await?;
        Ok(Link::Exclusive(connection))
    };
    if spoken == Spoken::Http1 {
        return exclusive().await;
    }
    let shared = cluster.shared(endpoint);
    let mut waiting = None;
    loop {
        let (changed, freed) = (shared.changed(), cluster.freed());
        // Looked at after the waits were registered, so that nothing is missed in between.
        let (mut changed, mut freed) = (std::pin::pin!(changed), std::pin::pin!(freed));
        changed.as_mut().enable();
        freed.as_mut().enable();
        if let Some(ready) =
            cluster.ready(endpoint, spoken, (Idempotence::NotIdempotent, Instant::now()))
        {
            return Ok(ready);
        }
        if spoken == Spoken::Negotiated && shared.agreed() == Some(Spoken::Http1) {
            return exclusive().await;
        }
        if !shared.is_dialing() {
            if let Ok(slot) = cluster.reserve() {
                let _dialing = shared.dial();
                // What many clients share is nobody's: a PROXY protocol header must not name the first of them.
                let purpose = Purpose { ends: None, ..purpose };
                let mut opened = open(worker, cluster, endpoint, (purpose, slot)).await?;
                opened.is_http2 |= spoken == Spoken::Http2;
                if !opened.is_http2 {
                    shared.agree(Spoken::Http1);
                    return Ok(Link::Exclusive(opened));
                }
                shared.agree(Spoken::Http2);
                cluster.stats.increment(ClusterStat::CxHttp2Total);
                return Ok(Link::Shared(shared.add(worker, opened)));
            }
            // A connection that idles at another endpoint, or has carried all it may, must not starve this request.
            if cluster.evict(endpoint) {
                continue;
            }
        }
        if waiting.is_none() {
            let place = cluster.acquire(Limited::PendingRequests);
            waiting = Some(place.map_err(|_| ConnectError::Overflow)?);
        }
        tokio::select! {
            () = changed => {}
            () = freed => {}
        }
    }
}

/// Opens a connection to `endpoint`, or waits for one that becomes free.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    cluster: &Rc<ClusterState>,
    endpoint: &Arc<Endpoint>,
    purpose: Purpose,
) -> Result<UpstreamConnection, ConnectError> {
    let slot = match cluster.reserve() {
        Ok(slot) => slot,
        Err(_) => match wait(cluster, endpoint, purpose.carries).await? {
            Free::Connection(connection) => return Ok(connection),
            Free::Slot(slot) => slot,
        },
    };
    open(worker, cluster, endpoint, (purpose, slot)).await
}

/// Opens a connection to `endpoint` in a place that is reserved.
async fn open(
    worker: &Rc<Worker>,
    cluster: &ClusterState,
    endpoint: &Arc<Endpoint>,
    (purpose, slot): (Purpose, Slot),
) -> Result<UpstreamConnection, ConnectError> {
    let settings = Arc::clone(&cluster.settings());
    let limit = settings.source().connect_timeout;
    let route = if settings.name().as_str().starts_with("inbound|")
        || settings.name().as_str() == "InboundPassthroughCluster"
    {
        // A workload beside us sees the client as its peer, where the connection is that one client's.
        let ends = purpose.ends.filter(|_| purpose.carries == Carries::Bytes);
        Route::Inbound(ends.map(|ends| ends.peer.ip()))
    } else {
        Route::Host
    };
    let (address, more) = (&endpoint.address, &endpoint.additional_addresses);
    let (mut wire, around) = match address {
        Address::Internal(internal) => {
            let ends = within(internal.destination, purpose.ends);
            // Boxed: it may open a connection of another cluster.
            Box::pin(internal::dial(worker, &internal.listener, ends)).await?
        }
        address => {
            let wire = worker.dialer.dial(address, more, route, limit).await?;
            (wire, Peerage::default())
        }
    };
    if let Some(version) = endpoint.transport.proxy_protocol {
        introduce(&mut wire, version, purpose.ends).await?;
    }
    let local = wire.local_addr().or(around.local);
    let (wire, mut proof, is_http2) =
        secure(worker, endpoint, wire, (limit, purpose.carries)).await?;
    if endpoint.transport.tls.is_none() {
        proof = around.proof.within();
    }
    cluster.stats.increment(ClusterStat::CxTotal);
    let transport = Arc::clone(&endpoint.transport);
    Ok(Box::new(Connection {
        client: Client::new(Limits::DEFAULT),
        wire,
        served: 0,
        opened: Instant::now(),
        idle: Duration::ZERO,
        transport,
        proof,
        is_http2,
        local,
        _slot: slot,
    }))
}

/// The ends of a connection to a listener of this proxy: where the endpoint says that it goes, or where downstream was
/// going.
fn within(destination: Option<SocketAddr>, ends: Option<Ends>) -> Ends {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let downstream = ends.unwrap_or(Ends { peer: nowhere, destination: nowhere });
    Ends { destination: destination.unwrap_or(downstream.destination), ..downstream }
}

/// Says whose connection it is, before anything else is said.
async fn introduce(
    wire: &mut Wire,
    version: ProxyProtocolVersion,
    ends: Option<Ends>,
) -> Result<(), DialError> {
    let version = match version {
        ProxyProtocolVersion::V1 => proxy_protocol::Version::V1,
        ProxyProtocolVersion::V2 => proxy_protocol::Version::V2,
    };
    let ends =
        ends.map(|Ends { peer, destination }| proxy_protocol::Ends { source: peer, destination });
    let mut header = Outgoing::default();
    proxy_protocol::write(version, ends, &mut header.bytes);
    poll_fn(|cx| header.poll_drain(wire, cx)).await.map_err(DialError::Connect)
}

/// Starts TLS if the endpoint is talked to that way, and tells whether HTTP/2 was agreed on.
async fn secure(
    worker: &Worker,
    endpoint: &Endpoint,
    wire: Wire,
    (limit, carries): (Duration, Carries),
) -> Result<(Wire, Proof, bool), ConnectError> {
    if endpoint.transport.tls.is_none() {
        return Ok((wire, Proof::default(), false));
    }
    let connector = worker.connectors.get(&worker.process.tls, &endpoint.transport, carries);
    let connector = connector.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        ConnectError::Tls(problems.join("; "))
    })?;
    let connected = match timeout(limit, connector.connect(wire)).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no TLS handshake within {limit:?}")),
    };
    let connected = connected.map_err(|reason| {
        worker.process.metrics.add(ProcessStat::TlsHandshakeFailures, 1);
        ConnectError::Tls(reason)
    })?;
    let is_http2 = tls::is_http2(connected.proof.alpn.as_deref());
    Ok((connected.wire, Proof::of(&connected.proof), is_http2))
}

enum Free {
    Connection(UpstreamConnection),
    Slot(Slot),
}

/// Waits until a connection to the endpoint is given back or one more may be opened.
async fn wait(
    cluster: &ClusterState,
    endpoint: &Arc<Endpoint>,
    carries: Carries,
) -> Result<Free, ConnectError> {
    let _waiting = cluster.acquire(Limited::PendingRequests).map_err(|_| ConnectError::Overflow)?;
    loop {
        let freed = cluster.freed();
        // Looked at after the wait was registered, so that nothing is missed in between.
        let mut freed = std::pin::pin!(freed);
        freed.as_mut().enable();
        // A kept connection agreed on HTTP: for bytes only its place is of use.
        let kept = cluster.checkout(endpoint, Idempotence::NotIdempotent, Instant::now());
        match (kept, carries) {
            (Some(connection), Carries::Requests) => {
                return Ok(Free::Connection(connection));
            }
            (kept, _) => drop(kept),
        }
        if let Ok(slot) = cluster.reserve() {
            return Ok(Free::Slot(slot));
        }
        // A connection that idles at another endpoint, or that nobody dares to use, must not starve this request.
        if cluster.evict(endpoint) {
            continue;
        }
        freed.await;
    }
}
