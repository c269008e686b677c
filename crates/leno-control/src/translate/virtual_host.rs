//! Route configurations: one per HTTP port, with a virtual host per service that has the port.
//!
//! A host answers to its full name, shorter forms that are unambiguous from the caller's namespace, and its virtual
//! addresses, each also with the port. A domain belongs to the first host that has it: Envoy refuses a second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use leno_core::config::{
    ClusterSpecifier, Forward, HeaderMutations, Route, RouteAction, RouteConfiguration, VirtualHost,
};

use super::name;
use super::proxy::Proxy;
use super::route::{RuleInputs, of_rule, plain, to_service};
use crate::scope::{Scope, fqdn};
use crate::world::{CLUSTER_DOMAIN, Protocol, Service};

/// Everything that may influence a route configuration, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RouteInputs {
    name: String,
    port: u16,
    hosts: Vec<HostInputs>,
}

impl RouteInputs {
    /// Whether these are the routes of a port, not of one service.
    pub(super) fn is_of_port(&self) -> bool {
        self.name == self.port.to_string()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HostInputs {
    host: Arc<str>,
    domains: Vec<String>,
    /// What happens to requests; the service itself without.
    rule: Option<RuleInputs>,
}

/// The port on which hosts that are no services are routed, as in Istio.
const HTTP_PORT: u16 = 80;

/// Inputs of every route configuration a proxy has for calls out.
pub(super) fn routes(scope: &Scope<'_>, proxy: &Proxy) -> Vec<RouteInputs> {
    let mut by_port: BTreeMap<u16, Vec<&Arc<Service>>> = BTreeMap::new();
    let mut sniffed = Vec::new();
    for service in scope.services() {
        for port in &service.ports {
            if port.protocol.is_http() {
                by_port.entry(port.number).or_default().push(service);
            } else if port.protocol == Protocol::Unknown && service.virtual_ips().next().is_some() {
                sniffed.push((service, port.number));
            }
        }
    }
    let foreign = foreign_hosts(scope);
    if !foreign.is_empty() {
        by_port.entry(HTTP_PORT).or_default();
    }
    let mut inputs: Vec<RouteInputs> = Vec::new();
    for (port, services) in by_port {
        let mut hosts = of_services(&services, scope, proxy, port);
        if port == HTTP_PORT {
            hosts.extend(foreign.iter().filter_map(|host| {
                let rule = RuleInputs::new(scope.virtual_service(host)?, scope, proxy, port)?;
                let domains = vec![host.clone(), format!("{host}:{port}")];
                Some(HostInputs { host: host.as_str().into(), domains, rule: Some(rule) })
            }));
        }
        inputs.push(RouteInputs { name: port.to_string(), port, hosts: once(hosts) });
    }
    for (service, port) in sniffed {
        let domains = vec!["*".to_owned()];
        let host = HostInputs { domains, ..of_service(service, scope, proxy, port) };
        inputs.push(RouteInputs { name: sniffed_name(service, port), port, hosts: vec![host] });
    }
    inputs
}

/// The ports that have a route configuration of their own.
pub(super) fn http_ports(scope: &Scope<'_>) -> BTreeSet<u16> {
    let ports = scope.services().flat_map(|service| &service.ports);
    let mut ports: BTreeSet<u16> =
        ports.filter(|port| port.protocol.is_http()).map(|port| port.number).collect();
    if !foreign_hosts(scope).is_empty() {
        ports.insert(HTTP_PORT);
    }
    ports
}

/// The route configuration of a port whose protocol is recognised by its first bytes.
pub(super) fn sniffed_name(service: &Service, port: u16) -> String {
    format!("{}:{port}", service.host)
}

/// Hosts of VirtualServices that no service has.
fn foreign_hosts(scope: &Scope<'_>) -> Vec<String> {
    let mut foreign = BTreeSet::new();
    for rule in scope.virtual_services().filter(|rule| !rule.spec.http.is_empty()) {
        for host in &rule.spec.hosts {
            let host = fqdn(host, rule.namespace());
            let covered = match host.strip_prefix('*') {
                Some(suffix) => scope.services().any(|service| service.host.ends_with(suffix)),
                None => scope.service(&host).is_some(),
            };
            if !covered {
                foreign.insert(host);
            }
        }
    }
    foreign.into_iter().collect()
}

fn of_services(
    services: &[&Arc<Service>],
    scope: &Scope<'_>,
    proxy: &Proxy,
    port: u16,
) -> Vec<HostInputs> {
    services.iter().map(|service| of_service(service, scope, proxy, port)).collect()
}

fn of_service(service: &Service, scope: &Scope<'_>, proxy: &Proxy, port: u16) -> HostInputs {
    let rule = scope.virtual_service(&service.host);
    HostInputs {
        host: service.host.clone(),
        domains: domains(service, scope.namespace(), port),
        rule: rule.and_then(|rule| RuleInputs::new(rule, scope, proxy, port)),
    }
}

fn domains(service: &Service, namespace: &str, port: u16) -> Vec<String> {
    let host = &*service.host;
    let mut names = vec![host.to_owned()];
    let own = format!("{}.{}.svc.{CLUSTER_DOMAIN}", service.name, service.namespace);
    if *host == *own {
        if *service.namespace == *namespace {
            names.push(service.name.to_string());
        }
        names.push(format!("{}.{}.svc", service.name, service.namespace));
        names.push(format!("{}.{}", service.name, service.namespace));
    }
    names.extend(service.virtual_ips().map(|ip| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }));
    names.into_iter().flat_map(|name| [format!("{name}:{port}"), name]).rev().collect()
}

/// A domain stays with the host whose full name it is, else with the first that has it.
fn once(mut hosts: Vec<HostInputs>) -> Vec<HostInputs> {
    let full: BTreeSet<Arc<str>> = hosts.iter().map(|host| host.host.clone()).collect();
    let mut taken = BTreeSet::new();
    for one in &mut hosts {
        let own = one.host.clone();
        one.domains.retain(|domain| {
            let name = domain.rsplit_once(':').map_or(domain.as_str(), |(name, _)| name);
            (*name == *own || !full.contains(name)) && taken.insert(domain.clone())
        });
    }
    hosts.retain(|host| !host.domains.is_empty());
    hosts
}

pub(super) fn translate(inputs: &RouteInputs) -> RouteConfiguration {
    let RouteInputs { name, port, hosts } = inputs;
    let mut virtual_hosts: Vec<VirtualHost> =
        hosts.iter().map(|host| virtual_host(host, *port)).collect();
    if !hosts.iter().any(|host| host.domains.iter().any(|domain| domain == "*")) {
        virtual_hosts.push(allow_any());
    }
    RouteConfiguration {
        name: name.clone(),
        virtual_hosts,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    }
}

fn virtual_host(inputs: &HostInputs, port: u16) -> VirtualHost {
    let routes = match &inputs.rule {
        Some(rule) => of_rule(rule, port),
        None => vec![to_service(&inputs.host, port)],
    };
    let domains = inputs.domains.clone();
    named(format!("{}:{port}", inputs.host), domains, routes)
}

pub(super) fn named(name: String, domains: Vec<String>, routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name,
        domains,
        routes,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        retry_policy: None,
        include_attempt_count: true,
    }
}

/// Hosts that the mesh does not know go where they were going.
fn allow_any() -> VirtualHost {
    let action = RouteAction::Forward(Box::new(Forward {
        cluster: ClusterSpecifier::Cluster(name::PASSTHROUGH.to_owned()),
        timeout: None,
        idle_timeout: None,
        retry_policy: None,
        path_rewrite: None,
        host_rewrite: None,
        mirrors: Vec::new(),
        websocket: None,
        connect: None,
        max_stream_duration: None,
        grpc_timeout: None,
    }));
    named("allow_any".to_owned(), vec!["*".to_owned()], vec![plain("allow_any", action)])
}
