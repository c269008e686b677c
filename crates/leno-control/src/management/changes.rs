//! The last changes of the mesh's configuration, from the store's own event log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use crate::store::{self, Event, Store};

/// How many are kept; the page shows them all.
const KEPT_MAX: usize = 20;

/// The kinds whose changes people want to see: what they steer the mesh with.
const GROUPS: [&str; 2] = ["networking.istio.io", "security.istio.io"];

/// One change, before it is known how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) revision: u64,
    pub(crate) at: String,
    pub(crate) verb: &'static str,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// The last changes, newest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes(Arc<Mutex<VecDeque<Entry>>>);

impl Changes {
    /// Records what the store commits from now on, until `stop` says so.
    pub(crate) async fn follow(self, store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
        // Too far behind means that changes were missed which would have been pushed out of the list anyway.
        while let Ok(mut subscription) = store.subscribe(store.revision()) {
            loop {
                let events = tokio::select! {
                    events = subscription.next() => events,
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                let Ok(events) = events else { break };
                events.iter().for_each(|event| self.record(event));
            }
        }
    }

    /// A copy of the list.
    pub(crate) fn latest(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    fn record(&self, event: &Event) {
        let Some(verb) = verb(event) else { return };
        let key = &event.document.key;
        let kind = event.document.value["kind"].as_str().unwrap_or(&key.plural).to_owned();
        let at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        let mut list = self.lock();
        list.push_front(Entry { revision: event.revision(), at, verb, kind, namespace, name });
        list.truncate(KEPT_MAX);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happened, if it is worth showing: a status that was written is not a change of configuration.
fn verb(event: &Event) -> Option<&'static str> {
    if !GROUPS.contains(&event.document.key.group.as_str()) {
        return None;
    }
    match event.change {
        store::Change::Created => Some("created"),
        store::Change::Deleted => Some("deleted"),
        store::Change::Updated => {
            let before = &event.previous.as_ref()?.value["spec"];
            (*before != event.document.value["spec"]).then_some("updated")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::{Document, Key};

    fn event(
        change: store::Change,
        group: &str,
        revision: u64,
        value: Value,
        before: Option<Value>,
    ) -> Event {
        let document = |value: Value| {
            let key = Key::new(group, "virtualservices", "default", "reviews");
            Arc::new(Document { key, revision, value })
        };
        Event { change, document: document(value), previous: before.map(document) }
    }

    #[test]
    fn only_changes_of_configuration_are_shown() {
        use store::Change::{Created, Deleted, Updated};
        let istio = "networking.istio.io";
        let spec = |n: u32| json!({"kind": "VirtualService", "spec": {"n": n}, "status": {"n": n}});
        let status = json!({"kind": "VirtualService", "spec": {"n": 1}, "status": {"n": 9}});
        // (event, shown)
        let table = [
            (event(Created, istio, 1, spec(1), None), Some("created")),
            (event(Updated, istio, 2, spec(2), Some(spec(1))), Some("updated")),
            (event(Updated, istio, 3, status, Some(spec(1))), None),
            (event(Deleted, istio, 4, spec(1), Some(spec(1))), Some("deleted")),
            (event(Created, "", 5, spec(1), None), None),
        ];
        for (event, shown) in table {
            assert_eq!(verb(&event), shown, "{event:?}");
        }
    }

    #[test]
    fn the_newest_is_first_and_the_list_is_bounded() {
        let changes = Changes::default();
        for revision in 1..=30 {
            let value = json!({"kind": "VirtualService"});
            changes.record(&event(
                store::Change::Created,
                "networking.istio.io",
                revision,
                value,
                None,
            ));
        }
        let latest = changes.latest();
        assert_eq!(
            (latest.len(), latest[0].revision, latest[0].kind.as_str()),
            (20, 30, "VirtualService")
        );
    }
}
