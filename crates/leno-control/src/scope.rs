//! What one namespace's proxies can see: services, routes and rules exported to it. Pure.
//!
//! All services of the mesh by default; `exportTo` takes away. Where several documents speak of one host, the
//! nearest one wins: of the proxy's own namespace, then Kubernetes' own service, then the oldest.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_api::spec::destination_rule::DestinationRule;
use leno_api::spec::virtual_service::VirtualService;
use leno_api::spec::{ExportTo, Labels, is_subset};

use crate::world::{CLUSTER_DOMAIN, ROOT_NAMESPACE, Rule, Service, World};

mod hosts;

use hosts::Hosts;

/// The gateway name that stands for every sidecar.
pub const MESH: &str = "mesh";

/// What the proxies of one namespace see.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    world: &'a World,
    namespace: Arc<str>,
    services: BTreeMap<Arc<str>, Arc<Service>>,
    virtual_services: Vec<Arc<Rule<VirtualService>>>,
    routing: Hosts<Rule<VirtualService>>,
    /// By the namespace they are in.
    destinations: BTreeMap<&'a str, Hosts<Rule<DestinationRule>>>,
}

impl<'a> Scope<'a> {
    /// What proxies of `namespace` see of `world`.
    #[must_use]
    pub fn new(world: &'a World, namespace: &str) -> Self {
        let visible = |export_to: &ExportTo, home: &str| export_to.is_visible(home, namespace);
        let nearest = |candidates: &'a Vec<Arc<Service>>| {
            let seen = candidates.iter().filter(|one| visible(&one.export_to, &one.namespace));
            seen.min_by_key(|one| *one.namespace != *namespace)
        };
        let services = world.services().values().filter_map(nearest);
        let services = services.map(|service| (service.host.clone(), service.clone())).collect();
        let mut virtual_services: Vec<_> = world
            .virtual_services()
            .iter()
            .filter(|rule| visible(&rule.spec.export_to, rule.namespace()))
            .filter(|rule| speaks_of_mesh(&rule.spec))
            .cloned()
            .collect();
        // Private ones first, then those meant for this namespace, then everybody's; the oldest first among equals.
        virtual_services.sort_by_key(|rule| openness(&rule.spec.export_to));
        let mut routing = Hosts::default();
        for rule in &virtual_services {
            for host in &rule.spec.hosts {
                routing.insert(&fqdn(host, rule.namespace()), rule);
            }
        }
        let mut destinations: BTreeMap<&str, Hosts<Rule<DestinationRule>>> = BTreeMap::new();
        for rule in world.destination_rules() {
            if visible(&rule.spec.export_to, rule.namespace()) {
                let host = fqdn(&rule.spec.host, rule.namespace());
                destinations.entry(rule.namespace()).or_default().insert(&host, rule);
            }
        }
        let namespace = namespace.into();
        Self { world, namespace, services, virtual_services, routing, destinations }
    }

    /// The world this is a part of.
    #[must_use]
    pub fn world(&self) -> &'a World {
        self.world
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.namespace
    }

    /// Services, one per host.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The service of this host.
    #[must_use]
    pub fn service(&self, host: &str) -> Option<&Arc<Service>> {
        self.services.get(host)
    }

    /// VirtualServices that hold for sidecars, the one that wins first.
    pub fn virtual_services(&self) -> impl Iterator<Item = &Arc<Rule<VirtualService>>> {
        self.virtual_services.iter()
    }

    /// The VirtualService for a host: an exact host before a wildcard, a longer wildcard before a shorter one.
    #[must_use]
    pub fn virtual_service(&self, host: &str) -> Option<&Arc<Rule<VirtualService>>> {
        self.routing.closest_first(host).next()?.first()
    }

    /// The DestinationRules for a service as a workload with these labels calls it. They are of one namespace: the
    /// caller's, else the service's, else the root's; of the closest host; the oldest first. A rule that chooses its
    /// callers by label comes before those that do not.
    #[must_use]
    pub fn destination_rules(
        &self,
        service: &Service,
        labels: &Labels,
    ) -> Vec<Arc<Rule<DestinationRule>>> {
        for home in [&*self.namespace, &*service.namespace, ROOT_NAMESPACE] {
            let Some(rules) = self.destinations.get(home) else { continue };
            for closest in rules.closest_first(&service.host) {
                let chosen = closest.iter().filter(|rule| chooses(rule, &self.namespace, labels));
                let mut chosen: Vec<_> = chosen.cloned().collect();
                if !chosen.is_empty() {
                    chosen.sort_by_key(|rule| rule.spec.workload_selector.is_none());
                    return chosen;
                }
            }
        }
        Vec::new()
    }
}

fn chooses(rule: &Rule<DestinationRule>, namespace: &str, labels: &Labels) -> bool {
    match &rule.spec.workload_selector {
        None => true,
        Some(selector) => {
            rule.namespace() == namespace && is_subset(&selector.match_labels, labels)
        }
    }
}

fn openness(export_to: &ExportTo) -> u8 {
    let all = export_to.0.is_empty() || export_to.0.iter().any(|to| to == "*");
    match (all, export_to.0.iter().all(|to| to == ".")) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => 1,
    }
}

/// A match may name the mesh even where the document does not.
fn speaks_of_mesh(spec: &VirtualService) -> bool {
    let mesh = |gateways: &[String]| gateways.iter().any(|gateway| gateway == MESH);
    spec.gateways.is_empty()
        || mesh(&spec.gateways)
        || spec.http.iter().flat_map(|route| &route.matches).any(|one| mesh(&one.caller.gateways))
        || spec.tcp.iter().flat_map(|route| &route.matches).any(|one| mesh(&one.gateways))
}

/// A host as a document of `namespace` names it: names without a dot are services of that namespace.
#[must_use]
pub fn fqdn(host: &str, namespace: &str) -> String {
    if host.contains('.') || host.starts_with('*') {
        host.to_ascii_lowercase()
    } else {
        format!("{}.{namespace}.svc.{CLUSTER_DOMAIN}", host.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_of_the_documents_namespace() {
        assert_eq!(fqdn("reviews", "shop"), "reviews.shop.svc.cluster.local");
        assert_eq!(fqdn("Reviews.com", "shop"), "reviews.com");
        assert_eq!(fqdn("*", "shop"), "*");
    }
}
