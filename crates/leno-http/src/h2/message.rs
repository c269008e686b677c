//! Header blocks to heads, with every rule of RFC 9113 §8 that concerns one head.

mod request;
mod response;

use std::ops::Range;

use self::request::RequestSink;
use self::response::ResponseSink;
use super::hpack::{Bounds, Decoder, Fit, Kind, Line, Pseudo, Sink};
use super::streams::Tunnel;
use super::{ExtendedConnect, Settings, Spelling, Then, Violation};
use crate::fields::{SPELLING_BYTES_MAX, Span};
use crate::h1::decimal;
use crate::{BodyLength, Fields, Http2Limits, Known, RequestHead, ResponseHead, Version};

/// What a connection's heads are read by.
pub(super) struct Reader<'c> {
    pub(super) decoder: &'c mut Decoder,
    pub(super) settings: &'c Settings,
    /// Spellings that did not fit the lines.
    pub(super) misspelt: &'c mut u32,
}

/// What came of a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Sound,
    /// The list exceeds the limits; what is in the head is not all of it.
    Oversized,
    Malformed(Violation),
}

/// What a response answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) tunnel: Tunnel,
    pub(super) is_head: bool,
}

/// Decodes a request.
pub(super) fn request(
    Reader { decoder, settings, misspelt }: Reader<'_>,
    block: &[u8],
    then: Then,
    head: &mut RequestHead,
) -> Result<Decoded, Violation> {
    head.fields.clear();
    (head.version, head.body) = (Version::Http2, BodyLength::Empty);
    (head.wants_upgrade, head.scheme) = (false, None);
    let mut sink = RequestSink::new(head);
    let fit = decoder.decode(block, bounds(&settings.limits), &mut sink)?;
    if let Some(why) = sink.lines.fault {
        return Ok(Decoded::Malformed(why));
    }
    if let Some(value) = sink.lines.spelling {
        spell(&mut sink.head.fields, value, (settings.spelling, misspelt));
    }
    let allows = settings.extended_connect == ExtendedConnect::Allowed;
    let finished = sink.finish(allows, then);
    if fit == Fit::Cut {
        if finished.is_err() {
            head.start(Version::Http2, "GET", "", "/");
        }
        return Ok(Decoded::Oversized);
    }
    Ok(finished.map_or_else(Decoded::Malformed, |()| Decoded::Sound))
}

/// Decodes a response.
pub(super) fn response(
    Reader { decoder, settings, misspelt }: Reader<'_>,
    block: &[u8],
    (asked, then): (Asked, Then),
    head: &mut ResponseHead,
) -> Result<Decoded, Violation> {
    head.fields.clear();
    (head.version, head.is_upgrade) = (Version::Http2, false);
    let mut sink = ResponseSink::new(head);
    let fit = decoder.decode(block, bounds(&settings.limits), &mut sink)?;
    let spelling = sink.lines.spelling;
    let finished = match sink.lines.fault {
        Some(why) => Err(why),
        None => sink.finish(asked, then),
    };
    if let Some(value) = spelling
        && let Some(reason) = spell(&mut head.fields, value, (settings.spelling, misspelt))
    {
        head.reason = reason;
    }
    Ok(match (finished, fit) {
        (Err(why), Fit::All) => Decoded::Malformed(why),
        (_, Fit::Cut) => Decoded::Oversized,
        (Ok(()), Fit::All) => Decoded::Sound,
    })
}

/// Decodes trailers.
pub(super) fn trailers(
    Reader { decoder, settings, misspelt }: Reader<'_>,
    block: &[u8],
    fields: &mut Fields,
) -> Result<Decoded, Violation> {
    fields.clear();
    let mut sink = TrailerSink { fields, fault: None, spelling: None };
    let fit = decoder.decode(block, bounds(&settings.limits), &mut sink)?;
    let fault = sink.fault;
    if let Some(value) = sink.spelling {
        spell(fields, value, (settings.spelling, misspelt));
    }
    Ok(match (fault, fit) {
        (Some(why), _) => Decoded::Malformed(why),
        (None, Fit::Cut) => Decoded::Oversized,
        (None, Fit::All) => Decoded::Sound,
    })
}

/// Decodes a block for the table's sake only.
pub(super) fn skip(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &Http2Limits,
) -> Result<(), Violation> {
    let mut fields = Fields::new();
    let mut sink = TrailerSink { fields: &mut fields, fault: None, spelling: None };
    decoder.decode(block, bounds(limits), &mut sink).map(|_| ())
}

/// Spells decoded fields as the peer says, where it may say it, and tells where its reason phrase is.
fn spell(
    fields: &mut Fields,
    value: Span,
    (spelling, misspelt): (Spelling, &mut u32),
) -> Option<Span> {
    if spelling == Spelling::Untold {
        return None;
    }
    let Range { start, end } = value.range();
    // The value lies among the bytes of the names it is about.
    let mut held = [0; SPELLING_BYTES_MAX];
    let told = held.get_mut(..end - start).and_then(|held| {
        held.copy_from_slice(&fields.bytes[start..end]);
        fields.spell(held)
    });
    let Some(reason) = told else {
        *misspelt += 1;
        return None;
    };
    // It ends before the full stop that ends the value.
    reason.map(|reason| Span::new(end - 1 - reason.len()..end - 1))
}

const fn bounds(limits: &Http2Limits) -> Bounds {
    Bounds { bytes: limits.header_list_bytes as usize, fields: limits.fields as usize }
}

/// What is remembered of the lines of any head.
#[derive(Default)]
struct Lines {
    fault: Option<Violation>,
    /// A bit per pseudo-header field that was there.
    pseudo: u8,
    has_fields: bool,
    length: Option<u64>,
    spelling: Option<Span>,
}

impl Lines {
    fn fail(&mut self, why: Violation) {
        self.fault = self.fault.or(Some(why));
    }

    /// Once each, and before all fields (RFC 9113 §8.3).
    fn pseudo(&mut self, pseudo: Pseudo) {
        if self.has_fields || self.has(pseudo) {
            self.fail(Violation::PseudoField);
        }
        self.pseudo |= 1 << pseudo as u8;
    }

    const fn has(&self, pseudo: Pseudo) -> bool {
        self.pseudo & 1 << pseudo as u8 != 0
    }

    /// RFC 9110 §8.6; several of them are refused, equal or not, as in HTTP/1.
    fn content_length(&mut self, value: &[u8]) {
        match decimal(value) {
            Some(length) if self.length.is_none() => self.length = Some(length),
            _ => self.fail(Violation::ContentLength),
        }
    }
}

/// Indexes a line as the field `known`.
fn index(fields: &mut Fields, line: &Line, known: Known) {
    let name = line.start..line.start + line.name_bytes;
    fields.index_decoded(name, line.value(), known, line.tag);
}

struct TrailerSink<'f> {
    fields: &'f mut Fields,
    fault: Option<Violation>,
    spelling: Option<Span>,
}

impl Sink for TrailerSink<'_> {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.fields.bytes
    }

    fn line(&mut self, line: Line) {
        match line.kind {
            // What frames or routes would be believed by whoever merges trailers into the head (RFC 9110 §6.5.1).
            Kind::Field(Known::ContentLength | Known::Host | Known::Te) | Kind::Pseudo(_) => {
                self.fault = self.fault.or(Some(Violation::Trailers));
            }
            Kind::Field(Known::XLenoSpelling) => self.spelling = Some(Span::new(line.value())),
            Kind::Field(known) => index(self.fields, &line, known),
            Kind::Malformed(why) => self.fault = self.fault.or(Some(why)),
        }
    }
}
