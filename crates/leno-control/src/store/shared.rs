//! What readers see: the parsed documents, the last events, and a notice when there are more.
//!
//! Written by the store's one writer thread only; readers take the lock for as long as it takes to copy pointers.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::{Compacted, Document, Event, Key, Listing, Range};

/// State at one revision.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) documents: BTreeMap<Key, Arc<Document>>,
    /// Without gaps; the last one made `revision`.
    pub(super) events: VecDeque<Arc<Event>>,
}

impl State {
    /// The oldest revision whose successors are all in `events`.
    pub(super) fn oldest(&self) -> u64 {
        self.revision - self.events.len() as u64
    }

    fn events_after(&self, revision: u64) -> Result<usize, Compacted> {
        let oldest = self.oldest();
        if revision < oldest {
            return Err(Compacted { asked: revision, oldest });
        }
        Ok(usize::try_from(revision - oldest).unwrap_or(usize::MAX).min(self.events.len()))
    }

    fn list(&self, range: Range<'_>) -> Vec<Arc<Document>> {
        let first = Key::new(range.group, range.plural, range.namespace.unwrap_or(""), "");
        let documents = self.documents.range((Bound::Included(first), Bound::Unbounded));
        let inside = documents.take_while(|(key, _)| range.holds(key));
        inside.map(|(_, document)| Arc::clone(document)).collect()
    }
}

impl Range<'_> {
    fn holds(&self, key: &Key) -> bool {
        key.group == self.group
            && key.plural == self.plural
            && self.namespace.is_none_or(|namespace| key.namespace == namespace)
    }
}

/// [`State`] and a notice of its revision.
#[derive(Debug)]
pub(super) struct Shared {
    state: RwLock<State>,
    revision: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        let (revision, _) = watch::channel(state.revision);
        Self { state: RwLock::new(state), revision }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        // The writer replaces whole entries; a panic elsewhere leaves nothing half done.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies durable events and forgets all but the newest `keep`.
    pub(super) fn publish(&self, events: Vec<Arc<Event>>, keep: usize) {
        let mut state = self.write();
        for event in events {
            let document = &event.document;
            assert_eq!(document.revision, state.revision + 1, "one revision per event");
            state.revision = document.revision;
            if event.change == super::Change::Deleted {
                state.documents.remove(&document.key);
            } else {
                state.documents.insert(document.key.clone(), Arc::clone(document));
            }
            state.events.push_back(event);
        }
        while state.events.len() > keep {
            state.events.pop_front();
        }
        let revision = state.revision;
        drop(state);
        self.revision.send_replace(revision);
    }

    pub(super) fn list(&self, range: Range<'_>) -> Listing {
        let state = self.read();
        Listing { revision: state.revision, documents: state.list(range) }
    }

    pub(super) fn everything(&self) -> Listing {
        let state = self.read();
        let documents = state.documents.values().map(Arc::clone).collect();
        Listing { revision: state.revision, documents }
    }

    /// Undoes the events since `revision`, newest first.
    pub(super) fn list_at(&self, range: Range<'_>, revision: u64) -> Result<Listing, Compacted> {
        let state = self.read();
        let since = state.events_after(revision)?;
        let mut documents: BTreeMap<Key, Arc<Document>> =
            state.list(range).into_iter().map(|found| (found.key.clone(), found)).collect();
        for event in state.events.iter().skip(since).rev() {
            let key = &event.document.key;
            if !range.holds(key) {
                continue;
            }
            match &event.previous {
                Some(previous) => documents.insert(key.clone(), Arc::clone(previous)),
                None => documents.remove(key),
            };
        }
        Ok(Listing { revision, documents: documents.into_values().collect() })
    }

    pub(super) fn subscribe(self: &Arc<Self>, after: u64) -> Result<Subscription, Compacted> {
        self.read().events_after(after)?;
        Ok(Subscription {
            shared: Arc::clone(self),
            seen: after,
            notice: self.revision.subscribe(),
        })
    }
}

/// Events after a revision, in order. Holds no queue of its own: who is too slow gets [`Compacted`].
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    seen: u64,
    notice: watch::Receiver<u64>,
}

/// How many events [`Subscription::next`] hands out at once.
const BATCH_EVENTS_MAX: usize = 256;

impl Subscription {
    /// The next events, at least one; waits until there are some. Nothing is lost when the wait is given up.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Compacted> {
        loop {
            self.notice.mark_unchanged();
            let ready = self.ready()?;
            if !ready.is_empty() {
                return Ok(ready);
            }
            // The sender lives in `shared`, which this holds.
            let _ = self.notice.changed().await;
        }
    }

    /// The next events without waiting; none when there are none yet.
    pub fn ready(&mut self) -> Result<Vec<Arc<Event>>, Compacted> {
        let state = self.shared.read();
        let from = state.events_after(self.seen)?;
        let events: Vec<_> =
            state.events.iter().skip(from).take(BATCH_EVENTS_MAX).map(Arc::clone).collect();
        drop(state);
        if let Some(last) = events.last() {
            self.seen = last.revision();
        }
        Ok(events)
    }

    /// The revision up to which events were handed out.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}
