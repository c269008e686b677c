//! `v1 Secret`: certificates, keys and tokens, as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::config_map::{check_keys, check_size};
use super::{Access, Column, Kind, Scope, StatusWrites, default_to, no_remarks, schema};
use crate::field::{Field, Findings};
use crate::problem::Problem;

const FIELDS: &str = "
type string What the secret is for; Opaque when empty.
data{} bytes Contents by key, in base64.
stringData map<string> Contents by key, as text; written into data and not kept.
immutable boolean Refuse changes of the contents.
";

const COLUMNS: &[Column] = &[
    Column::path("Type", ".type").described("What the secret is for."),
    Column::of("Data", count).integer().described("How many keys it has."),
    Column::age(),
];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "Secret",
        list_kind: "SecretList",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default,
        validate,
        remarks: no_remarks,
    }
}

fn count(document: &Value) -> Value {
    document["data"].as_object().map_or(0, serde_json::Map::len).into()
}

fn default(document: &mut Value) {
    default_to(document, "type", "Opaque");
    let Some(map) = document.as_object_mut() else { return };
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    default_to(document, "data", json!({}));
    let Some(data) = document["data"].as_object_mut() else { return };
    for (key, text) in texts {
        let encoded = match text {
            Value::String(text) => STANDARD.encode(text).into(),
            // Left as it is, for the schema to refuse.
            other => other,
        };
        data.insert(key, encoded);
    }
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let document = Field::document(document);
    let data = document.at("data");
    check_keys(&data, &mut findings);
    check_size(&data, &mut findings);
    if document.at("type").text() == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"] {
            let part = data.at(key);
            if !part.is_set() {
                findings.required(&part, format!("a secret of type kubernetes.io/tls holds {key}"));
            }
        }
    }
    findings.into_problems()
}
