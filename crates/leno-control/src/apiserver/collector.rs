//! Finishes what deletions began: dependents of what is gone, the content of a namespace that goes, finalizers of ours.
//! Forgets events that nobody will ask for any more.
//!
//! One task, woken by every deletion; it reads the store and writes like anybody else, and starts over when it was late.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use leno_api::field::parse_timestamp;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::delete::{FOREGROUND, ORPHAN};
use super::metadata::{has_finalizers, is_terminating, now};
use crate::front_door::stopped;
use crate::store::{Change, CommitError, Document, Event, Expect, Range, Store, Write};

/// Writes that are handed to the store before the first is waited for.
const TOGETHER_MAX: usize = 128;

/// As Kubernetes keeps events.
const EVENT_LIFE: time::Duration = time::Duration::hours(1);
/// Between two looks at old events.
const LOOK_EVERY: Duration = Duration::from_secs(60);

const EVENTS: Range<'static> = Range { group: "", plural: "events", namespace: None };

/// Runs until `stop` turns true.
pub(crate) async fn run(store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(mut events) = store.subscribe(store.revision()) else { continue };
        // What a crash left unfinished, and what was missed when the log ran ahead.
        sweep(&*store).await;
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                _ = tick.tick() => {
                    let old = old_events(&store.list(EVENTS).documents, OffsetDateTime::now_utc());
                    commit(&*store, &old).await;
                    continue;
                }
                () = stopped(&mut stop) => return,
            };
            let Ok(next) = next else { break };
            if next.iter().any(|event| concerns_deletion(event)) {
                sweep(&*store).await;
            }
        }
    }
}

fn concerns_deletion(event: &Event) -> bool {
    let owners = |document: &Document| document.value["metadata"]["ownerReferences"].clone();
    let (now, before) = (owners(&event.document), event.previous.as_deref().map(owners));
    let is_newly_owned = !now.is_null() && before.as_ref() != Some(&now);
    event.change == Change::Deleted || is_terminating(&event.document.value) || is_newly_owned
}

