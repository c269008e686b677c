//! Documents and a proxy go in; names of resources, and decisions on calls, come out.

use leno_core::config::TransportProtocol;
use leno_core::explain::{Entry, Outcome, explain};
use leno_core::request::Call;
use leno_core::snapshot::{Resources, Snapshot};
use serde_json::Value;

use super::*;
use crate::world::Changed;

mod bookinfo;
mod calls;
mod inbound;
mod order;
mod traffic;

/// The documents of a text, without defaulting and admission.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}

pub(crate) fn changed(document: &Value) -> Changed<'_> {
    let text = |value: &'_ Value| value.as_str().unwrap_or("").to_owned();
    let group = text(&document["apiVersion"]);
    let group = group.split_once('/').map_or("", |(group, _)| group);
    let kind = leno_api::kind_of(group, &text(&document["kind"])).unwrap();
    let metadata = &document["metadata"];
    Changed {
        group: kind.group,
        plural: kind.plural,
        namespace: metadata["namespace"].as_str().unwrap_or(""),
        name: metadata["name"].as_str().unwrap(),
        document: Some(document),
    }
}

pub(crate) fn world(documents: &[Value]) -> World {
    let world = World::default().apply(1, documents.iter().map(changed));
    assert_eq!(world.unreadable().len(), 0, "{:?}", world.unreadable());
    world
}

/// Bookinfo.
pub(crate) fn mesh_documents() -> Vec<Value> {
    bookinfo::documents()
}

/// Bookinfo and whatever else, one workload per service and version.
pub(crate) fn mesh(more: &str) -> World {
    let mut all = bookinfo::documents();
    all.extend(documents(more));
    world(&all)
}

pub(crate) fn proxy(world: &World, name: &str) -> Proxy {
    let workload = world.workload("default", name).unwrap();
    Proxy {
        name: workload.name.clone(),
        namespace: workload.namespace.clone(),
        address: workload.address,
        stacks: Stacks::Ipv4,
        labels: workload.labels.clone(),
        http_proxy: None,
        engine: Engine::Leno,
    }
}

pub(crate) fn translate(world: &World, proxy: &Proxy) -> Translated {
    Translator::default().translate(world, proxy)
}

/// What the proxy would enforce; it must take all of it, and read on the wire what was meant.
pub(crate) fn snapshot(translated: &Translated) -> Snapshot {
    for made in translated.listeners.values() {
        assert_eq!(
            leno_xds::decode_listener(&leno_xds::encode_listener(made)).unwrap().value,
            **made
        );
    }
    for made in translated.routes.values() {
        assert_eq!(leno_xds::decode_route(&leno_xds::encode_route(made)).unwrap().value, **made);
    }
    for made in translated.clusters.values() {
        assert_eq!(
            leno_xds::decode_cluster(&leno_xds::encode_cluster(made)).unwrap().value,
            **made
        );
    }
    for made in translated.endpoints.values() {
        let bytes = leno_xds::encode_endpoints(made);
        assert_eq!(leno_xds::decode_endpoints(&bytes).unwrap().value, **made);
    }
    let named = |name: &Arc<str>| name.to_string();
    let resources = Resources {
        listeners: translated.listeners.iter().map(|(n, r)| (named(n), r.clone())).collect(),
        routes: translated.routes.iter().map(|(n, r)| (named(n), r.clone())).collect(),
        clusters: translated.clusters.iter().map(|(n, r)| (named(n), r.clone())).collect(),
    };
    Snapshot::compile(&resources, None).unwrap()
}

/// Where productpage's call goes, in one line: `cluster`, `cluster 90% + cluster 10%`, `404`, `redirect 301 to …`.
pub(crate) fn goes(more: &str, call: &Call) -> String {
    let world = mesh(more);
    let translated = translate(&world, &proxy(&world, "productpage"));
    let snapshot = snapshot(&translated);
    let port = call.authority.rsplit_once(':').map_or("80", |(_, port)| port);
    let decision = explain(&snapshot, Entry::RouteConfiguration(port), call);
    match &decision.outcome {
        Outcome::Forward(forward) => {
            let short = |name: &str| {
                let name = name.strip_prefix("outbound|").unwrap_or(name);
                name.replace(".default.svc.cluster.local", "")
            };
            let shares: Vec<String> = forward
                .clusters
                .iter()
                .map(|share| match share.per_million {
                    1_000_000 => short(&share.name),
                    part => format!("{} {}%", short(&share.name), f64::from(part) / 10_000.0),
                })
                .collect();
            let mut line = shares.join(" + ");
            if forward.path != call.path {
                line += &format!(" path {}", forward.path);
            }
            if forward.authority != call.authority {
                line += &format!(" host {}", forward.authority);
            }
            for (cluster, share) in &forward.mirrors {
                line += &format!(" mirror {} {}%", short(cluster), f64::from(*share) / 10_000.0);
            }
            line
        }
        Outcome::Redirect { status, location } => format!("redirect {status} to {location}"),
        Outcome::DirectResponse { status, body_bytes } => format!("answer {status} ({body_bytes})"),
        Outcome::Failure { status, .. } => status.to_string(),
        Outcome::Tcp { .. } => "tcp".to_owned(),
    }
}
