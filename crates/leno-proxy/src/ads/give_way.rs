//! Which part of what was received is wrong, and what takes its place: the part that was in force before, or nothing.
//! Pure.
//!
//! A part is a resource; of a route configuration it is a virtual host where the problem is within one, since routes of
//! many owners share a route configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_core::config::{Discovery, RouteConfiguration, VirtualHost};
use leno_core::snapshot::Resources;
use leno_xds::ResourceType;

use super::apply::rds_names;
use crate::publish::Refused;

/// What a problem is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: ResourceType,
    pub(super) name: String,
    /// The virtual host, if the problem is within one.
    virtual_host: Option<String>,
}

impl Place {
    /// Whether this part is not what is in force: only then it is to blame.
    pub(super) fn has_changed(&self, desired: &Resources, good: &Resources) -> bool {
        match (self.kind, &self.virtual_host) {
            (ResourceType::Cluster, _) => {
                desired.clusters.get(&self.name) != good.clusters.get(&self.name)
            }
            (ResourceType::Listener, _) => {
                desired.listeners.get(&self.name) != good.listeners.get(&self.name)
            }
            (ResourceType::Route, None) => {
                desired.routes.get(&self.name) != good.routes.get(&self.name)
            }
            (ResourceType::Route, Some(host)) => {
                let of = |all: &'_ Resources| {
                    let table = all.routes.get(&self.name)?;
                    table.virtual_hosts.iter().find(|one| one.name == *host).cloned()
                };
                of(desired) != of(good)
            }
            (ResourceType::Endpoint | ResourceType::NameTable, _) => false,
        }
    }
}

/// Each problem as one line, with the part of `desired` it is about; problems about nothing there are left out.
pub(super) fn places(refused: &Refused, desired: &Resources) -> Vec<(Place, String)> {
    let one_line = |text: String| text.replace('\n', " ");
    match refused {
        Refused::Problems(problems) => problems
            .iter()
            .flat_map(|problem| {
                let line = one_line(problem.to_string());
                parts(&problem.at, desired).into_iter().map(move |place| (place, line.clone()))
            })
            .collect(),
        Refused::Bind { listener, .. } => {
            let name = listener.clone();
            let place = Place { kind: ResourceType::Listener, name, virtual_host: None };
            vec![(place, one_line(refused.to_string()))]
        }
    }
}

fn parts(at: &str, desired: &Resources) -> Vec<Place> {
    let part = |kind, name: &String| Place { kind, name: name.clone(), virtual_host: None };
    if let Some((name, _)) = keyed(at, "clusters", desired.clusters.keys()) {
        return vec![part(ResourceType::Cluster, name)];
    }
    if let Some((name, _)) = keyed(at, "listeners", desired.listeners.keys()) {
        return vec![part(ResourceType::Listener, name)];
    }
    if let Some((name, rest)) = keyed(at, "routes", desired.routes.keys()) {
        let hosts = desired.routes[name].virtual_hosts.iter().map(|host| &host.name);
        let within = rest.strip_prefix('.').and_then(|rest| keyed(rest, "virtual_hosts", hosts));
        let virtual_host = within.map(|(host, _)| host.clone());
        return vec![Place { virtual_host, ..part(ResourceType::Route, name) }];
    }
    // Endpoints that do not suit a cluster: it is the cluster that cannot have them.
    let assigned = |(name, cluster): &(&String, &Arc<leno_core::config::Cluster>)| {
        let Discovery::Eds { service_name } = &cluster.discovery else { return false };
        let wanted = service_name.as_ref().unwrap_or(name);
        keyed(at, "endpoints", std::iter::once(wanted)).is_some()
    };
    let clusters = desired.clusters.iter().filter(assigned);
    clusters.map(|(name, _)| part(ResourceType::Cluster, name)).collect()
}

/// `list[KEY]rest` as key and rest; of several keys that fit the longest is meant.
fn keyed<'k, 'a>(
    at: &'a str,
    list: &str,
    keys: impl Iterator<Item = &'k String>,
) -> Option<(&'k String, &'a str)> {
    let inner = at.strip_prefix(list)?.strip_prefix('[')?;
    let fits = |key: &'k String| {
        let rest = inner.strip_prefix(key.as_str())?.strip_prefix(']')?;
        Some((key, rest))
    };
    keys.filter_map(fits).max_by_key(|(key, _)| key.len())
}

/// Puts what is in force in the place of what is wrong; says whether that changed anything.
pub(super) fn give_way(place: &Place, desired: &mut Resources, good: &Resources) -> bool {
    let Place { kind, name, virtual_host } = place;
    match (kind, virtual_host) {
        (ResourceType::Cluster, _) => restore(&mut desired.clusters, &good.clusters, name),
        (ResourceType::Listener, _) => {
            let changed = restore(&mut desired.listeners, &good.listeners, name);
            // Its routes may have gone with it.
            for routes in rds_names(desired) {
                if let Some(table) = good.routes.get(&routes) {
                    desired.routes.entry(routes).or_insert_with(|| Arc::clone(table));
                }
            }
            changed
        }
        (ResourceType::Route, None) => restore(&mut desired.routes, &good.routes, name),
        (ResourceType::Route, Some(host)) => {
            let Some(table) = desired.routes.get_mut(name) else { return false };
            let mended = mend(table, good.routes.get(name).map(|table| &**table), host);
            let changed = mended != **table;
            *table = Arc::new(mended);
            changed
        }
        (ResourceType::Endpoint | ResourceType::NameTable, _) => false,
    }
}

fn restore<T: PartialEq>(
    desired: &mut BTreeMap<String, Arc<T>>,
    good: &BTreeMap<String, Arc<T>>,
    name: &str,
) -> bool {
    let changed = desired.get(name) != good.get(name);
    match good.get(name) {
        Some(good) => desired.insert(name.to_owned(), Arc::clone(good)),
        None => desired.remove(name),
    };
    changed
}

/// The route configuration with the virtual host of that name as it was, or without it.
fn mend(
    table: &RouteConfiguration,
    good: Option<&RouteConfiguration>,
    host: &str,
) -> RouteConfiguration {
    let before = good.and_then(|good| good.virtual_hosts.iter().find(|one| one.name == host));
    let one =
        |one: &VirtualHost| if one.name == host { before.cloned() } else { Some(one.clone()) };
    RouteConfiguration {
        virtual_hosts: table.virtual_hosts.iter().filter_map(one).collect(),
        ..table.clone()
    }
}
