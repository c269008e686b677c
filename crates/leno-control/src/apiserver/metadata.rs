//! What the server writes into `metadata`: names, uids, times, generations. The only place here with clock and chance.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const SECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// This moment as Kubernetes writes it.
pub(crate) fn now() -> String {
    OffsetDateTime::now_utc().format(SECONDS).expect("the format names parts every time has")
}

/// A random (version 4) UUID.
pub(crate) fn new_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What `generateName` is completed with: Kubernetes' alphabet, in which nothing is spelled by chance.
pub(crate) fn name_suffix() -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let bytes: [u8; 5] = rand::random();
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// Metadata of a document that was not there before.
pub(crate) fn begin(document: &mut Value, now: &str) {
    let metadata = &mut document["metadata"];
    metadata["uid"] = new_uid().into();
    metadata["creationTimestamp"] = now.into();
    for name in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        unset(metadata, name);
    }
    if has_generation(document) {
        document["metadata"]["generation"] = json!(1);
    } else {
        unset(&mut document["metadata"], "generation");
    }
}

/// Metadata that no writer changes, and the generation, which rises when the desired state is another one.
pub(crate) fn carry(document: &mut Value, live: &Value) {
    const CARRIED: [&str; 8] = [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "resourceVersion",
    ];
    for name in CARRIED {
        match live["metadata"].get(name) {
            Some(value) => document["metadata"][name] = value.clone(),
            None => unset(&mut document["metadata"], name),
        }
    }
    unset(&mut document["metadata"], "selfLink");
    match live["metadata"]["generation"].as_u64() {
        Some(generation) => {
            let risen = u64::from(!is_same_wish(document, live));
            document["metadata"]["generation"] = (generation + risen).into();
        }
        None => unset(&mut document["metadata"], "generation"),
    }
}

/// Whether everything but metadata and status is the same.
fn is_same_wish(one: &Value, other: &Value) -> bool {
    let wish = |document: &Value| -> Vec<(String, Value)> {
        let Some(map) = document.as_object() else { return Vec::new() };
        let mut fields: Vec<(String, Value)> = map
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status" | "apiVersion"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields
    };
    wish(one) == wish(other)
}

/// Documents that wish for something have one; plain data, as a `ConfigMap`, does not.
fn has_generation(document: &Value) -> bool {
    document.get("spec").is_some() && document["kind"] != "Namespace"
}

/// Removes `map[name]`.
pub(crate) fn unset(map: &mut Value, name: &str) {
    if let Value::Object(map) = map {
        map.shift_remove(name);
    }
}

/// Removes every field that is null: written or not, it means the same.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Whether something still holds the document back from going away.
pub(crate) fn has_finalizers(document: &Value) -> bool {
    document["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
        || (document["kind"] == "Namespace"
            && document["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty()))
}

/// Whether it is to go away.
pub(crate) fn is_terminating(document: &Value) -> bool {
    !document["metadata"]["deletionTimestamp"].is_null()
}
