//! Header blocks to heads, with every rule of RFC 9113 §8 that concerns one head.

use std::ops::Range;

use super::hpack::{Bounds, Decoder, Fit, Kind, Line, Pseudo, Sink};
use super::streams::Tunnel;
use super::{ExtendedConnect, Settings, Spelling, Tag, Then, Violation};
use crate::fields::{SPELLING_BYTES_MAX, Span};
use crate::h1::{decimal, is_connect_authority};
use crate::{
    BodyLength, Fields, Http2Limits, Known, Method, RequestHead, ResponseHead, Scheme, Version,
};

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
    let mut sink = RequestSink { head, lines: Lines::default(), protocol: None };
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
    let mut sink = ResponseSink { head, lines: Lines::default(), status: None };
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

struct RequestSink<'h> {
    head: &'h mut RequestHead,
    lines: Lines,
    protocol: Option<Span>,
}

impl Sink for RequestSink<'_> {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.head.fields.bytes
    }

    fn line(&mut self, line: Line) {
        match line.kind {
            Kind::Field(known) => self.field(&line, known),
            Kind::Pseudo(pseudo) => {
                self.lines.pseudo(pseudo);
                self.pseudo(&line, pseudo);
            }
            Kind::Malformed(why) => self.lines.fail(why),
        }
    }
}

impl RequestSink<'_> {
    fn field(&mut self, line: &Line, known: Known) {
        self.lines.has_fields = true;
        let fields = &mut self.head.fields;
        match known {
            // RFC 9113 §8.3.1: beside `:authority` it may only say the same.
            Known::Host if fields.has(Known::Host) => {
                let is_said = self.lines.has(Pseudo::Authority)
                    && fields.get(Known::Host) == Some(&fields.bytes[line.value()]);
                if !is_said {
                    self.lines.fail(Violation::Authority);
                }
                return;
            }
            Known::ContentLength => self.lines.content_length(&fields.bytes[line.value()]),
            Known::XLenoSpelling => {
                self.lines.spelling = Some(Span::new(line.value()));
                return;
            }
            _ => {}
        }
        index(fields, line, known);
    }

    fn pseudo(&mut self, line: &Line, pseudo: Pseudo) {
        let head = &mut *self.head;
        let value = Span::new(line.value());
        match pseudo {
            Pseudo::Authority => index(&mut head.fields, line, Known::Host),
            Pseudo::Method => {
                head.method_text = value;
                head.method = Method::recognize(&head.fields.bytes[line.value()]);
            }
            Pseudo::Path => (head.target, head.target_tag) = (value, line.tag),
            Pseudo::Protocol => self.protocol = Some(value),
            Pseudo::Scheme => {
                let is_https = &head.fields.bytes[line.value()] == b"https";
                head.scheme = Some(if is_https { Scheme::Https } else { Scheme::Http });
            }
            Pseudo::Status => self.lines.fail(Violation::PseudoField),
        }
    }

    /// RFC 9113 §8.3.1 and §8.5, RFC 8441 §4.
    fn finish(self, allows: bool, then: Then) -> Result<(), Violation> {
        let Self { head, lines, protocol } = self;
        if !lines.has(Pseudo::Method) {
            return Err(Violation::PseudoField);
        }
        let is_tunnel = head.method == Method::Connect;
        if is_tunnel && protocol.is_none() {
            return finish_connect(head, &lines);
        }
        if !lines.has(Pseudo::Scheme) || !lines.has(Pseudo::Path) {
            return Err(Violation::PseudoField);
        }
        if !head.fields.has(Known::Host) {
            return Err(Violation::Authority);
        }
        match &head.fields.bytes[head.target.range()] {
            [b'/', ..] => {}
            b"*" if head.method == Method::Options => {}
            _ => return Err(Violation::Path),
        }
        head.received_target = head.target;
        match (lines.length, then) {
            (Some(1..), Then::End) => return Err(Violation::ContentLength),
            (_, Then::End) => head.body = BodyLength::Empty,
            (Some(length), Then::More) => head.body = BodyLength::Exactly(length),
            (None, Then::More) => head.body = BodyLength::Unknown,
        }
        // What was spelt comes from HTTP/1, where they stood like that.
        if head.fields.count(Known::Cookie) > 1 && !head.fields.is_spelt() {
            head.fields.join(Known::Cookie, b"; ", Tag::CRUMBS);
        }
        let Some(protocol) = protocol else { return Ok(()) };
        if !is_tunnel || !allows {
            return Err(Violation::Protocol);
        }
        as_upgrade(head, protocol, then)
    }
}

