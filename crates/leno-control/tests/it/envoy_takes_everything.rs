//! A real Envoy is the judge: it takes what we write, by both variants, and what it prints of it is what we meant.

use std::sync::Arc;

use leno_control::push::ProxyEntry;
use leno_core::config::{
    self, ClusterLoadAssignment, Discovery, NetworkFilter, RouteConfiguration, RouteSource,
};
use leno_testkit::peers::Peer;
use leno_xds::ResourceType::{Cluster, Endpoint, Listener, Route};
use leno_xds::static_file;
use serde_json::{Value, json};

use crate::envoy::{self, Envoy, Place};
use crate::served::{Everything, Served};

const EVERYTHING: &str = include_str!("everything.yaml");

/// The file's values, with routes and endpoints moved to where they are fetched from.
pub(crate) fn everything() -> Everything {
    let file = static_file::parse(EVERYTHING).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(file.unsupported, []);
    let mut everything = Everything { clusters: file.value.clusters, ..Everything::default() };
    for mut listener in file.value.listeners {
        for chain in &mut listener.filter_chains {
            let NetworkFilter::Http(manager) = &mut chain.filter else { continue };
            let RouteSource::Inline(routes) = &manager.routes else { continue };
            // The first keeps its routes; the second fetches the same.
            if listener.name == "open" {
                everything.routes = vec![RouteConfiguration::clone(routes)];
                manager.routes = RouteSource::Rds(routes.name.clone());
            }
        }
        everything.listeners.push(listener);
    }
    let endpoints = everything.clusters.pop().unwrap();
    let Discovery::Static(assignment) = endpoints.discovery else { panic!("written in place") };
    let assignment = Arc::unwrap_or_clone(assignment);
    let second =
        ClusterLoadAssignment { cluster_name: "v2-endpoints".into(), ..assignment.clone() };
    everything.endpoints = vec![assignment, second];
    everything
}

/// Our reader's view of what Envoy printed.
fn read_back(
    listeners: Vec<Value>,
    clusters: Vec<Value>,
) -> (Vec<config::Listener>, Vec<config::Cluster>) {
    let mut document = json!({"static_resources": {"listeners": listeners, "clusters": clusters}});
    for kind in ["listeners", "clusters"] {
        for resource in document["static_resources"][kind].as_array_mut().unwrap() {
            resource.as_object_mut().unwrap().remove("@type");
        }
    }
    let text = serde_json::to_string_pretty(&document).unwrap();
    let file = static_file::parse(&text).unwrap_or_else(|p| panic!("{p:#?}\nin {text}")).value;
    (file.listeners, file.clusters)
}

fn listeners(envoy: &Envoy) -> Vec<config::Listener> {
    let dump = envoy.dump("ListenersConfigDump");
    let state = |listener: &Value| {
        let state = ["active_state", "warming_state"].map(|state| &listener[state]["listener"]);
        state.into_iter().find(|state| !state.is_null()).unwrap().clone()
    };
    let found = dump["dynamic_listeners"].as_array().into_iter().flatten().map(state);
    read_back(found.collect(), vec![]).0
}

fn clusters(envoy: &Envoy) -> Vec<config::Cluster> {
    let dump = envoy.dump("ClustersConfigDump");
    let kinds = ["dynamic_active_clusters", "dynamic_warming_clusters"];
    let found = kinds.into_iter().filter_map(|kind| dump[kind].as_array()).flatten();
    read_back(vec![], found.map(|cluster| cluster["cluster"].clone()).collect()).1
}

/// Routes are read inside of a listener that holds them.
fn routes(envoy: &Envoy) -> Vec<RouteConfiguration> {
    let dump = envoy.dump("RoutesConfigDump");
    let found = dump["dynamic_route_configs"].as_array().into_iter().flatten();
    let listener = |routes: &Value| {
        let mut routes = routes["route_config"].clone();
        routes.as_object_mut().unwrap().remove("@type");
        json!({
            "address": {"socket_address": {"address": "::", "port_value": 1}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                "@type": "x/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "route_config": routes,
            }}]}],
        })
    };
    let read = read_back(found.map(listener).collect(), vec![]).0;
    let routes = read.into_iter().flat_map(|listener| listener.filter_chains).map(|chain| {
        let NetworkFilter::Http(manager) = chain.filter else { panic!("HTTP") };
        let RouteSource::Inline(routes) = manager.routes else { panic!("inline") };
        Arc::unwrap_or_clone(routes)
    });
    routes.collect()
}

