//! Writes on each document what became of it: accepted or not, which fields have no effect, and who enforces it.
//!
//! One task. It looks again when a proxy answered or a document changed, a moment later so that several changes are one
//! write, and writes only what is different: its own writes change nothing, so it never chases itself. A refusal also
//! becomes a Kubernetes Event: on the document it is about, or on the workload where it is about none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use leno_api::{Kind, kinds};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::push::{ProxyTable, Resources as _};
use crate::store::{CommitError, Document, Expect, Key, Range, Store, Write};
use crate::translate::{Proxy, Translation};
use crate::world::World;

mod blame;
mod condition;
mod event;
mod verdict;

use verdict::{Answer, Refused, Verdict};

/// Changes within this time are one write.
const COALESCE: Duration = Duration::from_millis(10);
/// A document is not called pending before this long: proxies answer in a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(250);

/// The writer and what it reads.
pub struct StatusWriter {
    store: Arc<dyn Store>,
    translation: Arc<Translation>,
    proxies: ProxyTable,
    known: HashMap<Key, Known>,
    events: event::Events,
}

/// What is remembered about a document between rounds.
#[derive(Clone, Copy, Debug)]
struct Known {
    generation: i64,
    /// A proxy that enforces this revision enforces the document.
    since: u64,
    first_seen: Instant,
}

/// What a round left to do.
enum Round {
    Done,
    /// Somebody has not answered yet, or a write came in between.
    LookAgain,
}

impl StatusWriter {
    /// Nothing is written before [`StatusWriter::run`].
    #[must_use]
    pub fn new(store: Arc<dyn Store>, translation: Arc<Translation>, proxies: ProxyTable) -> Self {
        Self {
            store,
            translation,
            proxies,
            known: HashMap::new(),
            events: event::Events::default(),
        }
    }

    /// Writes until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut proxies = self.proxies.changes();
        let mut revision = self.translation.revision();
        let mut subscription = self.store.subscribe(self.store.revision()).ok();
        let mut round = Round::LookAgain;
        loop {
            let patience = match round {
                Round::Done => Duration::MAX,
                Round::LookAgain => PATIENCE,
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = proxies.changed() => if changed.is_err() { return },
                changed = revision.changed() => if changed.is_err() { return },
                () = next_document(&mut subscription) => {}
                () = tokio::time::sleep(patience) => {}
            }
            tokio::time::sleep(COALESCE).await;
            if subscription.is_none() {
                subscription = self.store.subscribe(self.store.revision()).ok();
            }
            proxies.mark_unchanged();
            revision.mark_unchanged();
            round = self.look().await;
        }
    }

    /// One round over every document with a status of ours.
    async fn look(&mut self) -> Round {
        let (world, seen) = self.translation.world_at();
        let answers: Vec<Answer> = self
            .proxies
            .list()
            .iter()
            .map(|entry| {
                let translated = self.translation.last_told(&entry.node);
                let proxy = Proxy::from_node(&entry.node, &world);
                Answer::new(entry, proxy, translated.as_deref())
            })
            .collect();
        let mut writes = Vec::new();
        let mut round = Round::Done;
        let mut still_there = HashSet::new();
        for kind in kinds().iter().filter(|kind| is_judged(kind)) {
            let range = Range { group: kind.group, plural: kind.plural, namespace: None };
            for document in self.store.list(range).documents {
                still_there.insert(document.key.clone());
                if document.revision > seen {
                    round = Round::LookAgain;
                    continue;
                }
                match self.judge(kind, &document, &world, &answers) {
                    Some(written) => writes.extend(written),
                    None => round = Round::LookAgain,
                }
            }
        }
        for answer in &answers {
            writes.extend(self.tell_workload(answer));
        }
        self.known.retain(|key, _| still_there.contains(key));
        match self.commit(writes).await {
            Ok(()) => round,
            Err(_) => Round::LookAgain,
        }
    }

    /// What a proxy refuses and no document is to blame for is told where its workload is looked at.
    fn tell_workload(&mut self, answer: &Answer) -> Vec<Write> {
        let refusals: Vec<Refused> = answer.about_no_document().cloned().collect();
        let pod = leno_api::kind_of("", "Pod").expect("a kind of the registry");
        let key = Key::new("", pod.plural, &answer.proxy.namespace, &answer.proxy.name);
        match self.store.get(&key) {
            Some(document) if !refusals.is_empty() => {
                self.events.of(pod, &document, &refusals, &*self.store)
            }
            _ => Vec::new(),
        }
    }

    /// What to write for one document; `None` when it is too early to say.
    fn judge(
        &mut self,
        kind: &'static Kind,
        document: &Document,
        world: &World,
        answers: &[Answer],
    ) -> Option<Vec<Write>> {
        let generation = document.value["metadata"]["generation"].as_i64().unwrap_or(0);
        let fresh = Known { generation, since: world.revision(), first_seen: Instant::now() };
        let known = self.known.entry(document.key.clone()).or_insert(fresh);
        if known.generation != generation {
            *known = fresh;
        }
        let known = *known;
        let verdict = Verdict::new(kind, document, known.since.min(world.revision()), answers);
        if verdict.is_pending() && known.first_seen.elapsed() < PATIENCE {
            return None;
        }
        let mut writes = self.events.of(kind, document, &verdict.refused, &*self.store);
        let status = condition::status(kind, document, world, &verdict);
        if !condition::says_the_same(&document.value["status"], &status) {
            let mut value = document.value.clone();
            value["status"] = status;
            let expect = Expect::Revision(document.revision);
            writes.push(Write::Put { key: document.key.clone(), value, expect });
        }
        Some(writes)
    }

    /// All at once; one by one when somebody else wrote one of them in between.
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        if writes.is_empty() {
            return Ok(());
        }
        match self.store.commit(writes.clone()).await {
            Ok(_) => Ok(()),
            Err(
                CommitError::Conflict { .. }
                | CommitError::Missing { .. }
                | CommitError::Exists { .. },
            ) => {
                let mut outcome = Ok(());
                for write in writes {
                    if let Err(error) = self.store.commit(vec![write]).await {
                        outcome = Err(error);
                    }
                }
                outcome
            }
            Err(error) => {
                tracing::warn!(%error, "status was not written");
                Err(error)
            }
        }
    }
}

/// Kinds that users write to steer the mesh.
fn is_judged(kind: &Kind) -> bool {
    kind.group.ends_with("istio.io")
}

/// Waits for a document that may need a status; the writer's own writes wake it once, to find nothing.
async fn next_document(subscription: &mut Option<crate::store::Subscription>) {
    loop {
        let Some(events) = subscription else { return std::future::pending().await };
        match events.next().await {
            Ok(events) => {
                let judged = |key: &Key| key.group.ends_with("istio.io");
                if events.iter().any(|event| judged(&event.document.key)) {
                    return;
                }
            }
            Err(_) => {
                *subscription = None;
                return;
            }
        }
    }
}

/// The text at a path, or nothing.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}

#[cfg(test)]
mod tests;
