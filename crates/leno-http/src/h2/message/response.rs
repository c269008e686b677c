//! The rules on a response's lines (RFC 9113 §8.3.2, §8.6): what each may be, and what they are together.

use super::{Asked, Lines, index};
use crate::fields::Span;
use crate::h2::hpack::{Kind, Line, Pseudo, Sink};
use crate::h2::streams::Tunnel;
use crate::h2::{Then, Violation};
use crate::{BodyLength, Known, ResponseHead};

/// A response's lines on their way into its head.
pub(super) struct ResponseSink<'h> {
    head: &'h mut ResponseHead,
    pub(super) lines: Lines,
    status: Option<u16>,
}

impl<'h> ResponseSink<'h> {
    pub(super) fn new(head: &'h mut ResponseHead) -> Self {
        Self { head, lines: Lines::default(), status: None }
    }
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
    pub(super) fn finish(self, asked: Asked, then: Then) -> Result<(), Violation> {
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
