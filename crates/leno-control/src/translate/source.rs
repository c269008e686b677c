//! Follows the store and answers the pusher: what each proxy shall have, as bytes.
//!
//! One task applies events to the world and wakes the pusher at once; what a proxy shall have is worked out when the
//! pusher asks. A commit that does not change the world wakes nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leno_core::config::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration};
use leno_xds::name_table::{NameTable, encode_name_table};
use leno_xds::{
    ByType, Node, ResourceType, encode_cluster, encode_endpoints, encode_listener, encode_route,
};
use tokio::sync::watch;

use super::encode::Encoder;
use super::{Proxy, Translated, Translator};
use crate::push::{ResourceSet, Resources};
use crate::store::{Change, Document, Store, Subscription};
use crate::world::{Changed, World};

/// A proxy that did not ask for so many changes of the world is forgotten.
const IDLE_SWEEPS_MAX: u64 = 8;

/// What every proxy shall have, kept up with the store.
#[derive(Debug)]
pub struct Translation {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    world: Arc<World>,
    /// Up to where the store was read.
    seen: u64,
    sweeps: u64,
    translator: Translator,
    listeners: Encoder<Listener>,
    routes: Encoder<RouteConfiguration>,
    clusters: Encoder<Cluster>,
    endpoints: Encoder<ClusterLoadAssignment>,
    names: Encoder<NameTable>,
    /// By the node's id.
    answers: HashMap<String, Answer>,
}

/// What a proxy was told last.
#[derive(Debug)]
struct Answer {
    proxy: Proxy,
    translated: Arc<Translated>,
    set: Arc<ResourceSet>,
    used: u64,
}

impl Translation {
    /// Of everything in the store now. [`Translation::follow`] keeps it so.
    #[must_use]
    pub fn new(store: &dyn Store) -> Arc<Self> {
        let mut state = State::default();
        state.read_everything(store);
        let revision = watch::Sender::new(state.world.revision());
        Arc::new(Self { state: Mutex::new(state), revision })
    }

    /// Applies what the store commits, at once, until `stop` says so.
    pub async fn follow(self: Arc<Self>, store: Arc<dyn Store>, mut stop: watch::Receiver<bool>) {
        let mut subscription = self.subscribe(&*store);
        loop {
            self.publish();
            let events = tokio::select! {
                events = subscription.next() => events,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match events {
                Ok(events) => {
                    let changes = events.iter().map(|event| changed(event.change, &event.document));
                    self.lock().apply(subscription.seen(), changes);
                }
                // Too far behind: read all of it, and go on from there.
                Err(_) => {
                    self.lock().read_everything(&*store);
                    subscription = self.subscribe(&*store);
                }
            }
        }
    }

    fn publish(&self) {
        let revision = self.lock().world.revision();
        self.revision.send_if_modified(|known| {
            let moved = *known != revision;
            *known = revision;
            moved
        });
    }

    fn subscribe(&self, store: &dyn Store) -> Subscription {
        loop {
            let seen = self.lock().seen;
            match store.subscribe(seen) {
                Ok(subscription) => return subscription,
                Err(_) => self.lock().read_everything(store),
            }
        }
    }

    /// The world as of the last commit that was applied.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.lock().world.clone()
    }

    /// The world, and up to which of the store's revisions it is.
    #[must_use]
    pub fn world_at(&self) -> (Arc<World>, u64) {
        let state = self.lock();
        (state.world.clone(), state.seen)
    }

    /// What a proxy was told last.
    #[must_use]
    pub fn last_told(&self, node: &Node) -> Option<Arc<Translated>> {
        self.lock().answers.get(&node.id).map(|answer| answer.translated.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The world is replaced whole, memos hold only finished values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resources for Translation {
    fn current(&self, node: &Node) -> Arc<ResourceSet> {
        self.lock().answer(node)
    }

    fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

impl State {
    fn read_everything(&mut self, store: &dyn Store) {
        let listing = store.everything();
        let all = listing.documents.iter().map(|document| changed(Change::Created, document));
        // Nothing is taken over: what is gone must be gone.
        self.world = Arc::new(World::default().apply(listing.revision, all));
        self.seen = listing.revision;
    }

    fn apply<'a>(&mut self, seen: u64, changes: impl Iterator<Item = Changed<'a>>) {
        let next = self.world.apply(seen, changes);
        self.seen = seen;
        if next.revision() == self.world.revision() {
            self.world = Arc::new(next);
            return;
        }
        self.world = Arc::new(next);
        self.sweeps += 1;
        self.translator.sweep();
        self.listeners.sweep();
        self.routes.sweep();
        self.clusters.sweep();
        self.endpoints.sweep();
        self.names.sweep();
        let oldest = self.sweeps.saturating_sub(IDLE_SWEEPS_MAX);
        self.answers.retain(|_, answer| answer.used >= oldest);
    }

    fn answer(&mut self, node: &Node) -> Arc<ResourceSet> {
        let world = self.world.clone();
        let proxy = Proxy::from_node(node, &world);
        if let Some(known) = self.answers.get_mut(&node.id)
            && known.set.revision == world.revision()
            && known.proxy == proxy
        {
            return known.set.clone();
        }
        let translated = self.translator.translate(&world, &proxy);
        let before = self.answers.get(&node.id).map(|known| known.set.clone());
        let by_type = self.encode(&translated, before.as_deref());
        let set = Arc::new(ResourceSet { revision: world.revision(), by_type });
        let translated = Arc::new(translated);
        let answer = Answer { proxy, translated, set: set.clone(), used: self.sweeps };
        self.answers.insert(node.id.clone(), answer);
        set
    }

    fn encode(
        &mut self,
        translated: &Translated,
        before: Option<&ResourceSet>,
    ) -> ByType<Arc<leno_xds::server::Wanted>> {
        ByType::from_fn(|kind| {
            let before = before.map(|before| &before.by_type[kind]);
            match kind {
                ResourceType::Cluster => {
                    self.clusters.encode(&translated.clusters, encode_cluster, before)
                }
                ResourceType::Endpoint => {
                    self.endpoints.encode(&translated.endpoints, encode_endpoints, before)
                }
                ResourceType::Listener => {
                    self.listeners.encode(&translated.listeners, encode_listener, before)
                }
                ResourceType::Route => self.routes.encode(&translated.routes, encode_route, before),
                ResourceType::NameTable => {
                    self.names.encode(&translated.names, encode_name_table, before)
                }
            }
        })
    }
}

fn changed(change: Change, document: &Document) -> Changed<'_> {
    let key = &document.key;
    Changed {
        group: &key.group,
        plural: &key.plural,
        namespace: &key.namespace,
        name: &key.name,
        document: (change != Change::Deleted).then_some(&document.value),
    }
}

#[cfg(test)]
mod tests;
