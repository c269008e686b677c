//! `v1 ConfigMap`: settings as text by key.

use serde_json::Value;

use super::{Access, Column, Kind, Scope, StatusWrites, no_defaults, no_remarks, schema};
use crate::field::{Field, Findings};
use crate::problem::Problem;

/// Kubernetes' limit on the contents of a ConfigMap or Secret.
const CONTENT_BYTES_MAX: usize = 1024 * 1024;

const FIELDS: &str = "
data map<string> Contents by key.
binaryData{} bytes Contents by key, in base64.
immutable boolean Refuse changes of the contents.
";

const COLUMNS: &[Column] =
    &[Column::of("Data", count).integer().described("How many keys it has."), Column::age()];

pub(super) fn kind() -> Kind {
    Kind {
        group: "",
        versions: &["v1"],
        kind: "ConfigMap",
        list_kind: "ConfigMapList",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        categories: &[],
        scope: Scope::Namespaced,
        access: Access::ReadWrite,
        status: StatusWrites::Inline,
        schema: schema(FIELDS, &[]),
        columns: COLUMNS,
        default: no_defaults,
        validate,
        remarks: no_remarks,
    }
}

fn count(document: &Value) -> Value {
    let keys = |name: &str| document[name].as_object().map_or(0, serde_json::Map::len);
    (keys("data") + keys("binaryData")).into()
}

fn validate(document: &Value) -> Vec<Problem> {
    let mut findings = Findings::default();
    let document = Field::document(document);
    let (data, binary) = (document.at("data"), document.at("binaryData"));
    for part in [&data, &binary] {
        check_keys(part, &mut findings);
        check_size(part, &mut findings);
    }
    for (key, value) in binary.entries() {
        if data.at(key).is_set() {
            findings.duplicate(&value, format!("{key:?} is a key of data too"));
        }
    }
    findings.into_problems()
}

pub(super) fn check_keys(data: &Field<'_>, findings: &mut Findings) {
    for (key, value) in data.entries() {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.is_empty() || key.len() > 253 || !key.chars().all(allowed) {
            findings
                .invalid(&value, format!("{key:?}: a key has letters, digits, '-', '_' and '.'"));
        }
    }
}

pub(super) fn check_size(data: &Field<'_>, findings: &mut Findings) {
    let size: usize =
        data.entries().iter().map(|(key, value)| key.len() + value.text().len()).sum();
    if size > CONTENT_BYTES_MAX {
        findings.invalid(data, format!("{size} bytes: may have {CONTENT_BYTES_MAX} together"));
    }
}
