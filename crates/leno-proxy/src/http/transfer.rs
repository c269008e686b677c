//! Moving one body from a source to a sink, whatever versions the two speak.
//!
//! Between two HTTP/1 connections it is the [`Pump`] alone.

use std::task::{Context, Poll};

use leno_http::h1::{BodyReader, BodyWriter};

use super::pump::{Ends, Pump, PumpError, Step};
use super::replay::Replay;
use crate::wire::{Outgoing, Wire};

/// Where a body comes from.
pub(super) enum Source<'a> {
    /// The bytes of a connection in their framing.
    Http1 { reader: &'a mut BodyReader, inbox: &'a mut Vec<u8> },
}

/// Where a body goes.
pub(super) enum Sink<'a> {
    /// A connection that frames it.
    Http1 { writer: &'a mut BodyWriter, out: &'a mut Outgoing, to: &'a mut Wire },
}

/// One direction of an exchange.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    pump: Pump,
}

impl Transfer {
    /// Body bytes moved.
    pub(super) fn moved(&self) -> u64 {
        self.pump.moved
    }

    /// Moves what can be moved, with a copy to `tap` while one is wanted. `Pending` only when the receiver is full (its
    /// waker is registered).
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (source, sink): (Source<'_>, Sink<'_>),
        tap: Option<&mut Replay>,
    ) -> Poll<Result<Step, PumpError>> {
        match (source, sink) {
            (Source::Http1 { reader, inbox }, Sink::Http1 { writer, out, to }) => {
                self.pump.poll(cx, &mut Ends { reader, writer, inbox, out, to, tap })
            }
        }
    }
}
