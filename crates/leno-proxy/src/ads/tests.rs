//! What is answered and what is in force, without a network: responses go in, requests come out.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use leno_core::config::{
    Cluster, ClusterLoadAssignment, ClusterSpecifier, Discovery, FilterChain, Forward,
    HttpConnectionManager, Listener, NetworkFilter, PathMatch, Route, RouteAction,
    RouteConfiguration, RouteSource, TrafficDirection, VirtualHost,
};
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
    let forward = Forward::minimal(ClusterSpecifier::Cluster("a".into()));
    let route = Route::minimal(path, RouteAction::Forward(Box::new(forward)));
    let host = VirtualHost::minimal("all", &["*"], vec![route]);
    leno_xds::encode_route(&RouteConfiguration::minimal(name, vec![host]))
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
    first.keep(folder.path());
    let mut second = apply();
    second.restore(folder.path());
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
fn a_damaged_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last-good.ads");
    std::fs::write(&path, b"LENOADS1 and then nothing that fits").unwrap();
    let mut apply = apply();
    apply.restore(folder.path());
    assert!(!apply.is_configured());
    assert!(Path::exists(&path));
}
