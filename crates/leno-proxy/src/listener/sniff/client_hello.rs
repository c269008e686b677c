//! A peeked ClientHello (RFC 8446 §4.1.2), which may span several records and arrive in any pieces.
//!
//! Pure, and of nothing but its input: the caller says how much it is willing to look at, and asks again with more bytes
//! when the answer is [`Tls::More`]. What a longer input says never contradicts what a shorter one said. Called by the
//! TLS inspector; the fuzz target `client_hello` includes this file as it stands.

/// Application protocols kept of one ClientHello; real ones offer a handful, and a peer must not choose what we hold.
pub const PROTOCOLS_MAX: usize = 64;

/// The TLS inspector's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The bytes so far could still become a ClientHello.
    More,
    /// Not TLS, not a well-formed ClientHello, or a longer one than is looked at.
    No,
    /// A whole ClientHello.
    Hello(Box<ClientHello>),
}

/// What is read from a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name (RFC 6066 §3) in lower case; `None` also where it is no visible ASCII, which no name is.
    pub server_name: Option<String>,
    /// The application protocols offered (RFC 7301), most preferred first; at most [`PROTOCOLS_MAX`]. Any bytes.
    pub alpn: Vec<Vec<u8>>,
    /// The highest version offered: of `supported_versions` (reserved values left out), else the legacy field.
    pub version: u16,
    /// Whether a session of before is offered: a ticket (RFC 5077), a pre-shared key, or a session id without either in
    /// TLS 1.2. Only a hint: whether it is taken is the server's business.
    pub resumes: bool,
}

/// Looks for a ClientHello at the start of `bytes`, within their first `max`.
#[must_use]
pub fn parse(bytes: &[u8], max: usize) -> Tls {
    let bytes = &bytes[..bytes.len().min(max)];
    let more = if bytes.len() == max { Tls::No } else { Tls::More };
    let mut hello = Message::default();
    let mut rest = bytes;
    loop {
        let Some(length) = record(rest) else { return Tls::No };
        let Some((_, body)) = rest.split_at_checked(RECORD_HEADER) else { return more };
        hello.add(&body[..length.min(body.len())]);
        match hello.whole(max) {
            Whole::No => return Tls::No,
            Whole::Yes(message) => {
                return read(message).map_or(Tls::No, |hello| Tls::Hello(Box::new(hello)));
            }
            Whole::More if body.len() < length => return more,
            Whole::More => rest = &body[length..],
        }
    }
}

const RECORD_HEADER: usize = 5;
const RECORD_MAX: usize = 16 * 1024;

/// The length of the handshake record that begins here, 0 while it is not known; `None` is not one.
fn record(bytes: &[u8]) -> Option<usize> {
    const HANDSHAKE: u8 = 0x16;
    // Type, version 3.x, length.
    let plausible = match *bytes {
        [] => true,
        [kind] => kind == HANDSHAKE,
        [kind, major] => kind == HANDSHAKE && major == 3,
        [kind, major, minor, ..] => kind == HANDSHAKE && major == 3 && minor <= 4,
    };
    let length = match bytes {
        [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return plausible.then_some(0),
    };
    (plausible && (1..=RECORD_MAX).contains(&length)).then_some(length)
}

/// The handshake message: the bytes of the first record, copied only when there are more records than one.
#[derive(Default)]
struct Message<'a> {
    first: &'a [u8],
    joined: Vec<u8>,
}

enum Whole<'a> {
    More,
    No,
    Yes(&'a [u8]),
}

impl<'a> Message<'a> {
    fn add(&mut self, part: &'a [u8]) {
        if self.first.is_empty() {
            self.first = part;
            return;
        }
        if self.joined.is_empty() {
            self.joined.extend_from_slice(self.first);
        }
        self.joined.extend_from_slice(part);
    }

