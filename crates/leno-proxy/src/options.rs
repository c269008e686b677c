//! Process settings: what is fixed before the first byte of configuration arrives.
//!
//! No `Default`: the command line decides every value, so that `leno proxy --help` tells all of them.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leno_core::snapshot::Resources;
use leno_identity::Seal;
use leno_telemetry::{Party, Workload};
use leno_xds::discovery::Variant;
use serde_json::Value;

use crate::admin::LogLevel;
use crate::dns;
use crate::limits::ProcessLimits;
use crate::listener::socket::Inherited;
use crate::upstream::dial::InboundDialer;

/// Everything a proxy process is told at its start.
#[derive(Debug)]
pub struct Options {
    /// Where listeners, routes, clusters and endpoints come from.
    pub config: ConfigSource,
    /// Threads that carry traffic; one more does everything else.
    pub workers: NonZeroUsize,
    /// Where the admin endpoint listens.
    pub admin: Admin,
    /// More addresses that serve `/stats/prometheus` and `/ready` only (15020, 15090).
    pub metrics: Vec<SocketAddr>,
    /// Listening sockets made by somebody else, by listener name.
    pub inherited: Vec<Inherited>,
    /// More inbound addresses (`POD_IP:PORT`): accepted for `virtualInbound`, with the local address as the
    /// original destination.
    pub inbound_addresses: Vec<SocketAddr>,
    /// What the process may hold in all; a bootstrap file's overload manager may say otherwise.
    pub limits: ProcessLimits,
    /// How `inbound|…` clusters reach the workload.
    pub inbound_dialer: InboundDialer,
    /// Sockets that receive the workload's DNS queries.
    pub dns: dns::Sockets,
    /// A file that the secrets of TLS sessions are written to, so that captures can be read; `None` writes none.
    pub tls_key_log: Option<PathBuf>,
    /// How the log level is shown and changed; `None` where it is fixed.
    pub log_level: Option<LogLevel>,
    /// Where this proxy takes over from a running one and waits for the next; `None` does neither.
    pub handover: Option<PathBuf>,
    /// How long new connections are still taken after readiness went, before a drain: what balancers need to notice.
    pub lame_duck: Duration,
    /// How long connections may take to finish in a drain.
    pub drain: Duration,
}

/// Where the admin endpoint listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// Here.
    At(SocketAddr),
    /// Where the configuration file says, else at [`Admin::DEFAULT`].
    AsConfigured,
    /// Nowhere.
    Off,
}

impl Admin {
    /// Istio's address.
    pub const DEFAULT: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15000);
}

/// Where configuration comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// An Envoy bootstrap file, read once: static resources, and `ads_config` if it follows a control plane.
    Static(PathBuf),
    /// These resources, until [`crate::Running::publish`] brings others.
    Resources(Resources),
    /// A control plane, by ADS.
    Mesh(Mesh),
}

/// What is needed to join a mesh.
#[derive(Clone, Debug)]
pub struct Mesh {
    /// ADS and CA: `HOST:PORT` or `http://…` in plaintext (for loopback), `https://…` with TLS, or `unix:PATH`.
    pub control: String,
    /// The root that the control plane's certificate is verified with; needed for `https`.
    pub root_file: Option<PathBuf>,
    /// A file with the join token sent as `authorization: Bearer`. Read for each use: whoever started us renews it.
    pub token_file: Option<PathBuf>,
    /// Who we are.
    pub node: Node,
    /// Which of the two ADS protocols is spoken.
    pub variant: Variant,
    /// Where the last good snapshot and certificates are kept; `None` keeps none.
    pub data_dir: Option<PathBuf>,
    /// What is kept is sealed with; `None` keeps it in the plain, for its owner only.
    pub seal: Option<Arc<Seal>>,
}

impl Mesh {
    /// Where processes of this node meet for a handover, in the data folder. Several nodes may share a folder, and an id
    /// may be longer than a socket's path, so it is the id's digest that names the place. `None` without a folder, and
    /// where even that is too long.
    #[must_use]
    pub fn meeting_place(&self) -> Option<PathBuf> {
        let digest = leno_identity::sha256(self.node.id.as_bytes());
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.data_dir.as_ref()?.join(format!("handover-{name}.sock"));
        (path.as_os_str().len() <= leno_sys::meeting::PATH_BYTES_MAX).then_some(path)
    }
}

/// The xDS node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Node {
    /// `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`.
    pub id: String,
    /// `service.cluster`: the canonical service's name and namespace.
    pub cluster: String,
    /// Metadata as JSON: `NAMESPACE`, `SERVICE_ACCOUNT`, `LABELS`, `WORKLOAD_NAME`, `CLUSTER_ID`, …
    pub metadata: serde_json::Map<String, Value>,
}

impl Node {
    /// The workload as its own metrics name it, with the identity it will have.
    pub(crate) fn party(&self) -> Party {
        let text = |key: &str| self.metadata.get(key).and_then(Value::as_str).unwrap_or_default();
        let label = |key: &str| {
            self.metadata.get("LABELS").and_then(|labels| labels.get(key)).and_then(Value::as_str)
        };
        let (app, version) = (label("app"), label("version"));
        let canonical_name = label("service.istio.io/canonical-name").or(app);
        let canonical_revision = label("service.istio.io/canonical-revision").or(version);
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let trust_domain = match text("TRUST_DOMAIN") {
            "" => "cluster.local",
            domain => domain,
        };
        let (namespace, account) = (text("NAMESPACE"), text("SERVICE_ACCOUNT"));
        Party {
            workload: Workload {
                name: text("WORKLOAD_NAME").to_owned(),
                namespace: namespace.to_owned(),
                app: owned(app),
                version: owned(version),
                canonical_name: owned(canonical_name),
                canonical_revision: owned(canonical_revision.or(Some("latest"))),
                cluster_id: text("CLUSTER_ID").to_owned(),
            },
            principal: format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Node;

    #[test]
    fn the_workload_is_read_from_istios_metadata() {
        let metadata = serde_json::json!({
            "WORKLOAD_NAME": "reviews-v2", "NAMESPACE": "shop", "SERVICE_ACCOUNT": "bookinfo",
            "CLUSTER_ID": "Kubernetes", "LABELS": { "app": "reviews", "version": "v2" },
        });
        let serde_json::Value::Object(metadata) = metadata else { panic!("an object") };
        let party = Node { id: String::new(), cluster: String::new(), metadata }.party();
        assert_eq!(party.principal, "spiffe://cluster.local/ns/shop/sa/bookinfo");
        let workload = party.workload;
        assert_eq!((workload.name.as_str(), workload.app.as_str()), ("reviews-v2", "reviews"));
        assert_eq!(workload.canonical_name, "reviews");
        assert_eq!(workload.canonical_revision, "v2");
    }
}
