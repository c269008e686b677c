//! Strategic merge patch: lists whose elements have keys are merged by them; `$patch` and its kin direct the rest. Pure.

use std::collections::HashMap;

use leno_api::schema::{Identity, Node};
use serde_json::{Map, Value};

use crate::apiserver::field_set::{elements, key_of};
use crate::apiserver::status::Failure;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into `document` as `node` says.
pub(crate) fn patch(
    node: Option<&Node>,
    document: &mut Value,
    patch: Value,
) -> Result<(), Failure> {
    let Value::Object(patch) = patch else {
        return Err(Failure::bad_request("a strategic merge patch is an object"));
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(map) = document else { return Ok(()) };
    merge_object(node, map, patch)
}

fn merge_object(
    node: Option<&Node>,
    map: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<(), Failure> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            map.clear();
        }
        Some(Value::String(word)) if word == "delete" => {
            map.clear();
            return Ok(());
        }
        Some(Value::String(word)) if word == "merge" => {}
        Some(other) => {
            let why = format!("{DIRECTIVE}: {other} must be replace, delete or merge");
            return Err(Failure::bad_request(why));
        }
    }
    if let Some(Value::Array(kept)) = patch.remove(RETAIN) {
        map.retain(|name, _| kept.iter().any(|kept| kept == name));
    }
    let mut orders = HashMap::new();
    let mut deletions = HashMap::new();
    patch.retain(|name, value| {
        if let Some(field) = name.strip_prefix(ORDER) {
            orders.insert(field.to_owned(), value.take());
            return false;
        }
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            deletions.insert(field.to_owned(), value.take());
            return false;
        }
        true
    });
    for (field, gone) in deletions {
        if let (Some(Value::Array(list)), Value::Array(gone)) = (map.get_mut(&field), gone) {
            list.retain(|element| !gone.contains(element));
        }
    }
    for (name, value) in patch {
        let field = node.and_then(|node| node.field(&name));
        merge_field(field, map, name, value)?;
    }
    for (field, order) in orders {
        let node = node.and_then(|node| node.field(&field));
        if let (Some(Value::Array(list)), Value::Array(order)) = (map.get_mut(&field), order) {
            reorder(node, list, &order);
        }
    }
    Ok(())
}

fn merge_field(
    node: Option<&Node>,
    map: &mut Map<String, Value>,
    name: String,
    value: Value,
) -> Result<(), Failure> {
    match value {
        Value::Null => {
            map.shift_remove(&name);
        }
        Value::Object(patch) => {
            if patch.get(DIRECTIVE).is_some_and(|word| word == "delete") {
                map.shift_remove(&name);
                return Ok(());
            }
            let mut current = match map.get_mut(&name).map(Value::take) {
                Some(Value::Object(current)) => current,
                _ => Map::new(),
            };
            merge_object(node, &mut current, patch)?;
            map.insert(name, Value::Object(current));
        }
        Value::Array(patch) => {
            let mut current = match map.get_mut(&name).map(Value::take) {
                Some(Value::Array(current)) => current,
                _ => Vec::new(),
            };
            merge_list(node, &mut current, patch)?;
            map.insert(name, Value::Array(current));
        }
        other => {
            map.insert(name, other);
        }
    }
    Ok(())
}

fn merge_list(
    node: Option<&Node>,
    list: &mut Vec<Value>,
    patch: Vec<Value>,
) -> Result<(), Failure> {
    let Some((item, identity)) = elements(node) else {
        *list = patch;
        return Ok(());
    };
    let Identity::Keys(keys) = identity else {
        for element in patch {
            if !list.contains(&element) {
                list.push(element);
            }
        }
        return Ok(());
    };
    let replaces =
        |element: &Value| element[DIRECTIVE] == "replace" && element.get(keys[0]).is_none();
    if patch.iter().any(replaces) {
        *list = patch.into_iter().filter(|element| !replaces(element)).collect();
        return Ok(());
    }
    for element in patch {
        let Value::Object(element) = element else {
            let why = format!("an element of a list merged by {:?} is an object", keys[0]);
            return Err(Failure::bad_request(why));
        };
        let merge_key = keys[0];
        if element.get(merge_key).is_none() {
            let why = format!("an element of the patch lacks its merge key {merge_key:?}");
            return Err(Failure::bad_request(why));
        }
        if element.get(DIRECTIVE).is_some_and(|word| word == "delete") {
            list.retain(|current| !is_same(keys, current, &element));
            continue;
        }
        match list.iter_mut().find(|current| is_same(keys, current, &element)) {
            Some(Value::Object(current)) => merge_object(Some(item), current, element)?,
            _ => {
                let mut fresh = Map::new();
                merge_object(Some(item), &mut fresh, element)?;
                list.push(Value::Object(fresh));
            }
        }
    }
    Ok(())
}

