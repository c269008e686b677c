//! Why a message was refused. The access record prints [`Invalid::code`]; nothing here is ever guessed at or repaired.

/// A message that a strict reader must refuse. The connection it came on cannot be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Invalid {
    /// A line ended in LF without CR (RFC 9112 §2.2).
    #[error("line ends in a bare LF")]
    BareLf,
    /// CR that no LF follows (RFC 9112 §2.2).
    #[error("bare CR")]
    BareCr,
    /// A NUL byte in the head (RFC 9110 §5.5).
    #[error("NUL byte in the head")]
    Nul,
    /// More than one empty line, or white space, before the start line (RFC 9112 §2.2).
    #[error("unexpected bytes before the start line")]
    LeadingBytes,
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    #[error("malformed request line")]
    RequestLine,
    /// The method is not a token (RFC 9112 §3.1).
    #[error("method is not a token")]
    Method,
    /// The request target has a forbidden byte or form (RFC 9112 §3.2).
    #[error("invalid request target")]
    Target,
    /// A version other than HTTP/1.0 and HTTP/1.1 (RFC 9112 §2.3).
    #[error("unsupported HTTP version")]
    Version,
    /// The status line is not `version SP code SP reason` (RFC 9112 §4).
    #[error("malformed status line")]
    StatusLine,
    /// A status code outside 100..=999, or one that nothing asked for.
    #[error("invalid status code")]
    Status,
    /// A field name is empty or not a token (RFC 9110 §5.1).
    #[error("field name is not a token")]
    FieldName,
    /// White space between field name and colon (RFC 9112 §5.1).
    #[error("white space before the colon")]
    SpaceBeforeColon,
    /// A field line without a colon (RFC 9112 §5).
    #[error("field line without a colon")]
    MissingColon,
    /// A line that continues the one before (RFC 9112 §5.2).
    #[error("obsolete line folding")]
    ObsFold,
    /// A control character in a field value (RFC 9110 §5.5).
    #[error("control character in a field value")]
    FieldValue,
    /// The head is longer than the limit.
    #[error("head exceeds the size limit")]
    HeadTooLarge,
    /// More fields than the limit.
    #[error("too many header fields")]
    TooManyFields,
    /// HTTP/1.1 request without Host (RFC 9112 §3.2).
    #[error("missing Host")]
    MissingHost,
    /// More than one Host (RFC 9112 §3.2).
    #[error("more than one Host")]
    DuplicateHost,
    /// A Host or authority that is not `host [":" port]` (RFC 9110 §7.2).
    #[error("invalid Host")]
    Host,
    /// More than one Content-Length, equal or not (RFC 9112 §6.3).
    #[error("more than one Content-Length")]
    DuplicateContentLength,
    /// Content-Length is not a number that fits (RFC 9112 §6.3).
    #[error("invalid Content-Length")]
    ContentLength,
    /// Both Transfer-Encoding and Content-Length (RFC 9112 §6.1).
    #[error("both Transfer-Encoding and Content-Length")]
    TransferEncodingWithLength,
    /// More than one Transfer-Encoding field.
    #[error("more than one Transfer-Encoding")]
    DuplicateTransferEncoding,
    /// Transfer-Encoding other than exactly `chunked` (RFC 9112 §6.1).
    #[error("transfer coding other than chunked")]
    TransferEncoding,
    /// Transfer-Encoding in HTTP/1.0, or where the status allows no body (RFC 9112 §6.1).
    #[error("Transfer-Encoding where none may be")]
    UnexpectedTransferEncoding,
    /// Content-Length above zero in a response that cannot have a body (RFC 9110 §8.6).
    #[error("Content-Length where no body may be")]
    UnexpectedContentLength,
    /// Connection is not a list of tokens, or names a field the message cannot do without (RFC 9110 §7.6.1).
    #[error("invalid Connection")]
    Connection,
    /// A chunk size that is empty, signed, padded, not hexadecimal or too large (RFC 9112 §7.1).
    #[error("invalid chunk size")]
    ChunkSize,
    /// A chunk extension with a forbidden byte (RFC 9112 §7.1.1).
    #[error("invalid chunk extension")]
    ChunkExtension,
    /// A chunk line, or all extensions of a body together, above the limit.
    #[error("chunk line exceeds the limit")]
    ChunkLineTooLong,
    /// Chunk data not followed by CRLF (RFC 9112 §7.1).
    #[error("chunk data not followed by CRLF")]
    ChunkEnd,
    /// A trailer section above its limit.
    #[error("trailers exceed the size limit")]
    TrailersTooLarge,
    /// A trailer that frames or routes (RFC 9110 §6.5.1).
    #[error("field not allowed in trailers")]
    ForbiddenTrailer,
    /// The peer closed in the middle of a message.
    #[error("connection closed inside a message")]
    Truncated,
}

impl Invalid {
    /// A stable word for the access record's details.
    pub const fn code(self) -> &'static str {
        match self {
            Self::BareLf => "http1.bare_lf",
            Self::BareCr => "http1.bare_cr",
            Self::Nul => "http1.nul",
            Self::LeadingBytes => "http1.leading_bytes",
            Self::RequestLine => "http1.request_line",
            Self::Method => "http1.method",
            Self::Target => "http1.target",
            Self::Version => "http1.version",
            Self::StatusLine => "http1.status_line",
            Self::Status => "http1.status",
            Self::FieldName => "http1.field_name",
            Self::SpaceBeforeColon => "http1.space_before_colon",
            Self::MissingColon => "http1.missing_colon",
            Self::ObsFold => "http1.obs_fold",
            Self::FieldValue => "http1.field_value",
            Self::HeadTooLarge => "http1.head_too_large",
            Self::TooManyFields => "http1.too_many_fields",
            Self::MissingHost => "http1.missing_host",
            Self::DuplicateHost => "http1.duplicate_host",
            Self::Host => "http1.invalid_host",
            Self::DuplicateContentLength => "http1.duplicate_content_length",
            Self::ContentLength => "http1.invalid_content_length",
            Self::TransferEncodingWithLength => "http1.transfer_encoding_with_length",
            Self::DuplicateTransferEncoding => "http1.duplicate_transfer_encoding",
            Self::TransferEncoding => "http1.transfer_encoding",
            Self::UnexpectedTransferEncoding => "http1.unexpected_transfer_encoding",
            Self::UnexpectedContentLength => "http1.unexpected_content_length",
            Self::Connection => "http1.connection",
            Self::ChunkSize => "http1.chunk_size",
            Self::ChunkExtension => "http1.chunk_extension",
            Self::ChunkLineTooLong => "http1.chunk_line_too_long",
            Self::ChunkEnd => "http1.chunk_end",
            Self::TrailersTooLarge => "http1.trailers_too_large",
            Self::ForbiddenTrailer => "http1.forbidden_trailer",
            Self::Truncated => "http1.truncated",
        }
    }

    /// What to answer when a request was refused: 431 where a limit was met in the head, 505 for a version, else 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::Version => 505,
            _ => 400,
        }
    }
}
