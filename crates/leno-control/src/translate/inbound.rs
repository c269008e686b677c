//! The inbound listener: a filter chain per port of the workload and way of securing it, and one for all other ports.
//!
//! STRICT takes only mutual TLS. PERMISSIVE also takes plain text, and TLS of others, which passes through untouched.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config::{
    Address, DownstreamTls, FilterChain, FilterChainMatch, HeaderMutations, Listener,
    ListenerFilter, NetworkFilter, RouteConfiguration, RouteSource, ServiceRef, TlsVersions,
    TrafficDirection, TransportProtocol,
};

use super::filter;
use super::mtls::{MutualTlsMode, mode_of};
use super::name;
use super::outbound::beside;
use super::proxy::{Engine, Proxy, Stacks};
use super::route::plain;
use super::route_action::forward_to;
use super::virtual_host::named;
use crate::world::{Endpoint, Protocol, World};

/// Everything that may influence the inbound listener, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InboundInputs {
    pub(super) ports: Vec<InboundPort>,
    engine: Engine,
    stacks: Stacks,
    /// For ports that no service names.
    other_ports: MutualTlsMode,
}

/// A port of the workload that services lead to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct InboundPort {
    pub(super) number: u16,
    /// Where the sidecar listens for it, if that is another one.
    listened: Option<u16>,
    pub(super) protocol: Protocol,
    mode: MutualTlsMode,
    pub(super) services: Vec<ServiceRef>,
}

/// What sidecars offer each other, by what they are about to speak.
const MESH_HTTP: [&str; 3] = ["istio-h2", "istio-http/1.1", "istio-http/1.0"];
const MESH_TCP: [&str; 2] = ["istio-peer-exchange", "istio"];
/// How long to wait for bytes before plain TCP is assumed.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn inputs(world: &World, proxy: &Proxy) -> InboundInputs {
    let own = world.workload(&proxy.namespace, &proxy.name);
    let mode = |port| mode_of(world, &proxy.namespace, &proxy.labels, port);
    let mut ports: BTreeMap<u16, InboundPort> = BTreeMap::new();
    for ((host, namespace), endpoints) in world.all_endpoints() {
        let services = world.services().get(host).into_iter().flatten();
        let Some(service) = services.into_iter().find(|one| one.namespace == *namespace) else {
            continue;
        };
        for (number, endpoints) in &endpoints.by_port {
            let Some(port) = service.port(*number) else { continue };
            if port.protocol == Protocol::Udp {
                continue;
            }
            for target in endpoints.iter().filter_map(|endpoint| own_port(endpoint, proxy)) {
                let number = own.map_or(target, |own| own.program_port(target));
                let known = ports.entry(number).or_insert_with(|| InboundPort {
                    number,
                    listened: (target != number).then_some(target),
                    protocol: port.protocol,
                    mode: mode(Some(number)),
                    services: Vec::new(),
                });
                let service = super::cluster::service_ref(service);
                if !known.services.contains(&service) {
                    known.services.push(service);
                }
            }
        }
    }
    InboundInputs {
        ports: ports.into_values().collect(),
        engine: proxy.engine,
        stacks: proxy.stacks,
        other_ports: mode(None),
    }
}

/// The port, when the endpoint is this proxy's workload.
fn own_port(endpoint: &Endpoint, proxy: &Proxy) -> Option<u16> {
    let Address::Socket(address) = &endpoint.address else { return None };
    let own = match &endpoint.pod {
        Some((namespace, name)) => *namespace == proxy.namespace && *name == proxy.name,
        None => proxy.address == Some(address.ip()),
    };
    own.then(|| address.port())
}

