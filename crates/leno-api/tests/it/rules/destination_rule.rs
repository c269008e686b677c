use super::{check, check_warnings};

const KIND: &str = "DestinationRule";

#[test]
fn policies_are_checked_wherever_they_are() {
    let table: [(&str, &[&str]); 13] = [
        ("{host: a}", &[]),
        ("{}", &["spec.host Required"]),
        ("{host: 'a.*'}", &["spec.host Invalid"]),
        ("{host: a, subsets: [{name: v1}, {name: v1}]}", &["spec.subsets[1] Duplicate ~ name"]),
        ("{host: a, subsets: [{labels: {v: '1'}}]}", &["spec.subsets[0].name Required"]),
        (
            "{host: a, subsets: [{name: V1, labels: {v: 'a b'}}]}",
            &["spec.subsets[0].name Invalid", "spec.subsets[0].labels.v Invalid"],
        ),
        ("{host: a, trafficPolicy: {}}", &["spec.trafficPolicy Required"]),
        (
            "{host: a, trafficPolicy: {connectionPool: {}}}",
            &["spec.trafficPolicy.connectionPool Required"],
        ),
        (
            "{host: a, subsets: [{name: v1, trafficPolicy: {outlierDetection: {interval: 0s, maxEjectionPercent: 101}}}]}",
            &[
                "spec.subsets[0].trafficPolicy.outlierDetection.interval Invalid",
                "spec.subsets[0].trafficPolicy.outlierDetection.maxEjectionPercent Invalid",
            ],
        ),
        (
            "{host: a, trafficPolicy: {loadBalancer: {simple: FASTEST}}}",
            &["spec.trafficPolicy.loadBalancer.simple NotSupported ~ ROUND_ROBIN"],
        ),
        (
            "{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}, {}]}}",
            &[
                "spec.trafficPolicy.portLevelSettings[1].port.number Duplicate",
                "spec.trafficPolicy.portLevelSettings[2].port Required",
            ],
        ),
        (
            "{host: a, trafficPolicy: {retryBudget: {percent: 200, minRetryConcurrency: -1}}}",
            &[
                "spec.trafficPolicy.retryBudget.percent Invalid",
                "spec.trafficPolicy.retryBudget.minRetryConcurrency Invalid",
            ],
        ),
        ("{host: a, workloadSelector: {}}", &["spec.workloadSelector.matchLabels Required"]),
    ];
    for (spec, expected) in table {
        check(KIND, spec, expected);
    }
}

#[test]
fn pools_balancers_and_tls() {
    let table: [(&str, &[&str]); 8] = [
        (
            "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms}, http: {http2MaxRequests: 5, idleTimeout: 0s}}",
            &[],
        ),
        (
            "connectionPool: {tcp: {maxConnections: -1, connectTimeout: 1us}}",
            &[
                "connectionPool.tcp.maxConnections Invalid",
                "connectionPool.tcp.connectTimeout Invalid",
            ],
        ),
        (
            "connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}",
            &["connectionPool.http.useClientProtocol Forbidden"],
        ),
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            &["loadBalancer.consistentHash Forbidden"],
        ),
        ("loadBalancer: {consistentHash: {}}", &["loadBalancer.consistentHash Invalid"]),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}",
            &["loadBalancer.localityLbSetting.distribute[0].to Invalid"],
        ),
        ("tls: {mode: MUTUAL}", &["tls.clientCertificate Required", "tls.privateKey Required"]),
        ("tls: {mode: ISTIO_MUTUAL, clientCertificate: /c}", &["tls.clientCertificate Forbidden"]),
    ];
    for (policy, expected) in table {
        let placed: Vec<String> =
            expected.iter().map(|line| format!("spec.trafficPolicy.{line}")).collect();
        let placed: Vec<&str> = placed.iter().map(String::as_str).collect();
        check(KIND, &format!("{{host: a, trafficPolicy: {{{policy}}}}}"), &placed);
    }
}

#[test]
fn fields_without_effect_are_warned_about() {
    let table: [(&str, &[&str]); 4] = [
        ("loadBalancer: {simple: ROUND_ROBIN}", &[]),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: a}}}",
            &["loadBalancer.consistentHash"],
        ),
        ("loadBalancer: {simple: PASSTHROUGH}", &["loadBalancer.simple"]),
        ("tls: {mode: MUTUAL, credentialName: c}", &["tls.credentialName", "tls.mode"]),
    ];
    for (policy, expected) in table {
        let placed: Vec<String> =
            expected.iter().map(|line| format!("spec.trafficPolicy.{line}")).collect();
        let placed: Vec<&str> = placed.iter().map(String::as_str).collect();
        check_warnings(KIND, &format!("{{host: a, trafficPolicy: {{{policy}}}}}"), &placed);
    }
}
