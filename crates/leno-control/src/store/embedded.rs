//! The embedded store: one file, one writer thread that gathers waiting commits into one durable transaction.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::oneshot;

use super::disk::{self, Disk, Opener};
use super::lock::DirectoryLock;
use super::shared::{Shared, Subscription};
use super::{
    Change, Commit, CommitError, Compacted, Document, Event, Expect, Key, Listing, OpenError,
    Range, Store, Write,
};

/// Events kept for watches that resume; older ones are 410 Gone.
const HISTORY_EVENTS_MAX: usize = 8192;
/// Commits that may wait.
const QUEUE_COMMITS_MAX: usize = 1024;
/// Commits that share one transaction.
const GROUP_COMMITS_MAX: usize = 128;

/// A store in `DIR/store.redb`.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    queue: Option<SyncSender<Request>>,
    writer: Option<JoinHandle<()>>,
    _lock: DirectoryLock,
}

struct Request {
    writes: Vec<Write>,
    answer: oneshot::Sender<Result<Vec<Arc<Document>>, CommitError>>,
}

impl Embedded {
    /// Opens or creates the store in `directory`, which is made if it is not there, for its owner only.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_with(directory, disk::file(), HISTORY_EVENTS_MAX)
    }

    /// As [`Embedded::open`], keeping `history` events: for tests of what happens to those who come too late.
    #[cfg(test)]
    pub(crate) fn open_with_history(directory: &Path, history: usize) -> Result<Self, OpenError> {
        Self::open_with(directory, disk::file(), history)
    }

    pub(super) fn open_with(
        directory: &Path,
        opener: Opener,
        history: usize,
    ) -> Result<Self, OpenError> {
        make_directory(directory)
            .map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        let lock = DirectoryLock::take(directory)?;
        let (disk, state) = Disk::open(&directory.join("store.redb"), opener)?;
        let shared = Arc::new(Shared::new(state));
        let (queue, requests) = sync_channel(QUEUE_COMMITS_MAX);
        let writer = Writer { shared: Arc::clone(&shared), disk, history };
        let writer = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(&requests))
            .map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        Ok(Self { shared, queue: Some(queue), writer: Some(writer), _lock: lock })
    }
}

fn make_directory(directory: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind;
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(ErrorKind::NotADirectory.into())
        }
        other => other,
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            // Commits that were taken in are finished; a writer that panicked has said so already.
            let _ = writer.join();
        }
    }
}

impl Store for Embedded {
    fn revision(&self) -> u64 {
        self.shared.read().revision
    }

    fn get(&self, key: &Key) -> Option<Arc<Document>> {
        self.shared.read().documents.get(key).map(Arc::clone)
    }

    fn list(&self, range: Range<'_>) -> Listing {
        self.shared.list(range)
    }

    fn everything(&self) -> Listing {
        self.shared.everything()
    }

    fn list_at(&self, range: Range<'_>, revision: u64) -> Result<Listing, Compacted> {
        self.shared.list_at(range, revision)
    }

    fn commit(&self, writes: Vec<Write>) -> Commit {
        let (answer, answered) = oneshot::channel();
        let sent = match &self.queue {
            Some(queue) => {
                queue.try_send(Request { writes, answer }).map_err(|error| match error {
                    TrySendError::Full(_) => CommitError::Busy,
                    TrySendError::Disconnected(_) => CommitError::Closed,
                })
            }
            None => Err(CommitError::Closed),
        };
        Box::pin(async move {
            sent?;
            answered.await.unwrap_or(Err(CommitError::Closed))
        })
    }

    fn subscribe(&self, revision: u64) -> Result<Subscription, Compacted> {
        self.shared.subscribe(revision)
    }
}

/// The thread that owns the file.
struct Writer {
    shared: Arc<Shared>,
    disk: Disk,
    history: usize,
}