/// Endpoints are read inside of a cluster that holds them.
fn endpoints(envoy: &Envoy) -> Vec<ClusterLoadAssignment> {
    let dump = envoy.dump("EndpointsConfigDump");
    let found = dump["dynamic_endpoint_configs"].as_array().into_iter().flatten();
    let cluster = |endpoints: &Value| {
        let mut endpoints = endpoints["endpoint_config"].clone();
        endpoints.as_object_mut().unwrap().remove("@type");
        json!({"name": "x", "type": "STATIC", "load_assignment": endpoints})
    };
    let read = read_back(vec![], found.map(cluster).collect()).1;
    let assignments = read.into_iter().map(|cluster| {
        let Discovery::Static(assignment) = cluster.discovery else { panic!("static") };
        Arc::unwrap_or_clone(assignment)
    });
    assignments.collect()
}

/// Compares one by one, so that a difference is readable.
fn same<T: std::fmt::Debug + PartialEq>(mut found: Vec<T>, mut sent: Vec<T>, name: fn(&T) -> &str) {
    found.sort_by(|a, b| name(a).cmp(name(b)));
    sent.sort_by(|a, b| name(a).cmp(name(b)));
    let names = |list: &[T]| list.iter().map(|x| name(x).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&sent));
    for (found, sent) in found.iter().zip(&sent) {
        assert_eq!(found, sent);
    }
}

/// Without what waits for secrets, which come from elsewhere: Envoy gives them fifteen seconds before it goes on.
pub(crate) fn without_secrets(everything: &Everything) -> Everything {
    let mut everything = everything.clone();
    everything.listeners.retain(|listener| listener.name != "virtualInbound");
    for cluster in &mut everything.clusters {
        cluster.transport_matches.clear();
    }
    everything
}

async fn check(api: &str) {
    let Some(program) = Peer::Envoy.program() else { return };
    let served = Served::start();
    let everything = everything();
    let mut first = without_secrets(&everything);
    served.set(1, &first);
    let envoy = Envoy::start(&program, &served, api, Place::Here);
    let settled = |entry: &ProxyEntry| {
        let kinds = [Cluster, Endpoint, Listener, Route];
        kinds.into_iter().all(|kind| entry.progress[kind].subscribed) && entry.enforced() == 1
    };
    let entry = served.wait(|entry| entry.refusals().count() > 0 || settled(entry)).await;
    assert_eq!(entry.refusals().collect::<Vec<_>>(), [], "{}", envoy.log());

    let address = envoy.poll("where it listens", |envoy| envoy.listener("open"));
    let answer = envoy.poll("that it knows routes", |_| {
        Some(envoy::get(address, "reviews", "/teapot")).filter(|(status, _)| *status != 404)
    });
    assert_eq!(answer, (418, "short and stout".to_owned()));
    same(listeners(&envoy), first.listeners.clone(), |listener| &listener.name);
    same(clusters(&envoy), first.clusters.clone(), |cluster| &cluster.name);
    same(routes(&envoy), first.routes.clone(), |routes| &routes.name);
    let sent = |found: &ClusterLoadAssignment| {
        first.endpoints.iter().any(|sent| sent.cluster_name == found.cluster_name)
    };
    let found = endpoints(&envoy).into_iter().filter(sent).collect();
    same(found, first.endpoints.clone(), |assignment| &assignment.cluster_name);

    // What Envoy refuses is in the table with its reason, and goes when the next is taken.
    let good = first.routes.clone();
    first.routes[0].virtual_hosts[0].domains.push("reviews".to_owned());
    served.set(2, &first);
    let entry = served.wait(|entry| entry.refusals().count() > 0).await;
    let (kind, refusal) = entry.refusals().next().unwrap();
    assert_eq!((kind, refusal.revision), (Route, 2));
    assert!(refusal.problems[0].contains("reviews"), "{:?}", refusal.problems);
    first.routes = good;
    served.set(3, &first);
    served.wait(|entry| entry.enforced() == 3 && entry.refusals().count() == 0).await;

    // What is taken away is gone.
    first.clusters.retain(|cluster| cluster.name != "by-name");
    served.set(4, &first);
    served.wait(|entry| entry.enforced() == 4).await;
    same(clusters(&envoy), first.clusters, |cluster| &cluster.name);

    // What waits for secrets is read all the same.
    served.set(5, &everything);
    let count = everything.listeners.len();
    let found = envoy.poll("the listener with secrets", |envoy| {
        Some(listeners(envoy)).filter(|found| found.len() == count)
    });
    same(found, everything.listeners, |listener| &listener.name);
    let has_secrets = |cluster: &config::Cluster| !cluster.transport_matches.is_empty();
    let found = envoy
        .poll("the cluster with secrets", |envoy| clusters(envoy).into_iter().find(has_secrets));
    assert_eq!(Some(found), everything.clusters.into_iter().find(has_secrets));
    assert_eq!(served.table.list()[0].refusals().collect::<Vec<_>>(), [], "{}", envoy.log());
}

#[tokio::test]
async fn by_delta() {
    check("DELTA_GRPC").await;
}

#[tokio::test]
async fn by_state_of_the_world() {
    check("GRPC").await;
}
