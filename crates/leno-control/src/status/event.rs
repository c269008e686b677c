//! A Kubernetes Event for each refusal, so that `kubectl describe` and `kubectl get events` tell of it.
//!
//! An event is written once; those of ours that are older than an hour go when a new one comes.

use std::collections::BTreeSet;
use std::time::Duration;

use leno_api::Kind;
use leno_api::field::parse_timestamp;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::condition::now;
use super::text;
use super::verdict::{Refused, metadata};
use crate::store::{Document, Expect, Key, Range, Store, Write};

const REPORTER: &str = "leno-control";
const KEPT_FOR: Duration = Duration::from_secs(3600);
/// The longest message that Kubernetes takes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// How many refusals are remembered as told.
const TOLD_MAX: usize = 10_000;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Events(BTreeSet<String>);

impl Events {
    /// Writes for the refusals about a document that were not told yet.
    pub(super) fn of(
        &mut self,
        kind: &Kind,
        document: &Document,
        refusals: &[Refused],
        store: &dyn Store,
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        for refused in refusals {
            let name = name_of(kind, document, refused);
            if self.0.len() >= TOLD_MAX {
                self.0.clear();
            }
            if !self.0.insert(name.clone()) {
                continue;
            }
            let key = Key::new("", "events", &document.key.namespace, &name);
            if store.get(&key).is_none() {
                let value = event(kind, document, refused, &name);
                writes.push(Write::Put { key, value, expect: Expect::Absent });
            }
        }
        if !writes.is_empty() {
            writes.extend(outdated(store, &document.key.namespace));
        }
        writes
    }
}

/// The same refusal has the same name, whoever writes it.
fn name_of(kind: &Kind, document: &Document, refused: &Refused) -> String {
    let text = format!("{}/{}/{:?}", kind.kind, refused.proxy, refused.problems);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let generation = document.value["metadata"]["generation"].as_i64().unwrap_or(0);
    format!("{}.{generation}.{hash:016x}", document.key.name)
}

fn event(kind: &Kind, document: &Document, refused: &Refused, name: &str) -> Value {
    let about = metadata(document);
    let now = now();
    let mut message = format!("proxy {} refused {}", refused.proxy, refused.problems.join("; "));
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX - 3).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        message.push_str("...");
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name,
            "namespace": document.key.namespace,
            "creationTimestamp": now,
            "uid": format!("{name}.{}", about.uid),
        },
        "involvedObject": {
            "apiVersion": kind.api_version(kind.storage_version()),
            "kind": kind.kind,
            "namespace": document.key.namespace,
            "name": document.key.name,
            "uid": about.uid,
            "resourceVersion": document.revision.to_string(),
        },
        "type": "Warning",
        "reason": "RefusedByProxy",
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "reportingComponent": REPORTER,
        "source": {"component": REPORTER},
    })
}

fn outdated(store: &dyn Store, namespace: &str) -> Vec<Write> {
    let range = Range { group: "", plural: "events", namespace: Some(namespace) };
    let old = |document: &Document| {
        let last = parse_timestamp(text(&document.value, "lastTimestamp"));
        text(&document.value, "reportingComponent") == REPORTER
            && last.is_some_and(|last| OffsetDateTime::now_utc() - last > KEPT_FOR)
    };
    let listed = store.list(range).documents;
    let gone = listed.iter().filter(|document| old(document));
    gone.map(|document| Write::Delete { key: document.key.clone(), expect: Expect::Anything })
        .collect()
}
