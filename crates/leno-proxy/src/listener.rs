//! Where connections come in: sockets, accepting, inspecting, and the choice of a filter chain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use leno_core::authorization::Caller;
use leno_core::config::TrafficDirection;
use leno_core::reply::Side;
use leno_http::h2::Spelling;

use self::accept::NO_ADDRESS;
use crate::tls;
use crate::upstream::connect::Ends;

pub(crate) mod accept;
pub(crate) mod active;
pub(crate) mod admission;
pub(crate) mod authorize;
pub(crate) mod connection;
pub(crate) mod inspect;
pub(crate) mod internal;
pub(crate) mod learned;
pub(crate) mod limit;
pub(crate) mod refused;
pub mod sniff;
pub mod socket;

/// What is known of one downstream connection for its whole life.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) direction: TrafficDirection,
    /// The peer's side.
    pub(crate) peer: SocketAddr,
    /// The peer's address as text, for `x-forwarded-for`.
    pub(crate) peer_ip: Box<str>,
    /// The peer of the socket, whatever a PROXY protocol header says.
    pub(crate) direct: SocketAddr,
    /// Where the peer wanted to go.
    pub(crate) destination: SocketAddr,
    /// SNI.
    pub(crate) server_name: Option<Arc<str>>,
    /// What the TLS handshake proved.
    pub(crate) proof: Proof,
    /// The peer's element of `x-forwarded-client-cert`.
    pub(crate) client_cert: Option<Arc<str>>,
    /// Whether TLS was terminated.
    pub(crate) is_tls: bool,
    /// Whether HTTP/2 was agreed on in its handshake.
    pub(crate) is_http2: bool,
    pub(crate) since: Instant,
}

/// What a TLS handshake proved, on either side.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    /// The other side's SPIFFE id.
    pub(crate) peer: Option<Arc<str>>,
    /// Whether both sides proved who they are.
    pub(crate) is_mutual: bool,
    /// Whether the other side is a proxy of ours, so that heads may say how they were spelt.
    pub(crate) spelling: Spelling,
}

impl Default for Proof {
    fn default() -> Self {
        Self { peer: None, is_mutual: false, spelling: Spelling::Untold }
    }
}

impl Proof {
    pub(crate) fn of(proof: &tls::Proof) -> Self {
        let peer = proof.peer.as_ref().map(|id| Arc::from(id.to_string()));
        let spelling = if proof.is_between_proxies() { Spelling::Told } else { Spelling::Untold };
        Self { peer, is_mutual: proof.is_mutual, spelling }
    }

    /// What it proves of a connection within this one: who is at the other end of that, but not what speaks there.
    pub(crate) fn within(&self) -> Self {
        Self { spelling: Spelling::Untold, ..self.clone() }
    }
}

impl Facts {
    /// Nothing is proved yet.
    pub(crate) fn new(direction: TrafficDirection, ends: Ends, since: Instant) -> Self {
        Self {
            direction,
            peer: ends.peer,
            direct: ends.peer,
            peer_ip: ends.peer.ip().to_canonical().to_string().into(),
            destination: ends.destination,
            server_name: None,
            proof: Proof::default(),
            client_cert: None,
            is_tls: false,
            is_http2: false,
            since,
        }
    }

    /// Which side of the workload we are on.
    pub(crate) fn side(&self) -> Side {
        match self.direction {
            TrafficDirection::Inbound => Side::Inbound,
            TrafficDirection::Outbound | TrafficDirection::Unspecified => Side::Outbound,
        }
    }

    /// Who asks, for authorization; the client is the peer where nothing else is said.
    pub(crate) fn caller(&self) -> Caller<'_> {
        let ip = |address: SocketAddr| (address != NO_ADDRESS).then(|| address.ip());
        Caller {
            principal: self.proof.peer.as_deref(),
            source: ip(self.peer),
            direct: ip(self.direct),
            client: ip(self.peer),
            destination: (self.destination != NO_ADDRESS).then_some(self.destination),
            server_name: self.server_name.as_deref(),
        }
    }

    /// Both ends of the connection.
    pub(crate) fn ends(&self) -> Ends {
        Ends { peer: self.peer, destination: self.destination }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}
