//! The last changes of what users write, for the page and `leno status`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use leno_api::kinds;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use crate::front_door::stopped;
use crate::management::Change;
use crate::store::{self, Event, Key, Store};

/// How many are kept.
const CHANGES_MAX: usize = 50;
/// How far back a start reads.
const EVENTS_READ: u64 = 1024;

/// Newest first; shared by the task that follows the store and whoever draws a picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Mutex<VecDeque<(Key, Change)>>>);

impl Changes {
    /// Follows the store until `stop` turns true.
    pub(super) async fn follow(self, store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
        let mut from = store.revision().saturating_sub(EVENTS_READ);
        loop {
            let mut events = match store.subscribe(from) {
                Ok(events) => events,
                Err(compacted) => {
                    from = compacted.oldest;
                    continue;
                }
            };
            loop {
                let next = tokio::select! {
                    next = events.next() => next,
                    () = stopped(&mut stop) => return,
                };
                match next {
                    Ok(events) => self.take(&events),
                    Err(compacted) => {
                        from = compacted.oldest;
                        break;
                    }
                }
            }
        }
    }

    fn take(&self, events: &[Arc<Event>]) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if let Some(change) = change_of(event) {
                changes.push_front((event.document.key.clone(), change));
                changes.truncate(CHANGES_MAX);
            }
        }
    }

    /// The changes with how far each has come, as the documents' status says.
    pub(super) fn list(&self, store: &dyn Store) -> Vec<Change> {
        let changes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let progress = |(key, mut change): (Key, Change)| {
            if let Some(found) = store.get(&key) {
                let status = &found.value["status"]["enforcement"];
                let count = |name: &str| match &status[name] {
                    Value::Array(list) => list.len(),
                    other => other.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
                };
                (change.enforced, change.of) = (count("enforcedBy"), count("proxies"));
                let refused = &status["refusedBy"][0];
                change.problem =
                    match (refused["problems"][0].as_str(), refused["problem"].as_str()) {
                        (Some(text), _) | (None, Some(text)) => Some(text.to_owned()),
                        (None, None) => None,
                    };
            }
            change
        };
        changes.into_iter().map(progress).collect()
    }
}

/// A change of a user's wish; writes of status and of machines are none.
fn change_of(event: &Event) -> Option<Change> {
    let key = &event.document.key;
    let kind = kinds().iter().find(|kind| kind.group == key.group && kind.plural == key.plural)?;
    if !key.group.ends_with(".istio.io") && !matches!(kind.kind, "Service" | "Namespace") {
        return None;
    }
    let document = &event.document.value;
    let generation = |document: &Value| document["metadata"]["generation"].clone();
    let (verb, at) = match event.change {
        store::Change::Created => ("created", text(&document["metadata"]["creationTimestamp"])),
        store::Change::Deleted => ("deleted", now()),
        store::Change::Updated => {
            let before = event.previous.as_ref()?;
            if generation(&before.value) == generation(document) {
                return None;
            }
            ("updated", last_managed(document).unwrap_or_else(now))
        }
    };
    Some(Change {
        revision: event.revision(),
        at,
        verb,
        kind: kind.kind.to_owned(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        enforced: 0,
        of: 0,
        problem: None,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}

fn last_managed(document: &Value) -> Option<String> {
    let entries = document["metadata"]["managedFields"].as_array()?;
    entries.iter().filter_map(|entry| entry["time"].as_str()).max().map(str::to_owned)
}

fn now() -> String {
    // Formatting a valid time by a fixed rule cannot fail; an empty time is still a change.
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
