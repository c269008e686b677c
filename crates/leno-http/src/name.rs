//! Field names, checked once so that writing a field cannot fail.

use crate::Known;

/// A field name that is a token, borrowed, with its [`Known`] recognised.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    text: &'a str,
    known: Known,
}

impl<'a> Name<'a> {
    /// `None` when the text is not a token (RFC 9110 §5.6.2).
    pub fn parse(text: &'a str) -> Option<Self> {
        is_token(text.as_bytes()).then(|| Self { text, known: Known::recognize(text.as_bytes()) })
    }

    /// The text as given.
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// Which well-known name it is.
    pub const fn known(&self) -> Known {
        self.known
    }
}

impl From<Known> for Name<'static> {
    fn from(known: Known) -> Self {
        Self { text: known.as_str(), known }
    }
}

impl<'a> From<&'a FieldName> for Name<'a> {
    fn from(name: &'a FieldName) -> Self {
        Self { text: &name.text, known: name.known }
    }
}

/// An owned field name for compiled configuration: checked and recognised when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName {
    text: Box<str>,
    known: Known,
}

impl FieldName {
    /// `None` when the text is not a token (RFC 9110 §5.6.2).
    pub fn parse(text: &str) -> Option<Self> {
        Name::parse(text).map(|name| Self { text: name.text.into(), known: name.known })
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether every byte is a token character, and there is one.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
