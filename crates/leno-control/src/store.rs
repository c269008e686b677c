//! The store: every document, one revision for all of them, and what changed since a revision.
//!
//! The API server writes, everybody else reads and subscribes. A commit is durable before it is answered and applies
//! whole or not at all. Implementations: [`Embedded`].

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod disk;
mod embedded;
mod lock;
mod shared;

pub(crate) use disk::is_full;
pub use embedded::Embedded;
pub use shared::Subscription;

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// API group; empty for the core group.
    pub group: String,
    /// `virtualservices`.
    pub plural: String,
    /// Empty for cluster-wide kinds.
    pub namespace: String,
    /// Unique within the three above.
    pub name: String,
}

impl Key {
    /// The place of one document.
    #[must_use]
    pub fn new(group: &str, plural: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A document as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it is.
    pub key: Key,
    /// The revision that wrote it; `metadata.resourceVersion` says the same.
    pub revision: u64,
    /// The document, in its kind's storage version.
    pub value: Value,
}

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It was not there before.
    Created,
    /// It was there and is different now.
    Updated,
    /// It is gone.
    Deleted,
}

/// One revision: one document changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub change: Change,
    /// The document afterwards; its last state, with the revision of the deletion, when it was deleted.
    pub document: Arc<Document>,
    /// The document before, unless it was created.
    pub previous: Option<Arc<Document>>,
}

impl Event {
    /// The revision this event made.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.document.revision
    }
}

/// What must hold for a write to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Anything,
    /// The document is not there.
    Absent,
    /// The document is there, written by this revision.
    Revision(u64),
}

/// One write of a commit; each makes one revision.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create or replace. The store sets `metadata.resourceVersion`.
    Put {
        /// Where.
        key: Key,
        /// What; an object with `metadata`.
        value: Value,
        /// On which condition.
        expect: Expect,
    },
    /// Remove; a document that is not there is a [`CommitError::Missing`].
    Delete {
        /// Where.
        key: Key,
        /// On which condition.
        expect: Expect,
    },
}

impl Write {
    /// Where it writes.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// Why a commit was not applied; nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// Another write came first.
    #[error("{} was changed: revision {expected} expected, {found} found", key.name)]
    Conflict {
        /// Which document.
        key: Key,
        /// The revision the writer knew.
        expected: u64,
        /// The revision it has; 0 when it is not there.
        found: u64,
    },
    /// It is there already.
    #[error("{} exists already", key.name)]
    Exists {
        /// Which document.
        key: Key,
    },
    /// It is not there.
    #[error("{} is not there", key.name)]
    Missing {
        /// Which document.
        key: Key,
    },
    /// More writes wait than the store takes in; try again.
    #[error("the store has more waiting writes than it takes in")]
    Busy,
    /// No room on the file system.
    #[error("no space is left for the store at {}; free some and repeat the change (LN0005)", path.display())]
    Full {
        /// The store's file.
        path: PathBuf,
    },
    /// The store cannot be written.
    #[error("the store at {} cannot be written: {reason} (LN0005)", path.display())]
    Storage {
        /// The store's file.
        path: PathBuf,
        /// What the storage says.
        reason: String,
    },
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by process {pid}; stop it or choose another --data", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Who holds it; `?` when it does not say.
        pid: String,
    },
    /// The file is damaged. It was moved aside, untouched.
    #[error(
        "the store was damaged ({reason}) and is kept at {}; restore a backup to {}, or start again with an empty one",
        kept.display(), path.display()
    )]
    Corrupt {
        /// Where the store should be.
        path: PathBuf,
        /// Where the damaged file is now.
        kept: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Written by a later version.
    #[error("{} has format {found}, this version reads {known}; use a newer leno", path.display())]
    Format {
        /// The store's file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this version reads.
        known: u64,
    },
    /// No space, no permission, not a directory and the like.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// What was opened.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A revision whose events are no longer kept; list again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is too old, the oldest kept is {oldest}")]
pub struct Compacted {
    /// What was asked for.
    pub asked: u64,
    /// The oldest revision whose successors are all known.
    pub oldest: u64,
}

/// Documents as they all were at one revision, in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// That revision.
    pub revision: u64,
    /// The documents.
    pub documents: Vec<Arc<Document>>,
}

/// Which documents to list.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// API group.
    pub group: &'a str,
    /// `virtualservices`.
    pub plural: &'a str,
    /// One namespace, or all of them.
    pub namespace: Option<&'a str>,
}

/// The answer to a commit: the documents written, in order; a deleted one in its last state.
pub type Commit = Pin<Box<dyn Future<Output = Result<Vec<Arc<Document>>, CommitError>> + Send>>;

/// Every document of the mesh.
pub trait Store: Send + Sync {
    /// The last committed revision.
    fn revision(&self) -> u64;

    /// One document.
    fn get(&self, key: &Key) -> Option<Arc<Document>>;

    /// Documents of one resource, now.
    fn list(&self, range: Range<'_>) -> Listing;

    /// Every document there is, now.
    fn everything(&self) -> Listing;

    /// Documents of one resource as they were at `revision`.
    fn list_at(&self, range: Range<'_>, revision: u64) -> Result<Listing, Compacted>;

    /// Applies all of `writes` or none; durable when it answers. The keys must be different ones.
    fn commit(&self, writes: Vec<Write>) -> Commit;

    /// Every event after `revision`, from now on and as long as it is held.
    fn subscribe(&self, revision: u64) -> Result<Subscription, Compacted>;
}

#[cfg(test)]
mod tests;
