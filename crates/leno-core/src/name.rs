//! A resource's name with its hash: routes and listeners refer to clusters and route tables by it, so that each
//! resource compiles alone and is shared by every later snapshot, and a lookup on the request path hashes nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::frozen_index::{HashIndex, folded_hash};

/// A name that is cheap to clone, to compare and to look up.
#[derive(Clone)]
pub struct ResourceName {
    text: Arc<str>,
    hash: u64,
}

impl ResourceName {
    /// Hashes `text` once.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { hash: folded_hash(text.as_bytes()), text: Arc::from(text) }
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name as a shared string.
    #[must_use]
    pub fn shared(&self) -> &Arc<str> {
        &self.text
    }
}

impl PartialEq for ResourceName {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for ResourceName {}

impl Hash for ResourceName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where each of a list of distinct names stands.
#[derive(Clone, Debug)]
pub(crate) struct NameIndex(HashIndex);

impl NameIndex {
    pub(crate) fn build<'a>(names: impl Iterator<Item = &'a ResourceName>) -> Self {
        Self(HashIndex::build(names.map(|name| name.hash)))
    }

    /// `at` gives the name at a position, from the list the index was built over.
    pub(crate) fn find<'a>(
        &self,
        name: &ResourceName,
        at: impl Fn(u32) -> &'a ResourceName,
    ) -> Option<u32> {
        self.0.find(name.hash, |position| at(position) == name)
    }
}
