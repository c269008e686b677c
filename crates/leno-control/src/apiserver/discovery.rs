//! What is served: the legacy lists and the aggregated form of API discovery. Pure.

use leno_api::kind::{Access, StatusWrites};
use leno_api::{Kind, kinds};
use serde_json::{Value, json};

/// Media type parameters of the aggregated form.
pub(crate) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Groups in the order of the registry, without the core group.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = Vec::new();
    for kind in kinds() {
        if !kind.group.is_empty() && !groups.contains(&kind.group) {
            groups.push(kind.group);
        }
    }
    groups
}

/// Versions of a group, the preferred one first.
pub(crate) fn versions(group: &str) -> Vec<&'static str> {
    let mut versions: Vec<&str> = Vec::new();
    for kind in kinds().iter().filter(|kind| kind.group == group) {
        for version in kind.versions {
            if !versions.contains(version) {
                versions.push(version);
            }
        }
    }
    versions
}

/// Every group and version served, the core group's first.
pub(crate) fn group_versions() -> Vec<(&'static str, &'static str)> {
    let all = std::iter::once("").chain(groups());
    all.flat_map(|group| versions(group).into_iter().map(move |version| (group, version))).collect()
}

pub(crate) fn kinds_of<'a>(
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'static Kind> + 'a {
    kinds().iter().filter(move |kind| kind.group == group && kind.versions.contains(&version))
}

/// `/api`.
pub(crate) fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": versions(""),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub(crate) fn group_list() -> Value {
    let groups: Vec<Value> =
        groups().into_iter().filter_map(|name| group(name).map(bare)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn bare(mut group: Value) -> Value {
    super::metadata::unset(&mut group, "kind");
    super::metadata::unset(&mut group, "apiVersion");
    group
}

/// `/apis/GROUP`.
pub(crate) fn group(name: &str) -> Option<Value> {
    let entry =
        |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<Value> = versions(name).iter().map(entry).collect();
    let preferred = versions.first().filter(|_| !name.is_empty())?;
    Some(json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": preferred,
    }))
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
pub(crate) fn resource_list(group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in kinds_of(group, version) {
        resources.push(json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.is_namespaced(),
            "kind": kind.kind,
            "verbs": verbs(kind),
            "shortNames": kind.short_names,
            "categories": kind.categories,
            "storageVersionHash": "",
        }));
        if kind.status == StatusWrites::Subresource {
            resources.push(json!({
                "name": format!("{}/status", kind.plural),
                "singularName": "",
                "namespaced": kind.is_namespaced(),
                "kind": kind.kind,
                "verbs": STATUS_VERBS,
            }));
        }
    }
    let first = kinds_of(group, version).next()?;
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(version),
        "resources": resources,
    }))
}

const STATUS_VERBS: [&str; 3] = ["get", "patch", "update"];

fn verbs(kind: &Kind) -> &'static [&'static str] {
    match kind.access {
        Access::ReadWrite => {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        }
        Access::ReadOnly => &["get", "list", "watch"],
    }
}

/// `/api` in the aggregated form.
pub(crate) fn aggregated_core() -> Value {
    aggregated(&[""])
}

/// `/apis` in the aggregated form.
pub(crate) fn aggregated_groups() -> Value {
    aggregated(&groups())
}

fn aggregated(groups: &[&str]) -> Value {
    let version = |group: &str, version: &str| {
        let resources: Vec<Value> =
            kinds_of(group, version).map(|kind| resource(kind, version)).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> =
                versions(group).into_iter().map(|served| version(group, served)).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn resource(kind: &Kind, version: &str) -> Value {
    let response = json!({"group": kind.group, "version": version, "kind": kind.kind});
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response,
        "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
        "shortNames": kind.short_names,
        "categories": kind.categories,
    });
    if kind.status == StatusWrites::Subresource {
        resource["subresources"] = json!([
            {"subresource": "status", "responseKind": response, "verbs": STATUS_VERBS},
        ]);
    }
    resource
}