/// Whether all keys that the patch names are those of `current`.
fn is_same(keys: &[&str], current: &Value, patch: &Map<String, Value>) -> bool {
    keys.iter().all(|key| match patch.get(*key) {
        Some(value) => key_of(current, key).as_ref() == Some(value),
        None => true,
    })
}

/// Puts the elements that `order` names into that order; the others keep their place among them.
fn reorder(node: Option<&Node>, list: &mut [Value], order: &[Value]) {
    let rank = |element: &Value| {
        order.iter().position(|wanted| match (elements(node), wanted) {
            (Some((_, Identity::Keys(keys))), Value::Object(wanted)) => {
                is_same(keys, element, wanted)
            }
            _ => wanted == element,
        })
    };
    let places: Vec<usize> = (0..list.len()).filter(|i| rank(&list[*i]).is_some()).collect();
    let mut ranked: Vec<(usize, Value)> = places
        .iter()
        .map(|place| (rank(&list[*place]).unwrap_or(usize::MAX), list[*place].clone()))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    for (place, (_, element)) in places.into_iter().zip(ranked) {
        list[place] = element;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ports(list: &Value) -> Value {
        json!({"spec": {"ports": list}})
    }

    #[test]
    fn patches_do_what_kubernetes_does() {
        let service = &leno_api::kind_of("", "Service").unwrap().schema;
        let live = json!([
            {"port": 80, "name": "http", "protocol": "TCP"},
            {"port": 443, "name": "https", "protocol": "TCP"},
        ]);
        let table = [
            // An element with a known key is merged, one with a new key is added.
            (
                ports(&live),
                ports(&json!([{"port": 80, "name": "web"}, {"port": 81}])),
                ports(&json!([
                    {"port": 80, "name": "web", "protocol": "TCP"},
                    {"port": 443, "name": "https", "protocol": "TCP"},
                    {"port": 81},
                ])),
            ),
            (
                ports(&live),
                ports(&json!([{"port": 80, "$patch": "delete"}])),
                ports(&json!([{"port": 443, "name": "https", "protocol": "TCP"}])),
            ),
            (
                ports(&live),
                ports(&json!([{"$patch": "replace"}, {"port": 1}])),
                ports(&json!([{"port": 1}])),
            ),
            (
                ports(&live),
                json!({"spec": {"$setElementOrder/ports": [{"port": 443}, {"port": 80}]}}),
                ports(&json!([
                    {"port": 443, "name": "https", "protocol": "TCP"},
                    {"port": 80, "name": "http", "protocol": "TCP"},
                ])),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"finalizers": ["c", "a"]}}),
                json!({"metadata": {"finalizers": ["a", "b", "c"]}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"]}}),
                json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
                json!({"metadata": {"finalizers": ["b"]}}),
            ),
            (
                json!({"metadata": {"labels": {"a": "1", "b": "2"}}}),
                json!({"metadata": {"labels": {"a": null, "c": "3"}}}),
                json!({"metadata": {"labels": {"b": "2", "c": "3"}}}),
            ),
            (
                json!({"metadata": {"labels": {"a": "1"}}}),
                json!({"metadata": {"labels": {"$patch": "replace", "z": "1"}}}),
                json!({"metadata": {"labels": {"z": "1"}}}),
            ),
            (
                json!({"metadata": {"labels": {"a": "1"}}, "spec": {}}),
                json!({"metadata": {"labels": {"$patch": "delete"}}}),
                json!({"metadata": {}, "spec": {}}),
            ),
            (
                json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}}),
                json!({"spec": {"$retainKeys": ["type"], "type": "ExternalName"}}),
                json!({"spec": {"type": "ExternalName"}}),
            ),
        ];
        for (mut document, change, expected) in table {
            patch(Some(service), &mut document, change.clone()).unwrap();
            assert_eq!(document, expected, "{change}");
        }
    }

    #[test]
    fn patches_that_make_no_sense_are_refused() {
        let service = &leno_api::kind_of("", "Service").unwrap().schema;
        for change in [
            json!([1]),
            json!({"spec": {"$patch": "explode"}}),
            ports(&json!([{"name": "no key"}])),
            ports(&json!([80])),
        ] {
            let mut document = ports(&json!([]));
            assert!(patch(Some(service), &mut document, change.clone()).is_err(), "{change}");
        }
    }
}
