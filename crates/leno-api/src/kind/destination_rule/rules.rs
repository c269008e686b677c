//! Istio's rules for a DestinationRule.

use serde_json::Value;

use super::super::shared_rules::{export_to, host, number_of, selector, time_limit};
use crate::field::{Field, Findings, is_dns_label};
use crate::problem::{Problem, Warning};

pub(in crate::kind) fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let spec = Field::document(document).at("spec");
    let name = spec.at("host");
    if name.has_content() {
        host(&name, &mut findings);
    } else {
        findings.required(&name, "the service the rule is for");
    }
    export_to(&spec.at("exportTo"), &mut findings);
    traffic_policy(&spec.at("trafficPolicy"), &mut findings);
    for subset in spec.at("subsets").items() {
        let name = subset.at("name");
        if name.is_set() && !is_dns_label(name.text()) {
            let right = "must be lower-case letters, digits and '-', at most 63";
            findings.invalid(&name, format!("{:?}: {right}", name.text()));
        }
        findings.labels(&subset.at("labels"));
        traffic_policy(&subset.at("trafficPolicy"), &mut findings);
    }
    let chosen = spec.at("workloadSelector");
    selector(&chosen.at("matchLabels"), &mut findings);
    if chosen.is_set() && !chosen.at("matchLabels").has_content() {
        findings.required(&chosen.at("matchLabels"), "labels of the workloads that call");
    }
    findings.into_problems()
}

fn traffic_policy(policy: &Field<'_>, findings: &mut Findings) {
    if !policy.is_set() {
        return;
    }
    if !policy.has_content() {
        findings.required(policy, "at least one setting");
    }
    settings(policy, findings);
    let ports = policy.at("portLevelSettings").items();
    for (index, port) in ports.iter().enumerate() {
        let number = port.at("port");
        if !number.is_set() {
            findings.required(&number, "the port the settings are for");
        }
        number_of(&number, findings);
        let same = |earlier: &Field<'_>| {
            let value = earlier.below("port.number").value();
            !value.is_null() && value == port.below("port.number").value()
        };
        if ports[..index].iter().any(same) {
            findings.duplicate(&number.at("number"), "another element is for this port");
        }
        settings(port, findings);
    }
    let budget = policy.at("retryBudget");
    findings.percentage(&budget.at("percent"));
    not_negative(&budget, &["minRetryConcurrency"], findings);
    let tunnel = policy.at("tunnel");
    findings.port(&tunnel.at("targetPort"));
    let protocol = tunnel.at("protocol");
    if protocol.has_content() && !matches!(protocol.text(), "CONNECT" | "POST") {
        findings.unsupported(&protocol, format!("{:?}: must be CONNECT or POST", protocol.text()));
    }
}

fn settings(policy: &Field<'_>, findings: &mut Findings) {
    load_balancer(&policy.at("loadBalancer"), findings);
    connection_pool(&policy.at("connectionPool"), findings);
    outlier_detection(&policy.at("outlierDetection"), findings);
    tls(&policy.at("tls"), findings);
}

fn load_balancer(balancer: &Field<'_>, findings: &mut Findings) {
    let hash = balancer.at("consistentHash");
    if balancer.at("simple").is_set() && hash.is_set() {
        findings.forbidden(&hash, "a load balancer has simple or consistentHash, not both");
    }
    if hash.is_set() {
        let keys = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
        let set = keys.iter().filter(|key| hash.at(key).is_set()).count();
        if set != 1 {
            findings.invalid(&hash, format!("exactly one of {} must be set", keys.join(", ")));
        }
    }
    let locality = balancer.at("localityLbSetting");
    let ways = ["distribute", "failover"].map(|way| locality.at(way));
    if ways.iter().all(Field::has_content) {
        findings.forbidden(&ways[1], "localityLbSetting has distribute or failover, not both");
    }
    for share in ways[0].items() {
        let to = share.at("to").entries();
        let sum: i64 = to.iter().filter_map(|(_, weight)| weight.integer()).sum();
        if !to.is_empty() && sum != 100 {
            findings.invalid(&share.at("to"), format!("the shares add up to {sum}: must be 100"));
        }
    }
    for over in ways[1].items() {
        if over.at("from").has_content() && over.at("from").text() == over.at("to").text() {
            findings.invalid(&over.at("to"), "must be another region than from");
        }
    }
    findings.at_least_a_millisecond(&balancer.below("warmup.duration"));
}

