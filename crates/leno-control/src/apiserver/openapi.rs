//! OpenAPI v3, one document per group and version, as `kubectl explain` and kubectl's checks of options read it. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use leno_api::Kind;
use leno_api::kind::{Access, StatusWrites};
use serde_json::{Map, Value, json};

use super::discovery::{group_versions, kinds_of};

pub(crate) mod v2;

/// One group and version.
struct Page {
    /// `api/v1`, `apis/networking.istio.io/v1`.
    name: String,
    document: String,
    hash: String,
}

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let page = |(group, version): (&str, &str)| {
        let name = prefix(group, version).trim_start_matches('/').to_owned();
        let document = document(group, version).to_string();
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        Page { name, document, hash: format!("{:016X}", hasher.finish()) }
    };
    group_versions().into_iter().map(page).collect()
});

/// `/openapi/v3`: where each group and version is described.
pub(crate) fn index() -> Value {
    let entry = |page: &Page| {
        let url = format!("/openapi/v3/{}?hash={}", page.name, page.hash);
        (page.name.clone(), json!({"serverRelativeURL": url}))
    };
    json!({"paths": PAGES.iter().map(entry).collect::<Map<_, _>>()})
}

/// `/openapi/v3/NAME`: the document and its hash.
pub(crate) fn page(name: &str) -> Option<(&'static str, &'static str)> {
    let page = PAGES.iter().find(|page| page.name == name.trim_matches('/'))?;
    Some((&page.document, &page.hash))
}

fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

fn document(group: &str, version: &str) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for kind in kinds_of(group, version) {
        let gvk = json!({"group": group, "version": version, "kind": kind.kind});
        let mut schema = kind.schema.to_openapi();
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
        schemas.insert(schema_name(kind, version), schema);
        add_paths(kind, version, &gvk, &mut paths);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Leno", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// `io.istio.networking.v1.VirtualService`.
fn schema_name(kind: &Kind, version: &str) -> String {
    let group = if kind.group.is_empty() { "core.api.k8s.io" } else { kind.group };
    let mut parts: Vec<&str> = group.split('.').collect();
    parts.reverse();
    format!("{}.{version}.{}", parts.join("."), kind.kind)
}

fn add_paths(kind: &Kind, version: &str, gvk: &Value, paths: &mut Map<String, Value>) {
    let reference = json!({"$ref": format!("#/components/schemas/{}", schema_name(kind, version))});
    let place = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{}{place}/{}", prefix(kind.group, version), kind.plural);
    let operation = |action: &str, body: &[&str], options: &[&str]| {
        let mut operation = json!({
            "responses": {"200": {
                "description": "OK",
                "content": {"application/json": {"schema": reference}},
            }},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
        });
        let parameter = |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        operation["parameters"] = options.iter().map(parameter).collect();
        if !body.is_empty() {
            let content: Map<String, Value> = body
                .iter()
                .map(|media| ((*media).to_owned(), json!({"schema": reference})))
                .collect();
            operation["requestBody"] = json!({"content": content});
        }
        operation
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let list = ["labelSelector", "fieldSelector", "limit", "continue", "watch"];
    let json_only = ["application/json", "application/yaml"];
    let mut all = json!({"get": operation("list", &[], &list)});
    let mut one = json!({"get": operation("get", &[], &[])});
    if kind.access == Access::ReadWrite {
        let patches = super::write::patch_types(kind);
        all["post"] = operation("post", &json_only, &write);
        all["delete"] = operation("deletecollection", &[], &list);
        one["put"] = operation("put", &json_only, &write);
        one["patch"] =
            operation("patch", &patches, &["dryRun", "fieldManager", "fieldValidation", "force"]);
        one["delete"] = operation("delete", &[], &["dryRun", "propagationPolicy"]);
    }
    if kind.status == StatusWrites::Subresource {
        paths.insert(format!("{collection}/{{name}}/status"), one.clone());
    }
    paths.insert(collection.clone(), all);
    paths.insert(format!("{collection}/{{name}}"), one);
}
