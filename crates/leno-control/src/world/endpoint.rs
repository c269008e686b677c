//! Endpoints of services: from EndpointSlices, from the pods a service selects, or from a ServiceEntry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use leno_api::spec::core::PortOrName;
use leno_api::spec::service_entry::{self, ServiceEntry};
use leno_api::spec::{Labels, is_subset};
use leno_core::config::{Address, EndpointHealth, Locality, WorkloadRef};

use super::read::Slice;
use super::service::KubernetesService;
use super::workload::identity;
use super::{Discovery, Place, Rule, Service, Workload};

/// The endpoints of one service, by the service's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// In the order of their addresses.
    pub by_port: BTreeMap<u16, Vec<Endpoint>>,
    /// Identities of the workloads behind them, each once.
    pub identities: BTreeSet<String>,
}

/// One address behind a service's port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Where it is.
    pub address: Address,
    /// What subsets look at.
    pub labels: Labels,
    /// The pod behind it (namespace, name).
    pub pod: Option<Place>,
    /// How it is called in metrics and records.
    pub workload: Option<Arc<WorkloadRef>>,
    /// Whether a sidecar takes mutual TLS for it.
    pub is_meshed: bool,
    /// What the registry says of it.
    pub health: EndpointHealth,
    /// Where it runs.
    pub locality: Locality,
    /// At least 1.
    pub weight: u32,
}

/// What endpoints of Kubernetes services are made from.
pub(super) struct Sources<'a> {
    /// By the service's namespace and name.
    pub(super) slices: BTreeMap<(&'a str, &'a str), Vec<&'a Slice>>,
    pub(super) workloads: &'a BTreeMap<Place, Arc<Workload>>,
    /// Workloads by address.
    pub(super) by_address: &'a BTreeMap<IpAddr, Arc<Workload>>,
}

pub(super) fn of_service(service: &KubernetesService, sources: &Sources<'_>) -> Endpoints {
    let place = (&*service.service.namespace, &*service.service.name);
    let slices = sources.slices.get(&place).into_iter().flatten();
    let mut endpoints = Endpoints::default();
    let mut sliced = false;
    for slice in slices {
        sliced = true;
        add_slice(service, slice, sources, &mut endpoints);
    }
    if service.service.discovery == Discovery::StrictDns {
        add_external_name(service, &mut endpoints);
    } else if !sliced && !service.spec.selector.is_empty() {
        add_selected(service, sources, &mut endpoints);
    }
    endpoints.finish()
}

impl Endpoints {
    fn add(&mut self, port: u16, endpoint: Endpoint) {
        self.by_port.entry(port).or_default().push(endpoint);
    }

    /// Sorts, and lets an address be there once per port.
    fn finish(mut self) -> Self {
        for endpoints in self.by_port.values_mut() {
            endpoints.sort_by(|a, b| a.address.cmp(&b.address));
            endpoints.dedup_by(|a, b| a.address == b.address);
        }
        self
    }
}

fn add_slice(
    service: &KubernetesService,
    slice: &Slice,
    sources: &Sources<'_>,
    to: &mut Endpoints,
) {
    for one in &slice.endpoints {
        let address = one.address;
        let by_reference = one.pod.as_ref().and_then(|place| sources.workloads.get(place));
        let workload = by_reference.or_else(|| sources.by_address.get(&address));
        let ready = one.is_ready || service.spec.publish_not_ready_addresses;
        let health = match (ready, workload.is_some_and(|workload| workload.is_leaving)) {
            (_, true) => EndpointHealth::Draining,
            (true, false) => EndpointHealth::Healthy,
            (false, false) => EndpointHealth::Unhealthy,
        };
        for port in &service.service.ports {
            let number = slice.ports.iter().find(|(name, _)| *name == port.name);
            let Some((_, number)) = number else { continue };
            if let Some(workload) = workload {
                to.identities.insert(workload.identity());
            }
            let address = Address::Socket(SocketAddr::new(address, *number));
            let zone = Locality { zone: one.zone.clone(), ..Locality::default() };
            to.add(port.number, Endpoint { health, ..of_workload(address, workload, zone) });
        }
    }
}

