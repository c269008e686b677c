//! Clusters: one per visible service, port and subset, one per inbound port, and the three that catch the rest.

mod transport;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use leno_api::spec::destination_rule::{ConnectionPool, SimpleBalancer};
use leno_core::config::{
    Address, CircuitLimits, Cluster, ClusterLoadAssignment, Discovery, EndpointHealth, LbEndpoint,
    LbPolicy, LocalityEndpoints, OutlierDetection, RetryBudget, ServiceRef, UpstreamHttp,
    UpstreamProtocol, UpstreamTransport,
};

use self::transport::transport;
use super::endpoint::{self, EndpointInputs};
use super::inbound::InboundInputs;
use super::name;
use super::policy::{NamedSubset, Policy, resolve};
use super::proxy::{Engine, Proxy};
use crate::scope::Scope;
use crate::world::{self, Endpoints, Port, Protocol, Service};

/// Everything that may influence a cluster, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClusterInputs {
    Outbound(Box<OutboundInputs>),
    /// To the local workload's port.
    Inbound {
        port: u16,
        protocol: Protocol,
        services: Vec<ServiceRef>,
    },
    Passthrough,
    InboundPassthrough,
    /// Where requests say that they go.
    ByAuthority,
    BlackHole,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct OutboundInputs {
    pub(super) service: Arc<Service>,
    pub(super) port: Port,
    pub(super) subset: Option<NamedSubset>,
    policy: Policy,
    engine: Engine,
    /// Identities its endpoints may have.
    identities: Vec<String>,
    /// For services found by DNS, where endpoints are part of the cluster.
    listed: Option<Arc<Endpoints>>,
}

impl OutboundInputs {
    pub(super) fn subset_name(&self) -> &str {
        self.subset.as_ref().map_or("", |subset| subset.name.as_str())
    }

    pub(super) fn cluster_name(&self) -> String {
        name::outbound_cluster(self.port.number, self.subset_name(), &self.service.host)
    }
}

/// Inputs of every cluster a proxy has for calls out.
pub(super) fn outbound(scope: &Scope<'_>, proxy: &Proxy) -> Vec<ClusterInputs> {
    let mut inputs = vec![ClusterInputs::Passthrough, ClusterInputs::BlackHole];
    for service in scope.services() {
        let rules = scope.destination_rules(service, &proxy.labels);
        let endpoints = scope.world().endpoints(service);
        let by_dns =
            matches!(service.discovery, world::Discovery::StrictDns | world::Discovery::LogicalDns);
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            for (subset, policy) in resolve(&rules, port.number) {
                inputs.push(ClusterInputs::Outbound(Box::new(OutboundInputs {
                    service: service.clone(),
                    port: port.clone(),
                    subset,
                    policy,
                    engine: proxy.engine,
                    identities: endpoints
                        .map(|endpoints| endpoints.identities.iter().cloned().collect())
                        .unwrap_or_default(),
                    listed: endpoints.filter(|_| by_dns).cloned(),
                })));
            }
        }
    }
    inputs
}

/// Inputs of every cluster a proxy has for calls in.
pub(super) fn inbound(inputs: &InboundInputs) -> Vec<ClusterInputs> {
    let ports = inputs.ports.iter().map(|port| ClusterInputs::Inbound {
        port: port.number,
        protocol: port.protocol,
        services: port.services.clone(),
    });
    ports.chain([ClusterInputs::InboundPassthrough]).collect()
}

