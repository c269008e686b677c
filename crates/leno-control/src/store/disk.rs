//! Documents and events in one redb file. Nothing but the writer thread and opening touches it.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::State;
use super::{Change, CommitError, Document, Event, Key, OpenError};

/// Key as JSON list -> document as JSON.
const DOCUMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("documents");
/// Revision -> [`Record`] as JSON.
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// `format`, `revision`.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// What this version writes and reads.
const FORMAT: u64 = 1;

/// Pages kept in memory; documents are kept parsed anyway.
const CACHE_BYTES: usize = 8 << 20;

/// An event as written.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    change: Change,
    key: std::borrow::Cow<'a, Key>,
    value: std::borrow::Cow<'a, Value>,
    previous: Option<std::borrow::Cow<'a, Value>>,
}

/// The open file; closed after a failed write and opened again by the next.
pub(super) struct Disk {
    path: PathBuf,
    open: Opener,
    database: Option<Database>,
}

/// Opens or creates the database; tests put a failing medium in its place.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::DatabaseError> + Send>;

/// The file itself.
pub(super) fn file() -> Opener {
    Box::new(|path| Database::builder().set_cache_size(CACHE_BYTES).create(path))
}

impl Disk {
    /// Opens the file and reads everything. A damaged one is moved aside.
    pub(super) fn open(path: &Path, open: Opener) -> Result<(Self, State), OpenError> {
        // Reading a damaged file may find nonsense in places where redb relies on its checksums.
        let outcome = catch_unwind(AssertUnwindSafe(|| -> Result<_, Unreadable> {
            let database = open(path)?;
            let state = load(&database)?;
            Ok((database, state))
        }));
        let reason = match outcome {
            Ok(Ok((database, state))) => {
                return Ok((Self { path: path.to_owned(), open, database: Some(database) }, state));
            }
            Ok(Err(Unreadable::Io(source))) => {
                return Err(OpenError::Io { path: path.to_owned(), source });
            }
            Ok(Err(Unreadable::Format(found))) => {
                return Err(OpenError::Format { path: path.to_owned(), found, known: FORMAT });
            }
            Ok(Err(Unreadable::Damaged(reason))) => reason,
            Err(_) => "its pages make no sense".to_owned(),
        };
        let kept = keep_aside(path)?;
        Err(OpenError::Corrupt { path: path.to_owned(), kept, reason })
    }

    /// Writes `events` in one transaction and drops those up to `compacted`; durable when it returns.
    pub(super) fn write(
        &mut self,
        events: &[Arc<Event>],
        compacted: u64,
    ) -> Result<(), CommitError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => (self.open)(&self.path).map_err(|error| self.error(error.into()))?,
        };
        match write(&database, events, compacted) {
            Ok(()) => {
                self.database = Some(database);
                Ok(())
            }
            // The file is opened afresh next time: redb refuses to go on after a failed write.
            Err(error) => Err(self.error(*error)),
        }
    }

    fn error(&self, error: redb::Error) -> CommitError {
        let path = self.path.clone();
        match error {
            redb::Error::Io(error) if is_full(&error) => CommitError::Full { path },
            other => CommitError::Storage { path, reason: other.to_string() },
        }
    }
}

/// The file system, the owner's quota or the limit on a file's size has no more room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn write(
    database: &Database,
    events: &[Arc<Event>],
    compacted: u64,
) -> Result<(), Box<redb::Error>> {
    let boxed = |error: redb::StorageError| Box::new(redb::Error::from(error));
    let table_error = |error: redb::TableError| Box::new(redb::Error::from(error));
    let transaction = database.begin_write().map_err(|error| Box::new(error.into()))?;
    {
        let mut documents = transaction.open_table(DOCUMENTS).map_err(table_error)?;
        let mut log = transaction.open_table(EVENTS).map_err(table_error)?;
        let mut facts = transaction.open_table(FACTS).map_err(table_error)?;
        for event in events {
            let document = &event.document;
            let key = encode_key(&document.key);
            if event.change == Change::Deleted {
                documents.remove(key.as_slice()).map_err(boxed)?;
            } else {
                documents
                    .insert(key.as_slice(), encode(&document.value).as_slice())
                    .map_err(boxed)?;
            }
            log.insert(document.revision, encode_event(event).as_slice()).map_err(boxed)?;
            facts.insert("revision", document.revision).map_err(boxed)?;
        }
        facts.insert("format", FORMAT).map_err(boxed)?;
        log.retain_in(..=compacted, |_, _| false).map_err(boxed)?;
    }
    transaction.commit().map_err(|error| Box::new(error.into()))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON values have string keys and no foreign types")
}

