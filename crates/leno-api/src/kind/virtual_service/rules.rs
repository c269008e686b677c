//! Istio's rules for a VirtualService as a whole, for TCP and for TLS.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::shared_rules::{export_to, host, number_of};
use super::http_rules;
use crate::field::{Field, Findings, is_dns_label, is_dns_name};
use crate::problem::{Problem, Warning};

/// What stands for every sidecar.
const MESH: &str = "mesh";

pub(in crate::kind) fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let spec = Field::document(document).at("spec");
    if !spec.is_set() {
        findings.required(&spec, "hosts and rules");
        return findings.into_problems();
    }
    hosts(&spec, &mut findings);
    gateways(&spec.at("gateways"), &mut findings);
    export_to(&spec.at("exportTo"), &mut findings);
    let rules = ["http", "tcp", "tls"].map(|kind| spec.at(kind).items());
    if rules.iter().all(Vec::is_empty) {
        findings.required(&spec.at("http"), "one of http, tcp and tls must have a rule");
    }
    let [http, tcp, tls] = rules;
    for rule in &http {
        http_rules::rule(rule, &mut findings);
    }
    for rule in &tcp {
        for one in rule.at("match").items() {
            layer_four(&one, &mut findings);
        }
        forwarded(&rule.at("route"), &mut findings);
    }
    let served = spec.at("hosts");
    for rule in &tls {
        if rule.at("match").items().is_empty() {
            findings.required(&rule.at("match"), "a TLS rule needs a match with sniHosts");
        }
        for one in rule.at("match").items() {
            layer_four(&one, &mut findings);
            sni_hosts(&one.at("sniHosts"), &served, &mut findings);
        }
        forwarded(&rule.at("route"), &mut findings);
    }
    findings.into_problems()
}

fn hosts(spec: &Field<'_>, findings: &mut Findings) {
    let hosts = spec.at("hosts");
    let items = hosts.items();
    if items.is_empty() && !hosts.value().is_string() {
        findings.required(&hosts, "at least one host");
    }
    let gateways = spec.at("gateways").items();
    let for_mesh = gateways.is_empty() || gateways.iter().any(|gateway| gateway.text() == MESH);
    for (index, item) in items.iter().enumerate() {
        if item.text() == "*" && for_mesh {
            findings.invalid(item, "\"*\": all hosts of the mesh cannot be taken over; name them, or use a gateway other than mesh");
        } else if item.text().parse::<IpAddr>().is_err() {
            host(item, findings);
        }
        let same = |earlier: &Field<'_>| earlier.text().eq_ignore_ascii_case(item.text());
        if items[..index].iter().any(same) {
            findings.duplicate(item, format!("{:?} is there already", item.text()));
        }
    }
}

/// `mesh`, `name` or `namespace/name`.
pub(super) fn gateways(field: &Field<'_>, findings: &mut Findings) {
    for item in field.items() {
        let (namespace, name) = item.text().split_once('/').unwrap_or(("default", item.text()));
        let is_namespace = is_dns_label(namespace) || namespace == ".";
        if !is_namespace || !is_dns_name(name) {
            let right = "must be mesh, a gateway's name, or namespace/name";
            findings.invalid(&item, format!("{:?}: {right}", item.text()));
        }
    }
}

/// What is asked of the caller; the same for every protocol.
pub(super) fn caller(one: &Field<'_>, findings: &mut Findings) {
    findings.port(&one.at("port"));
    findings.labels(&one.at("sourceLabels"));
    gateways(&one.at("gateways"), findings);
    let namespace = one.at("sourceNamespace");
    if namespace.has_content() && !is_dns_label(namespace.text()) {
        findings.invalid(&namespace, format!("{:?}: must be a namespace", namespace.text()));
    }
}

fn layer_four(one: &Field<'_>, findings: &mut Findings) {
    caller(one, findings);
    let mut networks = one.at("destinationSubnets").items();
    networks.extend(Some(one.at("sourceSubnet")).filter(Field::has_content));
    for network in networks {
        let text = network.text();
        if text.parse::<IpNet>().is_err() && text.parse::<IpAddr>().is_err() {
            findings.invalid(
                &network,
                format!("{text:?}: must be an address or a network such as 10.0.0.0/8"),
            );
        }
    }
}

fn sni_hosts(names: &Field<'_>, served: &Field<'_>, findings: &mut Findings) {
    if names.items().is_empty() {
        findings.required(names, "at least one server name");
    }
    for name in names.items() {
        host(&name, findings);
        let covers = |served: &Field<'_>| match served.text().strip_prefix('*') {
            Some(suffix) => name.text().ends_with(suffix),
            None => name.text() == served.text(),
        };
        if !served.items().iter().any(covers) {
            findings.invalid(&name, format!("{:?}: is none of spec.hosts", name.text()));
        }
    }
}

fn forwarded(route: &Field<'_>, findings: &mut Findings) {
    if route.items().is_empty() {
        findings.required(route, "where connections go");
    }
    weighted(route, findings);
}

/// Weights and destinations of a list of routes.
pub(super) fn weighted(route: &Field<'_>, findings: &mut Findings) {
    let parts = route.items();
    let mut sum = 0;
    for part in &parts {
        let weight = part.at("weight");
        findings.in_range(&weight, 0..=i64::from(u32::MAX));
        sum += weight.integer().unwrap_or(0).max(0);
        let to = part.at("destination");
        if !to.is_set() {
            findings.required(&to, "where requests go");
        }
        destination(&to, findings);
    }
    if parts.len() > 1 && sum == 0 {
        findings.invalid(route, "the weights of several destinations must not all be 0");
    }
    if sum > i64::from(u32::MAX) {
        findings
            .invalid(route, format!("the weights add up to {sum}: may be {} together", u32::MAX));
    }
}

pub(super) fn destination(to: &Field<'_>, findings: &mut Findings) {
    if !to.is_set() {
        return;
    }
    let name = to.at("host");
    if name.text() == "*" {
        findings.invalid(&name, "\"*\": a destination is one host");
    } else if name.has_content() {
        host(&name, findings);
    } else {
        findings.required(&name, "the destination's host");
    }
    let subset = to.at("subset");
    if subset.has_content() && !is_dns_label(subset.text()) {
        findings.invalid(
            &subset,
            format!("{:?}: must be lower-case letters, digits and '-'", subset.text()),
        );
    }
    number_of(&to.at("port"), findings);
}

/// Gateways that nobody serves, rules that nothing reaches, faults that hit nobody.
pub(in crate::kind) fn remarks(document: &Value) -> Vec<Warning> {
    let spec = Field::document(document).at("spec");
    let mut warnings = Vec::new();
    let http = spec.at("http").items();
    let matches = http.iter().flat_map(|rule| rule.at("match").items());
    let gateways = matches.map(|one| one.at("gateways")).chain([spec.at("gateways")]);
    for gateway in gateways.flat_map(|field| field.items()) {
        if gateway.text() != MESH {
            let reason = format!(
                "no gateway {:?} is served by this version of Leno; sidecars follow rules for mesh",
                gateway.text()
            );
            warnings.push(Warning::new(gateway.path(), reason));
        }
    }
    let ends = http.iter().position(|rule| rule.at("match").items().is_empty());
    for rule in http.iter().skip(ends.map_or(usize::MAX, |end| end + 1)) {
        let end = ends.map_or_else(String::new, |end| format!("spec.http[{end}]"));
        warnings.push(Warning::new(
            rule.path(),
            format!("is never reached: {end} takes every request"),
        ));
    }
    for rule in &http {
        warnings.extend(http_rules::remarks(rule));
    }
    warnings
}