pub(super) fn translate(inputs: &ClusterInputs) -> Cluster {
    match inputs {
        ClusterInputs::Outbound(inputs) => translate_outbound(inputs),
        ClusterInputs::Inbound { port, protocol, services } => {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), *port);
            let name = name::inbound_cluster(*port);
            let discovery = Discovery::Static(Arc::new(at(&name, Address::Socket(address))));
            let http = UpstreamHttp { protocol: spoken(*protocol), ..plain_http() };
            Cluster {
                services: services.clone(),
                http,
                lb_policy: LbPolicy::RoundRobin,
                ..plain(name, discovery)
            }
        }
        ClusterInputs::Passthrough => original(name::PASSTHROUGH),
        ClusterInputs::InboundPassthrough => original(name::INBOUND_PASSTHROUGH),
        ClusterInputs::ByAuthority => Cluster {
            lb_policy: LbPolicy::ClusterProvided,
            ..plain(name::BY_AUTHORITY.to_owned(), Discovery::DynamicForwardProxy)
        },
        ClusterInputs::BlackHole => {
            let empty = ClusterLoadAssignment {
                cluster_name: name::BLACK_HOLE.to_owned(),
                localities: Vec::new(),
            };
            plain(name::BLACK_HOLE.to_owned(), Discovery::Static(Arc::new(empty)))
        }
    }
}

/// Istio's defaults: connections get 10 s, and nothing is limited.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const UNLIMITED: CircuitLimits = CircuitLimits {
    max_connections: Some(u32::MAX),
    max_pending_requests: Some(u32::MAX),
    max_requests: Some(u32::MAX),
    max_retries: Some(u32::MAX),
    retry_budget: None,
};
const LEAST_REQUEST: LbPolicy = LbPolicy::LeastRequest { choices: 2 };

fn plain(name: String, discovery: Discovery) -> Cluster {
    Cluster {
        name,
        discovery,
        connect_timeout: CONNECT_TIMEOUT,
        lb_policy: LEAST_REQUEST,
        transport: UpstreamTransport::Plaintext,
        transport_matches: Vec::new(),
        circuit: UNLIMITED,
        outlier: None,
        buffer_bytes: None,
        http: plain_http(),
        services: Vec::new(),
        origin: None,
        subset: None,
    }
}

fn plain_http() -> UpstreamHttp {
    UpstreamHttp {
        protocol: UpstreamProtocol::Http1,
        idle_timeout: None,
        max_connection_duration: None,
        max_requests_per_connection: None,
        max_concurrent_streams: None,
    }
}

fn original(name: &str) -> Cluster {
    let http = UpstreamHttp { protocol: UpstreamProtocol::Downstream, ..plain_http() };
    let cluster = plain(name.to_owned(), Discovery::OriginalDst { port: None });
    Cluster { lb_policy: LbPolicy::ClusterProvided, http, ..cluster }
}

fn at(cluster: &str, address: Address) -> ClusterLoadAssignment {
    let endpoint = LbEndpoint {
        additional_addresses: Vec::new(),
        address,
        health: EndpointHealth::Unknown,
        weight: 1,
        labels: Default::default(),
        workload: None,
    };
    let locality = LocalityEndpoints { endpoints: vec![endpoint], ..Default::default() };
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), localities: vec![locality] }
}

fn spoken(protocol: Protocol) -> UpstreamProtocol {
    match protocol {
        Protocol::Http2 => UpstreamProtocol::Http2,
        Protocol::Unknown => UpstreamProtocol::Downstream,
        Protocol::Http | Protocol::Tls | Protocol::Tcp | Protocol::Udp => UpstreamProtocol::Http1,
    }
}

/// HTTP on its way between two sidecars of our own goes over few connections that many requests share: they agree on
/// HTTP/2, and the other side speaks to its workload as that one speaks.
fn spoken_to(protocol: Protocol, engine: Engine) -> UpstreamProtocol {
    match (protocol, engine) {
        (Protocol::Http, Engine::Leno) => UpstreamProtocol::Negotiated,
        (protocol, _) => spoken(protocol),
    }
}

