//! From resources to a snapshot, sharing what did not change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::{Resources, Snapshot};
use crate::cluster::Cluster;
use crate::config;
use crate::filter_chain::{Listener, NetworkFilter, RouteSource};
use crate::problem::{Problem, ProblemKind, Report};
use crate::route_table::{Action, RouteTable};

impl Snapshot {
    /// Compiles everything and reports every problem. What `previous` compiled from an equal resource is shared.
    ///
    /// The cost is that of the resources that changed, plus one pointer comparison for each that did not.
    pub fn compile(resources: &Resources, previous: Option<&Self>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let listeners =
            compile_kind("listeners", &resources.listeners, &mut problems, |name, source| {
                let known = previous.and_then(|previous| previous.listener(name));
                match known.filter(|known| same(known.source(), source)) {
                    Some(known) => Ok(Arc::clone(known)),
                    None => Listener::compile(source).map(Arc::new),
                }
            });
        let tables = compile_kind("routes", &resources.routes, &mut problems, |name, source| {
            let known = previous.and_then(|previous| previous.find_table(name));
            match known.filter(|known| same(known.source(), source)) {
                Some(known) => Ok(Arc::clone(known)),
                None => RouteTable::compile(source).map(Arc::new),
            }
        });
        let clusters =
            compile_kind("clusters", &resources.clusters, &mut problems, |name, source| {
                let known = previous.and_then(|previous| previous.cluster_named(name));
                match known.filter(|known| same(known.source(), source)) {
                    Some(known) => Ok(Arc::clone(known)),
                    None => Cluster::compile(source).map(Arc::new),
                }
            });
        let by_address = index_addresses(&listeners, &mut problems);
        validate_clusters(resources, &listeners, &tables, &mut problems);
        if problems.is_empty() {
            Ok(Self::assemble(listeners.into(), by_address, tables.into(), clusters.into()))
        } else {
            Err(problems)
        }
    }

    fn find_table(&self, name: &str) -> Option<&Arc<RouteTable>> {
        let compare = |table: &Arc<RouteTable>| table.name().as_str().cmp(name);
        let at = self.route_tables.binary_search_by(compare).ok()?;
        Some(&self.route_tables[at])
    }
}

fn same<T: PartialEq>(known: &Arc<T>, source: &Arc<T>) -> bool {
    Arc::ptr_eq(known, source) || known == source
}

/// A resource that knows its own name.
trait Named {
    fn name(&self) -> &str;
}

impl Named for config::Listener {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for config::RouteConfiguration {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for config::Cluster {
    fn name(&self) -> &str {
        &self.name
    }
}

fn compile_kind<C: Named, T>(
    kind: &str,
    sources: &BTreeMap<String, Arc<C>>,
    problems: &mut Vec<Problem>,
    mut compile: impl FnMut(&str, &Arc<C>) -> Result<T, Vec<Problem>>,
) -> Vec<T> {
    let mut compiled = Vec::with_capacity(sources.len());
    for (key, source) in sources {
        if source.name() != key {
            let (key, found) = (key.clone(), source.name().to_owned());
            let at = format!("{kind}[{key}].name");
            problems.push(Problem { at, what: ProblemKind::NameDiffers { key, found } });
        }
        match compile(key, source) {
            Ok(value) => compiled.push(value),
            Err(mut found) => problems.append(&mut found),
        }
    }
    compiled
}

fn index_addresses(
    listeners: &[Arc<Listener>],
    problems: &mut Vec<Problem>,
) -> HashMap<SocketAddr, u32> {
    let mut by_address = HashMap::with_capacity(listeners.len());
    for (at, listener) in (0u32..).zip(listeners) {
        for (place, address) in listener.source().addresses().enumerate() {
            let other = stands_for(address).filter_map(|one| by_address.insert(one, at)).last();
            let Some(taken) = other else { continue };
            let other = listeners[taken as usize].name().to_string();
            let what = ProblemKind::DuplicateAddress { address: address.to_string(), other };
            let place = match place {
                0 => "address".to_owned(),
                more => format!("additional_addresses[{}].address", more - 1),
            };
            problems.push(Problem { at: format!("listeners[{}].{place}", listener.name()), what });
        }
    }
    by_address
}

/// Every destination that a listener at this address stands for.
fn stands_for(address: &config::ListenerAddress) -> impl Iterator<Item = SocketAddr> {
    // Port 0 picks a free one: such listeners never collide and stand for no destination.
    let own = address.socket().filter(|own| own.port() != 0);
    let is_dual = matches!(address, config::ListenerAddress::DualStack { .. });
    let every_ipv4 = own.filter(|own| is_dual && own.ip().is_unspecified());
    let own = own.map(|own| SocketAddr::new(own.ip().to_canonical(), own.port()));
    let every_ipv4 =
        every_ipv4.map(|own| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), own.port()));
    own.into_iter().chain(every_ipv4)
}

/// For route configurations that ask for it (`validate_clusters`), every cluster named must exist.
fn validate_clusters(
    resources: &Resources,
    listeners: &[Arc<Listener>],
    tables: &[Arc<RouteTable>],
    problems: &mut Vec<Problem>,
) {
    let known: HashSet<&str> = resources.clusters.keys().map(String::as_str).collect();
    for table in tables.iter().filter(|table| table.source().validate_clusters) {
        let root = format!("routes[{}]", table.name());
        problems.append(&mut unknown_clusters(table, root, &known));
    }
    for listener in listeners {
        for chain in listener.filter_chains() {
            let NetworkFilter::Http(manager) = &chain.filter else { continue };
            let RouteSource::Inline(table) = &manager.routes else { continue };
            if table.source().validate_clusters {
                let root = format!(
                    "listeners[{}].filter_chains[{}].http.routes",
                    listener.name(),
                    chain.name
                );
                problems.append(&mut unknown_clusters(table, root, &known));
            }
        }
    }
}

fn unknown_clusters(table: &RouteTable, root: String, known: &HashSet<&str>) -> Vec<Problem> {
    let mut report = Report::new(root);
    for host in table.virtual_hosts() {
        for (i, route) in host.routes().iter().enumerate() {
            let Action::Forward(forward) = &route.action else { continue };
            let targets = forward.clusters.targets().iter().map(|target| &target.cluster);
            let mirrors = forward.mirrors.iter().map(|mirror| &mirror.cluster);
            for name in targets.chain(mirrors).filter(|name| !known.contains(name.as_str())) {
                report.problem_at(
                    format_args!(".virtual_hosts[{}].routes[{i}].forward", host.name),
                    ProblemKind::UnknownCluster { name: name.to_string() },
                );
            }
        }
    }
    report.finish(|| ()).err().unwrap_or_default()
}