/// Pods with the service's labels, for a service without slices.
fn add_selected(service: &KubernetesService, sources: &Sources<'_>, to: &mut Endpoints) {
    for workload in sources.workloads.values() {
        let Some(address) = workload.address else { continue };
        let chosen = workload.namespace == service.service.namespace
            && !workload.is_leaving
            && is_subset(&service.spec.selector, &workload.labels);
        if !chosen {
            continue;
        }
        for port in &service.service.ports {
            let number = match &port.target {
                PortOrName::Port(number) => Some(*number),
                PortOrName::Name(name) => {
                    workload.named_ports.iter().find(|(known, _)| known == name).map(|(_, n)| *n)
                }
            };
            let Some(number) = number else { continue };
            to.identities.insert(workload.identity());
            let number = workload.listened_port(number);
            let address = Address::Socket(SocketAddr::new(address, number));
            to.add(port.number, of_workload(address, Some(workload), Locality::default()));
        }
    }
}

fn add_external_name(service: &KubernetesService, to: &mut Endpoints) {
    for port in &service.service.ports {
        let name = service.spec.external_name.clone();
        let address = Address::Host { name, port: port.number };
        to.add(port.number, of_workload(address, None, Locality::default()));
    }
}

fn of_workload(address: Address, workload: Option<&Arc<Workload>>, locality: Locality) -> Endpoint {
    Endpoint {
        address,
        labels: workload.map(|workload| workload.labels.clone()).unwrap_or_default(),
        pod: workload.map(|workload| (workload.namespace.clone(), workload.name.clone())),
        workload: workload.map(|workload| workload.reference.clone()),
        is_meshed: workload.is_some_and(|workload| workload.is_meshed()),
        health: EndpointHealth::Healthy,
        locality,
        weight: 1,
    }
}

/// Endpoints of one host of a ServiceEntry. A DNS entry without endpoints resolves its own host.
pub(super) fn of_entry(rule: &Rule<ServiceEntry>, service: &Service) -> Endpoints {
    let spec = &rule.spec;
    let mut endpoints = Endpoints::default();
    let by_dns = matches!(service.discovery, Discovery::StrictDns | Discovery::LogicalDns);
    if spec.endpoints.is_empty() && by_dns {
        for port in &service.ports {
            let address = Address::Host { name: service.host.to_string(), port: target(port) };
            endpoints.add(port.number, of_workload(address, None, Locality::default()));
        }
    }
    for endpoint in &spec.endpoints {
        for port in &service.ports {
            let number = endpoint.ports.get(&port.name).copied().unwrap_or_else(|| target(port));
            endpoints.add(port.number, of_listed(endpoint, number));
        }
        if !endpoint.service_account.is_empty() {
            let account = identity(&service.namespace, &endpoint.service_account);
            endpoints.identities.insert(account);
        }
    }
    endpoints.finish()
}

fn target(port: &super::Port) -> u16 {
    match port.target {
        PortOrName::Port(number) => number,
        PortOrName::Name(_) => port.number,
    }
}

fn of_listed(endpoint: &service_entry::Endpoint, port: u16) -> Endpoint {
    let address = match endpoint.address.parse::<IpAddr>() {
        Ok(ip) => Address::Socket(SocketAddr::new(ip, port)),
        Err(_) => match endpoint.address.strip_prefix("unix://") {
            Some(path) => Address::Pipe(path.to_owned()),
            None => Address::Host { name: endpoint.address.clone(), port },
        },
    };
    let mut places = endpoint.locality.splitn(3, '/').map(str::to_owned);
    let mut place = || places.next().unwrap_or_default();
    let locality = Locality { region: place(), zone: place(), sub_zone: place() };
    let is_meshed = endpoint.labels.get("security.istio.io/tlsMode").is_some_and(|m| m == "istio");
    Endpoint {
        labels: endpoint.labels.clone(),
        is_meshed,
        weight: endpoint.weight.max(1),
        ..of_workload(address, None, locality)
    }
}
