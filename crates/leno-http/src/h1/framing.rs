//! How long a body is: RFC 9112 §6, with every doubt refused.
//!
//! Two readers that disagree on where a message ends are what request smuggling lives on, so nothing ambiguous is
//! resolved: it is an error.

use crate::{BodyLength, Fields, Invalid, Known, Method, Version};

/// The framing of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    /// Responses only.
    UntilClose,
}

impl Framing {
    pub(crate) const fn body_length(self) -> BodyLength {
        match self {
            Self::Empty | Self::Length(0) => BodyLength::Empty,
            Self::Length(length) => BodyLength::Exactly(length),
            Self::Chunked | Self::UntilClose => BodyLength::Unknown,
        }
    }
}

/// RFC 9112 §6.3 for requests.
pub(crate) fn of_request(version: Version, fields: &Fields) -> Result<Framing, Invalid> {
    Ok(declared(version, fields)?.unwrap_or(Framing::Empty))
}

/// RFC 9112 §6.3 for responses to `method`.
pub(crate) fn of_response(
    method: Method,
    status: u16,
    version: Version,
    fields: &Fields,
) -> Result<Framing, Invalid> {
    let declared = declared(version, fields)?;
    if method == Method::Connect && (200..300).contains(&status) {
        // RFC 9110 §9.3.6: both fields are ignored, what follows is the tunnel.
        return Ok(Framing::Empty);
    }
    if status < 200 || status == 204 {
        return match declared {
            Some(Framing::Chunked) => Err(Invalid::UnexpectedTransferEncoding),
            Some(Framing::Length(length)) if length > 0 => Err(Invalid::UnexpectedContentLength),
            _ => Ok(Framing::Empty),
        };
    }
    if method == Method::Head || status == 304 {
        return Ok(Framing::Empty);
    }
    Ok(declared.unwrap_or(Framing::UntilClose))
}

/// What the fields say, `None` when they say nothing.
fn declared(version: Version, fields: &Fields) -> Result<Option<Framing>, Invalid> {
    let encoded = fields.has(Known::TransferEncoding);
    let Some(length) = fields.get(Known::ContentLength) else {
        return if encoded { chunked(version, fields).map(Some) } else { Ok(None) };
    };
    if encoded {
        return Err(Invalid::TransferEncodingWithLength);
    }
    if fields.count(Known::ContentLength) > 1 {
        return Err(Invalid::DuplicateContentLength);
    }
    decimal(length).map(|length| Some(Framing::Length(length))).ok_or(Invalid::ContentLength)
}

fn chunked(version: Version, fields: &Fields) -> Result<Framing, Invalid> {
    if version == Version::Http10 {
        return Err(Invalid::UnexpectedTransferEncoding);
    }
    if fields.count(Known::TransferEncoding) > 1 {
        return Err(Invalid::DuplicateTransferEncoding);
    }
    let is_chunked = fields
        .get(Known::TransferEncoding)
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if is_chunked { Ok(Framing::Chunked) } else { Err(Invalid::TransferEncoding) }
}

/// Digits only, no sign, no list, no overflow.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
