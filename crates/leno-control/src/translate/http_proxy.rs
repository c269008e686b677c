//! For a workload without a network namespace: a listener that takes what `HTTP_PROXY` brings.
//!
//! As in Istio, asked for by the node's `HTTP_PROXY_PORT`. Such a call has no original destination, so its authority
//! says where it goes. One that names a service and its port finds the routes that a captured call to that port would;
//! any other goes to the host it names, as a captured connection that nobody stands for goes where it was going.

use std::net::SocketAddr;
use std::sync::Arc;

use leno_core::config::{
    Connect, HeaderMutations, Listener, PathMatch, Route, RouteAction, RouteConfiguration,
    RouteSource, VirtualHost,
};

use super::filter;
use super::name;
use super::outbound::{chain, listener};
use super::proxy::Proxy;
use super::route::plain;
use super::route_action::forward_to;
use super::virtual_host::{RouteInputs, named, routes, translate};
use crate::scope::Scope;

/// The listener's and the route configuration's name.
const NAME: &str = "http_proxy";
/// A URL without a port means this one.
const DEFAULT_PORT: u16 = 80;

/// Everything that may influence the pair, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HttpProxyInputs {
    address: SocketAddr,
    ports: Vec<RouteInputs>,
}

/// `None` for a proxy that captures.
pub(super) fn inputs(scope: &Scope<'_>, proxy: &Proxy) -> Option<HttpProxyInputs> {
    let address = SocketAddr::new(proxy.address?, proxy.http_proxy?);
    let ports = routes(scope, proxy).into_iter().filter(RouteInputs::is_of_port).collect();
    Some(HttpProxyInputs { address, ports })
}

/// The listener and its routes.
pub(super) fn make(inputs: &HttpProxyInputs) -> (Arc<Listener>, Arc<RouteConfiguration>) {
    let source = RouteSource::Rds(NAME.to_owned());
    let filter = filter::http_by_authority(NAME.to_owned(), source);
    let listener = Listener {
        bind_to_port: true,
        default_filter_chain: Some(chain(NAME, filter)),
        ..listener(NAME.to_owned(), inputs.address)
    };
    let mut virtual_hosts: Vec<VirtualHost> = inputs.ports.iter().flat_map(of_port).collect();
    virtual_hosts.push(rest());
    let routes = RouteConfiguration {
        name: NAME.to_owned(),
        virtual_hosts,
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        validate_clusters: false,
    };
    (Arc::new(listener), Arc::new(routes))
}

/// The hosts of one port by the names that include it.
fn of_port(inputs: &RouteInputs) -> Vec<VirtualHost> {
    let suffix = format!(":{}", inputs.port());
    let is_default = inputs.port() == DEFAULT_PORT;
    let mut hosts = translate(inputs).virtual_hosts;
    for host in &mut hosts {
        host.domains.retain(|domain| {
            domain.ends_with(&suffix) || (is_default && domain != "*" && !domain.contains(':'))
        });
    }
    hosts.retain(|host| !host.domains.is_empty());
    hosts
}

/// What is not of the mesh (Istio's name for it).
fn rest() -> VirtualHost {
    let route = plain("allow_any", forward_to(name::BY_AUTHORITY.to_owned()));
    named("allow_any".to_owned(), vec!["*".to_owned()], vec![tunnel(), route])
}

/// CONNECT ends here: what is in the tunnel, mostly TLS, goes to the host that it names.
fn tunnel() -> Route {
    let mut action = forward_to(name::BY_AUTHORITY.to_owned());
    if let RouteAction::Forward(forward) = &mut action {
        forward.connect = Some(Connect::Terminate);
        forward.retry_policy = None;
    }
    let mut route = plain("allow_any_tunnel", action);
    route.route_match.path = PathMatch::Connect;
    route
}
