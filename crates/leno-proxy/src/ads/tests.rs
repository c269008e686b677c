//! What is answered and what is in force, without a network: responses go in, requests come out.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use leno_core::config::{
    Cluster, ClusterLoadAssignment, ClusterSpecifier, Discovery, FilterChain, Forward,
    HttpConnectionManager, Listener, NetworkFilter, PathMatch, Route, RouteAction,
    RouteConfiguration, RouteSource, TrafficDirection, VirtualHost,
};
use leno_core::snapshot::Resources;
use leno_identity::Seal;
use leno_xds::discovery::{Request, Resource, Response, Variant};
use leno_xds::name_table::{NAME_TABLE, NameEntry, encode_name_table};
use leno_xds::{Node, ResourceType};

use super::apply::Apply;
use crate::dns::SharedTable;
use crate::publish::{Given, Publisher};

fn apply() -> Apply {
    let publisher = Arc::new(Publisher::new(1, Given::default()));
    Apply::new(
        Variant::Delta,
        Node { id: "a".into(), ..Node::default() },
        publisher,
        SharedTable::default(),
        Resources::default(),
    )
}

fn response(kind: ResourceType, nonce: &str, resources: &[(&str, Vec<u8>)]) -> Response {
    let resource = |(name, bytes): &(&str, Vec<u8>)| Resource {
        name: (*name).into(),
        version: nonce.into(),
        bytes: bytes.clone().into(),
    };
    Response {
        type_url: kind.type_url().into(),
        nonce: nonce.into(),
        resources: resources.iter().map(resource).collect(),
        ..Response::default()
    }
}

fn cluster(name: &str) -> Vec<u8> {
    let discovery = Discovery::Eds { service_name: None };
    leno_xds::encode_cluster(&Cluster::minimal(name, discovery))
}

fn endpoints(name: &str) -> Vec<u8> {
    leno_xds::encode_endpoints(&ClusterLoadAssignment {
        cluster_name: name.into(),
        localities: vec![],
    })
}

fn listener(rds: &str) -> Vec<u8> {
    let manager = HttpConnectionManager::minimal("x", RouteSource::Rds(rds.into()));
    let chain = FilterChain::minimal("only", NetworkFilter::Http(Box::new(manager)));
    let address = SocketAddr::from(([0, 0, 0, 0], 9080));
    leno_xds::encode_listener(&Listener {
        bind_to_port: false,
        direction: TrafficDirection::Outbound,
        ..Listener::minimal("outbound", address, vec![chain])
    })
}

fn routes(name: &str, path: PathMatch) -> Vec<u8> {
    hosts(name, &[("all", "*", path)])
}

/// A route configuration with these virtual hosts: name, domain, and the path of the one route.
fn hosts(name: &str, hosts: &[(&str, &str, PathMatch)]) -> Vec<u8> {
    let host = |(name, domain, path): &(&str, &str, PathMatch)| {
        let forward = Forward::minimal(ClusterSpecifier::Cluster("a".into()));
        let route = Route::minimal(path.clone(), RouteAction::Forward(Box::new(forward)));
        VirtualHost::minimal(name, &[domain], vec![route])
    };
    let hosts = hosts.iter().map(host).collect();
    leno_xds::encode_route(&RouteConfiguration::minimal(name, hosts))
}

/// Type and nonce of each answer; `!` marks a refusal. Subscriptions without an answer are left out.
fn answers(requests: &[Request]) -> Vec<String> {
    let answered = requests.iter().filter(|request| !request.nonce.is_empty());
    let text = |request: &Request| {
        let kind = request.kind().map_or("?", ResourceType::plural);
        format!("{kind} {}{}", request.nonce, if request.error.is_some() { "!" } else { "" })
    };
    answered.map(text).collect()
}

fn configure(apply: &mut Apply) {
    apply.connected();
    apply.response(response(ResourceType::Cluster, "c1", &[("a", cluster("a"))]));
    apply.response(response(ResourceType::Listener, "l1", &[("outbound", listener("9080"))]));
    apply.response(response(
        ResourceType::Route,
        "r1",
        &[("9080", routes("9080", PathMatch::Prefix("/".into())))],
    ));
    apply.response(response(ResourceType::Endpoint, "e1", &[("a", endpoints("a"))]));
    assert!(apply.is_configured());
}

