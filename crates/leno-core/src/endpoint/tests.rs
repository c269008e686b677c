use std::collections::BTreeMap;

use super::*;
use crate::config::{self, TlsVersions, TransportMatch, UpstreamTls, UpstreamTransport};
use crate::samples::{assignment, cluster, endpoint, locality};

pub(crate) fn set(
    localities: Vec<config::LocalityEndpoints>,
    previous: Option<&EndpointSet>,
    now: Instant,
) -> EndpointSet {
    let cluster = Cluster::compile(&Arc::new(cluster("c"))).unwrap();
    EndpointSet::compile(&cluster, &assignment(localities), previous, now).unwrap()
}

#[test]
fn live_state_follows_the_address_through_updates() {
    let now = Instant::now();
    let first = set(vec![locality("a", 0, None, vec![endpoint(1, 1), endpoint(2, 1)])], None, now);
    let active = first.endpoints()[1].live.begin();
    first.endpoints()[1].live.eject_until(now + Duration::from_secs(30));
    let moved = vec![locality("b", 0, None, vec![endpoint(3, 1), endpoint(2, 9)])];
    let second = set(moved, Some(&first), now + Duration::from_secs(1));
    let [new, kept] = second.endpoints() else { panic!("two endpoints") };
    assert_eq!((new.live.active(), kept.live.active()), (0, 1));
    assert_eq!((kept.weight, kept.locality.zone.as_str()), (9, "b"));
    assert!(kept.live.is_ejected(now + Duration::from_secs(29)));
    assert!(!kept.live.is_ejected(now + Duration::from_secs(30)));
    assert_eq!(second.availability(now), (1, 2));
    drop(active);
    assert_eq!(kept.live.active(), 0);
}

#[test]
fn labels_decide_the_transport() {
    let tls = UpstreamTls {
        versions: TlsVersions::default(),
        sni: None,
        alpn: vec!["istio".to_owned()],
        certificate: Some("default".to_owned()),
        trust_bundle: Some("ROOTCA".to_owned()),
        peer_sans: vec![config::StringMatch {
            pattern: config::StringPattern::Exact("spiffe://cluster.local/ns/a/sa/b".to_owned()),
            ignore_case: false,
        }],
    };
    let labels = |mode: &str| BTreeMap::from([("tlsMode".to_owned(), mode.to_owned())]);
    let mut config = cluster("c");
    config.transport_matches = vec![
        TransportMatch {
            name: "tlsMode-istio".to_owned(),
            labels: labels("istio"),
            transport: UpstreamTransport::Tls(Box::new(tls)),
        },
        TransportMatch {
            name: "tlsMode-disabled".to_owned(),
            labels: BTreeMap::new(),
            transport: UpstreamTransport::Plaintext,
        },
    ];
    let mut meshed = endpoint(1, 1);
    meshed.labels = labels("istio");
    meshed.labels.insert("other".to_owned(), "x".to_owned());
    let mut disabled = endpoint(2, 1);
    disabled.labels = labels("disabled");
    let source = assignment(vec![locality("a", 0, None, vec![meshed, disabled])]);
    let cluster = Cluster::compile(&Arc::new(config)).unwrap();
    let set = EndpointSet::compile(&cluster, &source, None, Instant::now()).unwrap();
    let names: Vec<&str> = set.endpoints().iter().map(|e| &*e.transport.name).collect();
    assert_eq!(names, ["tlsMode-istio", "tlsMode-disabled"]);
    let tls = set.endpoints()[0].transport.tls.as_ref().unwrap();
    assert!(tls.accepts(["spiffe://cluster.local/ns/a/sa/b"].into_iter()));
    assert!(!tls.accepts(["spiffe://cluster.local/ns/a/sa/c"].into_iter()));
    assert!(!tls.accepts([].into_iter()));
}

#[test]
fn names_and_impossible_priorities_are_problems() {
    let mut named = endpoint(1, 1);
    named.address = Address::Host { name: "db.example".to_owned(), port: 5432 };
    let groups = vec![
        locality("a", 0, None, vec![named, endpoint(2, 1)]),
        locality("b", u32::MAX, None, vec![endpoint(2, 1)]),
    ];
    let cluster = Cluster::compile(&Arc::new(cluster("c"))).unwrap();
    let result = EndpointSet::compile(&cluster, &assignment(groups), None, Instant::now());
    let lines: Vec<String> = result.unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "endpoints[c].localities[0].endpoints[0].address: address \"db.example:5432\" has to be \
             resolved; use discovery by DNS or an IP address",
            "endpoints[c].localities[1].priority: priority 4294967295 is above 128; count \
             priorities from 0",
        ]
    );
}

#[test]
fn an_address_in_two_places_has_one_live_state() {
    let groups = || {
        vec![
            locality("a", 0, None, vec![endpoint(1, 1)]),
            locality("b", 2, None, vec![endpoint(1, 1)]),
        ]
    };
    let now = Instant::now();
    let first = set(groups(), None, now);
    let second = set(groups(), Some(&first), now);
    for set in [first, second] {
        assert!(Arc::ptr_eq(&set.endpoints()[0].live, &set.endpoints()[1].live));
    }
}
