//! What a connection speaks, told from its first bytes: the TLS and the HTTP inspector.
//!
//! Pure: the caller reads, and asks again with more bytes when the answer is [`Tls::More`] or [`Http::More`].
//! Called by [`super::accept`] before a filter chain is chosen. Never reads past what it was given and never
//! needs more than [`limits::SNIFF_BYTES`].

use crate::limits;

/// The TLS inspector's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The bytes so far could still become a ClientHello.
    More,
    /// Not TLS.
    No,
    /// A whole ClientHello.
    Hello(ClientHello),
}

/// What a filter chain match may ask of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name, lower case.
    pub server_name: Option<String>,
    /// The application protocols offered, most preferred first.
    pub alpn: Vec<String>,
}

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

const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Looks for a ClientHello (RFC 8446 §4.1.2), which may span several records.
#[must_use]
pub fn tls(bytes: &[u8]) -> Tls {
    const HANDSHAKE: u8 = 0x16;
    let mut hello = Vec::new();
    let mut rest = bytes;
    loop {
        // A record: type, version 3.x, length.
        let header_seen = &rest[..rest.len().min(3)];
        let plausible = match *header_seen {
            [] => true,
            [kind] => kind == HANDSHAKE,
            [kind, major] => kind == HANDSHAKE && major == 3,
            [kind, major, minor, ..] => kind == HANDSHAKE && major == 3 && minor <= 4,
        };
        if !plausible {
            return Tls::No;
        }
        let [_, _, _, high, low, body @ ..] = rest else { return more(bytes) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > 16 * 1024 {
            return Tls::No;
        }
        hello.extend_from_slice(&body[..length.min(body.len())]);
        match handshake(&hello) {
            Handshake::No => return Tls::No,
            Handshake::Whole(message) => {
                return parse_hello(message).map_or(Tls::No, Tls::Hello);
            }
            Handshake::More if body.len() < length => return more(bytes),
            Handshake::More => rest = &body[length..],
        }
    }
}

fn more(bytes: &[u8]) -> Tls {
    if bytes.len() >= limits::SNIFF_BYTES { Tls::No } else { Tls::More }
}

enum Handshake<'a> {
    More,
    No,
    Whole(&'a [u8]),
}

fn handshake(bytes: &[u8]) -> Handshake<'_> {
    const CLIENT_HELLO: u8 = 1;
    if bytes.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Handshake::No;
    }
    let [_, a, b, c, body @ ..] = bytes else { return Handshake::More };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    if length > limits::SNIFF_BYTES {
        return Handshake::No;
    }
    body.get(..length).map_or(Handshake::More, Handshake::Whole)
}

/// Reads length-prefixed fields; `None` is a malformed message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<usize> {
        self.take(1).map(|b| usize::from(b[0]))
    }

    fn long(&mut self) -> Option<usize> {
        self.take(2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
    }
}

fn parse_hello(message: &[u8]) -> Option<ClientHello> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    const SERVER_NAME: usize = 0;
    const ALPN: usize = 16;
    let mut fields = Fields(message);
    fields.take(VERSION_AND_RANDOM)?;
    let session = fields.short()?;
    fields.take(session)?;
    let ciphers = fields.long()?;
    fields.take(ciphers)?;
    let compressions = fields.short()?;
    fields.take(compressions)?;
    let mut hello = ClientHello::default();
    if fields.0.is_empty() {
        return Some(hello);
    }
    let extensions = fields.long()?;
    let mut extensions = Fields(fields.take(extensions)?);
    while !extensions.0.is_empty() {
        let kind = extensions.long()?;
        let length = extensions.long()?;
        let value = extensions.take(length)?;
        match kind {
            SERVER_NAME => hello.server_name = server_name(value),
            ALPN => hello.alpn = alpn(value)?,
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(value: &[u8]) -> Option<String> {
    let mut list = Fields(value);
    let length = list.long()?;
    let mut list = Fields(list.take(length)?);
    while !list.0.is_empty() {
        let kind = list.short()?;
        let length = list.long()?;
        let name = list.take(length)?;
        if kind == 0 {
            return std::str::from_utf8(name).ok().map(str::to_ascii_lowercase);
        }
    }
    None
}

fn alpn(value: &[u8]) -> Option<Vec<String>> {
    let mut list = Fields(value);
    let length = list.long()?;
    let mut list = Fields(list.take(length)?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let length = list.short()?;
        protocols.push(String::from_utf8_lossy(list.take(length)?).into_owned());
    }
    Some(protocols)
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
