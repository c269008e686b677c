//! A response's head, whatever version brought it.

use std::fmt;

use crate::fields::Span;
use crate::{BodyLength, Fields, Known, Version};

/// Status and fields of one response. Reused from response to response.
#[derive(Clone, Default)]
pub struct ResponseHead {
    /// The arena starts with the status line as received.
    pub(crate) fields: Fields,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) version: Version,
    pub(crate) body: BodyLength,
    pub(crate) is_upgrade: bool,
}

impl ResponseHead {
    /// An empty head that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a response of our own, or one whose head another version decoded: forgets what was there, keeps the
    /// capacity.
    pub fn start(&mut self, version: Version, status: u16) {
        self.fields.clear();
        (self.version, self.body, self.is_upgrade) = (version, BodyLength::Empty, false);
        self.set_status(status);
    }

    /// The status code, 100 to 999.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase as received, or the usual one; it may hold bytes above 0x7f.
    pub fn reason(&self) -> &[u8] {
        &self.fields.bytes[self.reason.range()]
    }

    /// Whether a final response is still to come after this one. 101 is final.
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Whether the connection stops being HTTP after this head: 101, or 2xx to CONNECT.
    pub const fn is_upgrade(&self) -> bool {
        self.is_upgrade
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

    /// All its fields, to edit. Framing does not follow from edits: use [`ResponseHead::set_body`].
    pub const fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Replaces the status, with its usual reason phrase.
    pub fn set_status(&mut self, status: u16) {
        assert!((100..=999).contains(&status), "a status code has three digits");
        self.status = status;
        let start = self.fields.bytes.len();
        self.fields.bytes.extend_from_slice(reason_of(status).as_bytes());
        self.reason = Span::new(start..self.fields.bytes.len());
    }

    /// Replaces what the head says about the body; the field that said so before goes.
    pub fn set_body(&mut self, body: BodyLength) {
        self.fields.remove(Known::ContentLength);
        self.fields.remove(Known::TransferEncoding);
        self.body = body;
    }
}

/// The reason phrases of RFC 9110 §15; empty for others, which is allowed.
fn reason_of(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("body", &self.body)
            .field("fields", &self.fields)
            .finish()
    }
}