#[test]
fn nothing_is_acknowledged_before_it_is_warm_and_in_force() {
    let mut apply = apply();
    apply.connected();
    let asked = apply.response(response(ResourceType::Cluster, "c1", &[("a", cluster("a"))]));
    assert_eq!((asked.len(), asked[0].kind()), (1, Some(ResourceType::Endpoint)));
    let asked =
        apply.response(response(ResourceType::Listener, "l1", &[("outbound", listener("9080"))]));
    assert_eq!((asked.len(), asked[0].subscribe.as_slice()), (1, ["9080".to_owned()].as_slice()));
    let routes = routes("9080", PathMatch::Prefix("/".into()));
    assert!(apply.response(response(ResourceType::Route, "r1", &[("9080", routes)])).is_empty());
    assert!(!apply.is_configured());
    let warm = apply.response(response(ResourceType::Endpoint, "e1", &[("a", endpoints("a"))]));
    assert_eq!(answers(&warm), ["endpoints e1", "clusters c1", "listeners l1", "routes r1"]);
    assert!(apply.is_configured());
}

#[test]
fn a_bad_route_is_refused_alone_and_the_last_good_one_stays() {
    let mut apply = apply();
    configure(&mut apply);
    let good = apply.good().clone();
    let bad = routes("9080", PathMatch::Regex("[a-z]{20000}".into()));
    let refused = apply.response(response(ResourceType::Route, "r2", &[("9080", bad)]));
    assert_eq!(answers(&refused), ["routes r2!"]);
    let said = refused[0].error.clone().unwrap();
    assert!(said.starts_with("routes[9080]") && said.contains("regex"), "{said}");
    assert_eq!(apply.good(), &good);
    assert_eq!(apply.refused(), Some(said));
    let better = routes("9080", PathMatch::Exact("/a".into()));
    let taken = apply.response(response(ResourceType::Route, "r3", &[("9080", better)]));
    assert_eq!(answers(&taken), ["routes r3"]);
    assert_eq!(apply.refused(), None);
}

#[test]
fn what_is_not_a_resource_is_refused_with_its_name() {
    let mut apply = apply();
    apply.connected();
    let refused = apply.response(response(ResourceType::Cluster, "c1", &[("a", vec![0xff, 0xff])]));
    assert_eq!(answers(&refused), ["clusters c1!"]);
    assert!(refused[0].error.as_deref().is_some_and(|error| error.starts_with("clusters[a]")));
}

#[test]
fn a_new_process_serves_what_the_last_one_kept_and_asks_for_changes_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = apply();
    configure(&mut first);
    let entry = NameEntry { addresses: vec![[240, 240, 0, 1].into()], ..NameEntry::default() };
    let table = encode_name_table(&[("a.example".to_owned(), entry)].into());
    first.response(response(ResourceType::NameTable, "n1", &[(NAME_TABLE, table)]));
    first.keep((folder.path(), None));
    let mut second = apply();
    second.restore((folder.path(), None));
    assert_eq!(second.good(), first.good());
    assert_eq!(second.name_tables, first.name_tables);
    let requests = second.connected();
    let known: Vec<(Option<ResourceType>, usize)> =
        requests.iter().map(|request| (request.kind(), request.initial_versions.len())).collect();
    let one = |kind| (Some(kind), 1);
    let names = one(ResourceType::NameTable);
    let expected = [
        one(ResourceType::Cluster),
        one(ResourceType::Endpoint),
        one(ResourceType::Listener),
        one(ResourceType::Route),
        names,
    ];
    assert_eq!(known, expected);
}

#[test]
fn what_is_sealed_is_served_with_its_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [1, 2].map(|byte| Seal::new(&[byte; Seal::KEY_BYTES]).unwrap());
    let mut first = apply();
    configure(&mut first);
    first.keep((folder.path(), Some(&keys[0])));
    let path = folder.path().join("last-good.ads");
    let file = std::fs::read(&path).unwrap();
    assert!(!file.windows(8).any(|part| part == b"LENOADS1"));
    // (key, whether it is served)
    for (key, served) in [(Some(&keys[0]), true), (Some(&keys[1]), false), (None, false)] {
        let mut next = apply();
        next.restore((folder.path(), key));
        assert_eq!(next.is_configured(), served);
    }
    first.changed = true;
    first.keep((folder.path(), None));
    let mut next = apply();
    next.restore((folder.path(), Some(&keys[0])));
    assert!(!next.is_configured(), "whoever can write a plain file could forge one");
}

#[test]
fn a_damaged_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last-good.ads");
    std::fs::write(&path, b"LENOADS1 and then nothing that fits").unwrap();
    let mut apply = apply();
    apply.restore((folder.path(), None));
    assert!(!apply.is_configured());
    assert!(Path::exists(&path));
}

/// Virtual hosts of `9080` in force, each with its path.
fn in_force(apply: &Apply) -> Vec<String> {
    let table = &apply.good().routes["9080"];
    let host = |host: &VirtualHost| format!("{} {:?}", host.name, host.routes[0].route_match.path);
    table.virtual_hosts.iter().map(host).collect()
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.into())
}

fn poison() -> PathMatch {
    PathMatch::Regex("[a-z]{20000}".into())
}

