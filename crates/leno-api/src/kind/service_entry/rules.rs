//! Istio's rules for a ServiceEntry: above all, what each resolution needs.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::shared_rules::{export_to, host, selector};
use crate::field::{Field, Findings, is_dns_label, is_fqdn};
use crate::problem::{Problem, Warning};

const PROTOCOLS: [&str; 12] = [
    "HTTP",
    "HTTPS",
    "HTTP2",
    "GRPC",
    "GRPC-WEB",
    "TLS",
    "TCP",
    "MONGO",
    "MYSQL",
    "REDIS",
    "UDP",
    "HTTP_PROXY",
];

pub(in crate::kind) fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let spec = Field::document(document).at("spec");
    let hosts = spec.at("hosts");
    if hosts.items().is_empty() {
        findings.required(&hosts, "at least one DNS name");
    }
    for name in hosts.items() {
        if name.text() == "*" {
            findings.invalid(&name, "\"*\": a service has a name; *.example.com is the widest");
        } else {
            host(&name, &mut findings);
        }
    }
    export_to(&spec.at("exportTo"), &mut findings);
    ports(&spec.at("ports").items(), &mut findings);
    addresses(&spec, &mut findings);
    resolution(&spec, &mut findings);
    for endpoint in spec.at("endpoints").items() {
        check_endpoint(&endpoint, &spec, &mut findings);
    }
    selector(&spec.below("workloadSelector.labels"), &mut findings);
    findings.into_problems()
}

fn ports(ports: &[Field<'_>], findings: &mut Findings) {
    for (index, port) in ports.iter().enumerate() {
        let (name, number) = (port.at("name"), port.at("number"));
        if name.is_set() && !is_dns_label(name.text()) {
            findings.invalid(
                &name,
                format!(
                    "{:?}: must be lower-case letters, digits and '-', at most 63",
                    name.text()
                ),
            );
        }
        findings.port(&number);
        findings.port(&port.at("targetPort"));
        let same = |earlier: &Field<'_>| earlier.at("number").value() == number.value();
        if number.is_set() && ports[..index].iter().any(same) {
            findings
                .duplicate(&number, format!("{} is another port's number already", number.value()));
        }
        let protocol = port.at("protocol");
        let known = PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol.text()));
        if protocol.has_content() && !known {
            let right = PROTOCOLS.join(", ");
            findings
                .unsupported(&protocol, format!("{:?}: must be one of {right}", protocol.text()));
        }
    }
}

fn addresses(spec: &Field<'_>, findings: &mut Findings) {
    let resolution = spec.at("resolution").text();
    for address in spec.at("addresses").items() {
        let text = address.text();
        if text.parse::<IpAddr>().is_ok() {
            continue;
        }
        match text.parse::<IpNet>() {
            Err(_) => findings.invalid(
                &address,
                format!("{text:?}: must be an address or a network such as 10.0.0.0/8"),
            ),
            Ok(_) if !matches!(resolution, "" | "NONE" | "STATIC") => {
                findings.invalid(
                    &address,
                    format!("{text:?}: a network needs resolution NONE or STATIC"),
                );
            }
            Ok(_) => {}
        }
    }
}

fn resolution(spec: &Field<'_>, findings: &mut Findings) {
    let endpoints = spec.at("endpoints");
    let chosen = spec.at("workloadSelector");
    if endpoints.has_content() && chosen.is_set() {
        findings.forbidden(&chosen, "a service has endpoints or workloadSelector, not both");
    }
    let word = spec.at("resolution");
    match word.text() {
        "" | "NONE" | "DYNAMIC_DNS" => {
            if endpoints.has_content() {
                findings.forbidden(&endpoints, "resolution NONE goes where the caller dialled: remove the endpoints, or use STATIC or DNS");
            }
            for port in spec.at("ports").items() {
                let target = port.at("targetPort");
                if target.is_set() {
                    findings
                        .forbidden(&target, "resolution NONE goes to the port the caller dialled");
                }
            }
        }
        "STATIC" if !endpoints.has_content() && !chosen.is_set() => {
            findings.required(&endpoints, "resolution STATIC needs endpoints");
        }
        "DNS" | "DNS_ROUND_ROBIN" => {
            if word.text() == "DNS_ROUND_ROBIN" && endpoints.items().len() > 1 {
                findings.invalid(&endpoints, "resolution DNS_ROUND_ROBIN has one endpoint at most");
            }
            for name in spec.at("hosts").items() {
                if !endpoints.has_content() && name.text().starts_with('*') {
                    findings.invalid(&name, format!("{:?}: a wildcard cannot be resolved; name endpoints, or use resolution NONE", name.text()));
                }
            }
        }
        _ => {}
    }
}

fn check_endpoint(endpoint: &Field<'_>, spec: &Field<'_>, findings: &mut Findings) {
    let address = endpoint.at("address");
    let text = address.text();
    let ports = spec.at("ports").items();
    if !address.has_content() {
        findings.required(&address, "an address");
    } else if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') || ports.len() > 1 {
            findings.invalid(
                &address,
                "a Unix socket is named by its whole path, for a service of one port",
            );
        }
    } else {
        let is_ip = text.parse::<IpAddr>().is_ok();
        match spec.at("resolution").text() {
            "STATIC" if !is_ip => findings
                .invalid(&address, format!("{text:?}: resolution STATIC needs an IP address")),
            "DNS" | "DNS_ROUND_ROBIN" if !is_ip && !is_fqdn(text) => {
                findings
                    .invalid(&address, format!("{text:?}: must be an IP address or a DNS name"));
            }
            _ => {}
        }
    }
    for (name, number) in endpoint.at("ports").entries() {
        findings.port(&number);
        if !ports.iter().any(|port| port.at("name").text() == name) {
            findings.invalid(&number, format!("{name:?}: is none of spec.ports"));
        }
    }
    findings.labels(&endpoint.at("labels"));
    findings.in_range(&endpoint.at("weight"), 0..=i64::from(u32::MAX));
}

pub(in crate::kind) fn remarks(document: &Value) -> Vec<Warning> {
    let spec = Field::document(document).at("spec");
    let mut warnings = Vec::new();
    let ports = spec.at("ports");
    if spec.at("hosts").has_content() && ports.items().is_empty() {
        warnings.push(Warning::new(ports.path(), "without ports the service cannot be called"));
    }
    let resolution = spec.at("resolution");
    if resolution.text() == "DYNAMIC_DNS" {
        let reason =
            format!("DYNAMIC_DNS is {}; calls go where the caller dialled", Warning::NOT_ENFORCED);
        warnings.push(Warning::new(resolution.path(), reason));
    }
    for name in spec.at("hosts").items() {
        if !name.text().contains('.') {
            warnings.push(Warning::new(
                name.path(),
                format!("{:?}: a short name matches only callers that use exactly it", name.text()),
            ));
        }
    }
    for port in ports.items() {
        if port.at("protocol").text().eq_ignore_ascii_case("UDP") {
            warnings.push(Warning::new(
                port.at("protocol").path(),
                "UDP is not captured and goes past the proxies",
            ));
        }
    }
    warnings
}
