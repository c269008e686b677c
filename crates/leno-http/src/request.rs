//! A request's head, whatever version brought it.

use std::fmt;

use crate::fields::Span;
use crate::h2::Tag;
use crate::{BodyLength, Fields, Known, Method, Version};

/// How the origin is reached, as HTTP/2 says it with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// As `:scheme` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Method, target, authority and fields of one request. `Host` (or `:authority`) is the field [`Known::Host`], so there
/// is one authority to read and to edit. Reused from request to request.
#[derive(Clone, Default)]
pub struct RequestHead {
    /// The arena starts with the request line as received.
    pub(crate) fields: Fields,
    pub(crate) method: Method,
    pub(crate) method_text: Span,
    pub(crate) target: Span,
    pub(crate) received_target: Span,
    pub(crate) version: Version,
    pub(crate) body: BodyLength,
    pub(crate) wants_upgrade: bool,
    pub(crate) scheme: Option<Scheme>,
    /// How the target is compressed when it leaves as it came.
    pub(crate) target_tag: Tag,
}

impl RequestHead {
    /// An empty head that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a request of our own, or one whose head another version decoded: forgets what was there, keeps the
    /// capacity. `method` must be a token; a byte of `target` that no target may hold is percent-encoded.
    pub fn start(&mut self, version: Version, method: &str, authority: &str, target: &str) {
        self.fields.clear();
        (self.version, self.body, self.wants_upgrade) = (version, BodyLength::Empty, false);
        self.scheme = None;
        self.method = Method::recognize(method.as_bytes());
        self.fields.bytes.extend_from_slice(method.as_bytes());
        self.method_text = Span::new(0..method.len());
        self.set_target(target);
        self.received_target = self.target;
        self.fields.append(Known::Host, authority.as_bytes());
    }

    /// The method, recognised.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The method's text.
    pub fn method_str(&self) -> &str {
        self.text(self.method_text)
    }

    /// The method's text, for those who need not know that it is text.
    pub fn method_bytes(&self) -> &[u8] {
        self.bytes_of(self.method_text)
    }

    /// [`RequestHead::target`], for those who need not know that it is text.
    pub fn target_bytes(&self) -> &[u8] {
        self.bytes_of(self.target)
    }

    /// Path and query as they will be forwarded; `*` for OPTIONS of the whole server, the authority for CONNECT.
    pub fn target(&self) -> &str {
        self.text(self.target)
    }

    /// Path and query as received, whatever edits followed.
    pub fn received_target(&self) -> &str {
        self.text(self.received_target)
    }

    /// [`RequestHead::received_target`], for those who need not know that it is text.
    pub fn received_target_bytes(&self) -> &[u8] {
        self.bytes_of(self.received_target)
    }

    /// The target up to the first `?`.
    pub fn path(&self) -> &str {
        let target = self.target();
        memchr::memchr(b'?', target.as_bytes()).map_or(target, |at| &target[..at])
    }

    /// The target after the first `?`.
    pub fn query(&self) -> Option<&str> {
        let target = self.target();
        memchr::memchr(b'?', target.as_bytes()).map(|at| &target[at + 1..])
    }

    /// The authority the request is for: host and optional port, empty when HTTP/1.0 gave none.
    pub fn authority(&self) -> &str {
        let authority = self.fields.get(Known::Host).unwrap_or_default();
        std::str::from_utf8(authority).unwrap_or_default()
    }

    /// The scheme, where the version tells it with each request.
    pub const fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Says which scheme an HTTP/2 upstream is told; without it, http.
    pub const fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = Some(scheme);
    }

    /// The version it arrived in.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What it promises about its body.
    pub const fn body(&self) -> BodyLength {
        self.body
    }

    /// All its fields.
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// All its fields, to edit. Framing does not follow from edits: use [`RequestHead::set_body`].
    pub const fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// The protocol the client asks to switch to, when the connection may be switched. Never `h2c`: whoever tunnels an
    /// unseen HTTP/2 connection goes around every rule. Extended CONNECT (RFC 8441) is shown so too: as GET with an
    /// upgrade.
    pub fn upgrade(&self) -> Option<&str> {
        if self.wants_upgrade { self.fields.get_str(Known::Upgrade) } else { None }
    }

    /// Replaces path and query. A byte that no target may hold is percent-encoded.
    pub fn set_target(&mut self, target: &str) {
        let start = self.fields.bytes.len();
        for &byte in target.as_bytes() {
            if is_target_byte(byte) {
                self.fields.bytes.push(byte);
            } else {
                let hex = b"0123456789ABCDEF";
                let pair = [hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]];
                self.fields.bytes.extend_from_slice(&[b'%', pair[0], pair[1]]);
            }
        }
        self.target = Span::new(start..self.fields.bytes.len());
        self.target_tag = Tag::UNKNOWN;
    }

    /// Replaces the authority.
    pub fn set_authority(&mut self, authority: &str) {
        self.fields.set(Known::Host, authority.as_bytes());
    }

    /// Replaces what the head says about the body; the field that said so before goes.
    pub fn set_body(&mut self, body: BodyLength) {
        self.fields.remove(Known::ContentLength);
        self.fields.remove(Known::TransferEncoding);
        self.body = body;
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes_of(span)).expect("start lines are checked to be ASCII")
    }

    fn bytes_of(&self, span: Span) -> &[u8] {
        &self.fields.bytes[span.range()]
    }
}

/// Visible ASCII without `#`: a fragment never leaves the client (RFC 9112 §3.2, RFC 3986 §3.5).
pub(crate) const fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RequestHead")
            .field("method", &self.method_str())
            .field("target", &self.target())
            .field("version", &self.version)
            .field("body", &self.body)
            .field("fields", &self.fields)
            .finish()
    }
}
