//! HTTP: one connection serving requests one after the other, each by [`exchange`].

mod attempt;
mod authorize;
mod call;
mod detached;
mod downstream;
mod edited;
mod exchange;
mod exporter;
mod forward;
mod grpc;
mod h2c;
mod headers;
mod mirror;
mod pump;
mod record;
mod replay;
mod reply;
mod session;
mod spans;
mod streams;
mod terminate;
mod timers;
mod transfer;
mod tunnel;
mod upstream;
mod view;
mod websocket;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use leno_core::config::Codec;

use crate::limits;
use crate::wire::Wire;
use downstream::http1::Recognised;
use downstream::{Carrier, Http1};
pub(crate) use exporter::Exporters;
use session::Next;
pub(crate) use session::{Arrival, Session};

/// What may follow an exchange.
#[derive(Debug)]
enum After {
    /// Another request.
    Next,
    /// Nothing: the connection ends.
    Close,
}

/// What a connection turned out to speak.
pub(crate) enum Begun {
    Http1(Box<Session>),
    /// What serves it to its end.
    Http2(Pin<Box<dyn Future<Output = ()>>>),
}

/// Finds out what a connection speaks; `None` when it ends without having spoken. `inbox` holds what the inspectors read.
pub(crate) async fn begin(arrival: Arrival, wire: Wire, inbox: Vec<u8>) -> Option<Begun> {
    let codec = arrival.manager.settings.codec;
    if codec == Codec::Http2 || codec == Codec::Auto && arrival.facts.is_http2 {
        return Some(Begun::Http2(Box::pin(streams::serve_streams(arrival, wire, inbox))));
    }
    let limits = limits::http::http1(&arrival.manager.settings.limits);
    let mut end = Http1::new(wire, inbox, limits, arrival.watcher.charge());
    if codec == Codec::Auto {
        match end.recognise(&arrival).await {
            Recognised::Http1 => {}
            Recognised::Http2 => {
                let serving = streams::serve_streams(arrival, end.wire, end.inbox);
                return Some(Begun::Http2(Box::pin(serving)));
            }
            Recognised::Left => {
                // Whoever came and left waits for nothing.
                arrival.worker.lane.turn(limits::END_BYTES).await;
                return None;
            }
            Recognised::Nothing => {
                end.end(&arrival.worker.buffers).await;
                return None;
            }
        }
    }
    Some(Begun::Http1(Box::new(Session::new(arrival, Carrier::Http1(Box::new(end))))))
}

/// Serves a connection, or a place on one, until it ends, one request after the other.
pub(crate) async fn serve(mut session: Box<Session>) {
    let mut served = 0;
    let manager = Arc::clone(&session.manager);
    loop {
        let next = session.next_request(served).await;
        let started = session.downstream.arrived_at().unwrap_or_else(Instant::now);
        let after = match next {
            // Boxed: rare, and the state of a connection of its own.
            Next::Request(_) if h2c::is_asked(&session) => {
                return Box::pin(h2c::take_over(session)).await;
            }
            Next::Request(head_bytes) => {
                exchange::exchange(&mut session, &manager, (started, head_bytes)).await
            }
            Next::Invalid(invalid) => reply::refuse_invalid(&mut session, started, invalid).await,
            Next::Refused(failure) => reply::refuse(&mut session, started, failure).await,
            Next::End => {
                if session.downstream.ends_with_exchange() && !session.downstream.watcher.is_shed()
                {
                    session.worker.lane.turn(limits::END_BYTES).await;
                }
                return;
            }
        };
        served += 1;
        if matches!(after, After::Close) && session.downstream.ends_with_exchange() {
            break;
        }
    }
    session.end().await;
}