/// `:authority` is all there is, and the target.
fn finish_connect(head: &mut RequestHead, lines: &Lines) -> Result<(), Violation> {
    let others = lines.has(Pseudo::Scheme) || lines.has(Pseudo::Path);
    if others || !lines.has(Pseudo::Authority) {
        return Err(Violation::PseudoField);
    }
    let authority = head.fields.compressible_of(Known::Host).map(|field| field.value);
    if !authority.is_some_and(is_connect_authority) {
        return Err(Violation::Authority);
    }
    let target = head.authority().to_owned();
    head.set_target(&target);
    head.received_target = head.target;
    if lines.length.is_some() { Err(Violation::ContentLength) } else { Ok(()) }
}

/// Shows extended CONNECT as what it is in HTTP/1: GET with an upgrade.
fn as_upgrade(head: &mut RequestHead, protocol: Span, then: Then) -> Result<(), Violation> {
    if then.is_end() || head.body != BodyLength::Unknown {
        return Err(Violation::Protocol);
    }
    head.body = BodyLength::Empty;
    let start = head.fields.bytes.len();
    head.fields.bytes.extend_from_slice(b"GET");
    (head.method, head.method_text) = (Method::Get, Span::new(start..start + 3));
    let start = head.fields.bytes.len();
    head.fields.bytes.extend_from_slice(b"upgrade: ");
    let name = start..start + 7;
    let value_start = head.fields.bytes.len();
    head.fields.bytes.extend_from_within(protocol.range());
    let value = value_start..head.fields.bytes.len();
    head.fields.bytes.extend_from_slice(b"\r\n");
    head.fields.index_decoded(name, value, Known::Upgrade, Tag::UNKNOWN);
    head.wants_upgrade = true;
    Ok(())
}

struct ResponseSink<'h> {
    head: &'h mut ResponseHead,
    lines: Lines,
    status: Option<u16>,
}

impl Sink for ResponseSink<'_> {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.head.fields.bytes
    }

    fn line(&mut self, line: Line) {
        let fields = &mut self.head.fields;
        match line.kind {
            Kind::Field(known) => {
                self.lines.has_fields = true;
                match known {
                    Known::ContentLength => self.lines.content_length(&fields.bytes[line.value()]),
                    Known::Te => self.lines.fail(Violation::Te),
                    Known::XLenoSpelling => {
                        self.lines.spelling = Some(Span::new(line.value()));
                        return;
                    }
                    _ => {}
                }
                index(fields, &line, known);
            }
            Kind::Pseudo(Pseudo::Status) => {
                self.lines.pseudo(Pseudo::Status);
                let digits = &fields.bytes[line.value()];
                let status =
                    digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit & 0xf));
                self.status = Some(status);
            }
            Kind::Pseudo(_) => self.lines.fail(Violation::PseudoField),
            Kind::Malformed(why) => self.lines.fail(why),
        }
    }
}

impl ResponseSink<'_> {
    fn finish(self, asked: Asked, then: Then) -> Result<(), Violation> {
        let Self { head, lines, status } = self;
        let status = status.ok_or(Violation::PseudoField)?;
        // RFC 9113 §8.6: there is nothing to switch.
        if status == 101 {
            return Err(Violation::Status);
        }
        if status < 200 && then.is_end() {
            return Err(Violation::MessageOrder);
        }
        let is_tunnel = asked.tunnel != Tunnel::No && (200..300).contains(&status);
        head.is_upgrade = is_tunnel;
        head.set_status(if is_tunnel && asked.tunnel == Tunnel::Extended { 101 } else { status });
        let has_no_body = status < 200 || status == 204 || is_tunnel;
        head.body = match (lines.length, then) {
            (Some(1..), _) if has_no_body => return Err(Violation::ContentLength),
            _ if has_no_body || asked.is_head || status == 304 => BodyLength::Empty,
            (Some(1..), Then::End) => return Err(Violation::ContentLength),
            (_, Then::End) => BodyLength::Empty,
            (Some(length), Then::More) => BodyLength::Exactly(length),
            (None, Then::More) => BodyLength::Unknown,
        };
        Ok(())
    }
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
