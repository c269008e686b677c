//! The static table (RFC 7541 appendix A), with names recognised.

use super::{Kind, Pseudo};
use crate::Known;

/// Entries; the first has index 1.
pub(super) const LENGTH: usize = 61;

/// One entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Static {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) kind: Kind,
    /// `name: value CRLF`, as an arena has it, and what fills it up.
    line: [u8; LINE_BYTES],
}

/// The longest line of all.
const LINE_BYTES: usize = 32;

impl Static {
    const fn new(name: &'static str, value: &'static str, kind: Kind) -> Self {
        let mut line = [0; LINE_BYTES];
        let mut at = 0;
        let parts = [name, ": ", value, "\r\n"];
        let mut part = 0;
        while part < parts.len() {
            let (text, mut byte) = (parts[part].as_bytes(), 0);
            while byte < text.len() {
                line[at] = text[byte];
                (at, byte) = (at + 1, byte + 1);
            }
            part += 1;
        }
        Self { name, value, kind, line }
    }

    /// The line as an arena has it.
    pub(super) fn line(&self) -> &[u8] {
        &self.line[..self.name.len() + self.value.len() + 4]
    }
}

const fn pseudo(kind: Pseudo, value: &'static str) -> Static {
    // As in every arena, an authority is a host.
    let name = if matches!(kind, Pseudo::Authority) { "host" } else { kind.as_str() };
    Static::new(name, value, Kind::Pseudo(kind))
}

const fn known(known: Known) -> Static {
    Static::new(known.as_str(), "", Kind::Field(known))
}

const fn other(name: &'static str) -> Static {
    Static::new(name, "", Kind::Field(Known::Other))
}

/// The table.
pub(super) static STATICS: [Static; LENGTH] = TABLE;

const TABLE: [Static; LENGTH] = [
    pseudo(Pseudo::Authority, ""),
    pseudo(Pseudo::Method, "GET"),
    pseudo(Pseudo::Method, "POST"),
    pseudo(Pseudo::Path, "/"),
    pseudo(Pseudo::Path, "/index.html"),
    pseudo(Pseudo::Scheme, "http"),
    pseudo(Pseudo::Scheme, "https"),
    pseudo(Pseudo::Status, "200"),
    pseudo(Pseudo::Status, "204"),
    pseudo(Pseudo::Status, "206"),
    pseudo(Pseudo::Status, "304"),
    pseudo(Pseudo::Status, "400"),
    pseudo(Pseudo::Status, "404"),
    pseudo(Pseudo::Status, "500"),
    other("accept-charset"),
    Static::new("accept-encoding", "gzip, deflate", Kind::Field(Known::AcceptEncoding)),
    known(Known::AcceptLanguage),
    other("accept-ranges"),
    known(Known::Accept),
    other("access-control-allow-origin"),
    other("age"),
    known(Known::Allow),
    known(Known::Authorization),
    known(Known::CacheControl),
    other("content-disposition"),
    known(Known::ContentEncoding),
    other("content-language"),
    known(Known::ContentLength),
    other("content-location"),
    known(Known::ContentRange),
    known(Known::ContentType),
    known(Known::Cookie),
    known(Known::Date),
    known(Known::Etag),
    known(Known::Expect),
    other("expires"),
    other("from"),
    known(Known::Host),
    other("if-match"),
    known(Known::IfModifiedSince),
    known(Known::IfNoneMatch),
    other("if-range"),
    other("if-unmodified-since"),
    known(Known::LastModified),
    other("link"),
    known(Known::Location),
    known(Known::MaxForwards),
    known(Known::ProxyAuthenticate),
    known(Known::ProxyAuthorization),
    known(Known::Range),
    known(Known::Referer),
    other("refresh"),
    known(Known::RetryAfter),
    known(Known::Server),
    known(Known::SetCookie),
    other("strict-transport-security"),
    known(Known::TransferEncoding),
    known(Known::UserAgent),
    known(Known::Vary),
    known(Known::Via),
    other("www-authenticate"),
];

/// Index of a well-known name, or 0.
static NAMES: [u8; 128] = names();

const fn names() -> [u8; 128] {
    let mut names = [0; 128];
    let mut index = LENGTH;
    while index > 0 {
        index -= 1;
        if let Kind::Field(known) = TABLE[index].kind
            && !matches!(known, Known::Other)
        {
            names[known as usize] = index as u8 + 1;
        }
    }
    names
}

/// Index of a well-known name, or 0.
pub(super) fn index_of(known: Known) -> usize {
    usize::from(NAMES[known as usize])
}

/// Index of a pseudo-header field's name, or 0.
pub(super) const fn index_of_pseudo(pseudo: Pseudo) -> usize {
    match pseudo {
        Pseudo::Authority => 1,
        Pseudo::Method => 2,
        Pseudo::Path => 4,
        Pseudo::Scheme => 6,
        Pseudo::Status => 8,
        Pseudo::Protocol => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{STATICS, index_of};
    use crate::Known;
    use crate::h2::hpack::Kind;

    #[test]
    fn names_are_what_the_parser_recognises() {
        for (index, entry) in STATICS.iter().enumerate() {
            let Kind::Field(known) = entry.kind else { continue };
            assert_eq!(Known::recognize(entry.name.as_bytes()), known, "{}", entry.name);
            if known != Known::Other {
                assert_eq!(index_of(known), index + 1);
            }
        }
        assert_eq!(index_of(Known::Baggage), 0);
    }
}