fn connection_pool(pool: &Field<'_>, findings: &mut Findings) {
    if pool.is_set() && !pool.has_content() {
        findings.required(pool, "one of tcp and http");
    }
    let (tcp, http) = (pool.at("tcp"), pool.at("http"));
    not_negative(&tcp, &["maxConnections"], findings);
    findings.at_least_a_millisecond(&tcp.at("connectTimeout"));
    time_limit(&tcp.at("idleTimeout"), findings);
    time_limit(&tcp.at("maxConnectionDuration"), findings);
    let counts = [
        "http1MaxPendingRequests",
        "http2MaxRequests",
        "maxRequestsPerConnection",
        "maxRetries",
        "maxConcurrentStreams",
    ];
    not_negative(&http, &counts, findings);
    time_limit(&http.at("idleTimeout"), findings);
    if http.at("useClientProtocol").is_true() && http.at("h2UpgradePolicy").text() == "UPGRADE" {
        findings.forbidden(
            &http.at("useClientProtocol"),
            "h2UpgradePolicy says UPGRADE, which changes the client's protocol",
        );
    }
}

fn outlier_detection(outlier: &Field<'_>, findings: &mut Findings) {
    let counts = [
        "consecutive5xxErrors",
        "consecutiveGatewayErrors",
        "consecutiveErrors",
        "consecutiveLocalOriginFailures",
    ];
    not_negative(outlier, &counts, findings);
    findings.at_least_a_millisecond(&outlier.at("interval"));
    findings.at_least_a_millisecond(&outlier.at("baseEjectionTime"));
    findings.percentage(&outlier.at("maxEjectionPercent"));
    findings.percentage(&outlier.at("minHealthPercent"));
}

fn tls(tls: &Field<'_>, findings: &mut Findings) {
    let files = ["clientCertificate", "privateKey"].map(|name| tls.at(name));
    let credential = tls.at("credentialName");
    match tls.at("mode").text() {
        "MUTUAL" if !credential.has_content() => {
            for file in &files {
                if !file.has_content() {
                    findings.required(
                        file,
                        "mode MUTUAL needs clientCertificate and privateKey, or credentialName",
                    );
                }
            }
        }
        "ISTIO_MUTUAL" => {
            let given = files.iter().chain([&credential]).filter(|field| field.has_content());
            for field in given {
                findings.forbidden(field, "mode ISTIO_MUTUAL uses the mesh's own certificates");
            }
        }
        _ => {}
    }
    if credential.has_content() {
        for file in files.iter().filter(|file| file.has_content()) {
            findings.forbidden(file, "credentialName holds the certificate and key");
        }
    }
}

fn not_negative(holder: &Field<'_>, names: &[&str], findings: &mut Findings) {
    for name in names {
        findings.in_range(&holder.at(name), 0..=i64::from(u32::MAX));
    }
}

/// Settings that are taken and do something else than asked, or nothing.
pub(in crate::kind) fn remarks(document: &Value) -> Vec<Warning> {
    let spec = Field::document(document).at("spec");
    let mut warnings = Vec::new();
    let own = [spec.at("trafficPolicy")].into_iter();
    let subsets = spec.at("subsets").items();
    let policies = own.chain(subsets.iter().map(|subset| subset.at("trafficPolicy")));
    for policy in policies {
        let ports = policy.at("portLevelSettings").items();
        for settings in [policy].iter().chain(&ports) {
            let simple = settings.below("loadBalancer.simple");
            if simple.text() == "PASSTHROUGH" {
                warnings.push(Warning::new(
                    simple.path(),
                    format!("PASSTHROUGH is {}; LEAST_REQUEST is used", Warning::NOT_ENFORCED),
                ));
            }
            if simple.text() == "LEAST_CONN" {
                warnings.push(Warning::new(
                    simple.path(),
                    "LEAST_CONN is the old name of LEAST_REQUEST",
                ));
            }
            let mode = settings.below("tls.mode");
            if mode.text() == "MUTUAL" {
                warnings.push(Warning::new(mode.path(), "certificates of one's own are not presented by this version of Leno; the server's certificate is verified as with SIMPLE"));
            }
        }
    }
    warnings
}
