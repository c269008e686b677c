//! Services: Kubernetes' and those that a ServiceEntry adds, in one form.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use leno_api::spec::ExportTo;
use leno_api::spec::core::{Metadata, PortOrName, ServiceSpec};
use leno_api::spec::service_entry::{self, Resolution, ServiceEntry};

use super::{CLUSTER_DOMAIN, Place, Rule};

/// Something that can be called by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Fully qualified, lower case; may start with `*.` when its endpoints are what was dialled.
    pub host: Arc<str>,
    /// Short name (of the Kubernetes service), or the host.
    pub name: Arc<str>,
    /// Where it is defined.
    pub namespace: Arc<str>,
    /// What it listens on, by number.
    pub ports: Vec<Port>,
    /// Virtual addresses; none for headless services and many ServiceEntries.
    pub addresses: Vec<IpNet>,
    /// How endpoints are found.
    pub discovery: Discovery,
    /// Whether its workloads are of the mesh.
    pub location: Location,
    /// Who sees it.
    pub export_to: ExportTo,
    /// Names its certificates may have, besides the identities of its workloads.
    pub subject_alt_names: Vec<String>,
    /// The ServiceEntry it comes from, as Istio names it.
    pub origin: Option<String>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// What callers dial.
    pub number: u16,
    /// Its name; may be empty.
    pub name: String,
    /// The workloads' port, by number or by name.
    pub target: PortOrName,
    /// What is spoken.
    pub protocol: Protocol,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words")]
pub enum Protocol {
    Http,
    /// HTTP/2 and gRPC.
    Http2,
    /// TLS that passes through.
    Tls,
    Tcp,
    /// Nobody said: HTTP is recognised by its first bytes.
    Unknown,
    /// Not captured.
    Udp,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// The registry knows them.
    Registry,
    /// Every address of the endpoints' DNS names.
    StrictDns,
    /// The first address of one DNS name.
    LogicalDns,
    /// The address that was dialled.
    OriginalDestination,
}

/// Whether a service's workloads are of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words")]
pub enum Location {
    Mesh,
    External,
}

impl Protocol {
    /// From a port's name (`http-web`, `grpc`, `tcp-mongo`), `appProtocol` or a ServiceEntry's `protocol`.
    #[must_use]
    pub fn from_words(app_protocol: Option<&str>, name: &str) -> Self {
        let word =
            app_protocol.filter(|word| !word.is_empty()).unwrap_or(name).to_ascii_lowercase();
        let word = word.strip_prefix("kubernetes.io/").unwrap_or(&word);
        match word {
            "h2c" | "http2" | "grpc" | "grpc-web" => return Self::Http2,
            "ws" | "http" => return Self::Http,
            _ => {}
        }
        match word.split('-').next().unwrap_or("") {
            "http" => Self::Http,
            "http2" | "grpc" => Self::Http2,
            "https" | "tls" => Self::Tls,
            "tcp" | "mongo" | "mysql" | "redis" => Self::Tcp,
            "udp" => Self::Udp,
            _ => Self::Unknown,
        }
    }

    /// Whether requests are routed one by one.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

impl Service {
    /// Host and namespace, which are unique together.
    #[must_use]
    pub fn key(&self) -> Place {
        (self.host.clone(), self.namespace.clone())
    }

    /// The port of this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Single virtual addresses, without the networks.
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        let single = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
        self.addresses.iter().filter(single).map(IpNet::addr)
    }
}

/// A Kubernetes service and how its workloads are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KubernetesService {
    pub(super) service: Arc<Service>,
    pub(super) spec: ServiceSpec,
}

impl KubernetesService {
    pub(super) fn new(metadata: &Metadata, spec: ServiceSpec) -> Self {
        let host = format!("{}.{}.svc.{CLUSTER_DOMAIN}", metadata.name, metadata.namespace);
        let ports = spec.ports.iter().map(|port| Port {
            number: port.port,
            name: port.name.clone(),
            target: port.target_port.clone(),
            protocol: match port.protocol.as_str() {
                "UDP" | "SCTP" => Protocol::Udp,
                _ => Protocol::from_words(port.app_protocol.as_deref(), &port.name),
            },
        });
        let external = spec.kind == "ExternalName";
        let address = spec.cluster_ip.parse::<IpAddr>().ok().filter(|_| !external);
        let visible = metadata.annotations.get("networking.istio.io/exportTo");
        let visible = visible.map(|to| to.split(',').map(|to| to.trim().to_owned()).collect());
        let service = Service {
            host: host.into(),
            name: metadata.name.as_str().into(),
            namespace: metadata.namespace.as_str().into(),
            ports: by_number(ports),
            addresses: address.map(IpNet::from).into_iter().collect(),
            discovery: if external { Discovery::StrictDns } else { Discovery::Registry },
            location: if external { Location::External } else { Location::Mesh },
            export_to: ExportTo(visible.unwrap_or_default()),
            subject_alt_names: Vec::new(),
            origin: None,
        };
        Self { service: Arc::new(service), spec }
    }
}

/// One service for each host of a ServiceEntry.
pub(super) fn of_entry(rule: &Rule<ServiceEntry>) -> Vec<Service> {
    let spec = &rule.spec;
    let ports: Vec<Port> = by_number(spec.ports.iter().map(|port| Port {
        number: port.number,
        name: port.name.clone(),
        target: PortOrName::Port(port.target_port.unwrap_or(port.number)),
        protocol: Protocol::from_words(None, &port.protocol),
    }));
    let address = |text: &String| text.parse().ok().or_else(|| text.parse().map(IpAddr::into).ok());
    let make = |host: &String| Service {
        host: host.to_ascii_lowercase().into(),
        name: host.as_str().into(),
        namespace: rule.place.namespace.clone(),
        ports: ports.clone(),
        addresses: spec.addresses.iter().filter_map(address).collect(),
        discovery: match spec.resolution {
            Resolution::None | Resolution::DynamicDns => Discovery::OriginalDestination,
            Resolution::Static => Discovery::Registry,
            Resolution::Dns => Discovery::StrictDns,
            Resolution::DnsRoundRobin => Discovery::LogicalDns,
        },
        location: match spec.location {
            service_entry::Location::MeshExternal => Location::External,
            service_entry::Location::MeshInternal => Location::Mesh,
        },
        export_to: spec.export_to.clone(),
        subject_alt_names: spec.subject_alt_names.clone(),
        origin: Some(rule.origin()),
    };
    spec.hosts.iter().map(make).collect()
}

fn by_number(ports: impl Iterator<Item = Port>) -> Vec<Port> {
    let mut ports: Vec<Port> = ports.collect();
    ports.sort_by_key(|port| port.number);
    ports.dedup_by_key(|port| port.number);
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_says_its_protocol() {
        let table = [
            (None, "http", Protocol::Http),
            (None, "http-web", Protocol::Http),
            (None, "httpweb", Protocol::Unknown),
            (None, "", Protocol::Unknown),
            (None, "grpc-web", Protocol::Http2),
            (None, "tcp-mongo", Protocol::Tcp),
            (None, "HTTPS", Protocol::Tls),
            (Some("kubernetes.io/h2c"), "tcp", Protocol::Http2),
            (Some("http"), "anything", Protocol::Http),
            (Some(""), "http", Protocol::Http),
        ];
        for (app_protocol, name, expected) in table {
            assert_eq!(
                Protocol::from_words(app_protocol, name),
                expected,
                "{app_protocol:?} {name}"
            );
        }
    }
}