/// What a group of commits has changed and not yet written.
#[derive(Default)]
struct Pending {
    changed: BTreeMap<Key, Option<Arc<Document>>>,
    events: Vec<Arc<Event>>,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let waiting = requests.try_iter().take(GROUP_COMMITS_MAX - 1);
            let group: Vec<Request> = std::iter::once(first).chain(waiting).collect();
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Request>) {
        let mut pending = Pending::default();
        let mut applied = Vec::new();
        for request in group {
            match self.apply(&mut pending, request.writes) {
                Ok(documents) => applied.push((request.answer, documents)),
                // Who asked may be gone; here and below.
                Err(error) => drop(request.answer.send(Err(error))),
            }
        }
        if pending.events.is_empty() {
            for (answer, documents) in applied {
                drop(answer.send(Ok(documents)));
            }
            return;
        }
        let newest = pending.events.last().map_or(0, |event| event.revision());
        let compacted = newest.saturating_sub(self.history as u64);
        match self.disk.write(&pending.events, compacted) {
            Ok(()) => {
                self.shared.publish(pending.events, self.history);
                for (answer, documents) in applied {
                    drop(answer.send(Ok(documents)));
                }
            }
            Err(error) => {
                tracing::error!(%error, "store not written");
                for (answer, _) in applied {
                    drop(answer.send(Err(error.clone())));
                }
            }
        }
    }

    /// Checks every write, then adds all of them to `pending`.
    fn apply(
        &self,
        pending: &mut Pending,
        writes: Vec<Write>,
    ) -> Result<Vec<Arc<Document>>, CommitError> {
        for write in &writes {
            self.check(pending, write)?;
        }
        let committed = self.shared.read().revision;
        Ok(writes
            .into_iter()
            .map(|write| {
                let previous = self.current(pending, write.key());
                let revision = committed + pending.events.len() as u64 + 1;
                pending.add(event(write, previous, revision))
            })
            .collect())
    }

    fn current(&self, pending: &Pending, key: &Key) -> Option<Arc<Document>> {
        match pending.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.shared.read().documents.get(key).map(Arc::clone),
        }
    }

    fn check(&self, pending: &Pending, write: &Write) -> Result<(), CommitError> {
        let key = write.key();
        let current = self.current(pending, key);
        let (Write::Put { expect, .. } | Write::Delete { expect, .. }) = write;
        match (expect, &current) {
            (Expect::Absent, Some(_)) => Err(CommitError::Exists { key: key.clone() }),
            (Expect::Revision(expected), found) => match found.as_ref().map(|found| found.revision)
            {
                Some(found) if found == *expected => Ok(()),
                None => Err(CommitError::Missing { key: key.clone() }),
                Some(found) => {
                    Err(CommitError::Conflict { key: key.clone(), expected: *expected, found })
                }
            },
            (_, None) if matches!(write, Write::Delete { .. }) => {
                Err(CommitError::Missing { key: key.clone() })
            }
            (Expect::Absent | Expect::Anything, _) => Ok(()),
        }
    }
}

impl Pending {
    fn add(&mut self, event: Event) -> Arc<Document> {
        let document = Arc::clone(&event.document);
        let now = (event.change != Change::Deleted).then(|| Arc::clone(&document));
        self.changed.insert(document.key.clone(), now);
        self.events.push(Arc::new(event));
        document
    }
}

fn event(write: Write, previous: Option<Arc<Document>>, revision: u64) -> Event {
    let (key, mut value, change) = match (write, &previous) {
        (Write::Put { key, value, .. }, None) => (key, value, Change::Created),
        (Write::Put { key, value, .. }, Some(_)) => (key, value, Change::Updated),
        (Write::Delete { key, .. }, Some(last)) => (key, last.value.clone(), Change::Deleted),
        (Write::Delete { key, .. }, None) => (key, Value::Null, Change::Deleted),
    };
    if !value["metadata"].is_object() {
        value = serde_json::json!({"metadata": {}});
    }
    value["metadata"]["resourceVersion"] = revision.to_string().into();
    Event { change, document: Arc::new(Document { key, revision, value }), previous }
}
