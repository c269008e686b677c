//! `apiextensions.k8s.io/v1 CustomResourceDefinition`: read only, one for each kind that Kubernetes does not have.
//!
//! They are not stored: [`definitions`] writes them from the registry.

use serde_json::{Value, json};

use super::{
    Access, Cell, Column, Kind, Scope, StatusWrites, kinds, no_defaults, no_remarks, no_rules,
    schema,
};
use crate::schema::{Node, Shape};

const FIELDS: &str = "
spec {} What the kind is.
spec.group* string API group.
spec.names* any The kind's names.
spec.scope* enum:Cluster,Namespaced Where names are unique.
spec.versions[]* any Versions, their schemas and columns.
spec.conversion any How versions become each other.
spec.preserveUnknownFields boolean Whether fields without a schema are kept.
status {} What the kind is.
status.acceptedNames any The names it has.
status.storedVersions[] string Versions in the store.
status.conditions[type] @Condition Whether it is served.
";

const COLUMNS: &[Column] = &[Column {
    name: "Created At",
    kind: "date",
    description: "When the kind appeared.",
    priority: 0,
    cell: Cell::Path(".metadata.creationTimestamp"),
}];

pub(super) fn kind() -> Kind {
    Kind {
        group: "apiextensions.k8s.io",
        versions: &["v1"],
        kind: "CustomResourceDefinition",
        list_kind: "CustomResourceDefinitionList",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        access: Access::ReadOnly,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate: no_rules,
        remarks: no_remarks,
    }
}

/// A definition for each kind that Kubernetes does not have itself, without uid and times.
#[must_use]
pub fn definitions() -> Vec<Value> {
    let foreign =
        |kind: &&Kind| kind.group.ends_with("istio.io") || kind.group.ends_with("leno.dev");
    kinds().iter().filter(foreign).map(definition).collect()
}

fn definition(kind: &Kind) -> Value {
    let name = format!("{}.{}", kind.plural, kind.group);
    let names = json!({
        "kind": kind.kind,
        "listKind": kind.list_kind,
        "plural": kind.plural,
        "singular": kind.singular,
        "shortNames": kind.short_names,
        "categories": kind.categories,
    });
    let scope = match kind.scope {
        Scope::Cluster => "Cluster",
        Scope::Namespaced => "Namespaced",
    };
    let versions: Vec<Value> =
        kind.versions.iter().map(|version| version_of(kind, version)).collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {"group": kind.group, "names": names, "scope": scope, "versions": versions},
        "status": {
            "acceptedNames": names,
            "storedVersions": [kind.storage_version()],
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": ""},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted", "message": ""},
            ],
        },
    })
}

fn version_of(kind: &Kind, version: &str) -> Value {
    let column = |column: &Column| {
        let path = match column.cell {
            Cell::Path(path) | Cell::AgeOf(path) => path,
            Cell::Of(_) => return None,
        };
        Some(json!({
            "name": column.name,
            "type": column.kind,
            "description": column.description,
            "jsonPath": path,
            "priority": column.priority,
        }))
    };
    let subresources = match kind.status {
        StatusWrites::Subresource => json!({"status": {}}),
        StatusWrites::Inline => json!({}),
    };
    json!({
        "name": version,
        "served": true,
        "storage": version == kind.storage_version(),
        "schema": {"openAPIV3Schema": without_metadata(&kind.schema).to_openapi()},
        "additionalPrinterColumns": kind.columns.iter().filter_map(column).collect::<Vec<_>>(),
        "subresources": subresources,
    })
}

/// A definition's schema says nothing of what every document has.
fn without_metadata(schema: &Node) -> Node {
    let mut schema = schema.clone();
    if let Shape::Object(fields) = &mut schema.shape {
        fields.retain(|(name, _)| !matches!(*name, "apiVersion" | "kind" | "metadata"));
    }
    schema
}
