//! How a listener reads paths.

use serde::Serialize;

/// `normalize_path`, `merge_slashes` and `path_with_escaped_slashes_action` of a connection manager. The default
/// changes nothing, as Envoy's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct PathNormalization {
    /// Remove dot segments, take `\` for `/`, bring escapes to their normal form (RFC 3986 §6.2.2).
    pub normalize: bool,
    /// Take several slashes for one.
    pub merge_slashes: bool,
    /// What is done about `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

impl PathNormalization {
    /// Istio's default, `pathNormalization: BASE`: normalized, slashes left alone.
    pub const BASE: Self =
        Self { normalize: true, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep };
}

/// `path_with_escaped_slashes_action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub enum EscapedSlashes {
    /// Leave them (Envoy's default).
    #[default]
    Keep,
    /// Answer 400.
    Reject,
    /// Send the client to the unescaped path (307).
    Redirect,
    /// Unescape them and go on.
    Unescape,
}