    fn whole(&self, max: usize) -> Whole<'_> {
        const CLIENT_HELLO: u8 = 1;
        let bytes = if self.joined.is_empty() { self.first } else { &self.joined };
        if bytes.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Whole::No;
        }
        let [_, a, b, c, body @ ..] = bytes else { return Whole::More };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if length > max {
            return Whole::No;
        }
        body.get(..length).map_or(Whole::More, Whole::Yes)
    }
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

    /// What follows a length of one byte.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length)
    }

    /// What follows a length of two bytes.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.take(length)
    }
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;
const TLS12: u16 = 0x0303;

fn read(message: &[u8]) -> Option<ClientHello> {
    const RANDOM: usize = 32;
    let mut fields = Fields(message);
    let legacy_version = fields.take(2)?;
    fields.take(RANDOM)?;
    let session = fields.short_list()?;
    let ciphers = fields.long_list()?;
    let compressions = fields.short_list()?;
    if ciphers.len() < 2 || compressions.is_empty() {
        return None;
    }
    let version = u16::from_be_bytes([legacy_version[0], legacy_version[1]]);
    let mut hello = ClientHello { version, ..ClientHello::default() };
    let mut extensions = match fields.0 {
        [] => Fields(&[]),
        _ => Fields(fields.long_list()?),
    };
    // RFC 8446 §4.2: no extension twice; with two server names, who routes and who answers could disagree.
    let mut seen = [false; 5];
    while !extensions.0.is_empty() {
        let kind = u16::try_from(extensions.long()?).ok()?;
        let value = extensions.long_list()?;
        let known = [SERVER_NAME, ALPN, SESSION_TICKET, PRE_SHARED_KEY, SUPPORTED_VERSIONS];
        if let Some(at) = known.iter().position(|each| *each == kind)
            && std::mem::replace(&mut seen[at], true)
        {
            return None;
        }
        match kind {
            SERVER_NAME => hello.server_name = server_name(value)?,
            ALPN => hello.alpn = alpn(value)?,
            SESSION_TICKET => hello.resumes |= !value.is_empty(),
            PRE_SHARED_KEY => hello.resumes = true,
            SUPPORTED_VERSIONS => hello.version = highest(value)?.unwrap_or(hello.version),
            _ => {}
        }
    }
    // In TLS 1.3 a session id is only there for old middleboxes.
    hello.resumes |= hello.version <= TLS12 && !session.is_empty();
    Some(hello)
}

/// The host name of the list; `None` outside is a malformed list, inside a name that is none.
#[expect(clippy::option_option, reason = "malformed and absent are different answers")]
fn server_name(value: &[u8]) -> Option<Option<String>> {
    const HOST_NAME: usize = 0;
    let mut names = Fields(Fields(value).long_list()?);
    let mut found = None;
    while !names.0.is_empty() {
        let kind = names.short()?;
        let name = names.long_list()?;
        if kind != HOST_NAME {
            continue;
        }
        if found.is_some() {
            return None;
        }
        found = Some(name);
    }
    let name = found.filter(|name| (1..=255).contains(&name.len()));
    let name = name.filter(|name| name.iter().all(u8::is_ascii_graphic));
    Some(name.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()))
}

fn alpn(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Fields(Fields(value).long_list()?);
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.short_list()?;
        if name.is_empty() {
            return None;
        }
        if protocols.len() < PROTOCOLS_MAX {
            protocols.push(name.to_vec());
        }
    }
    Some(protocols)
}

/// The highest version of a list; values reserved to keep peers tolerant (RFC 8701) are above every real one.
#[expect(clippy::option_option, reason = "malformed and absent are different answers")]
fn highest(value: &[u8]) -> Option<Option<u16>> {
    let mut list = Fields(Fields(value).short_list()?);
    let mut highest = None;
    while !list.0.is_empty() {
        let version = u16::try_from(list.long()?).ok()?;
        if version >> 8 == 3 {
            highest = highest.max(Some(version));
        }
    }
    Some(highest)
}

#[cfg(test)]
mod tests;
