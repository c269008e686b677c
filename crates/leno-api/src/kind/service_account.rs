//! `v1 ServiceAccount`: the identity workloads run as; `spiffe://<trust domain>/ns/<namespace>/sa/<name>`.

use serde_json::Value;

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, no_remarks, no_rules, schema};

const FIELDS: &str = "
secrets[name] {} Secrets workloads of this account may use.
secrets[name].name string Name of the secret.
secrets[name].namespace string Its namespace.
secrets[name].kind string Its kind.
secrets[name].apiVersion string Its version.
secrets[name].uid string Its uid.
secrets[name].resourceVersion string Its resource version.
secrets[name].fieldPath string A part of it.
imagePullSecrets[] {} Secrets for pulling images.
imagePullSecrets[].name string Name of the secret.
automountServiceAccountToken boolean Whether workloads get a token.
";

const COLUMNS: &[Column] = &[
    Column::of("Secrets", secrets).integer().described("How many secrets it lists."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "ServiceAccount",
        list_kind: "ServiceAccountList",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        categories: &[],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate: no_rules,
        remarks: no_remarks,
    }
}

fn secrets(document: &Value) -> Value {
    document["secrets"].as_array().map_or(0, Vec::len).into()
}
