//! Where connections come in: sockets, accepting, inspecting, and the choice of a filter chain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use leno_core::config::TrafficDirection;
use leno_core::reply::Side;

pub(crate) mod accept;
pub(crate) mod active;
pub(crate) mod connection;
pub mod sniff;
pub mod socket;

/// What is known of one downstream connection for its whole life.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The listener whose filter chain was chosen.
    pub(crate) listener: Arc<str>,
    pub(crate) direction: TrafficDirection,
    /// Our side of the socket.
    pub(crate) local: SocketAddr,
    /// The peer's side.
    pub(crate) peer: SocketAddr,
    /// Where the peer wanted to go.
    pub(crate) destination: SocketAddr,
    /// SNI.
    pub(crate) server_name: Option<Arc<str>>,
    /// The peer's SPIFFE id, where it proved one.
    pub(crate) peer_id: Option<Arc<str>>,
    /// Whether TLS was terminated.
    pub(crate) is_tls: bool,
    pub(crate) since: Instant,
}

impl Facts {
    /// Which side of the workload we are on.
    pub(crate) fn side(&self) -> Side {
        match self.direction {
            TrafficDirection::Inbound => Side::Inbound,
            TrafficDirection::Outbound | TrafficDirection::Unspecified => Side::Outbound,
        }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}
