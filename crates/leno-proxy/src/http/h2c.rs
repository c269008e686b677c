//! `Upgrade: h2c`: a connection of HTTP/1.1 whose client wants to go on in HTTP/2 (RFC 7540 §3.2).
//!
//! Its request becomes the first stream. Only a request without a body, on a connection without TLS, at a listener that
//! speaks both versions: elsewhere the wish is passed over, as a server may.

use std::rc::Rc;

use leno_core::config::Codec;
use leno_http::{BodyLength, Known, Limits};
use tokio::net::UnixStream;

use super::downstream::{Carrier, Http1};
use super::session::{Arrival, Session};
use super::streams;
use crate::http2::Connection;
use crate::limits;
use crate::wire::Wire;

/// Whether the request that came is one for HTTP/2.
pub(super) fn is_asked(session: &Session) -> bool {
    let fields = session.request.fields();
    // Nearly every request is told from one by this alone.
    if !fields.has(Known::Http2Settings) {
        return false;
    }
    let lists = |field, wanted: &str| {
        fields.get_str(field).is_some_and(|value| {
            value.split(',').any(|element| element.trim().eq_ignore_ascii_case(wanted))
        })
    };
    matches!(session.downstream.carrier, Carrier::Http1(_))
        && session.manager.settings.codec == Codec::Auto
        && !session.facts.is_tls
        && session.request.body() == BodyLength::Empty
        && lists(Known::Upgrade, "h2c")
        && lists(Known::Connection, "upgrade")
        && lists(Known::Connection, "http2-settings")
}

/// Goes on in HTTP/2. A client whose settings are wrong has said nothing that could be answered.
pub(super) async fn take_over(mut session: Box<Session>) {
    let Ok((placeholder, _)) = UnixStream::pair() else { return };
    let Carrier::Http1(end) = &mut session.downstream.carrier else { return };
    let end = std::mem::replace(
        &mut **end,
        Http1::new(Wire::Unix(placeholder), Vec::new(), Limits::DEFAULT, None),
    );
    let request = std::mem::take(&mut session.request);
    let (worker, facts) = (Rc::clone(&session.worker), Rc::clone(&session.facts));
    let watcher = session.downstream.watcher.another();
    let arrival = Arrival { worker, facts, manager: session.manager.clone(), watcher };
    drop(session);
    let limits = limits::http::http2(&arrival.manager.settings.limits);
    let limits = limits::http::buffering(limits, arrival.watcher.buffer_max());
    let bounds = (limits, arrival.watcher.charge());
    let begun = (&end.inbox[..], request);
    let upgraded = Connection::upgraded(&arrival.worker, end.wire, begun, bounds);
    if let Some(connection) = upgraded {
        arrival.worker.buffers.give(end.inbox);
        streams::serve_on(arrival, connection).await;
    }
}
