//! Clusters whose endpoints are names (`STRICT_DNS`, `LOGICAL_DNS`): resolved again and again by the host's resolver.
//!
//! Runs on the admin thread. A name that does not resolve keeps the endpoints it had: a resolver that is away must not
//! take a cluster with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    Address, Cluster, ClusterLoadAssignment, Discovery, LbEndpoint, LocalityEndpoints,
};
use tokio::task::JoinHandle;

use crate::publish::Publisher;

/// Envoy's `dns_refresh_rate`.
const REFRESH: Duration = Duration::from_secs(5);

/// Addresses taken of one name.
const ADDRESSES_MAX: usize = 256;

/// What a name's addresses are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// An endpoint each.
    All,
    /// One endpoint: of a dual-stack name whichever family answers is used (RFC 8305).
    One,
}

/// Keeps the clusters in force resolved, for ever.
pub(crate) async fn run(publisher: Arc<Publisher>) {
    let mut in_force = publisher.subscribe();
    let mut running: BTreeMap<String, (Arc<Cluster>, Task)> = BTreeMap::new();
    loop {
        let current = Arc::clone(&in_force.borrow_and_update());
        let mut next = BTreeMap::new();
        for cluster in current.snapshot.clusters() {
            let source = cluster.source();
            let Some((assignment, taken)) = names(&source.discovery) else { continue };
            let task = match running.remove(&source.name) {
                Some((known, task)) if known.discovery == source.discovery => task,
                _ => Task::start(&publisher, assignment.clone(), source.name.clone(), taken),
            };
            next.insert(source.name.clone(), (Arc::clone(source), task));
        }
        running = next;
        if in_force.changed().await.is_err() {
            return;
        }
    }
}

fn names(discovery: &Discovery) -> Option<(&ClusterLoadAssignment, Taken)> {
    match discovery {
        Discovery::StrictDns(assignment) => Some((assignment, Taken::All)),
        Discovery::LogicalDns(assignment) => Some((assignment, Taken::One)),
        Discovery::Eds { .. }
        | Discovery::Static(_)
        | Discovery::OriginalDst { .. }
        | Discovery::DynamicForwardProxy => None,
    }
}

/// Resolves one cluster until dropped.
struct Task(JoinHandle<()>);

impl Task {
    fn start(
        publisher: &Arc<Publisher>,
        assignment: ClusterLoadAssignment,
        cluster: String,
        taken: Taken,
    ) -> Self {
        let publisher = Arc::clone(publisher);
        Self(tokio::spawn(async move {
            let mut last = None;
            loop {
                let resolved = resolve(&assignment, taken).await;
                if resolved.is_some() && resolved != last {
                    last.clone_from(&resolved);
                    let outcome =
                        publisher.publish_resolved(&cluster, resolved.unwrap_or_default());
                    if let Err(refused) = outcome {
                        tracing::warn!(cluster, %refused, "resolved endpoints");
                    }
                }
                tokio::time::sleep(REFRESH).await;
            }
        }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The assignment with addresses for names; `None` when none of them resolves.
async fn resolve(
    assignment: &ClusterLoadAssignment,
    taken: Taken,
) -> Option<ClusterLoadAssignment> {
    let mut localities = Vec::with_capacity(assignment.localities.len());
    for group in &assignment.localities {
        let mut endpoints = Vec::new();
        for endpoint in &group.endpoints {
            endpoints.extend(addresses(endpoint, taken).await);
        }
        localities.push(LocalityEndpoints { endpoints, ..group.clone() });
    }
    let found = localities.iter().any(|group| !group.endpoints.is_empty());
    found.then(|| ClusterLoadAssignment {
        cluster_name: assignment.cluster_name.clone(),
        localities,
    })
}

async fn addresses(endpoint: &LbEndpoint, taken: Taken) -> Vec<LbEndpoint> {
    let Address::Host { name, port } = &endpoint.address else { return vec![endpoint.clone()] };
    let mut found = match tokio::net::lookup_host((name.as_str(), *port)).await {
        Ok(found) => found.collect::<Vec<_>>(),
        Err(error) => {
            tracing::debug!(name, %error, "not resolved");
            Vec::new()
        }
    };
    // The resolver's order changes from answer to answer; endpoints must not. The addresses of one endpoint are left in
    // it: the host prefers the first (RFC 6724), and many hosts behind one name share the load by its changes.
    if taken == Taken::All {
        found.sort_unstable();
    }
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    endpoints_of(endpoint, found, taken)
}

/// What the addresses of one name are: an endpoint each, or one endpoint that is tried at each of them.
fn endpoints_of(
    endpoint: &LbEndpoint,
    addresses: Vec<SocketAddr>,
    taken: Taken,
) -> Vec<LbEndpoint> {
    let at = |address| LbEndpoint { address: Address::Socket(address), ..endpoint.clone() };
    match (taken, addresses.split_first()) {
        (Taken::All, _) => addresses.into_iter().map(at).collect(),
        (Taken::One, Some((first, more))) => {
            vec![LbEndpoint { additional_addresses: more.to_vec(), ..at(*first) }]
        }
        (Taken::One, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use leno_core::config::{Address, EndpointHealth, LbEndpoint};

    use super::{Taken, endpoints_of};

    #[test]
    fn a_dual_stack_name_is_one_endpoint_or_one_for_each_address() {
        let named = LbEndpoint {
            address: Address::Host { name: "web".into(), port: 80 },
            additional_addresses: Vec::new(),
            health: EndpointHealth::Unknown,
            weight: 3,
            labels: BTreeMap::new(),
            workload: None,
        };
        let both: [SocketAddr; 2] = ["[::1]:80".parse().unwrap(), "127.0.0.1:80".parse().unwrap()];
        let at = |first: SocketAddr, more: &[SocketAddr]| LbEndpoint {
            address: Address::Socket(first),
            additional_addresses: more.to_vec(),
            ..named.clone()
        };
        // (what is taken, addresses, endpoints)
        let table = [
            (Taken::All, &both[..], vec![at(both[0], &[]), at(both[1], &[])]),
            (Taken::One, &both[..], vec![at(both[0], &both[1..])]),
            (Taken::One, &both[..1], vec![at(both[0], &[])]),
            (Taken::One, &[], vec![]),
        ];
        for (taken, addresses, endpoints) in table {
            assert_eq!(endpoints_of(&named, addresses.to_vec(), taken), endpoints);
        }
    }
}
