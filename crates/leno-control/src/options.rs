//! What a control plane is started with, and where it turned out to listen.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::limits::DiscoveryLimits;

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where state is kept; made if it is not there.
    pub data: PathBuf,
    /// Where the front door listens. Port 0 picks a free one; here and below.
    pub front_door: SocketAddr,
    /// Where proxies of this machine get their resources and certificates, in plaintext: loopback only.
    pub xds: SocketAddr,
    /// The same for all others, over TLS.
    pub xds_tls: SocketAddr,
    /// Where the control plane's own metrics and health are.
    pub metrics: SocketAddr,
    /// The trust domain of every identity.
    pub trust_domain: String,
    /// How long a workload's certificate holds; it is renewed around half of that.
    pub svid_lifetime: Duration,
    /// What peers can make the two xDS ports hold and wait for.
    pub discovery: DiscoveryLimits,
}

impl Options {
    /// As Istio's.
    pub const SVID_LIFETIME: Duration = Duration::from_secs(24 * 3600);

    /// The usual ports on loopback, with state in `data`.
    #[must_use]
    pub fn new(data: PathBuf) -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data,
            front_door: local(15080),
            xds: local(15010),
            xds_tls: local(15012),
            metrics: local(15014),
            trust_domain: "cluster.local".to_owned(),
            svid_lifetime: Self::SVID_LIFETIME,
            discovery: DiscoveryLimits::USUAL,
        }
    }

    /// The same on free ports: for tests, and for a second mesh on one machine.
    #[must_use]
    pub fn on_free_ports(data: PathBuf) -> Self {
        let mut options = Self::new(data);
        let Self { front_door, xds, xds_tls, metrics, .. } = &mut options;
        for address in [front_door, xds, xds_tls, metrics] {
            address.set_port(0);
        }
        options
    }
}

/// Where each part listens; `DIR/ports.json` says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// The front door.
    pub front_door: SocketAddr,
    /// xDS and certificates, plaintext.
    pub xds: SocketAddr,
    /// xDS and certificates, TLS.
    pub xds_tls: SocketAddr,
    /// Own metrics and health.
    pub metrics: SocketAddr,
}
