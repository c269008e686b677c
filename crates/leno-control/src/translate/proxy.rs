//! The proxy that resources are for: what of it may influence them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

/// Which families of address a workload has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stacks {
    /// IPv4 alone, or nothing is known.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both.
    Both,
}

impl Stacks {
    fn of(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = addresses.partition(IpAddr::is_ipv4);
        match (ipv4.is_empty(), ipv6.is_empty()) {
            (false, false) => Self::Both,
            (true, false) => Self::Ipv6,
            (_, true) => Self::Ipv4,
        }
    }

    /// What stands for every address: the one that names a listener, and the other family's.
    pub(super) const fn any(self) -> (IpAddr, Option<IpAddr>) {
        let (ipv4, ipv6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        match self {
            Self::Ipv4 => (ipv4, None),
            Self::Ipv6 => (ipv6, None),
            Self::Both => (ipv4, Some(ipv6)),
        }
    }
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
    /// Which families of address it has.
    pub stacks: Stacks,
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
        // Istio's agent tells all addresses; the one in the node's name is the first.
        let told = node.text("INSTANCE_IPS").unwrap_or_default().split(',');
        let told: Vec<IpAddr> = told.filter_map(|ip| ip.trim().parse().ok()).collect();
        let http_proxy = node.text("HTTP_PROXY_PORT").and_then(|port| port.parse().ok());
        if let Some(workload) = world.workload(namespace, name) {
            let address = workload.address.or(address);
            return Self {
                name: workload.name.clone(),
                namespace: workload.namespace.clone(),
                address,
                stacks: Stacks::of(told.into_iter().chain(address)),
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
            stacks: Stacks::of(told.into_iter().chain(address)),
            labels: labels.filter_map(label).collect(),
            engine,
            http_proxy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Stacks;

    #[test]
    fn a_workload_has_the_families_of_its_addresses() {
        let table: [(&[&str], Stacks); 4] = [
            (&[], Stacks::Ipv4),
            (&["10.0.0.1"], Stacks::Ipv4),
            (&["2001:db8::1"], Stacks::Ipv6),
            (&["2001:db8::1", "10.0.0.1", "10.0.0.1"], Stacks::Both),
        ];
        for (addresses, stacks) in table {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            assert_eq!(Stacks::of(addresses), stacks);
        }
    }
}