#[test]
fn a_bad_virtual_host_gives_way_alone() {
    type Hosts<'a> = &'a [(&'a str, &'a str, PathMatch)];
    // (what comes after `mine /1, yours /1`; what is in force then; what is refused)
    let table: [(Hosts<'_>, &[&str], &[&str]); 5] = [
        (
            &[("mine", "m", poison()), ("yours", "y", exact("/2"))],
            &["mine Exact(\"/1\")", "yours Exact(\"/2\")"],
            &["routes[9080].virtual_hosts[mine]"],
        ),
        // One that was not there before is left out.
        (
            &[("mine", "m", exact("/2")), ("new", "n", poison())],
            &["mine Exact(\"/2\")"],
            &["routes[9080].virtual_hosts[new]"],
        ),
        (
            &[("mine", "m", poison()), ("new", "n", poison()), ("yours", "y", exact("/3"))],
            &["mine Exact(\"/1\")", "yours Exact(\"/3\")"],
            &["routes[9080].virtual_hosts[mine]", "routes[9080].virtual_hosts[new]"],
        ),
        // A domain cannot change hands before the former owner's routes are good.
        (
            &[("mine", "x", poison()), ("yours", "m", exact("/4"))],
            &["mine Exact(\"/1\")", "yours Exact(\"/1\")"],
            &["routes[9080].virtual_hosts[mine]", "routes[9080].virtual_hosts[yours]"],
        ),
        // Nobody's fault alone: names that occur twice.
        (
            &[("mine", "m", exact("/2")), ("mine", "n", exact("/2"))],
            &["mine Exact(\"/1\")", "yours Exact(\"/1\")"],
            &["routes[9080].virtual_hosts[mine]"],
        ),
    ];
    for (given, expected, refused) in table {
        let mut apply = apply();
        configure(&mut apply);
        let first = [("mine", "m", exact("/1")), ("yours", "y", exact("/1"))];
        let send = |apply: &mut Apply, nonce: &str, given: Hosts<'_>| {
            let bytes = hosts("9080", given);
            apply.response(response(ResourceType::Route, nonce, &[("9080", bytes)]))
        };
        assert_eq!(answers(&send(&mut apply, "r2", &first)), ["routes r2"]);
        let answer = send(&mut apply, "r3", given);
        assert_eq!(answers(&answer), ["routes r3!"]);
        assert_eq!(in_force(&apply), expected);
        let said = answer[0].error.clone().unwrap();
        for place in refused {
            assert!(said.contains(place), "{place}: {said}");
        }
        assert_eq!(apply.refused(), Some(said));
        assert_eq!(answers(&send(&mut apply, "r4", &first)), ["routes r4"]);
        assert_eq!(apply.refused(), None);
    }
}

#[test]
fn a_bad_resource_gives_way_alone_and_stays_refused_until_it_comes_again() {
    let mut apply = apply();
    configure(&mut apply);
    let clusters = [("a", cluster("a")), ("b", vec![0xff, 0xff]), ("c", cluster("c"))];
    apply.response(response(ResourceType::Cluster, "c2", &clusters));
    // Endpoints of the new cluster make it warm.
    let warm = apply.response(response(ResourceType::Endpoint, "e2", &[("c", endpoints("c"))]));
    assert_eq!(answers(&warm), ["endpoints e2", "clusters c2!"]);
    let names: Vec<&String> = apply.good().clusters.keys().collect();
    assert_eq!(names, ["a", "c"]);
    assert!(apply.refused().is_some_and(|said| said.starts_with("clusters[b]")));
    // A delta that says nothing of it does not change that.
    let taken = apply.response(response(ResourceType::Cluster, "c3", &[("a", cluster("a"))]));
    assert_eq!(answers(&taken), ["clusters c3"]);
    assert!(apply.refused().is_some());
    let gone = Response { removed: vec!["b".into()], ..response(ResourceType::Cluster, "c4", &[]) };
    assert_eq!(answers(&apply.response(gone)), ["clusters c4"]);
    assert_eq!(apply.refused(), None);
}

#[test]
fn a_listener_that_gives_way_keeps_its_routes() {
    let mut apply = apply();
    configure(&mut apply);
    let good = apply.good().clone();
    // Another one at the same address, and the first moves on to other routes: both cannot be.
    let taken = [("outbound", listener("9081")), ("again", listener("9081"))];
    let asked = apply.response(response(ResourceType::Listener, "l2", &taken));
    assert_eq!(asked[0].subscribe, ["9081"]);
    let table = routes("9081", exact("/"));
    let refused = apply.response(response(ResourceType::Route, "r2", &[("9081", table)]));
    assert_eq!(answers(&refused), ["listeners l2!", "routes r2"]);
    assert_eq!(apply.good(), &good);
}
