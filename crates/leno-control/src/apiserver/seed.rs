//! What is there before anybody wrote anything: the first namespaces and the definitions of our kinds.

use leno_api::kind::definitions;
use serde_json::{Value, json};

use super::metadata::{begin, now};
use crate::store::{CommitError, Expect, Key, Range, Store, Write};

/// Namespaces of a fresh mesh.
const NAMESPACES: [&str; 2] = ["default", "istio-system"];

/// Writes what is missing or, for definitions, is of another version of this program.
pub(crate) async fn seed(store: &dyn Store) -> Result<(), CommitError> {
    let mut writes = Vec::new();
    // Only a fresh store: whoever deletes istio-system later meant it.
    if store.revision() == 0 {
        writes.extend(NAMESPACES.into_iter().map(namespace));
    } else if store.get(&Key::new("", "namespaces", "", NAMESPACES[0])).is_none() {
        writes.push(namespace(NAMESPACES[0]));
    }
    writes.extend(definition_writes(store));
    if writes.is_empty() {
        return Ok(());
    }
    store.commit(writes).await.map(drop)
}

fn namespace(name: &str) -> Write {
    let mut value = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
    });
    if let Some(kind) = leno_api::kind_of("", "Namespace") {
        (kind.default)(&mut value);
    }
    begin(&mut value, &now());
    Write::Put { key: Key::new("", "namespaces", "", name), value, expect: Expect::Absent }
}

fn definition_writes(store: &dyn Store) -> Vec<Write> {
    const PLACE: (&str, &str) = ("apiextensions.k8s.io", "customresourcedefinitions");
    let range = Range { group: PLACE.0, plural: PLACE.1, namespace: None };
    let known = store.list(range).documents;
    let wanted = definitions();
    let mut writes = Vec::new();
    for mut value in wanted.clone() {
        let name = value["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let key = Key::new(PLACE.0, PLACE.1, "", &name);
        match known.iter().find(|found| found.key == key) {
            Some(found) if is_same(&found.value, &value) => {}
            Some(found) => {
                value["metadata"] = found.value["metadata"].clone();
                writes.push(Write::Put { key, value, expect: Expect::Anything });
            }
            None => {
                begin(&mut value, &now());
                writes.push(Write::Put { key, value, expect: Expect::Absent });
            }
        }
    }
    for found in known {
        if !wanted.iter().any(|value| value["metadata"]["name"] == *found.key.name) {
            writes.push(Write::Delete { key: found.key.clone(), expect: Expect::Anything });
        }
    }
    writes
}

fn is_same(one: &Value, other: &Value) -> bool {
    one["spec"] == other["spec"] && one["status"] == other["status"]
}