/// Repeats until nothing is left to do: what one round deletes may set others free.
async fn sweep(store: &dyn Store) {
    loop {
        let writes = work(&store.everything().documents);
        if writes.is_empty() || commit(store, &writes).await == Outcome::Failed {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
}

async fn commit(store: &dyn Store, writes: &[Write]) -> Outcome {
    for part in writes.chunks(TOGETHER_MAX) {
        // Handed over together, so that they share the store's transactions.
        let commits: Vec<_> = part.iter().map(|write| store.commit(vec![write.clone()])).collect();
        for commit in commits {
            match commit.await {
                // Somebody was faster; the next round, or the next event, looks again.
                Ok(_) | Err(CommitError::Conflict { .. } | CommitError::Missing { .. }) => {}
                Err(error) => {
                    tracing::warn!(%error, "deletion not finished, tried again at the next");
                    return Outcome::Failed;
                }
            }
        }
    }
    Outcome::Done
}

/// The deletions of events that were seen last too long ago.
fn old_events(events: &[Arc<Document>], now: OffsetDateTime) -> Vec<Write> {
    let seen = |event: &Value| {
        let times = [&event["lastTimestamp"], &event["metadata"]["creationTimestamp"]];
        times.into_iter().filter_map(|time| parse_timestamp(time.as_str()?)).max()
    };
    let is_old =
        |event: &&Arc<Document>| seen(&event.value).is_some_and(|seen| now - seen > EVENT_LIFE);
    events.iter().filter(is_old).filter_map(|event| delete(event)).collect()
}

/// Every write that the state of deletion asks for. Pure but for the time.
fn work(everything: &[Arc<Document>]) -> Vec<Write> {
    let by_uid: HashMap<&str, &Value> =
        everything.iter().filter_map(|found| Some((uid(&found.value)?, &found.value))).collect();
    let owning: HashSet<&str> = everything.iter().flat_map(|found| owners(&found.value)).collect();
    let mut writes = Vec::new();
    for found in everything {
        let document = &found.value;
        let own = owners(document);
        let living: Vec<&Value> =
            own.iter().filter_map(|owner| by_uid.get(owner).copied()).collect();
        if !own.is_empty() && living.is_empty() {
            writes.extend(delete(found));
            continue;
        }
        if !is_terminating(document) {
            if living.iter().any(|owner| waits_for_dependents(owner)) {
                writes.extend(delete(found));
            }
            continue;
        }
        let has_dependents = uid(document).is_some_and(|uid| owning.contains(uid));
        if has_finalizer(document, ORPHAN) {
            writes.extend(let_go(everything, found));
        } else if has_finalizer(document, FOREGROUND) && !has_dependents {
            writes.push(without_finalizer(found, FOREGROUND));
        }
        if document["kind"] == "Namespace" {
            writes.extend(empty_namespace(everything, found));
        }
    }
    writes
}

fn uid(document: &Value) -> Option<&str> {
    document["metadata"]["uid"].as_str()
}

fn owners(document: &Value) -> Vec<&str> {
    let references = document["metadata"]["ownerReferences"].as_array();
    references.into_iter().flatten().filter_map(|owner| owner["uid"].as_str()).collect()
}

fn has_finalizer(document: &Value, name: &str) -> bool {
    let finalizers = document["metadata"]["finalizers"].as_array();
    finalizers.is_some_and(|list| list.iter().any(|known| known == name))
}

/// Whether this document goes away and its dependents go first.
fn waits_for_dependents(document: &Value) -> bool {
    is_terminating(document) && has_finalizer(document, FOREGROUND)
}

/// Deletes, or marks what has finalizers and is not marked yet.
fn delete(found: &Document) -> Option<Write> {
    let expect = Expect::Revision(found.revision);
    if !has_finalizers(&found.value) {
        return Some(Write::Delete { key: found.key.clone(), expect });
    }
    if is_terminating(&found.value) {
        return None;
    }
    let mut value = found.value.clone();
    value["metadata"]["deletionTimestamp"] = now().into();
    value["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    Some(Write::Put { key: found.key.clone(), value, expect })
}

/// The document without this finalizer; gone, if it was the last.
fn without_finalizer(found: &Document, name: &str) -> Write {
    let expect = Expect::Revision(found.revision);
    let mut value = found.value.clone();
    if let Some(list) = value["metadata"]["finalizers"].as_array_mut() {
        list.retain(|known| known != name);
    }
    if has_finalizers(&value) {
        Write::Put { key: found.key.clone(), value, expect }
    } else {
        Write::Delete { key: found.key.clone(), expect }
    }
}

/// Takes the owner out of its dependents first, then lets it go.
fn let_go(everything: &[Arc<Document>], owner: &Document) -> Vec<Write> {
    let Some(owner_uid) = uid(&owner.value) else { return Vec::new() };
    let dependents = everything.iter().filter(|found| owners(&found.value).contains(&owner_uid));
    let mut writes: Vec<Write> = dependents
        .map(|found| {
            let mut value = found.value.clone();
            if let Some(list) = value["metadata"]["ownerReferences"].as_array_mut() {
                list.retain(|owner| owner["uid"] != owner_uid);
                if list.is_empty() {
                    super::metadata::unset(&mut value["metadata"], "ownerReferences");
                }
            }
            let expect = Expect::Revision(found.revision);
            Write::Put { key: found.key.clone(), value, expect }
        })
        .collect();
    if writes.is_empty() {
        writes.push(without_finalizer(owner, ORPHAN));
    }
    writes
}

/// Deletes what is in the namespace; the namespace itself when nothing is left.
fn empty_namespace(everything: &[Arc<Document>], namespace: &Document) -> Vec<Write> {
    let inside = || everything.iter().filter(|found| found.key.namespace == namespace.key.name);
    if inside().next().is_some() {
        return inside().filter_map(|found| delete(found)).collect();
    }
    let mut value = namespace.value.clone();
    value["spec"]["finalizers"] = json!([]);
    if has_finalizers(&value) {
        return Vec::new();
    }
    let expect = Expect::Revision(namespace.revision);
    vec![Write::Delete { key: namespace.key.clone(), expect }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn document(name: &str, value: Value) -> Arc<Document> {
        Arc::new(Document { key: Key::new("", "things", "default", name), revision: 1, value })
    }

    fn names(writes: &[Write]) -> Vec<&str> {
        writes.iter().map(|write| write.key().name.as_str()).collect()
    }

    #[test]
    fn events_are_kept_for_an_hour_after_they_were_seen_last() {
        let now = parse_timestamp("2030-01-01T12:00:00Z").unwrap();
        let event = |name: &str, made: &str, last: &str| {
            document(name, json!({"metadata": {"creationTimestamp": made}, "lastTimestamp": last}))
        };
        let events = [
            event("old", "2030-01-01T10:00:00Z", "2030-01-01T10:59:59Z"),
            event("seen-again", "2030-01-01T10:00:00Z", "2030-01-01T11:30:00Z"),
            event("new", "2030-01-01T11:59:00Z", "-"),
            event("odd", "-", "-"),
        ];
        assert_eq!(names(&old_events(&events, now)), ["old"]);
    }

    #[test]
    fn dependents_go_when_their_last_owner_is_gone() {
        let owned = |name: &str, owners: &[&str]| {
            let owners: Vec<Value> = owners.iter().map(|uid| json!({"uid": uid})).collect();
            document(name, json!({"metadata": {"uid": name, "ownerReferences": owners}}))
        };
        let documents = [
            owned("root", &[]),
            owned("kept", &["gone", "root"]),
            owned("orphan", &["gone"]),
            owned("below-orphan", &["orphan"]),
        ];
        assert_eq!(names(&work(&documents)), ["orphan"]);
        assert_eq!(names(&work(&documents[3..])), ["below-orphan"]);
    }
}
