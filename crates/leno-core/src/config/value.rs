//! Small values that several resources share.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

/// Where something is reached (`envoy.config.core.v3.Address`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A DNS name and port, resolved by the proxy (`STRICT_DNS`, `LOGICAL_DNS`).
    Host {
        /// The DNS name.
        name: String,
        /// The TCP port.
        port: u16,
    },
    /// A Unix domain socket's path.
    Pipe(String),
    /// A listener of the same proxy that has no socket (`envoy_internal_address`).
    Internal(Box<InternalAddress>),
}

/// [`Address::Internal`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct InternalAddress {
    /// Its name (`server_listener_name`).
    pub listener: String,
    /// Tells endpoints behind one listener apart (`endpoint_id`).
    pub endpoint_id: String,
    /// Where the listener finds the connection going (`filter_metadata["envoy.filters.listener.original_dst"].local` of the
    /// endpoint).
    pub destination: Option<SocketAddr>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Pipe(path) => f.write_str(path),
            Self::Internal(internal) => {
                write!(f, "envoy://{}/{}", internal.listener, internal.endpoint_id)
            }
        }
    }
}

/// A share in parts per million (`envoy.type.v3.FractionalPercent`); 1 % is 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Fraction {
    /// Parts per million; values above one million mean "always".
    pub per_million: u32,
}

impl Fraction {
    /// Every request.
    pub const ALWAYS: Self = Self { per_million: 1_000_000 };
    /// No request.
    pub const NEVER: Self = Self { per_million: 0 };
}

/// What a string must look like (`envoy.type.matcher.v3.StringMatcher`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct StringMatch {
    /// The pattern.
    pub pattern: StringPattern,
    /// Whether ASCII case is ignored; a regex never ignores it.
    pub ignore_case: bool,
}

/// The kinds of [`StringMatch`]. A regex (RE2 syntax) must match the whole string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the variants are the words of StringMatcher")]
pub enum StringPattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(String),
}

/// Header edits of one direction. There are four places for them on the way of a request, and most are empty: those hold
/// one word.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct HeaderMutations(Option<Box<HeaderMutationLists>>);

/// What [`HeaderMutations`] holds, applied in order: removals first, then `edits` as listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct HeaderMutationLists {
    /// Names to remove.
    pub remove: Vec<String>,
    /// Values to add or set.
    pub edits: Vec<HeaderMutation>,
}

impl std::ops::Deref for HeaderMutations {
    type Target = HeaderMutationLists;

    fn deref(&self) -> &HeaderMutationLists {
        static NONE: HeaderMutationLists =
            HeaderMutationLists { remove: Vec::new(), edits: Vec::new() };
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl fmt::Debug for HeaderMutations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for HeaderMutations {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

impl HeaderMutations {
    /// Removes `remove`, then edits.
    #[must_use]
    pub fn new(remove: Vec<String>, edits: Vec<HeaderMutation>) -> Self {
        let is_empty = remove.is_empty() && edits.is_empty();
        Self((!is_empty).then(|| Box::new(HeaderMutationLists { remove, edits })))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// One `HeaderValueOption`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HeaderMutation {
    /// The header's name; `:authority`-like pseudo headers are not edited this way.
    pub name: String,
    /// The literal value (Envoy's `%…%` operators are refused until they are implemented).
    pub value: String,
    /// What happens when the header is there already.
    pub edit: HeaderEdit,
}

/// `HeaderValueOption.HeaderAppendAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum HeaderEdit {
    /// Add another value (`APPEND_IF_EXISTS_OR_ADD`).
    Append,
    /// Add only if absent (`ADD_IF_ABSENT`).
    AddIfAbsent,
    /// Replace every value (`OVERWRITE_IF_EXISTS_OR_ADD`).
    Overwrite,
}
