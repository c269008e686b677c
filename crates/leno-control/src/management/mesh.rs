//! The mesh at one moment, from who knows it: the world, the table of proxies, the last changes.

use std::net::{IpAddr, SocketAddr};

use leno_xds::ResourceType;

use super::changes::{Changes, Entry};
use super::frame::{Change, Mesh, ProxyView, ServiceRef};
use crate::push::{ProxyEntry, ProxyTable};
use crate::telemetry::Target;
use crate::world::World;

/// Istio's port for a proxy's metrics.
const METRICS_PORT: u16 = 15020;

/// What is there now.
pub(crate) fn mesh(revision: u64, world: &World, proxies: &ProxyTable, changes: &Changes) -> Mesh {
    let connected = proxies.list();
    let changes = changes.latest().into_iter().map(|entry| change(entry, &connected)).collect();
    Mesh {
        revision,
        proxies: connected.iter().map(proxy).collect(),
        services: services(world),
        changes,
    }
}

/// Where every connected proxy serves its metrics.
pub(crate) fn targets(proxies: &ProxyTable) -> Vec<Target> {
    let target = |entry: &ProxyEntry| {
        let address: IpAddr = part(entry, 1).parse().ok()?;
        let address = SocketAddr::new(address, METRICS_PORT);
        Some(Target { proxy: entry.node.id.clone(), address })
    };
    proxies.list().iter().filter_map(target).collect()
}

/// A part of a node id of Istio's form, `sidecar~IP~NAME.NAMESPACE~DOMAIN`.
fn part(entry: &ProxyEntry, index: usize) -> &str {
    entry.node.id.split('~').nth(index).unwrap_or_default()
}

fn proxy(entry: &ProxyEntry) -> ProxyView {
    let mut subscribed = entry.progress.iter().filter(|(_, progress)| progress.subscribed);
    let current = subscribed.all(|(_, progress)| progress.acknowledged == progress.sent);
    let name = match part(entry, 2) {
        "" => entry.node.id.clone(),
        name => name.to_owned(),
    };
    ProxyView {
        name,
        node: entry.node.id.clone(),
        address: part(entry, 1).to_owned(),
        current,
        revision: entry.enforced(),
        refused: refusal(entry),
    }
}

fn refusal(entry: &ProxyEntry) -> Option<String> {
    let told = |(_, refusal): (ResourceType, &crate::push::Refusal)| refusal.problems.join("; ");
    let all: Vec<String> = entry.refusals().map(told).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// A change concerns every proxy: those it does not touch are known to need no message.
fn change(entry: Entry, connected: &[ProxyEntry]) -> Change {
    let enforced = connected.iter().filter(|proxy| proxy.enforced() >= entry.revision).count();
    let behind = connected.iter().filter(|proxy| proxy.enforced() < entry.revision);
    let problem =
        behind.clone().find_map(|proxy| Some(format!("{}: {}", part(proxy, 2), refusal(proxy)?)));
    let Entry { revision, at, verb, kind, namespace, name } = entry;
    Change { revision, at, verb, kind, namespace, name, enforced, of: connected.len(), problem }
}

fn services(world: &World) -> Vec<ServiceRef> {
    let all = world.services().values().flatten();
    let reference = |service: &std::sync::Arc<crate::world::Service>| {
        let by_port = world.endpoints(service).map(|endpoints| &endpoints.by_port);
        let workloads = by_port.and_then(|ports| ports.values().map(Vec::len).max()).unwrap_or(0);
        ServiceRef {
            host: service.host.to_string(),
            name: service.name.to_string(),
            namespace: service.namespace.to_string(),
            workloads,
        }
    };
    all.map(reference).collect()
}
