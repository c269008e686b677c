//! One picture of the mesh: traffic joined with services, proxies and changes. Pure.
//!
//! The same document feeds the live page, `leno status`, `leno stat` and `leno edges`; `portal/src/frame.ts` is its other end.

use serde::Serialize;

use crate::telemetry::{EdgeView, Picture, Sides};

/// What is configured and connected at one moment, whoever knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mesh {
    /// The store's revision.
    pub(crate) revision: u64,
    /// Every connected proxy.
    pub(crate) proxies: Vec<ProxyView>,
    /// Every service.
    pub(crate) services: Vec<ServiceRef>,
    /// The last accepted documents, newest first.
    pub(crate) changes: Vec<Change>,
}

/// A connected proxy as discovery sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ProxyView {
    /// `NAME.NAMESPACE`.
    pub(crate) name: String,
    /// The xDS node id.
    pub(crate) node: String,
    /// Its workload's address.
    pub(crate) address: String,
    /// Whether it has acknowledged everything it was sent.
    pub(crate) current: bool,
    /// The newest revision it acknowledged.
    pub(crate) revision: u64,
    /// What it refused last, if that is still so.
    pub(crate) refused: Option<String>,
}

/// A service that exists, with or without traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRef {
    /// Fully qualified host.
    pub(crate) host: String,
    /// Short name.
    pub(crate) name: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// How many workloads stand behind it.
    pub(crate) workloads: usize,
}

/// An accepted document and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// The store's revision it became.
    pub(crate) revision: u64,
    /// RFC 3339.
    pub(crate) at: String,
    /// created, updated or deleted.
    pub(crate) verb: &'static str,
    /// The document's kind.
    pub(crate) kind: String,
    /// Empty for cluster-wide kinds.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Proxies that enforce it.
    pub(crate) enforced: usize,
    /// Proxies that should.
    pub(crate) of: usize,
    /// The first refusal.
    pub(crate) problem: Option<String>,
}

/// One picture, as sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Frame {
    at: String,
    mesh: MeshLine,
    services: Vec<ServiceLine>,
    edges: Vec<EdgeView>,
    changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct MeshLine {
    revision: u64,
    proxies: ProxyCount,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ProxyCount {
    connected: usize,
    current: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ServiceLine {
    host: String,
    name: String,
    namespace: String,
    workloads: usize,
    #[serde(flatten)]
    sides: Sides,
}

/// Joins what is configured with what was counted; `at` is RFC 3339.
pub(crate) fn frame(at: String, mesh: Mesh, traffic: &Picture) -> Frame {
    let current = mesh.proxies.iter().filter(|proxy| proxy.current).count();
    let proxies = ProxyCount { connected: mesh.proxies.len(), current };
    let line = |service: ServiceRef| {
        let sides = traffic.services.get(&service.host).cloned().unwrap_or_default();
        let ServiceRef { host, name, namespace, workloads } = service;
        ServiceLine { host, name, namespace, workloads, sides }
    };
    Frame {
        at,
        mesh: MeshLine { revision: mesh.revision, proxies },
        services: mesh.services.into_iter().map(line).collect(),
        edges: traffic.edges.clone(),
        changes: mesh.changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_form_the_page_reads() {
        let proxy = |current| ProxyView {
            name: "reviews-v1.default".into(),
            node: "sidecar~127.64.0.1~reviews-v1.default~default.svc.cluster.local".into(),
            address: "127.64.0.1".into(),
            current,
            revision: 7,
            refused: None,
        };
        let service = ServiceRef {
            host: "reviews.default.svc.cluster.local".into(),
            name: "reviews".into(),
            namespace: "default".into(),
            workloads: 3,
        };
        let mesh = Mesh {
            revision: 7,
            proxies: vec![proxy(true), proxy(false)],
            services: vec![service],
            changes: vec![],
        };
        let frame = frame("2026-01-01T00:00:00Z".into(), mesh, &Picture::default());
        let json = serde_json::to_value(frame).unwrap();
        let expected = serde_json::json!({
            "at": "2026-01-01T00:00:00Z",
            "mesh": {"revision": 7, "proxies": {"connected": 2, "current": 1}},
            "services": [{
                "host": "reviews.default.svc.cluster.local", "name": "reviews", "namespace": "default",
                "workloads": 3, "client": null, "server": null,
            }],
            "edges": [],
            "changes": [],
        });
        assert_eq!(json, expected);
    }
}
