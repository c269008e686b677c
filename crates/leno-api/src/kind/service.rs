//! `v1 Service`: a name and ports for a set of workloads. The virtual address is allocated by the API server.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Access, Column, Kind, Scope, StatusWrites, default_to, schema};
use crate::field::{Field, Findings, is_dns_label, is_fqdn};
use crate::problem::{Problem, Warning};

const FIELDS: &str = "
spec {} What the service should be.
spec.type enum:ClusterIP,NodePort,LoadBalancer,ExternalName How the service is reached.
spec.selector map<string> Labels of the pods behind it; without one, EndpointSlices are written by hand.
spec.ports[port,protocol] {} What it listens on.
spec.ports[port,protocol].name string A DNS label; its first part says the protocol (http, http2, grpc, tcp, tls).
spec.ports[port,protocol].protocol enum:TCP,UDP,SCTP TCP when empty.
spec.ports[port,protocol].port* integer The port clients dial.
spec.ports[port,protocol].targetPort int-or-string The port of the workloads, by number or name; port when empty.
spec.ports[port,protocol].nodePort integer The port on every node.
spec.ports[port,protocol].appProtocol string The protocol, over what the name says.
spec.clusterIP string The virtual address; allocated when empty, None for a headless service.
spec.clusterIPs[] string The virtual addresses.
spec.ipFamilies[] enum:IPv4,IPv6 Families of the virtual addresses.
spec.ipFamilyPolicy enum:SingleStack,PreferDualStack,RequireDualStack How many families.
spec.externalIPs[] string Further addresses.
spec.externalName string The DNS name an ExternalName service stands for.
spec.sessionAffinity enum:None,ClientIP Whether a client sticks to an endpoint.
spec.sessionAffinityConfig.clientIP.timeoutSeconds integer How long it sticks.
spec.internalTrafficPolicy enum:Cluster,Local Which endpoints callers inside may reach.
spec.externalTrafficPolicy enum:Cluster,Local Which endpoints callers outside may reach.
spec.trafficDistribution string A preference for near endpoints.
spec.publishNotReadyAddresses boolean Whether endpoints that are not ready get traffic.
spec.loadBalancerIP string No longer used.
spec.loadBalancerClass string Which load balancer.
spec.loadBalancerSourceRanges[] string Who may reach the load balancer.
spec.allocateLoadBalancerNodePorts boolean Whether node ports are allocated.
spec.healthCheckNodePort integer The port of health checks.
status {} What the service is.
status.loadBalancer.ingress[] any Addresses of the load balancer.
status.conditions[type] @Condition What became of it.
";

const COLUMNS: &[Column] = &[
    Column::path("Type", ".spec.type").described("How the service is reached."),
    Column::of("Cluster-IP", cluster_ip).described("The virtual address."),
    Column::of("External-IP", external_ip).described("Where it is reached from outside."),
    Column::of("Port(s)", ports).described("What it listens on."),
    Column::age(),
    Column::of("Selector", selector).wide().described("Labels of the pods behind it."),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Service",
        list_kind: "ServiceList",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default,
        validate,
        remarks,
    }
}

fn cluster_ip(document: &Value) -> Value {
    match document["spec"]["clusterIP"].as_str() {
        Some(address) if !address.is_empty() => address.into(),
        _ => "<none>".into(),
    }
}

fn external_ip(document: &Value) -> Value {
    let spec = &document["spec"];
    if let Some(name) = spec["externalName"].as_str().filter(|name| !name.is_empty()) {
        return name.into();
    }
    let addresses: Vec<&str> =
        spec["externalIPs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if addresses.is_empty() { "<none>".into() } else { addresses.join(",").into() }
}

fn ports(document: &Value) -> Value {
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64() {
            Some(node_port) if node_port != 0 => format!("{}:{node_port}/{protocol}", port["port"]),
            _ => format!("{}/{protocol}", port["port"]),
        }
    };
    let ports: Vec<String> =
        document["spec"]["ports"].as_array().into_iter().flatten().map(port).collect();
    if ports.is_empty() { "<none>".into() } else { ports.join(",").into() }
}

