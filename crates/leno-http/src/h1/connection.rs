//! The `Connection` field: whether the connection persists, and which fields stop here (RFC 9110 §7.6.1).

use crate::name::is_token;
use crate::{Fields, Invalid, Known, Version};

/// More elements than any honest sender has; each is compared with every field.
const ELEMENTS_MAX: usize = 100;

/// What `Connection` says about the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Options {
    /// RFC 9112 §9.3.
    pub(crate) const fn is_persistent(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 | Version::Http2 => !self.close,
        }
    }
}

/// Reads the options and keeps the fields that `Connection` names from the next hop.
pub(crate) fn options(fields: &mut Fields) -> Result<Options, Invalid> {
    let mut options = Options::default();
    if !fields.has(Known::Connection) {
        return Ok(options);
    }
    let mut elements = 0;
    fields.apply_connection(|element| {
        elements += 1;
        if !is_token(element) || elements > ELEMENTS_MAX {
            return Err(Invalid::Connection);
        }
        if element.eq_ignore_ascii_case(b"close") {
            options.close = true;
        } else if element.eq_ignore_ascii_case(b"keep-alive") {
            options.keep_alive = true;
        } else if element.eq_ignore_ascii_case(b"upgrade") {
            options.upgrade = true;
        } else if Known::recognize(element).is_vital() {
            return Err(Invalid::Connection);
        } else {
            return Ok(true);
        }
        Ok(false)
    })?;
    Ok(options)
}
