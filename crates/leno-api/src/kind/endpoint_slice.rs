//! `discovery.k8s.io/v1 EndpointSlice`: addresses behind a service.

use std::net::IpAddr;

use serde_json::Value;

use super::{Access, Column, Kind, Scope, StatusWrites, default_to, no_remarks, schema};
use crate::field::{Field, Findings, is_fqdn};
use crate::problem::Problem;

/// Kubernetes' limits.
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;

const FIELDS: &str = "
addressType* enum:IPv4,IPv6,FQDN What the addresses are.
endpoints[]* {} The addresses and what is known of them.
endpoints[].addresses[=]* string Addresses of one endpoint; the first is used.
endpoints[].conditions {} Its state; an absent condition is read as ready.
endpoints[].conditions.ready boolean Whether it takes traffic.
endpoints[].conditions.serving boolean Whether it would, were it not terminating.
endpoints[].conditions.terminating boolean Whether it is going away.
endpoints[].hostname string Its name below a headless service.
endpoints[].nodeName string The node it is on.
endpoints[].zone string The zone it is in.
endpoints[].targetRef {} The pod behind it.
endpoints[].targetRef.kind string Pod.
endpoints[].targetRef.namespace string Namespace of the pod.
endpoints[].targetRef.name string Name of the pod.
endpoints[].targetRef.uid string Uid of the pod.
endpoints[].targetRef.apiVersion string Version of the pod.
endpoints[].targetRef.resourceVersion string Resource version of the pod.
endpoints[].targetRef.fieldPath string Part of the pod.
endpoints[].deprecatedTopology map<string> No longer set.
endpoints[].hints any Zones it is meant for.
ports[] {} Ports of every endpoint.
ports[].name string The name of the service's port.
ports[].protocol enum:TCP,UDP,SCTP TCP when empty.
ports[].port integer The endpoint's port.
ports[].appProtocol string The protocol, over what the name says.
";

const COLUMNS: &[Column] = &[
    Column::path("AddressType", ".addressType").described("What the addresses are."),
    Column::of("Ports", ports).described("Ports of every endpoint."),
    Column::of("Endpoints", endpoints).described("The addresses."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "discovery.k8s.io",
        versions: &["v1"],
        kind: "EndpointSlice",
        list_kind: "EndpointSliceList",
        plural: "endpointslices",
        singular: "endpointslice",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default,
        validate,
        remarks: no_remarks,
    }
}

fn ports(document: &Value) -> Value {
    let ports = document["ports"].as_array().into_iter().flatten();
    some_of(ports.map(|port| port["port"].to_string()).collect())
}

fn endpoints(document: &Value) -> Value {
    let endpoints = document["endpoints"].as_array().into_iter().flatten();
    let addresses = endpoints.flat_map(|one| one["addresses"].as_array().into_iter().flatten());
    some_of(addresses.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// At most three, as kubectl prints them.
fn some_of(all: Vec<String>) -> Value {
    match all.len() {
        0 => "<unset>".into(),
        1..=3 => all.join(",").into(),
        n => format!("{} + {} more...", all[..3].join(","), n - 3).into(),
    }
}

fn default(document: &mut Value) {
    if let Some(ports) = document.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports {
            default_to(port, "name", "");
            default_to(port, "protocol", "TCP");
        }
    }
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let document = Field::document(document);
    let kind = document.at("addressType").text();
    let endpoints = document.at("endpoints");
    if endpoints.items().len() > ENDPOINTS_MAX {
        findings
            .invalid(&endpoints, format!("may have {ENDPOINTS_MAX} endpoints; use another slice"));
    }
    for endpoint in endpoints.items() {
        let addresses = endpoint.at("addresses");
        match addresses.items().len() {
            0 => findings.required(&addresses, "an endpoint has an address"),
            1..=ADDRESSES_MAX => {}
            _ => findings.invalid(&addresses, format!("may have {ADDRESSES_MAX} addresses")),
        }
        for address in addresses.items() {
            let text = address.text();
            let ip = text.parse::<IpAddr>().ok();
            let (fits, right) = match kind {
                "IPv4" => (ip.is_some_and(|ip| ip.is_ipv4()), "an IPv4 address"),
                "IPv6" => (ip.is_some_and(|ip| ip.is_ipv6()), "an IPv6 address"),
                "FQDN" => (is_fqdn(text) && ip.is_none(), "a DNS name"),
                _ => (true, ""),
            };
            if !fits {
                findings
                    .invalid(&address, format!("{text:?}: must be {right}, as addressType says"));
            }
        }
    }
    let ports = document.at("ports").items();
    for (index, port) in ports.iter().enumerate() {
        findings.port(&port.at("port"));
        let name = port.at("name");
        if ports[..index].iter().any(|earlier| earlier.at("name").text() == name.text()) {
            findings.duplicate(&name, format!("{:?} names another port already", name.text()));
        }
    }
    findings.into_problems()
}
