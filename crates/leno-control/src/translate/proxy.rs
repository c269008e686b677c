//! The proxy that resources are for: what of it may influence them.

use std::net::IpAddr;
use std::sync::Arc;

use leno_api::spec::Labels;
use leno_xds::Node;
use serde_json::Value;

use crate::world::World;

/// How our own proxy names itself.
const LENO: &str = "leno";

/// A data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Leno's own: among themselves they speak HTTP/2 whatever the workloads speak.
    Leno,
    /// Envoy, or whoever else speaks xDS: each hop is spoken as the workloads speak.
    Envoy,
}

/// Who asks. Part of every key that depends on the asker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The workload's (pod's) name.
    pub name: Arc<str>,
    /// The workload's namespace.
    pub namespace: Arc<str>,
    /// The workload's address.
    pub address: Option<IpAddr>,
    /// The workload's labels.
    pub labels: Labels,
    /// Where calls come in by `HTTP_PROXY`, for a workload that is not captured.
    pub http_proxy: Option<u16>,
    /// Which data plane it runs.
    pub engine: Engine,
}

impl Proxy {
    /// Reads `sidecar~IP~NAME.NAMESPACE~DOMAIN` and the metadata; what the registry knows of the workload wins.
    #[must_use]
    pub fn from_node(node: &Node, world: &World) -> Self {
        let mut parts = node.id.split('~').skip(1);
        let address = parts.next().and_then(|address| address.parse().ok());
        let (name, namespace) = match parts.next() {
            Some(place) => place.rsplit_once('.').unwrap_or((place, "default")),
            None => (node.id.as_str(), "default"),
        };
        let namespace = node.text("NAMESPACE").unwrap_or(namespace);
        let engine = if node.user_agent == LENO { Engine::Leno } else { Engine::Envoy };
        let http_proxy = node.text("HTTP_PROXY_PORT").and_then(|port| port.parse().ok());
        if let Some(workload) = world.workload(namespace, name) {
            return Self {
                name: workload.name.clone(),
                namespace: workload.namespace.clone(),
                address: workload.address.or(address),
                labels: workload.labels.clone(),
                http_proxy,
                engine,
            };
        }
        let labels = node.metadata.get("LABELS").and_then(Value::as_object).into_iter().flatten();
        let label =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        Self {
            name: name.into(),
            namespace: namespace.into(),
            address,
            labels: labels.filter_map(label).collect(),
            engine,
            http_proxy,
        }
    }
}