fn encode_key(key: &Key) -> Vec<u8> {
    encode(&[&key.group, &key.plural, &key.namespace, &key.name])
}

fn encode_event(event: &Event) -> Vec<u8> {
    use std::borrow::Cow::Borrowed;
    encode(&Record {
        change: event.change,
        key: Borrowed(&event.document.key),
        value: Borrowed(&event.document.value),
        previous: event.previous.as_ref().map(|previous| Borrowed(&previous.value)),
    })
}

/// Why a file could not be read.
enum Unreadable {
    Io(io::Error),
    Format(u64),
    Damaged(String),
}

impl From<redb::DatabaseError> for Unreadable {
    fn from(error: redb::DatabaseError) -> Self {
        redb::Error::from(error).into()
    }
}

impl From<redb::Error> for Unreadable {
    fn from(error: redb::Error) -> Self {
        match error {
            // redb says so of a file that does not begin as its own.
            redb::Error::Io(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Io(error)
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn damaged(what: impl Display) -> Unreadable {
    Unreadable::Damaged(what.to_string())
}

fn load(database: &Database) -> Result<State, Unreadable> {
    let storage = |error: redb::StorageError| Unreadable::from(redb::Error::from(error));
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let facts = match transaction.open_table(FACTS) {
        Ok(facts) => facts,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(State::default()),
        Err(error) => return Err(redb::Error::from(error).into()),
    };
    let fact =
        |name| Ok::<_, Unreadable>(facts.get(name).map_err(storage)?.map(|fact| fact.value()));
    match fact("format")? {
        Some(FORMAT) => {}
        other => return Err(Unreadable::Format(other.unwrap_or(0))),
    }
    let mut state = State { revision: fact("revision")?.unwrap_or(0), ..State::default() };

    let table = transaction.open_table(DOCUMENTS).map_err(redb::Error::from)?;
    for entry in table.iter().map_err(storage)? {
        let (key, value) = entry.map_err(storage)?;
        let [group, plural, namespace, name]: [String; 4] =
            serde_json::from_slice(key.value()).map_err(damaged)?;
        let key = Key { group, plural, namespace, name };
        let value = serde_json::from_slice(value.value()).map_err(damaged)?;
        let document = document(&key, value)?;
        state.documents.insert(key, document);
    }
    let table = transaction.open_table(EVENTS).map_err(redb::Error::from)?;
    for entry in table.iter().map_err(storage)? {
        let (revision, record) = entry.map_err(storage)?;
        let event = event(serde_json::from_slice(record.value()).map_err(damaged)?)?;
        if event.revision() != revision.value() {
            return Err(damaged("an event has another revision than its place"));
        }
        state.events.push_back(event);
    }
    if !is_without_gaps(&state.events, state.revision) {
        return Err(damaged("the log of events has a gap"));
    }
    Ok(state)
}

fn is_without_gaps(events: &VecDeque<Arc<Event>>, revision: u64) -> bool {
    let newest_first = events.iter().rev().map(|event| event.revision());
    newest_first.eq((0..=revision).rev().take(events.len()))
}

fn event(record: Record<'_>) -> Result<Arc<Event>, Unreadable> {
    let key = record.key.into_owned();
    let previous = record.previous.map(|previous| document(&key, previous.into_owned()));
    Ok(Arc::new(Event {
        change: record.change,
        document: document(&key, record.value.into_owned())?,
        previous: previous.transpose()?,
    }))
}

fn document(key: &Key, value: Value) -> Result<Arc<Document>, Unreadable> {
    let revision = value["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok());
    let revision = revision.ok_or_else(|| damaged("a document has no revision"))?;
    Ok(Arc::new(Document { key: key.clone(), revision, value }))
}

fn keep_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let now = time::OffsetDateTime::now_utc();
    let stamp = now
        .format(time::macros::format_description!("[year][month][day]T[hour][minute][second]Z"))
        .expect("the format names parts every time has");
    let mut kept = path.with_extension(format!("redb.corrupt-{stamp}"));
    let mut count = 1;
    while kept.exists() {
        count += 1;
        kept = path.with_extension(format!("redb.corrupt-{stamp}-{count}"));
    }
    match std::fs::rename(path, &kept) {
        Ok(()) => Ok(kept),
        Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
    }
}
