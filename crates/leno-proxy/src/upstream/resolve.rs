//! Clusters whose endpoints are names (`STRICT_DNS`, `LOGICAL_DNS`): resolved again and again by the host's resolver.
//!
//! Runs on the admin thread. A name that does not resolve keeps the endpoints it had: a resolver that is away must not
//! take a cluster with it.

use std::collections::BTreeMap;
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

/// Which of a name's addresses are endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    All,
    First,
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
        Discovery::LogicalDns(assignment) => Some((assignment, Taken::First)),
        Discovery::Eds { .. } | Discovery::Static(_) | Discovery::OriginalDst => None,
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
    // The resolver's order changes from answer to answer; endpoints must not.
    if taken == Taken::All {
        found.sort_unstable();
    }
    found.dedup();
    found.truncate(match taken {
        Taken::All => ADDRESSES_MAX,
        Taken::First => 1,
    });
    let at = |address| LbEndpoint { address: Address::Socket(address), ..endpoint.clone() };
    found.into_iter().map(at).collect()
}