fn selector(document: &Value) -> Value {
    let Some(labels) = document["spec"]["selector"].as_object().filter(|map| !map.is_empty())
    else {
        return "<none>".into();
    };
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    labels.join(",").into()
}

fn default(document: &mut Value) {
    default_to(document, "spec", json!({}));
    default_to(document, "status", json!({"loadBalancer": {}}));
    let spec = &mut document["spec"];
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        default_to(spec, "internalTrafficPolicy", "Cluster");
        default_to(spec, "ipFamilyPolicy", "SingleStack");
        default_to(spec, "ipFamilies", json!(["IPv4"]));
    }
    if let Some(ports) = spec.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports {
            default_to(port, "protocol", "TCP");
            if let Some(number) = port["port"].as_i64() {
                default_to(port, "targetPort", number);
            }
        }
    }
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let spec = Field::document(document).at("spec");
    findings.labels(&spec.at("selector"));
    let cluster_ip = spec.at("clusterIP");
    match cluster_ip.text() {
        "" | "None" => {}
        text if text.parse::<IpAddr>().is_err() => {
            findings
                .invalid(&cluster_ip, format!("{text:?}: must be empty, None or an IP address"));
        }
        _ => {}
    }
    if spec.at("type").text() == "ExternalName" {
        let name = spec.at("externalName");
        if !is_fqdn(name.text()) {
            findings.required(&name, "a service of type ExternalName needs a DNS name");
        }
    } else if spec.at("ports").items().is_empty() && cluster_ip.text() != "None" {
        findings.required(&spec.at("ports"), "a service that is not headless needs a port");
    }
    check_ports(&spec.at("ports").items(), &mut findings);
    findings.into_problems()
}

fn check_ports(ports: &[Field<'_>], findings: &mut Findings) {
    for (index, port) in ports.iter().enumerate() {
        let name = port.at("name");
        if name.has_content() {
            if !is_dns_label(name.text()) {
                let right = "must be lower-case letters, digits and '-', at most 63";
                findings.invalid(&name, format!("{:?}: {right}", name.text()));
            }
            if ports[..index].iter().any(|earlier| earlier.at("name").text() == name.text()) {
                findings.duplicate(&name, format!("{:?} names another port already", name.text()));
            }
        } else if ports.len() > 1 {
            findings.required(&name, "every port of a service with several needs a name");
        }
        findings.port(&port.at("port"));
        findings.port(&port.at("targetPort"));
        let target = port.at("targetPort");
        if target.value().is_string() && !is_dns_label(target.text()) {
            findings
                .invalid(&target, format!("{:?}: must be a port's number or name", target.text()));
        }
    }
}

/// As the control plane reads a port's name or appProtocol.
fn speaks_http2(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let first = word.rsplit('/').next().unwrap_or("").split('-').next().unwrap_or("");
    matches!(first, "grpc" | "http2" | "h2c")
}

fn remarks(document: &Value) -> Vec<Warning> {
    let spec = Field::document(document).at("spec");
    let mut warnings = Vec::new();
    let mut remark = |name: &str, idle: &[&str], reason: &str| {
        let field = spec.at(name);
        if idle.contains(&field.text()) {
            warnings.push(Warning::new(field.path(), reason));
        }
    };
    remark("sessionAffinity", &["ClientIP"], Warning::NOT_ENFORCED);
    remark("internalTrafficPolicy", &["Local"], Warning::NOT_ENFORCED);
    remark(
        "type",
        &["NodePort", "LoadBalancer"],
        "nothing listens on nodes; reached as a ClusterIP service is",
    );
    for port in spec.at("ports").items() {
        let protocol = port.at("protocol");
        let said = [port.at("appProtocol"), port.at("name")];
        if let Some(said) = said.iter().find(|said| said.has_content() && speaks_http2(said.text()))
        {
            let reason =
                "HTTP/2 and gRPC pass as TCP in this version of Leno: not routed by request";
            warnings.push(Warning::new(said.path(), reason));
        }
        if matches!(protocol.text(), "UDP" | "SCTP") {
            let reason = format!("{} is not captured and goes past the proxies", protocol.text());
            warnings.push(Warning::new(protocol.path(), reason));
        }
    }
    warnings
}