fn translate_outbound(inputs: &OutboundInputs) -> Cluster {
    let OutboundInputs { service, port, subset, policy, .. } = inputs;
    let settings = &policy.settings;
    let pool = settings.connection_pool.clone().unwrap_or_default();
    let (transport, transport_matches) = transport(inputs);
    let lb_policy = match (service.discovery, settings.load_balancer.as_ref()) {
        (world::Discovery::OriginalDestination, _) => LbPolicy::ClusterProvided,
        (_, Some(balancer)) => balancing(balancer.simple),
        (_, None) => LEAST_REQUEST,
    };
    Cluster {
        discovery: discovery(inputs),
        connect_timeout: pool.tcp.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        lb_policy,
        transport,
        transport_matches,
        circuit: circuit(&pool, policy),
        outlier: settings.outlier_detection.as_ref().map(outlier).map(Box::new),
        buffer_bytes: None,
        http: UpstreamHttp {
            protocol: spoken_to(port.protocol, inputs.engine),
            idle_timeout: pool.http.idle_timeout,
            max_connection_duration: None,
            max_requests_per_connection: positive(pool.http.max_requests_per_connection),
            max_concurrent_streams: None,
        },
        services: vec![service_ref(service)],
        origin: policy.origin.clone(),
        subset: subset.as_ref().map(|subset| subset.name.clone()),
        ..plain(inputs.cluster_name(), Discovery::OriginalDst { port: None })
    }
}

pub(super) fn service_ref(service: &Service) -> ServiceRef {
    ServiceRef {
        host: service.host.to_string(),
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
    }
}

fn discovery(inputs: &OutboundInputs) -> Discovery {
    let listed = || {
        let endpoints = inputs.listed.clone().unwrap_or_default();
        endpoint::translate(&EndpointInputs::new(inputs, endpoints))
    };
    match inputs.service.discovery {
        world::Discovery::Registry => Discovery::Eds { service_name: None },
        world::Discovery::StrictDns => Discovery::StrictDns(Arc::new(listed())),
        world::Discovery::LogicalDns => Discovery::LogicalDns(Arc::new(listed())),
        world::Discovery::OriginalDestination => Discovery::OriginalDst { port: None },
    }
}

fn balancing(simple: SimpleBalancer) -> LbPolicy {
    match simple {
        SimpleBalancer::RoundRobin => LbPolicy::RoundRobin,
        SimpleBalancer::Random => LbPolicy::Random,
        // PASSTHROUGH is refused a place by its own warning, and falls back here.
        SimpleBalancer::Unspecified
        | SimpleBalancer::LeastConn
        | SimpleBalancer::LeastRequest
        | SimpleBalancer::Passthrough => LEAST_REQUEST,
    }
}

fn positive(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn circuit(pool: &ConnectionPool, policy: &Policy) -> CircuitLimits {
    let limit = |number| Some(positive(number).unwrap_or(u32::MAX));
    CircuitLimits {
        max_connections: limit(pool.tcp.max_connections),
        max_pending_requests: limit(pool.http.http1_max_pending_requests),
        max_requests: limit(pool.http.http2_max_requests),
        max_retries: limit(pool.http.max_retries),
        retry_budget: policy.retry_budget.as_ref().map(|budget| RetryBudget {
            per_ten_thousand: budget.per_ten_thousand.unwrap_or(2_000),
            min_concurrency: budget.min_retry_concurrency.unwrap_or(3),
        }),
    }
}

fn outlier(spec: &leno_api::spec::destination_rule::OutlierDetection) -> OutlierDetection {
    let gateway = spec.consecutive_gateway_errors.or(positive(spec.consecutive_errors));
    OutlierDetection {
        consecutive_5xx: spec.consecutive_5xx_errors.unwrap_or(5),
        consecutive_gateway_failure: gateway.unwrap_or(0),
        interval: spec.interval.unwrap_or(Duration::from_secs(10)),
        base_ejection_time: spec.base_ejection_time.unwrap_or(Duration::from_secs(30)),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: positive(spec.max_ejection_percent).unwrap_or(10),
        min_health_percent: spec.min_health_percent,
    }
}