pub(super) fn translate(inputs: &InboundInputs) -> Vec<Arc<Listener>> {
    let mut chains = vec![FilterChain {
        filter_chain_match: FilterChainMatch {
            destination_port: Some(name::INBOUND_PORT),
            ..FilterChainMatch::default()
        },
        ..chain("virtualInbound-blackhole", filter::tcp_to(name::BLACK_HOLE))
    }];
    for port in &inputs.ports {
        chains.extend(of_port(port, inputs.engine));
    }
    let passthrough = filter::tcp_to(name::INBOUND_PASSTHROUGH);
    let name = "virtualInbound".to_owned();
    let rest = Way { name, port: None, mode: inputs.other_ports, engine: inputs.engine };
    chains.extend(rest.chains(&passthrough, &passthrough, &MESH_TCP, &mesh_words()));
    vec![Arc::new(Listener {
        access_log: Vec::new(),
        name: "virtualInbound".to_owned(),
        address: SocketAddr::new(inputs.stacks.any().0, name::INBOUND_PORT).into(),
        additional_addresses: beside(inputs.stacks, name::INBOUND_PORT),
        buffer_bytes: None,
        bind_to_port: true,
        use_original_dst: false,
        direction: TrafficDirection::Inbound,
        listener_filters: vec![
            ListenerFilter::OriginalDst,
            ListenerFilter::TlsInspector,
            ListenerFilter::HttpInspector,
        ],
        listener_filters_timeout: INSPECT_TIMEOUT,
        continue_on_listener_filters_timeout: true,
        filter_chains: chains,
        default_filter_chain: None,
    })]
}

/// For what arrives at the program's port, and at the one the sidecar has in its place.
fn of_port(port: &InboundPort, engine: Engine) -> Vec<FilterChain> {
    let arrived_at = [Some(port.number), port.listened];
    arrived_at.into_iter().flatten().flat_map(|number| arriving(port, number, engine)).collect()
}

fn arriving(port: &InboundPort, number: u16, engine: Engine) -> Vec<FilterChain> {
    let name = format!("0.0.0.0_{number}");
    let cluster = name::inbound_cluster(port.number);
    let tcp = filter::tcp_to(&cluster);
    let way = Way { name, port: Some(number), mode: port.mode, engine };
    match port.protocol {
        Protocol::Http | Protocol::Http2 => {
            way.chains(&http(port.number), &tcp, &MESH_HTTP, &mesh_words())
        }
        Protocol::Tcp | Protocol::Tls | Protocol::Udp => {
            way.chains(&tcp, &tcp, &MESH_TCP, &mesh_words())
        }
        Protocol::Unknown => {
            let mut chains = way.chains(&tcp, &tcp, &MESH_TCP, &MESH_TCP);
            chains.extend(way.recognised(&http(port.number)));
            chains
        }
    }
}

fn http(port: u16) -> NetworkFilter {
    let cluster = name::inbound_cluster(port);
    let host = named(
        format!("inbound|http|{port}"),
        vec!["*".to_owned()],
        vec![plain("default", without_retries(forward_to(cluster.clone())))],
    );
    let routes = RouteConfiguration {
        name: cluster,
        virtual_hosts: vec![host],
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    };
    let stat_prefix = format!("inbound_0.0.0.0_{port}");
    filter::http(stat_prefix, RouteSource::Inline(Arc::new(routes)), TrafficDirection::Inbound)
}

/// The caller's proxy retries; a second try here would multiply with it.
fn without_retries(action: leno_core::config::RouteAction) -> leno_core::config::RouteAction {
    use leno_core::config::{Forward, RouteAction};
    match action {
        RouteAction::Forward(forward) => {
            RouteAction::Forward(Box::new(Forward { retry_policy: None, ..*forward }))
        }
        other => other,
    }
}

fn mesh_words() -> Vec<&'static str> {
    MESH_HTTP.into_iter().chain(MESH_TCP).collect()
}

/// One port (or all that are left) and how it is secured.
struct Way {
    name: String,
    port: Option<u16>,
    mode: MutualTlsMode,
    engine: Engine,
}

