//! A real Envoy takes what our translation makes of Bookinfo and of traffic rules, for every one of its sidecars.

use std::collections::BTreeMap;
use std::sync::Arc;

use leno_control::translate::{Proxy, Translated, Translator};
use leno_control::world::{Changed, World};
use leno_testkit::peers::Peer;
use leno_xds::{Node, ResourceType};
use serde_json::Value;

use crate::envoy::{Envoy, Place};
use crate::served::{Everything, Served};

/// What Envoy asks for.
const KINDS: [ResourceType; 4] =
    [ResourceType::Cluster, ResourceType::Endpoint, ResourceType::Listener, ResourceType::Route];

const DOCUMENTS: &str = include_str!("bookinfo.yaml");

fn changed(document: &Value) -> Changed<'_> {
    let text = |key: &str| document[key].as_str().unwrap();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    let kind = leno_api::kind_of(group, text("kind")).unwrap();
    Changed {
        group: kind.group,
        plural: kind.plural,
        namespace: document["metadata"]["namespace"].as_str().unwrap_or_default(),
        name: document["metadata"]["name"].as_str().unwrap(),
        document: Some(document),
    }
}

fn world(documents: &[Value]) -> World {
    let world = World::default().apply(1, documents.iter().map(changed));
    assert_eq!(world.unreadable().len(), 0, "{:?}", world.unreadable());
    world
}

fn everything(translated: &Translated) -> Everything {
    fn all<T: Clone>(map: &BTreeMap<Arc<str>, Arc<T>>) -> Vec<T> {
        map.values().map(|value| T::clone(value)).collect()
    }
    Everything {
        listeners: all(&translated.listeners),
        routes: all(&translated.routes),
        clusters: all(&translated.clusters),
        endpoints: all(&translated.endpoints),
    }
}

/// Names in `/config_dump`, those that wait for something included.
fn names(envoy: &Envoy, section: &str, lists: &[&str], name: &str) -> Vec<String> {
    let dump = envoy.dump(section);
    let found = lists.iter().filter_map(|list| dump[*list].as_array()).flatten();
    let mut names: Vec<_> = found
        .map(|entry| entry.pointer(name).and_then(Value::as_str).unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn sorted<T>(values: &[T], name: fn(&T) -> &str) -> Vec<String> {
    let mut names: Vec<_> = values.iter().map(|value| name(value).to_owned()).collect();
    names.sort();
    names
}

/// What a sidecar shall have.
fn of_sidecar(world: &World, name: &str) -> Everything {
    let id = format!("sidecar~127.64.0.1~{name}.default~default.svc.cluster.local");
    let node = Node { id, ..Node::default() };
    everything(&Translator::default().translate(world, &Proxy::from_node(&node, world)))
}

fn sidecars(world: &World) -> Vec<String> {
    world.workloads().map(|workload| workload.name.to_string()).collect()
}

fn documents() -> Vec<Value> {
    let parts = DOCUMENTS.split("\n---\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}

fn no_refusals(served: &Served, sidecar: &str) {
    for entry in served.table.list() {
        assert_eq!(entry.refusals().collect::<Vec<_>>(), [], "{sidecar}");
    }
}

#[tokio::test]
async fn every_sidecar_of_bookinfo() {
    let Some(program) = Peer::Envoy.program() else { return };
    let served = Served::start();
    let envoy = Envoy::start(&program, &served, "DELTA_GRPC", Place::Apart);

    // Plaintext first: with mutual TLS a starting Envoy waits for secrets, which are not ours to give.
    let mut documents = documents();
    let world_in_plaintext = world(&documents);
    let names_of_sidecars = sidecars(&world_in_plaintext);
    assert_eq!(names_of_sidecars.len(), 6);
    let mut revision = 0;
    for sidecar in &names_of_sidecars {
        revision += 1;
        served.set(revision, &of_sidecar(&world_in_plaintext, sidecar));
        let entry = served
            .wait(|entry| {
                let settled = |kind| entry.progress[kind].acknowledged == revision;
                entry.refusals().count() > 0 || KINDS.into_iter().all(settled)
            })
            .await;
        assert_eq!(entry.refusals().collect::<Vec<_>>(), [], "{sidecar}");
    }

    // Then with it: Envoy holds clusters and listeners back, but it has read them.
    documents.retain(|document| document["metadata"]["name"] != "plaintext");
    let last = names_of_sidecars.last().unwrap();
    let everything = of_sidecar(&world(&documents), last);
    served.set(revision + 1, &everything);
    envoy.poll("that it waits for secrets", |envoy| {
        no_refusals(&served, last);
        let waiting =
            names(envoy, "ClustersConfigDump", &["dynamic_warming_clusters"], "/cluster/name");
        let listeners = names(envoy, "ListenersConfigDump", &["dynamic_listeners"], "/name");
        let all = sorted(&everything.listeners, |listener| &listener.name);
        (!waiting.is_empty() && listeners == all).then_some(())
    });
}
