//! JSON merge patch (RFC 7396) and JSON patch (RFC 6902). Pure.

use serde_json::{Map, Value};

use crate::apiserver::status::Failure;

/// More operations than this in one patch are refused, as in Kubernetes.
const OPERATIONS_MAX: usize = 10_000;

/// Merges `patch` into `document`: objects by name, null removes, everything else replaces.
pub(crate) fn merge(document: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *document = patch;
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(map) = document else { return };
    for (name, value) in patch {
        if value.is_null() {
            map.shift_remove(&name);
        } else {
            merge(map.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Applies the operations of a JSON patch, all or none.
pub(crate) fn json_patch(document: &mut Value, patch: Value) -> Result<(), Failure> {
    let operations: json_patch::Patch = serde_json::from_value(patch)
        .map_err(|error| Failure::bad_request(format!("not a JSON patch: {error}")))?;
    if operations.0.len() > OPERATIONS_MAX {
        return Err(Failure::too_large(OPERATIONS_MAX));
    }
    json_patch::patch(document, &operations)
        .map_err(|error| Failure::unprocessable(format!("the JSON patch does not apply: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_follows_the_examples_of_rfc_7396() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!(["a"]), json!({"a": "b"}), json!({"a": "b"})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (mut document, patch, expected) in table {
            merge(&mut document, patch.clone());
            assert_eq!(document, expected, "{patch}");
        }
    }
}