impl Way {
    /// `own` is for what sidecars and plain callers send, `foreign` for TLS that is not ours; sidecars are told by the
    /// protocols they offer, `told_by`.
    fn chains(
        &self,
        own: &NetworkFilter,
        foreign: &NetworkFilter,
        spoken: &[&str],
        told_by: &[&str],
    ) -> Vec<FilterChain> {
        use TransportProtocol::{RawBuffer, Tls};
        let secured = |application_protocols: Vec<String>| FilterChain {
            tls: Some(mutual_tls(spoken, self.engine)),
            ..self.chain("", Some(Tls), application_protocols, own)
        };
        let mesh = told_by.iter().map(|&name| name.to_owned()).collect();
        match self.mode {
            MutualTlsMode::Strict => vec![secured(Vec::new())],
            MutualTlsMode::Permissive => vec![
                secured(mesh),
                self.chain("-plaintext", Some(RawBuffer), Vec::new(), own),
                self.chain("-tls", Some(Tls), Vec::new(), foreign),
            ],
            MutualTlsMode::Disable => vec![
                self.chain("-plaintext", Some(RawBuffer), Vec::new(), own),
                self.chain("-tls", Some(Tls), Vec::new(), foreign),
            ],
        }
    }

    /// HTTP on a port of which nobody said what it speaks: told by ALPN, or by its first bytes.
    fn recognised(&self, http: &NetworkFilter) -> Vec<FilterChain> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let secured = FilterChain {
            tls: Some(mutual_tls(&MESH_HTTP, self.engine)),
            ..self.chain("-http", Some(TransportProtocol::Tls), words(&MESH_HTTP), http)
        };
        let raw = Some(TransportProtocol::RawBuffer);
        let plaintext =
            self.chain("-http-plaintext", raw, words(&["http/1.0", "http/1.1", "h2c"]), http);
        match self.mode {
            MutualTlsMode::Strict => vec![secured],
            MutualTlsMode::Permissive => vec![secured, plaintext],
            MutualTlsMode::Disable => vec![plaintext],
        }
    }

    fn chain(
        &self,
        suffix: &str,
        transport_protocol: Option<TransportProtocol>,
        application_protocols: Vec<String>,
        filter: &NetworkFilter,
    ) -> FilterChain {
        let filter_chain_match = FilterChainMatch {
            destination_port: self.port,
            transport_protocol,
            application_protocols,
            ..FilterChainMatch::default()
        };
        let name = format!("{}{suffix}", self.name);
        FilterChain { filter_chain_match, ..chain(&name, filter.clone()) }
    }
}

fn chain(name: &str, filter: NetworkFilter) -> FilterChain {
    let filter_chain_match = FilterChainMatch::default();
    FilterChain { filter_chain_match, ..FilterChain::minimal(name, filter) }
}

/// A certificate of the mesh is demanded; whom it names is for authorization to judge.
fn mutual_tls(spoken: &[&str], engine: Engine) -> DownstreamTls {
    const PLAIN: [&str; 2] = ["h2", "http/1.1"];
    let mesh: Vec<&str> = match (engine, spoken.contains(&"istio-h2")) {
        // Envoy reads HTTP/2 only under its plain name; where no name is agreed on it looks at the bytes.
        (Engine::Envoy, true) => PLAIN.to_vec(),
        (Engine::Leno, true) => spoken.iter().chain(&PLAIN).chain(&["istio"]).copied().collect(),
        (_, false) => spoken.iter().chain(&["istio"]).copied().collect(),
    };
    let alpn = mesh.into_iter().map(str::to_owned);
    let mut offered: Vec<String> = Vec::new();
    for name in alpn {
        if !offered.contains(&name) {
            offered.push(name);
        }
    }
    DownstreamTls {
        versions: TlsVersions::default(),
        require_client_certificate: true,
        certificate: name::OWN_CERTIFICATE.to_owned(),
        trust_bundle: Some(name::TRUST_BUNDLE.to_owned()),
        peer_sans: Vec::new(),
        alpn: offered,
    }
}
