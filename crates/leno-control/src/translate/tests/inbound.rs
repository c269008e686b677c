//! PeerAuthentication in the filter chains of the inbound listener.

use super::*;

/// Chains of port 9080: `tls mtls http`, `raw http`, `tls tcp`.
fn chains(rules: &str) -> Vec<String> {
    let world = mesh(rules);
    let translated = translate(&world, &proxy(&world, "reviews-v1"));
    snapshot(&translated);
    let listener = &translated.listeners["virtualInbound"];
    let of_port = |chain: &&leno_core::config::FilterChain| {
        chain.filter_chain_match.destination_port == Some(9080)
    };
    let line = |chain: &leno_core::config::FilterChain| {
        let transport = match chain.filter_chain_match.transport_protocol {
            Some(TransportProtocol::Tls) => "tls",
            Some(TransportProtocol::RawBuffer) => "raw",
            None => "any",
        };
        let tls = if chain.tls.is_some() { " mtls" } else { "" };
        let filter = match chain.filter {
            leno_core::config::NetworkFilter::Http(_) => "http",
            leno_core::config::NetworkFilter::Tcp(_) => "tcp",
        };
        format!("{transport}{tls} {filter}")
    };
    listener.filter_chains.iter().filter(of_port).map(line).collect()
}

fn rule(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: p-{namespace}, namespace: {namespace}}}
spec: {{{spec}}}
---
"
    )
}

const PERMISSIVE: [&str; 3] = ["tls mtls http", "raw http", "tls tcp"];
const STRICT: [&str; 1] = ["tls mtls http"];
const DISABLE: [&str; 2] = ["raw http", "tls tcp"];

#[test]
fn the_closest_mode_holds() {
    let strict = "mtls: {mode: STRICT}";
    assert_eq!(chains(""), PERMISSIVE);
    assert_eq!(chains(&rule("default", strict)), STRICT);
    assert_eq!(chains(&rule("istio-system", strict)), STRICT);
    assert_eq!(chains(&rule("other", strict)), PERMISSIVE);
    let unset = "mtls: {mode: UNSET}";
    assert_eq!(chains(&(rule("default", unset) + &rule("istio-system", strict))), STRICT);
    let selected = "selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}";
    assert_eq!(chains(&rule("default", selected)), STRICT);
    assert_eq!(chains(&rule("default", &selected.replace("reviews", "ratings"))), PERMISSIVE);
    let port = "selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}, portLevelMtls: {'9080': {mode: DISABLE}}";
    assert_eq!(chains(&rule("default", port)), DISABLE);
}

#[test]
fn nobody_sends_mutual_tls_to_a_port_that_refuses_it() {
    let world = mesh(&rule("default", "mtls: {mode: DISABLE}"));
    let translated = translate(&world, &proxy(&world, "productpage"));
    let endpoints = &translated.endpoints["outbound|9080||reviews.default.svc.cluster.local"];
    assert!(endpoints.localities[0].endpoints.iter().all(|endpoint| endpoint.labels.is_empty()));
}

#[test]
fn a_port_of_unknown_protocol_takes_both() {
    let world = mesh(
        "apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {clusterIP: 240.240.0.3, ports: [{name: '', port: 9080, targetPort: 9080}], selector: {app: reviews}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-v1, namespace: default, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints: [{addresses: [127.64.3.0], targetRef: {kind: Pod, namespace: default, name: reviews-v1}}]
ports: [{port: 9080}]",
    );
    let translated = translate(&world, &proxy(&world, "reviews-v1"));
    snapshot(&translated);
    let listener = &translated.listeners["virtualInbound"];
    let names: Vec<&str> = listener.filter_chains.iter().map(|chain| &*chain.name).collect();
    for expected in ["0.0.0.0_9080", "0.0.0.0_9080-http", "0.0.0.0_9080-http-plaintext"] {
        assert!(names.contains(&expected), "{names:?}");
    }
}

#[test]
fn a_sidecar_beside_a_program_on_the_host_listens_elsewhere_for_the_programs_port() {
    let strict = "selector: {matchLabels: {app: reviews}}, portLevelMtls: {'9080': {mode: STRICT}}";
    let world = mesh(
        &(rule("default", strict)
            + "apiVersion: v1
kind: Pod
metadata: {name: reviews-v1, namespace: default, labels: {app: reviews, version: v1, security.istio.io/tlsMode: istio}, annotations: {leno.dev/program-ports: '15016=9080'}}
spec: {serviceAccountName: reviews}
status: {podIP: 127.64.3.0, phase: Running}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: reviews-v1, namespace: default, labels: {kubernetes.io/service-name: reviews}}
addressType: IPv4
endpoints: [{addresses: [127.64.3.0], targetRef: {kind: Pod, namespace: default, name: reviews-v1}}]
ports: [{name: http, port: 15016}]"),
    );
    let translated = translate(&world, &proxy(&world, "reviews-v1"));
    snapshot(&translated);
    // Where callers outside the mesh were sent by `--expose` it is still the program's own.
    for port in [9080, 15016] {
        let chains = &translated.listeners["virtualInbound"].filter_chains;
        let of_port = |chain: &&leno_core::config::FilterChain| {
            chain.filter_chain_match.destination_port == Some(port)
        };
        let of_port: Vec<_> = chains.iter().filter(of_port).collect();
        assert_eq!(of_port.len(), 1, "{port}: STRICT is said of the program's port");
        assert!(of_port[0].tls.is_some(), "{port}");
    }
    let clusters: Vec<&str> = translated.clusters.keys().map(|name| &**name).collect();
    assert!(clusters.contains(&"inbound|9080||") && !clusters.contains(&"inbound|15016||"));
    let caller = translate(&world, &proxy(&world, "productpage"));
    let endpoints = &caller.endpoints["outbound|9080||reviews.default.svc.cluster.local"];
    let addresses = endpoints.localities.iter().flat_map(|locality| &locality.endpoints);
    let addresses: Vec<String> = addresses.map(|one| format!("{:?}", one.address)).collect();
    assert!(addresses.contains(&"Socket(127.64.3.0:15016)".to_owned()), "{addresses:?}");
}
