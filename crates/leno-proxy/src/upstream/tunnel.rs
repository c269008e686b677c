//! A connection within a CONNECT request: what TCP proxies with `tunneling_config` send their bytes through.
//!
//! Over HTTP/2 many tunnels share the connections of an endpoint; over HTTP/1 each has its own. What the endpoint answers
//! but 2xx is a connection that was not made.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_core::circuit::Limited;
use leno_core::endpoint::Endpoint;
use leno_core::filter_chain::Tunneling;
use leno_core::format::{Exchange, Fact, Operator};
use leno_core::header_edit::HeadersMut;
use leno_http::h1::Client;
use leno_http::h2::{Cause, Then};
use leno_http::{Limits, Name, RequestHead, ResponseHead, Version};
use leno_telemetry::ClusterStat;
use tokio::time::timeout;

use super::cluster::{ClusterState, UpstreamConnection};
use super::connect::{self, Carries, ConnectError, Ends, Link, Purpose};
use super::pool;
use crate::http2::{Broken, Stream};
use crate::limits;
use crate::listener::{Facts, Proof};
use crate::wire::{Outgoing, Tunnel, Wire};
use crate::worker::Worker;

/// Whose bytes they are.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) ends: Ends,
    /// SNI.
    server_name: Option<Arc<str>>,
    /// The SPIFFE id that downstream proved.
    peer: Option<Arc<str>>,
}

impl Caller {
    /// One of whom nothing but its ends is known.
    pub(crate) fn at(ends: Ends) -> Self {
        Self { ends, server_name: None, peer: None }
    }

    /// A downstream connection.
    pub(crate) fn of(facts: &Facts) -> Self {
        let (server_name, peer) = (facts.server_name.clone(), facts.proof.peer.clone());
        Self { ends: facts.ends(), server_name, peer }
    }
}

/// A tunnel that stands.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    /// What the handshake of the connection around it proved.
    pub(crate) proof: Proof,
    /// Our address.
    pub(crate) local: Option<SocketAddr>,
    /// What came behind the answer.
    pub(crate) early: Vec<u8>,
    /// The place of a connection of its own, until dropped.
    pub(crate) slot: Option<super::cluster::Slot>,
}

/// Asks the endpoint for a tunnel.
pub(crate) async fn open(
    worker: &Rc<Worker>,
    (cluster, endpoint): (&Rc<ClusterState>, &Arc<Endpoint>),
    (tunneling, caller): (&Tunneling, &Caller),
) -> Result<Opened, ConnectError> {
    let head = request(tunneling, caller);
    let mut has_tried = false;
    loop {
        let spoken = cluster.spoken(endpoint, Version::Http11);
        let purpose = Purpose { carries: Carries::Requests, ends: Some(caller.ends) };
        let linking = connect::link(worker, cluster, endpoint, (purpose, spoken));
        let connection = match linking.await? {
            Link::Exclusive(connection) => {
                cluster.stats.increment(ClusterStat::RqTotal);
                return bounded(exclusive(connection, &head)).await;
            }
            Link::Shared(connection) => connection,
        };
        cluster.stats.increment(ClusterStat::RqTotal);
        let place = cluster.acquire(Limited::Requests).map_err(|_| ConnectError::Overflow)?;
        let Ok(stream) = connection.request(&head, Then::More) else {
            // Nothing was awaited since it was seen to be ready.
            return Err(ConnectError::Tunnel("the connection takes no more".to_owned()));
        };
        match bounded(async { Ok(answer(&stream).await) }).await? {
            Ok(200..300) => {
                let peerage = stream.peerage();
                let (proof, local) = (peerage.proof.clone(), peerage.local);
                let wire = Wire::Tunnel(Tunnel::new(stream, Some(place)));
                return Ok(Opened { wire, proof, local, early: Vec::new(), slot: None });
            }
            Ok(status) => return Err(ConnectError::Tunnel(format!("answered {status}"))),
            // The endpoint looked at nothing of it: its connection ended in that moment.
            Err(Broken::Connection | Broken::Reset(Cause::Refused)) if !has_tried => {
                has_tried = true;
            }
            Err(Broken::Connection) => {
                return Err(ConnectError::Tunnel("the connection ended".to_owned()));
            }
            Err(Broken::Reset(cause)) => {
                return Err(ConnectError::Tunnel(format!("reset ({cause:?})")));
            }
        }
    }
}

async fn bounded<T>(
    asking: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let limit = limits::TUNNEL_ANSWER;
    let late = |_| ConnectError::Tunnel(format!("not answered within {limit:?}"));
    timeout(limit, asking).await.map_err(late)?
}

