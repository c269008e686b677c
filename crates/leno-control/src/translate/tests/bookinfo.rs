//! Bookinfo as `leno run` registers it.

use super::*;

pub(super) fn documents() -> Vec<Value> {
    let mut all = Vec::new();
    for (service, vip, versions) in [
        ("productpage", 1, &["v1"][..]),
        ("details", 2, &["v1"]),
        ("reviews", 3, &["v1", "v2", "v3"]),
        ("ratings", 4, &["v1"]),
    ] {
        all.extend(super::documents(&format!(
            "apiVersion: v1
kind: Service
metadata: {{name: {service}, namespace: default, creationTimestamp: '2026-01-01T00:00:00Z'}}
spec: {{clusterIP: 240.240.0.{vip}, selector: {{app: {service}}}, ports: [{{name: http, port: 9080, targetPort: 9080}}]}}
"
        )));
        for (index, version) in versions.iter().enumerate() {
            let name = if versions.len() == 1 {
                service.to_owned()
            } else {
                format!("{service}-{version}")
            };
            all.extend(workload(&name, service, version, &format!("127.64.{vip}.{index}")));
        }
    }
    all
}

fn workload(name: &str, service: &str, version: &str, address: &str) -> Vec<Value> {
    super::documents(&format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: default
  labels: {{app: {service}, version: {version}, security.istio.io/tlsMode: istio}}
spec: {{serviceAccountName: bookinfo-{service}, containers: [{{name: {service}, ports: [{{containerPort: 9080}}]}}]}}
status: {{phase: Running, podIP: {address}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, namespace: default, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
endpoints: [{{addresses: [{address}], targetRef: {{kind: Pod, namespace: default, name: {name}}}}}]
ports: [{{name: http, port: 9080, protocol: TCP}}]
"
    ))
}

#[test]
fn the_layout_is_istios() {
    let world = mesh(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: 240.240.0.9, ports: [{name: tcp, port: 6379}, {name: metrics, port: 9121}]}
",
    );
    let translated = translate(&world, &proxy(&world, "reviews-v1"));
    let names = |map: Vec<&Arc<str>>| map.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        names(translated.listeners.keys().collect()),
        [
            "0.0.0.0_9080",
            "240.240.0.9_6379",
            "240.240.0.9_9121",
            "virtualInbound",
            "virtualOutbound"
        ]
    );
    assert_eq!(
        names(translated.routes.keys().collect()),
        ["9080", "db.default.svc.cluster.local:9121"]
    );
    let clusters = names(translated.clusters.keys().collect());
    for expected in [
        "BlackHoleCluster",
        "InboundPassthroughCluster",
        "PassthroughCluster",
        "inbound|9080||",
        "outbound|6379||db.default.svc.cluster.local",
        "outbound|9080|v1|reviews.default.svc.cluster.local",
        "outbound|9080||ratings.default.svc.cluster.local",
    ] {
        assert!(clusters.contains(&expected.to_owned()), "{expected} in {clusters:?}");
    }
    // Every EDS cluster has its endpoints, empty ones too.
    let subset = &translated.endpoints["outbound|9080|v1|reviews.default.svc.cluster.local"];
    let addresses: Vec<_> =
        subset.localities.iter().flat_map(|place| &place.endpoints).map(|e| &e.address).collect();
    assert_eq!(format!("{addresses:?}"), "[Socket(127.64.3.0:9080)]");
    assert!(
        translated.endpoints["outbound|6379||db.default.svc.cluster.local"].localities.is_empty()
    );
    snapshot(&translated);
}

