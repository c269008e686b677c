//! `v1 Namespace`: where names of other documents are unique.

use serde_json::{Value, json};

use super::{Access, Column, Kind, Scope, StatusWrites, default_to, no_remarks, no_rules, schema};

const FIELDS: &str = "
spec {} What the namespace should be.
spec.finalizers[] string Must be empty before the namespace goes away.
status {} What the namespace is.
status.phase enum:Active,Terminating Whether documents can be made in it.
status.conditions[type] @Condition Why it does not go away.
";

const COLUMNS: &[Column] = &[
    Column::path("Status", ".status.phase").described("Whether documents can be made in it."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Namespace",
        list_kind: "NamespaceList",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        scope: Scope::Cluster,
        access: Access::ReadWrite,
        status: StatusWrites::Subresource,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default,
        validate: no_rules,
        remarks: no_remarks,
    }
}

fn default(document: &mut Value) {
    default_to(document, "spec", json!({}));
    default_to(document, "status", json!({}));
    default_to(&mut document["spec"], "finalizers", json!(["kubernetes"]));
    default_to(&mut document["status"], "phase", "Active");
    let name = document["metadata"]["name"].clone();
    if name.is_string() {
        default_to(&mut document["metadata"], "labels", json!({}));
        default_to(&mut document["metadata"]["labels"], "kubernetes.io/metadata.name", name);
    }
}
