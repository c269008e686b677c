//! What a response holds: its resources decoded one by one, and the names that they refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use leno_core::config::{Discovery, NetworkFilter, RouteSource};
use leno_core::snapshot::Resources;
use leno_xds::client::Update;
use leno_xds::{Decoded, Problem};

use crate::publish::Refused;

/// What is wrong with one resource, line by line.
pub(super) type Refusals = BTreeMap<String, Vec<String>>;

pub(super) fn eds_names(resources: &Resources) -> BTreeSet<String> {
    let clusters = resources.clusters.values();
    let named = clusters.filter_map(|cluster| match &cluster.discovery {
        Discovery::Eds { service_name } => {
            Some(service_name.as_ref().unwrap_or(&cluster.name).clone())
        }
        _ => None,
    });
    named.collect()
}

pub(in crate::ads) fn rds_names(resources: &Resources) -> BTreeSet<String> {
    let chains = resources
        .listeners
        .values()
        .flat_map(|listener| listener.filter_chains.iter().chain(&listener.default_filter_chain));
    let named = chains.filter_map(|chain| match &chain.filter {
        NetworkFilter::Http(manager) => match &manager.routes {
            RouteSource::Rds(name) => Some(name.clone()),
            RouteSource::Inline(_) => None,
        },
        NetworkFilter::Tcp(_) => None,
    });
    named.collect()
}

type Decode<T> = fn(&[u8]) -> Result<Decoded<T>, Vec<Problem>>;

pub(super) fn decode_all<T>(
    update: &Update,
    decode: Decode<T>,
    refusals: &mut Refusals,
) -> Vec<(String, Arc<T>)> {
    let mut decoded = Vec::with_capacity(update.upserts.len());
    for resource in &update.upserts {
        let at = format!("{}[{}]", update.kind.plural(), resource.name);
        match decode(&resource.bytes) {
            Ok(one) => {
                for finding in &one.unsupported {
                    tracing::info!("not acted on: {at}.{finding}");
                }
                decoded.push((resource.name.clone(), Arc::new(one.value)));
            }
            Err(found) => {
                let lines = found.iter().map(|problem| format!("{at}.{problem}"));
                refusals.insert(resource.name.clone(), lines.collect());
            }
        }
    }
    decoded
}

pub(super) fn lines_of(refused: &Refused) -> Vec<String> {
    refused.to_string().lines().map(str::to_owned).collect()
}

pub(super) fn change<T>(
    map: &mut BTreeMap<String, Arc<T>>,
    decoded: Vec<(String, Arc<T>)>,
    removed: &[String],
) {
    map.extend(decoded);
    for name in removed {
        map.remove(name);
    }
}
