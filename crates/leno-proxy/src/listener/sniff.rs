//! What a connection speaks, told from its first bytes: the TLS and the HTTP inspector, and the PROXY protocol.
//!
//! Pure: the caller reads, and asks again with more bytes when the answer is [`Tls::More`] or [`Http::More`].
//! Called by [`super::accept`] before a filter chain is chosen. Never reads past what it was given and never
//! needs more than [`limits::SNIFF_BYTES`].

pub mod client_hello;
pub mod proxy_protocol;

pub use client_hello::{ClientHello, Tls};

use crate::limits;

/// The HTTP inspector's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// The bytes so far could still become HTTP.
    More,
    /// Not HTTP.
    No,
    /// A request line of HTTP/1.0.
    V10,
    /// A request line of HTTP/1.1.
    V11,
    /// The HTTP/2 preface.
    H2c,
}

impl Http {
    /// The application protocol a filter chain match compares with (Envoy's names).
    #[must_use]
    pub fn application_protocol(self) -> Option<&'static str> {
        match self {
            Self::V10 => Some("http/1.0"),
            Self::V11 => Some("http/1.1"),
            Self::H2c => Some("h2c"),
            Self::More | Self::No => None,
        }
    }
}

/// What a client says first (RFC 9113 §3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Looks for a ClientHello, within [`limits::SNIFF_BYTES`].
#[must_use]
pub fn tls(bytes: &[u8]) -> Tls {
    client_hello::parse(bytes, limits::SNIFF_BYTES)
}

/// Looks for an HTTP request line or the HTTP/2 preface. Empty lines before a request line are allowed
/// (RFC 9112 §2.2).
#[must_use]
pub fn http(bytes: &[u8]) -> Http {
    if bytes.starts_with(H2_PREFACE) {
        return Http::H2c;
    }
    if H2_PREFACE.starts_with(bytes) {
        return Http::More;
    }
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    if blank > 4 {
        return Http::No;
    }
    let line_end = memchr::memchr(b'\n', bytes);
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    let method = line.iter().take_while(|b| is_token(**b)).count();
    let after_method = &line[method..];
    match (after_method.first(), line_end) {
        (None, None) if method <= 64 => return Http::More,
        (Some(b' '), _) if method > 0 => {}
        _ => return Http::No,
    }
    let Some(end) = line_end else {
        let printable = after_method.iter().all(|b| *b >= b' ' || *b == b'\r');
        let short = bytes.len() < limits::SNIFF_REQUEST_LINE_BYTES;
        return if printable && short { Http::More } else { Http::No };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    if line.ends_with(b" HTTP/1.1") {
        Http::V11
    } else if line.ends_with(b" HTTP/1.0") {
        Http::V10
    } else {
        Http::No
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
