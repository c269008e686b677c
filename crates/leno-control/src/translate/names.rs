//! Names for the DNS proxy (Istio's NDS): every visible service that has addresses.
//!
//! A service without a virtual address answers with those of its endpoints. Names that only DNS knows are left to it.

use std::net::IpAddr;

use leno_core::config::Address;
use leno_xds::name_table::{NameEntry, NameTable};

use crate::scope::Scope;
use crate::world::{CLUSTER_DOMAIN, Discovery, Service};

/// The table is its own key.
pub(super) fn inputs(scope: &Scope<'_>) -> NameTable {
    let answered = scope.services().filter(|service| !service.host.starts_with('*'));
    answered
        .filter_map(|service| Some((service.host.to_string(), entry(scope, service)?)))
        .collect()
}

pub(super) fn translate(inputs: &NameTable) -> NameTable {
    inputs.clone()
}

fn entry(scope: &Scope<'_>, service: &Service) -> Option<NameEntry> {
    let mut addresses: Vec<IpAddr> = service.virtual_ips().collect();
    if addresses.is_empty() && service.discovery == Discovery::Registry {
        let endpoints = scope.world().endpoints(service)?;
        let available = endpoints.by_port.values().flatten();
        let available = available.filter(|endpoint| endpoint.health.is_available());
        addresses.extend(available.filter_map(|endpoint| match &endpoint.address {
            Address::Socket(address) => Some(address.ip()),
            Address::Host { .. } | Address::Pipe(_) | Address::Internal(_) => None,
        }));
        addresses.sort_unstable();
        addresses.dedup();
    }
    if addresses.is_empty() {
        return None;
    }
    let own = format!("{}.{}.svc.{CLUSTER_DOMAIN}", service.name, service.namespace);
    let text = |text: &str| if *service.host == own { text.to_owned() } else { String::new() };
    let (short_name, namespace) = (text(&service.name), text(&service.namespace));
    Some(NameEntry { addresses, short_name, namespace })
}
