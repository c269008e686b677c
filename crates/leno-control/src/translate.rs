//! From the world to one proxy's resources, in Istio's layout and names. Pure.
//!
//! Each resource is made by a plain `fn` from its inputs, and the inputs are the memo's key: a translation cannot
//! depend on what its key does not hold. Translating twice gives the same resources; the order of documents counts
//! only by their age.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_core::config::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration};
use leno_xds::name_table::{NAME_TABLE, NameTable};

use crate::scope::Scope;
use crate::world::World;

mod cluster;
mod destination;
mod encode;
mod endpoint;
mod filter;
mod http_proxy;
mod inbound;
mod memo;
mod mtls;
mod name;
mod names;
mod outbound;
mod policy;
mod proxy;
mod retry;
mod route;
mod route_action;
mod route_match;
mod source;
mod tcp;
mod virtual_host;

pub use mtls::{MutualTlsMode, mode_of};
pub use proxy::{Engine, Proxy, Stacks};
pub use source::Translation;

use memo::Memo;

/// Everything one proxy shall have, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// LDS.
    pub listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    /// RDS.
    pub routes: BTreeMap<Arc<str>, Arc<RouteConfiguration>>,
    /// CDS.
    pub clusters: BTreeMap<Arc<str>, Arc<Cluster>>,
    /// EDS.
    pub endpoints: BTreeMap<Arc<str>, Arc<ClusterLoadAssignment>>,
    /// NDS.
    pub names: BTreeMap<Arc<str>, Arc<NameTable>>,
}

/// Translates, and remembers what it made.
#[derive(Debug, Default)]
pub struct Translator {
    listeners: Memo<outbound::ListenerInputs, Listener>,
    inbound: Memo<inbound::InboundInputs, Vec<Arc<Listener>>>,
    routes: Memo<virtual_host::RouteInputs, RouteConfiguration>,
    http_proxies: Memo<http_proxy::HttpProxyInputs, (Arc<Listener>, Arc<RouteConfiguration>)>,
    clusters: Memo<cluster::ClusterInputs, Cluster>,
    endpoints: Memo<endpoint::EndpointInputs, ClusterLoadAssignment>,
    names: Memo<NameTable, NameTable>,
}

impl Translator {
    /// What `proxy` shall have in `world`.
    pub fn translate(&mut self, world: &World, proxy: &Proxy) -> Translated {
        let scope = Scope::new(world, &proxy.namespace);
        let mut translated = Translated::default();
        for inputs in outbound::listeners(&scope, proxy) {
            let listener = self.listeners.get_or_make(&inputs, outbound::translate);
            translated.listeners.insert(listener.name.as_str().into(), listener);
        }
        let inbound = inbound::inputs(world, proxy);
        for listener in self.inbound.get_or_make(&inbound, inbound::translate).iter() {
            translated.listeners.insert(listener.name.as_str().into(), listener.clone());
        }
        for inputs in virtual_host::routes(&scope, proxy) {
            let routes = self.routes.get_or_make(&inputs, virtual_host::translate);
            translated.routes.insert(routes.name.as_str().into(), routes);
        }
        if let Some(inputs) = http_proxy::inputs(&scope, proxy) {
            let made = self.http_proxies.get_or_make(&inputs, http_proxy::make);
            let (listener, routes) = &*made;
            translated.listeners.insert(listener.name.as_str().into(), listener.clone());
            translated.routes.insert(routes.name.as_str().into(), routes.clone());
        }
        let by_authority = proxy.http_proxy.map(|_| cluster::ClusterInputs::ByAuthority);
        let clusters =
            cluster::outbound(&scope, proxy).into_iter().chain(cluster::inbound(&inbound));
        for inputs in clusters.chain(by_authority) {
            let cluster = self.clusters.get_or_make(&inputs, cluster::translate);
            let name: Arc<str> = cluster.name.as_str().into();
            if let Some(inputs) = endpoint::inputs(&scope, &inputs) {
                let made = self.endpoints.get_or_make(&inputs, endpoint::translate);
                translated.endpoints.insert(name.clone(), made);
            }
            translated.clusters.insert(name, cluster);
        }
        let names = self.names.get_or_make(&names::inputs(&scope), names::translate);
        translated.names.insert(NAME_TABLE.into(), names);
        translated
    }

    /// Forgets what was not used since the last calls of this: call it after every change of the world.
    pub fn sweep(&mut self) {
        self.listeners.sweep();
        self.inbound.sweep();
        self.routes.sweep();
        self.http_proxies.sweep();
        self.clusters.sweep();
        self.endpoints.sweep();
        self.names.sweep();
    }
}

#[cfg(test)]
pub(crate) mod tests;
