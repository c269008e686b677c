//! The rules on a request's lines (RFC 9113 §8.3.1, §8.5; RFC 8441): what each may be, and what they are together.

use super::{Lines, index};
use crate::fields::Span;
use crate::h1::is_connect_authority;
use crate::h2::hpack::{Kind, Line, Pseudo, Sink};
use crate::h2::{Tag, Then, Violation};
use crate::{BodyLength, Known, Method, RequestHead, Scheme};

/// A request's lines on their way into its head.
pub(super) struct RequestSink<'h> {
    pub(super) head: &'h mut RequestHead,
    pub(super) lines: Lines,
    protocol: Option<Span>,
}

impl<'h> RequestSink<'h> {
    pub(super) fn new(head: &'h mut RequestHead) -> Self {
        Self { head, lines: Lines::default(), protocol: None }
    }
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
    pub(super) fn finish(self, allows: bool, then: Then) -> Result<(), Violation> {
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