/// The status of the final answer.
async fn answer(stream: &Stream) -> Result<u16, Broken> {
    let mut head = ResponseHead::new();
    poll_fn(|cx| {
        stream.register(cx);
        while stream.take_response(&mut head) {
            if !head.is_interim() {
                return std::task::Poll::Ready(Ok(head.status()));
            }
        }
        stream
            .broken()
            .map_or(std::task::Poll::Pending, |broken| std::task::Poll::Ready(Err(broken)))
    })
    .await
}

async fn exclusive(
    connection: UpstreamConnection,
    head: &RequestHead,
) -> Result<Opened, ConnectError> {
    let pool::Connection { mut wire, proof, local, _slot: slot, .. } = *connection;
    let broken = |error: std::io::Error| ConnectError::Tunnel(error.to_string());
    let (mut client, mut out) = (Client::new(Limits::DEFAULT), Outgoing::default());
    client.request(head, &mut out.bytes);
    poll_fn(|cx| out.poll_drain(&mut wire, cx)).await.map_err(broken)?;
    let (mut early, mut answer) = (Vec::new(), ResponseHead::new());
    loop {
        let parsed = client.response(&early, &mut answer);
        let parsed = parsed.map_err(|invalid| ConnectError::Tunnel(invalid.code().to_owned()))?;
        if let Some(length) = parsed {
            early.drain(..length);
            if answer.is_interim() {
                continue;
            }
            break;
        }
        early.reserve(limits::READ_BUFFER_BYTES);
        if poll_fn(|cx| wire.poll_read(cx, &mut early)).await.map_err(broken)? == 0 {
            return Err(ConnectError::Tunnel("the connection ended".to_owned()));
        }
    }
    if !client.is_upgraded() {
        return Err(ConnectError::Tunnel(format!("answered {}", answer.status())));
    }
    Ok(Opened { wire, proof, local, early, slot: Some(slot) })
}

/// The request for a tunnel, with what the configuration puts into it.
fn request(tunneling: &Tunneling, caller: &Caller) -> RequestHead {
    let mut authority = Vec::new();
    tunneling.hostname.write(caller, &mut authority);
    let authority = String::from_utf8_lossy(&authority);
    let mut asked = Asked { head: RequestHead::new(), caller };
    asked.head.start(Version::Http11, "CONNECT", &authority, &authority);
    tunneling.headers.apply(&mut asked);
    asked.head
}

struct Asked<'a> {
    head: RequestHead,
    caller: &'a Caller,
}

impl Exchange for Caller {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        let Ends { peer, destination } = self.ends;
        let text = match operator {
            Operator::Fact(Fact::DownstreamLocalAddress) => destination.to_string(),
            Operator::Fact(Fact::DownstreamLocalAddressWithoutPort) => destination.ip().to_string(),
            Operator::Fact(Fact::DownstreamLocalPort) => destination.port().to_string(),
            Operator::Fact(Fact::DownstreamRemoteAddress | Fact::DownstreamDirectRemoteAddress) => {
                peer.to_string()
            }
            Operator::Fact(
                Fact::DownstreamRemoteAddressWithoutPort
                | Fact::DownstreamDirectRemoteAddressWithoutPort,
            ) => peer.ip().to_string(),
            Operator::Fact(Fact::DownstreamRemotePort) => peer.port().to_string(),
            Operator::Fact(Fact::DownstreamPeerUriSan) => of(self.peer.as_ref()),
            Operator::Fact(Fact::RequestedServerName) => of(self.server_name.as_ref()),
            // A connection has no requests, and nothing of the upstream is known yet.
            _ => String::new(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

fn of(text: Option<&Arc<str>>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

impl Exchange for Asked<'_> {
    fn write(&self, operator: &Operator, out: &mut Vec<u8>) {
        self.caller.write(operator, out);
    }
}

impl HeadersMut for Asked<'_> {
    fn contains(&self, name: &str) -> bool {
        Name::parse(name).is_some_and(|name| self.head.fields().get(name).is_some())
    }

    fn remove(&mut self, name: &str) {
        if let Some(name) = Name::parse(name) {
            self.head.fields_mut().remove(name);
        }
    }

    fn append(&mut self, name: &str, value: &[u8]) {
        if let Some(name) = Name::parse(name) {
            self.head.fields_mut().append(name, value);
        }
    }

    fn set(&mut self, name: &str, value: &[u8]) {
        if let Some(name) = Name::parse(name) {
            self.head.fields_mut().set(name, value);
        }
    }
}
