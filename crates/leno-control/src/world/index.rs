//! What is looked up: made again only where documents changed, and shared where the outcome is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leno_api::spec::destination_rule::DestinationRule;
use leno_api::spec::peer_authentication::PeerAuthentication;
use leno_api::spec::virtual_service::VirtualService;

use super::endpoint::{Endpoints, Sources};
use super::read::{Slice, Touched};
use super::{Documents, Place, Rule, Service, World, endpoint, service};

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) services: Arc<BTreeMap<Arc<str>, Vec<Arc<Service>>>>,
    /// By the service's host and namespace.
    pub(super) endpoints: Arc<BTreeMap<Place, Arc<Endpoints>>>,
    pub(super) virtual_services: Arc<[Arc<Rule<VirtualService>>]>,
    pub(super) destination_rules: Arc<[Arc<Rule<DestinationRule>>]>,
    pub(super) peer_authentications: Arc<[Arc<Rule<PeerAuthentication>>]>,
}

impl Index {
    pub(super) fn update(&self, world: &World, touched: &BTreeSet<Touched>) -> Self {
        let mut next = self.clone();
        if touched.contains(&Touched::Services) {
            next.services = self.services_of(world);
        }
        if touched.contains(&Touched::Services) || touched.contains(&Touched::Endpoints) {
            next.endpoints = self.endpoints_of(world);
        }
        if touched.contains(&Touched::VirtualServices) {
            next.virtual_services = oldest_first(&world.virtual_services);
        }
        if touched.contains(&Touched::DestinationRules) {
            next.destination_rules = oldest_first(&world.destination_rules);
        }
        if touched.contains(&Touched::PeerAuthentications) {
            next.peer_authentications = oldest_first(&world.peer_authentications);
        }
        next
    }

    fn services_of(&self, world: &World) -> Arc<BTreeMap<Arc<str>, Vec<Arc<Service>>>> {
        let mut services: BTreeMap<Arc<str>, Vec<Arc<Service>>> = BTreeMap::new();
        for known in world.kubernetes_services.values() {
            services.entry(known.service.host.clone()).or_default().push(known.service.clone());
        }
        for entry in oldest_first(&world.service_entries).iter() {
            for made in service::of_entry(entry) {
                let same_host = services.entry(made.host.clone()).or_default();
                // Within one namespace the first definition of a host stands.
                if same_host.iter().any(|known| known.namespace == made.namespace) {
                    continue;
                }
                let before = self.services.get(&made.host).into_iter().flatten();
                let before = before.into_iter().find(|known| ***known == made);
                same_host.push(before.cloned().unwrap_or_else(|| Arc::new(made)));
            }
        }
        Arc::new(services)
    }

    fn endpoints_of(&self, world: &World) -> Arc<BTreeMap<Place, Arc<Endpoints>>> {
        let by_address: BTreeMap<IpAddr, _> = world
            .workloads
            .values()
            .filter(|workload| !workload.is_leaving)
            .filter_map(|workload| Some((workload.address?, workload.clone())))
            .collect();
        let mut slices: BTreeMap<(&str, &str), Vec<&Slice>> = BTreeMap::new();
        for slice in world.slices.values() {
            if let Some(service) = &slice.service {
                slices.entry((&slice.namespace, service)).or_default().push(slice);
            }
        }
        let sources = Sources { slices, workloads: &world.workloads, by_address: &by_address };
        let mut endpoints = BTreeMap::new();
        let mut insert = |key: Place, made: Endpoints| {
            let before = self.endpoints.get(&key).filter(|known| ***known == made);
            let shared = before.cloned().unwrap_or_else(|| Arc::new(made));
            endpoints.entry(key).or_insert(shared);
        };
        for known in world.kubernetes_services.values() {
            insert(known.service.key(), endpoint::of_service(known, &sources));
        }
        for entry in oldest_first(&world.service_entries).iter() {
            for made in service::of_entry(entry) {
                insert(made.key(), endpoint::of_entry(entry, &made));
            }
        }
        Arc::new(endpoints)
    }
}

fn oldest_first<S>(documents: &Documents<Rule<S>>) -> Arc<[Arc<Rule<S>>]> {
    let mut rules: Vec<Arc<Rule<S>>> = documents.values().cloned().collect();
    rules.sort_by(|a, b| a.order().cmp(&b.order()));
    rules.into()
}
