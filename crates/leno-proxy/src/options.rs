//! Process settings: what is fixed before the first byte of configuration arrives.
//!
//! No `Default`: the command line decides every value, so that `leno proxy --help` tells all of them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use leno_core::snapshot::Resources;

use crate::dns;
use crate::listener::socket::Inherited;
use crate::upstream::dial::InboundDialer;

/// Everything a proxy process is told at its start.
#[derive(Debug)]
pub struct Options {
    /// Where listeners, routes, clusters and endpoints come from.
    pub config: ConfigSource,
    /// Threads that carry traffic; one more does everything else.
    pub workers: NonZeroUsize,
    /// The admin endpoint; `None` has none.
    pub admin: Option<SocketAddr>,
    /// More addresses that serve `/stats/prometheus` and `/ready` only (15020, 15090).
    pub metrics: Vec<SocketAddr>,
    /// Listening sockets made by somebody else, by listener name.
    pub inherited: Vec<Inherited>,
    /// More inbound addresses (`POD_IP:PORT`): accepted for `virtualInbound`, with the local address as the
    /// original destination.
    pub inbound_addresses: Vec<SocketAddr>,
    /// How `inbound|…` clusters reach the workload.
    pub inbound_dialer: InboundDialer,
    /// Sockets that receive the workload's DNS queries.
    pub dns: dns::Sockets,
    /// How long connections may take to finish after SIGTERM.
    pub drain: Duration,
}

/// Where configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// An Envoy bootstrap file with static resources, read once.
    Static(PathBuf),
    /// These resources, until [`crate::Running::publish`] brings others.
    Resources(Resources),
    /// A control plane, by ADS.
    Mesh(Mesh),
}

/// What is needed to join a mesh.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// ADS and CA, `HOST:PORT`.
    pub control: String,
    /// A file with the join token sent as `authorization: Bearer`. Read for each use: whoever started us renews it.
    pub token_file: Option<PathBuf>,
    /// Who we are.
    pub node: Node,
    /// Where the last good snapshot and certificates are kept; `None` keeps none.
    pub data_dir: Option<PathBuf>,
}

/// The xDS node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`.
    pub id: String,
    /// `service.cluster`: the canonical service's name and namespace.
    pub cluster: String,
    /// Metadata as JSON: `NAMESPACE`, `SERVICE_ACCOUNT`, `LABELS`, `WORKLOAD_NAME`, `CLUSTER_ID`, …
    pub metadata: serde_json::Map<String, serde_json::Value>,
}