#[test]
fn a_workload_of_both_families_is_listened_for_in_both() {
    let world = mesh("");
    // (families, where each kind of listener is)
    let table = [
        (Stacks::Ipv4, ["0.0.0.0:15001", "0.0.0.0:15006", "0.0.0.0:9080"].map(|one| vec![one])),
        (Stacks::Ipv6, ["[::]:15001", "[::]:15006", "[::]:9080"].map(|one| vec![one])),
        (
            Stacks::Both,
            [
                vec!["0.0.0.0:15001", "[::]:15001"],
                vec!["0.0.0.0:15006", "[::]:15006"],
                vec!["0.0.0.0:9080", "[::]:9080"],
            ],
        ),
    ];
    for (stacks, expected) in table {
        let proxy = Proxy { stacks, ..proxy(&world, "productpage") };
        let translated = translate(&world, &proxy);
        let wildcard = if stacks == Stacks::Ipv6 { "::_9080" } else { "0.0.0.0_9080" };
        for (name, expected) in
            ["virtualOutbound", "virtualInbound", wildcard].into_iter().zip(expected)
        {
            let listener = &translated.listeners[name];
            let addresses: Vec<_> = listener.addresses().map(ToString::to_string).collect();
            assert_eq!(addresses, expected, "{stacks:?} {name}");
        }
        let snapshot = snapshot(&translated);
        let stood_for = |to: &str| {
            let found = snapshot.listener_for(to.parse().unwrap());
            found.is_some_and(|listener| &**listener.name() == wildcard)
        };
        assert_eq!(stood_for("10.9.9.9:9080"), stacks != Stacks::Ipv6);
        assert_eq!(stood_for("[2001:db8::9]:9080"), stacks != Stacks::Ipv4);
    }
}

#[test]
fn sidecars_meet_with_mutual_tls_and_say_who_they_expect() {
    let world = mesh("");
    let translated = translate(&world, &proxy(&world, "productpage"));
    let cluster = &translated.clusters["outbound|9080||reviews.default.svc.cluster.local"];
    let matches = serde_json::to_value(&cluster.transport_matches).unwrap();
    assert_eq!(matches[0]["labels"]["tlsMode"], "istio");
    let tls = &matches[0]["transport"]["Tls"];
    assert_eq!(tls["sni"], "outbound_.9080_._.reviews.default.svc.cluster.local");
    let alpn = ["istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1"];
    assert_eq!(tls["alpn"], serde_json::json!(alpn));
    assert_eq!(cluster.http.protocol, leno_core::config::UpstreamProtocol::Negotiated);
    let san = &tls["peer_sans"][0]["pattern"]["Exact"];
    assert_eq!(san, "spiffe://cluster.local/ns/default/sa/bookinfo-reviews");
    assert_eq!(tls["certificate"], "default");
    assert_eq!(tls["trust_bundle"], "ROOTCA");
    let endpoint = &translated.endpoints["outbound|9080||reviews.default.svc.cluster.local"]
        .localities[0]
        .endpoints[0];
    assert_eq!(endpoint.labels["tlsMode"], "istio");
    assert_eq!(endpoint.workload.as_ref().unwrap().canonical_name, "reviews");
}

#[test]
fn names_are_answered_with_virtual_addresses_or_endpoints() {
    let world = mesh(
        "apiVersion: v1
kind: Service
metadata: {name: headless, namespace: other}
spec: {clusterIP: None, ports: [{name: tcp, port: 6379}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: headless, namespace: other, labels: {kubernetes.io/service-name: headless}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.1]}]
ports: [{name: tcp, port: 6379}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: dns, namespace: default}
spec: {hosts: [dns.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
",
    );
    let translated = translate(&world, &proxy(&world, "productpage"));
    let table = &translated.names["nametable"];
    let said = |host: &str| {
        table.get(host).map(|entry| format!("{:?} {}", entry.addresses, entry.short_name))
    };
    let reviews = said("reviews.default.svc.cluster.local").unwrap();
    assert_eq!(reviews, "[240.240.0.3] reviews");
    let headless = said("headless.other.svc.cluster.local").unwrap();
    assert_eq!(headless, "[10.0.0.1, 10.0.0.2] headless");
    assert_eq!(said("dns.example.com"), None);
}
