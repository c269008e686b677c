//! The span of one exchange: which trace it belongs to, and what it says when the exchange is over.
//!
//! Names and attributes are Envoy's (`ingress`, `egress HOST`; `http.url`, `response_flags`, ...).

use std::time::{Duration, Instant};

use leno_core::random::Random as _;
use leno_core::reply::Side;
use leno_http::Known;
use leno_telemetry::span::{Attributes, Span, SpanKind};
use leno_telemetry::{TraceContext, attribute_key as key};

use super::session::Session;

/// An exchange's place in a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    context: TraceContext,
    parent: Option<u64>,
}

impl Trace {
    /// The trace itself.
    pub(super) fn id(&self) -> u128 {
        self.context.trace_id
    }
}

/// Continues the trace that the request came with, or begins one; the next hop is told.
pub(super) fn begin(session: &mut Session) {
    let Some(exporter) = &session.exporter else { return };
    let settings = exporter.settings();
    let fields = session.request.fields_mut();
    let mut values = fields.values(Known::Traceparent);
    // Trace Context §3.2: several are none.
    let parent = match (values.next(), values.next()) {
        (Some(only), None) => TraceContext::parse(only),
        _ => None,
    };
    drop(values);
    if parent.is_none() && fields.has(Known::Tracestate) {
        // It belongs to a trace that nobody knows (§3.3).
        fields.remove(Known::Tracestate);
    }
    let mut random = session.worker.random.borrow_mut();
    let is_sampled = parent.is_none()
        && random.hits(settings.random_sampling)
        && random.hits(settings.overall_sampling);
    let context = TraceContext::child_of(parent, || is_sampled, || random.next_u64());
    fields.set(Known::Traceparent, &context.text());
    session.record.traced(Trace { context, parent: parent.map(|parent| parent.span_id) });
}

/// Leaves the span of an exchange that is over, if its trace is recorded.
pub(super) fn end(session: &Session, trace: Trace, started: Instant, duration: Duration) {
    let Some(exporter) = session.exporter.as_ref().filter(|_| trace.context.is_sampled) else {
        return;
    };
    let host = session.request.fields().get(Known::Host).unwrap_or_default();
    let (name, kind) = match session.facts.side() {
        Side::Outbound => (("egress ", host), SpanKind::Client),
        Side::Inbound => (("ingress", [].as_slice()), SpanKind::Server),
    };
    let status = session.record.status();
    let span = Span {
        context: trace.context,
        parent: trace.parent,
        name,
        kind,
        start_nanos: session.worker.telemetry.wall_nanos(started),
        duration,
        is_error: status >= 500 || status == 0,
    };
    exporter.push(&span, |attributes| {
        write(session, attributes, exporter.settings().max_path_bytes as usize);
    });
}

fn write(session: &Session, attributes: &mut Attributes<'_>, max_path_bytes: usize) {
    let (request, record) = (&session.request, &session.record);
    let fields = request.fields();
    attributes.str(key!("component"), "proxy");
    if let Some(id) = fields.get(Known::XRequestId) {
        attributes.text(key!("guid:x-request-id"), id);
    }
    let path = request.received_target_bytes();
    let path = &path[..path.len().min(max_path_bytes)];
    let host = fields.get(Known::Host).unwrap_or_default();
    let scheme = session.facts.scheme().as_bytes();
    attributes.parts(key!("http.url"), [scheme, b"://", host, path]);
    attributes.text(key!("http.method"), request.method_bytes());
    attributes.str(key!("http.protocol"), request.version().as_str());
    if let Some(agent) = fields.get(Known::UserAgent) {
        attributes.text(key!("user_agent"), agent);
    }
    attributes.str(key!("peer.address"), &session.facts.peer_ip);
    attributes.number(key!("http.status_code"), record.status().into());
    let (received, sent) = record.bytes();
    attributes.number(key!("request_size"), received);
    attributes.number(key!("response_size"), sent);
    record.write_span(attributes);
}
