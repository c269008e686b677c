//! What every connected proxy has, acknowledged and refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use leno_xds::{ByType, Node, ResourceType};
use tokio::sync::watch;

/// The connected proxies. Cheap to clone; all clones are one table.
#[derive(Clone, Debug)]
pub struct ProxyTable {
    entries: Arc<Mutex<BTreeMap<u64, ProxyEntry>>>,
    changes: Arc<watch::Sender<u64>>,
}

/// One connected proxy.
#[derive(Clone, Debug)]
pub struct ProxyEntry {
    /// Who it says it is.
    pub node: Arc<Node>,
    /// Since when this stream is up.
    pub connected_since: SystemTime,
    /// How far each type is.
    pub progress: ByType<TypeProgress>,
}

/// How far a proxy is with one type. A type it never asked for stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeProgress {
    /// Whether the proxy asked for this type.
    pub subscribed: bool,
    /// The last revision sent, or known to need no message.
    pub sent: u64,
    /// The last revision answered, be it with a refusal, or known to need no message.
    pub settled: u64,
    /// The last revision in force at the proxy.
    pub acknowledged: u64,
    /// The last answer, if it was a refusal; cleared by the next acknowledgement.
    pub refused: Option<Refusal>,
}

/// A NACK: the proxy keeps what it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The revision refused.
    pub revision: u64,
    /// What the proxy said, one problem each.
    pub problems: Vec<String>,
}

impl Default for ProxyTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ProxyTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Arc::default(), changes: Arc::new(watch::channel(0).0) }
    }

    /// Every connected proxy, in order of connection. While one process takes over from another, both are connected as the
    /// same node and are one proxy: the later, as soon as it has anything in force.
    #[must_use]
    pub fn list(&self) -> Vec<ProxyEntry> {
        let entries = self.lock();
        let mut of_node = BTreeMap::new();
        for (key, entry) in entries.iter() {
            let shown = of_node.entry(entry.node.id.as_str()).or_insert((*key, entry));
            if entry.enforced() > 0 || shown.1.enforced() == 0 {
                shown.1 = entry;
            }
        }
        let mut shown: Vec<_> = of_node.into_values().collect();
        shown.sort_by_key(|(key, _)| *key);
        shown.into_iter().map(|(_, entry)| entry.clone()).collect()
    }

    /// Moves after each change of the table.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Adds a proxy whose stream has begun; it is there until the row is dropped.
    pub(crate) fn add(&self, node: Node) -> Row {
        let entry = ProxyEntry {
            node: Arc::new(node),
            connected_since: SystemTime::now(),
            progress: ByType::default(),
        };
        let key = {
            let mut entries = self.lock();
            let key = entries.last_key_value().map_or(0, |(last, _)| last + 1);
            entries.insert(key, entry);
            key
        };
        self.moved();
        Row { table: self.clone(), key }
    }

    fn moved(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, ProxyEntry>> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ProxyEntry {
    /// The revision in force for everything the proxy asked for; zero before its first acknowledgement.
    #[must_use]
    pub fn enforced(&self) -> u64 {
        let asked = self.progress.iter().filter(|(_, progress)| progress.subscribed);
        asked.map(|(_, progress)| progress.acknowledged).min().unwrap_or(0)
    }

    /// The revision answered for everything the proxy asked for, be it with a refusal.
    #[must_use]
    pub fn settled(&self) -> u64 {
        let asked = self.progress.iter().filter(|(_, progress)| progress.subscribed);
        asked.map(|(_, progress)| progress.settled).min().unwrap_or(0)
    }

    /// What it refused last, by type.
    pub fn refusals(&self) -> impl Iterator<Item = (ResourceType, &Refusal)> {
        self.progress.iter().filter_map(|(kind, progress)| Some((kind, progress.refused.as_ref()?)))
    }
}

/// How far the stream's machine is with one type; the fields are those of [`TypeProgress`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) sent: u64,
    pub(crate) settled: u64,
    pub(crate) acknowledged: u64,
}

/// A connected proxy's place in the table; only its stream writes it.
#[derive(Debug)]
pub(crate) struct Row {
    table: ProxyTable,
    key: u64,
}

impl Row {
    pub(crate) fn subscribed(&self, kind: ResourceType) {
        self.write(kind, |progress| progress.subscribed = true);
    }

    pub(crate) fn acknowledged(&self, kind: ResourceType, revision: u64) {
        self.write(kind, |progress| {
            (progress.settled, progress.acknowledged) = (revision, revision);
            progress.refused = None;
        });
    }

    /// Problems come one a line.
    pub(crate) fn refused(&self, kind: ResourceType, revision: u64, problems: &str) {
        let problems = problems.lines().map(str::to_owned).collect();
        self.write(kind, |progress| {
            progress.settled = revision;
            progress.refused = Some(Refusal { revision, problems });
        });
    }

    pub(crate) fn progress(&self, kind: ResourceType, now: Progress) {
        self.write(kind, |progress| {
            progress.sent = now.sent;
            progress.settled = now.settled;
            progress.acknowledged = now.acknowledged;
        });
    }

    /// Tells nobody when nothing changed: most pushes concern few proxies.
    fn write(&self, kind: ResourceType, change: impl FnOnce(&mut TypeProgress)) {
        let changed = {
            let mut entries = self.table.lock();
            let Some(entry) = entries.get_mut(&self.key) else { return };
            let before = entry.progress[kind].clone();
            change(&mut entry.progress[kind]);
            entry.progress[kind] != before
        };
        if changed {
            self.table.moved();
        }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.table.lock().remove(&self.key);
        self.table.moved();
    }
}

#[cfg(test)]
mod tests {
    use leno_xds::{Node, ResourceType};

    use super::ProxyTable;

    #[test]
    fn two_processes_of_one_node_are_one_proxy_and_the_later_counts_once_it_serves() {
        let table = ProxyTable::new();
        let node = |id: &str| Node { id: id.to_owned(), ..Node::default() };
        let shown = || {
            let listed = table.list().into_iter();
            listed.map(|e| (e.node.id.clone(), e.enforced())).collect::<Vec<_>>()
        };
        let kind = ResourceType::Listener;
        let (running, _other) = (table.add(node("a")), table.add(node("b")));
        running.subscribed(kind);
        running.acknowledged(kind, 7);
        let next = table.add(node("a"));
        next.subscribed(kind);
        assert_eq!(shown(), [("a".to_owned(), 7), ("b".to_owned(), 0)]);
        next.acknowledged(kind, 8);
        assert_eq!(shown(), [("a".to_owned(), 8), ("b".to_owned(), 0)]);
        drop(running);
        assert_eq!(shown().len(), 2);
        drop(next);
        assert_eq!(shown().len(), 1);
    }
}
