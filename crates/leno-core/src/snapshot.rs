//! The compiled configuration of one proxy: immutable, shared by all workers, replaced as a whole.
//!
//! Each resource compiles alone into an `Arc`; a snapshot is the list of them. So a changed route configuration costs
//! its own compile and shares everything else with the snapshot before. Routes name clusters by hashed name
//! ([`ResourceName`]); [`Snapshot::cluster_id`] resolves one with a single probe.

mod compile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::config;
use crate::filter_chain::{Listener, RouteSource};
use crate::name::{NameIndex, ResourceName};
use crate::route_table::RouteTable;

/// Everything one proxy was told, by name; endpoints and secrets take another road.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// LDS, or the static listeners.
    pub listeners: BTreeMap<String, Arc<config::Listener>>,
    /// RDS.
    pub routes: BTreeMap<String, Arc<config::RouteConfiguration>>,
    /// CDS, or the static clusters.
    pub clusters: BTreeMap<String, Arc<config::Cluster>>,
}

/// A cluster's position in one snapshot. Means nothing in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(u32);

impl ClusterId {
    /// For arrays that run beside [`Snapshot::clusters`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A route table's position in one snapshot. Means nothing in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTableId(u32);

impl RouteTableId {
    /// For arrays that run beside [`Snapshot::route_tables`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What requests see.
#[derive(Debug)]
pub struct Snapshot {
    listeners: Box<[Arc<Listener>]>,
    by_address: HashMap<SocketAddr, u32>,
    route_tables: Box<[Arc<RouteTable>]>,
    route_index: NameIndex,
    clusters: Box<[Arc<Cluster>]>,
    cluster_index: NameIndex,
}

impl Snapshot {
    /// A proxy that was told nothing yet.
    #[must_use]
    pub fn empty() -> Self {
        Self::assemble(Box::new([]), HashMap::new(), Box::new([]), Box::new([]))
    }

    fn assemble(
        listeners: Box<[Arc<Listener>]>,
        by_address: HashMap<SocketAddr, u32>,
        route_tables: Box<[Arc<RouteTable>]>,
        clusters: Box<[Arc<Cluster>]>,
    ) -> Self {
        Self {
            route_index: NameIndex::build(route_tables.iter().map(|table| table.name())),
            cluster_index: NameIndex::build(clusters.iter().map(|cluster| cluster.name())),
            listeners,
            by_address,
            route_tables,
            clusters,
        }
    }

    /// Every listener, by name.
    #[must_use]
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        let at = self.listeners.binary_search_by(|listener| (**listener.name()).cmp(name)).ok()?;
        Some(&self.listeners[at])
    }

    /// The listener that stands for an original destination: its address and port, then the wildcard address and its
    /// port. `None` leaves the connection with the listener that accepted it (`use_original_dst`).
    #[must_use]
    pub fn listener_for(&self, original_destination: SocketAddr) -> Option<&Arc<Listener>> {
        let ip = original_destination.ip().to_canonical();
        let port = original_destination.port();
        let wildcard = match ip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let find = |ip| self.by_address.get(&SocketAddr::new(ip, port));
        let at = find(ip).or_else(|| find(wildcard))?;
        Some(&self.listeners[*at as usize])
    }

    /// Every route table, by name; tables written in place are in their listeners.
    #[must_use]
    pub fn route_tables(&self) -> &[Arc<RouteTable>] {
        &self.route_tables
    }

    /// Where the route table of this name stands.
    #[must_use]
    pub fn route_table_id(&self, name: &ResourceName) -> Option<RouteTableId> {
        self.route_index.find(name, |at| self.route_tables[at as usize].name()).map(RouteTableId)
    }

    /// The route table.
    #[must_use]
    pub fn route_table(&self, id: RouteTableId) -> &Arc<RouteTable> {
        &self.route_tables[id.index()]
    }

    /// The routes a connection manager uses now; `None` while its route configuration was not delivered (404, `NR`).
    #[must_use]
    pub fn routes<'a>(&'a self, source: &'a RouteSource) -> Option<&'a Arc<RouteTable>> {
        match source {
            RouteSource::Rds(name) => self.route_table_id(name).map(|id| self.route_table(id)),
            RouteSource::Inline(table) => Some(table),
        }
    }

    /// Every cluster, by name.
    #[must_use]
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// Where the cluster of this name stands; `None` is answered with 503 and flag `NC`.
    #[must_use]
    pub fn cluster_id(&self, name: &ResourceName) -> Option<ClusterId> {
        self.cluster_index.find(name, |at| self.clusters[at as usize].name()).map(ClusterId)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> &Arc<Cluster> {
        &self.clusters[id.index()]
    }

    /// The cluster of this name, for callers off the request path.
    #[must_use]
    pub fn cluster_named(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.cluster_id(&ResourceName::new(name)).map(|id| self.cluster(id))
    }
}
