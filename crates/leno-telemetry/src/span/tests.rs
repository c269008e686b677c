//! What is encoded is read back by prost from the fields of `opentelemetry/proto/trace/v1/trace.proto`, which refuses
//! text that is no UTF-8 and lengths that do not fit.

use std::time::Duration;

use prost::Message as _;

use super::{Batch, Span, SpanKind, SpanQueue};
use crate::attribute_key as key;
use crate::trace::TraceContext;

#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Decoded>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Decoded {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(string, tag = "1")]
    string_value: String,
}

fn pairs(attributes: &[KeyValue]) -> Vec<(&str, &str)> {
    attributes
        .iter()
        .map(|one| {
            let value = one.value.as_ref().map_or("", |value| value.string_value.as_str());
            (one.key.as_str(), value)
        })
        .collect()
}

fn span(span_id: u64) -> Span<'static> {
    Span {
        context: TraceContext { trace_id: 0x0102, span_id, is_sampled: true },
        parent: (span_id > 1).then_some(1),
        name: ("egress ", b"reviews:9080"),
        kind: SpanKind::Client,
        start_nanos: 5_000_000_000,
        duration: Duration::from_millis(3),
        is_error: span_id > 1,
    }
}

fn encode(batch: &Batch) -> Vec<u8> {
    let mut out = Vec::new();
    batch.begin(&[("service.name", "productpage")], &mut out);
    out.extend_from_slice(batch.spans());
    out
}

#[test]
fn a_span_and_an_attribute_of_any_length_are_framed() {
    // Around the lengths at which a length takes one byte more: of a text, an attribute, a span.
    for length in (1..400).chain(16_000..16_400) {
        let (mut queue, value) = (SpanQueue::new(1 << 20), "v".repeat(length));
        queue.push(&span(1), |_| {});
        queue.push(&span(2), |attributes| {
            attributes.text(key!("text"), value.as_bytes());
            attributes.written(key!("written"), |out| out.extend_from_slice(value.as_bytes()));
        });
        let out = encode(&queue.take().unwrap());
        let request = Request::decode(out.as_slice()).unwrap();
        assert_eq!(request.encode_to_vec(), out, "{length}");
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        let expected = [("text", value.as_str()), ("written", value.as_str())];
        assert_eq!(pairs(&spans[1].attributes), expected, "{length}");
    }
}

#[test]
fn a_batch_is_what_a_collector_reads() {
    let mut queue = SpanQueue::new(1 << 20);
    let long = "a".repeat(300);
    queue.push(&span(1), |attributes| {
        attributes.text(key!("http.url"), long.as_bytes());
        attributes.number(key!("response_size"), 1024);
        attributes.parts(key!("peer"), [b"a", b":", b"1"]);
        attributes.written(key!("at"), |out| out.extend_from_slice(b"127.0.0.1"));
        attributes.written(key!("long"), |out| out.extend_from_slice(long.as_bytes()));
        attributes.str(key!("component"), "proxy");
    });
    let waiting =
        queue.push(&span(2), |attributes| attributes.text(key!("user_agent"), b"\xffcurl"));
    assert_eq!(waiting, 2);
    let batch = queue.take().unwrap();
    let out = encode(&batch);

    let request = Request::decode(out.as_slice()).unwrap();
    assert_eq!(request.encode_to_vec(), out, "nothing is there that was not read");
    let of_resource = &request.resource_spans[0];
    let resource = of_resource.resource.as_ref().unwrap();
    assert_eq!(pairs(&resource.attributes), [("service.name", "productpage")]);
    let of_scope = &of_resource.scope_spans[0];
    assert_eq!(of_scope.scope.as_ref().unwrap().name, "leno");
    let [first, second] = of_scope.spans.as_slice() else { panic!("{of_scope:?}") };
    assert_eq!(first.trace_id, 0x0102_u128.to_be_bytes());
    assert_eq!((&*first.span_id, &*first.parent_span_id), (&1_u64.to_be_bytes()[..], &[][..]));
    assert_eq!((first.name.as_str(), first.kind), ("egress reviews:9080", 3));
    assert_eq!((first.start, first.end), (5_000_000_000, 5_003_000_000));
    assert_eq!(
        pairs(&first.attributes),
        [
            ("http.url", long.as_str()),
            ("response_size", "1024"),
            ("peer", "a:1"),
            ("at", "127.0.0.1"),
            ("long", long.as_str()),
            ("component", "proxy"),
        ]
    );
    assert_eq!(second.parent_span_id, 1_u64.to_be_bytes());
    assert_eq!(pairs(&second.attributes), [("user_agent", "\u{fffd}curl")]);
    let codes = [first, second].map(|span| span.status.as_ref().map(|status| status.code));
    assert_eq!(codes, [None, Some(2)]);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let mut queue = SpanQueue::new(200);
    assert!(queue.take().is_none());
    let kept = (1..=10).map(|at| queue.push(&span(at), |_| {})).max().unwrap();
    assert!((1..10).contains(&kept), "{kept}");
    assert_eq!(queue.take_dropped() + kept as u64, 10);
    assert_eq!(queue.take_dropped(), 0);
    let batch = queue.take().unwrap();
    assert_eq!(batch.count, kept);
    queue.recycle(batch);
    assert_eq!(queue.push(&span(1), |_| {}), 1, "there is room again");
    queue.release();
    assert_eq!(queue.take().map(|batch| batch.count), Some(1), "what waits is not released");
}
