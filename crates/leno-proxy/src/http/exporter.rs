//! Sends the spans of one worker to their collector, in batches, off the request path.
//!
//! One [`Exporter`] for each provider in use on a worker, with a task of its own. What cannot be sent is dropped and
//! counted: a collector that is away costs a bounded buffer and nothing else.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use leno_core::config::{Otlp, Tracing};
use leno_core::name::ResourceName;
use leno_http::{BodyLength, Known, RequestHead, Version};
use leno_telemetry::ProcessStat;
use leno_telemetry::span::{Attributes, Batch, Span, SpanQueue};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::detached::{Answer, Detached};
use crate::limits;
use crate::worker::Worker;

/// Where the spans of a worker's sessions go.
pub(crate) struct Exporter {
    settings: Arc<Tracing>,
    cluster: ResourceName,
    queue: RefCell<SpanQueue>,
    due: Rc<Notify>,
    /// Whether the last batch did not arrive: said once.
    is_failing: Cell<bool>,
}

/// The exporters of one worker.
#[derive(Default)]
pub(crate) struct Exporters(RefCell<Vec<Rc<Exporter>>>);

impl Exporters {
    /// The one with these settings.
    pub(crate) fn get(&self, worker: &Rc<Worker>, settings: &Arc<Tracing>) -> Rc<Exporter> {
        let mut all = self.0.borrow_mut();
        if let Some(known) = all.iter().find(|each| each.settings == *settings) {
            return Rc::clone(known);
        }
        let exporter = Rc::new(Exporter {
            settings: Arc::clone(settings),
            cluster: ResourceName::new(&settings.provider.cluster),
            queue: RefCell::new(SpanQueue::new(limits::SPAN_QUEUE_BYTES)),
            due: Rc::default(),
            is_failing: Cell::default(),
        });
        let (weak, due) = (Rc::downgrade(&exporter), Rc::clone(&exporter.due));
        tokio::task::spawn_local(run(Rc::clone(worker), weak, due));
        all.push(Rc::clone(&exporter));
        exporter
    }

    /// Ends those that no session uses any more and that have nothing left to send.
    pub(crate) fn sweep(&self) {
        self.0.borrow_mut().retain(|each| Rc::strong_count(each) > 1 || each.has_spans());
    }

    /// Sends what is left, at the worker's end.
    pub(crate) async fn finish(&self, worker: &Rc<Worker>) {
        let all = self.0.take();
        for exporter in all {
            let _ = timeout(limits::CUT_OFF, exporter.send(worker)).await;
        }
    }
}

impl Exporter {
    /// What was configured.
    pub(crate) fn settings(&self) -> &Tracing {
        &self.settings
    }

    /// Takes an ended span.
    pub(crate) fn push(&self, span: &Span<'_>, attributes: impl FnOnce(&mut Attributes<'_>)) {
        let waiting = self.queue.borrow_mut().push(span, attributes);
        if waiting == limits::SPAN_BATCH {
            self.due.notify_one();
        }
    }

    fn has_spans(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// Sends all that waits, as one batch.
    async fn send(&self, worker: &Rc<Worker>) {
        let metrics = &worker.process.metrics;
        let (batch, dropped) = {
            let mut queue = self.queue.borrow_mut();
            (queue.take(), queue.take_dropped())
        };
        metrics.add(ProcessStat::SpansDropped, count(dropped));
        let Some(batch) = batch else { return };
        let provider = &self.settings.provider;
        let within = provider.timeout.unwrap_or(limits::SPAN_EXPORT);
        let answer = timeout(within, self.export(worker, &batch)).await.ok().flatten();
        let is_taken = answer.is_some_and(|answer| match provider.protocol {
            Otlp::Grpc { .. } => answer.status == 200 && answer.grpc_status == Some(0),
            Otlp::Http { .. } => (200..300).contains(&answer.status),
        });
        let spans = count(batch.count as u64);
        metrics.add(
            if is_taken { ProcessStat::SpansExported } else { ProcessStat::SpansDropped },
            spans,
        );
        if !self.is_failing.replace(!is_taken) && !is_taken {
            tracing::warn!(cluster = %self.cluster, ?answer, spans, "spans were not taken");
        }
        self.queue.borrow_mut().recycle(batch);
    }

    async fn export(&self, worker: &Rc<Worker>, batch: &Batch) -> Option<Answer> {
        let provider = &self.settings.provider;
        let (authority, path) = provider.protocol.target(&provider.cluster)?;
        let cluster = worker.view().cluster(worker, &self.cluster).map(Rc::clone)?;
        let (mut head, mut prefix) = (RequestHead::new(), Vec::new());
        let own = worker.process.node.as_ref().map_or("", |node| node.cluster.as_str());
        let names = [provider.service_name.as_str(), own];
        let service_name = names.into_iter().find(|name| !name.is_empty());
        let resource = [
            ("service.name", service_name.unwrap_or("unknown_service:leno")),
            ("telemetry.sdk.name", "leno"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        match provider.protocol {
            Otlp::Grpc { .. } => {
                head.start(Version::Http2, "POST", authority, path);
                head.fields_mut().append(Known::ContentType, b"application/grpc");
                head.fields_mut().append(Known::Te, b"trailers");
                // Uncompressed, then the message's length.
                prefix.extend_from_slice(&[0; 5]);
                batch.begin(&resource, &mut prefix);
                let length = u32::try_from(prefix.len() - 5 + batch.spans().len()).ok()?;
                prefix[1..5].copy_from_slice(&length.to_be_bytes());
            }
            Otlp::Http { .. } => {
                head.start(Version::Http11, "POST", authority, path);
                head.fields_mut().append(Known::ContentType, b"application/x-protobuf");
                batch.begin(&resource, &mut prefix);
            }
        }
        let body = [prefix.as_slice(), batch.spans()];
        head.set_body(BodyLength::Exactly(body.iter().map(|part| part.len() as u64).sum()));
        let destination = ([0, 0, 0, 0], 0).into();
        Detached { cluster, destination, head, body }.run(worker).await
    }
}

fn count(spans: u64) -> i64 {
    i64::try_from(spans).unwrap_or(i64::MAX)
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.due.notify_one();
    }
}

/// Sends a batch when there are enough spans for one, or some time after the last; until the exporter is dropped.
async fn run(worker: Rc<Worker>, exporter: Weak<Exporter>, due: Rc<Notify>) {
    loop {
        // Both ways there may be something to send.
        let is_idle = timeout(limits::SPAN_FLUSH, due.notified()).await.is_err();
        let Some(exporter) = exporter.upgrade() else { return };
        if is_idle && !exporter.has_spans() {
            exporter.queue.borrow_mut().release();
        } else {
            exporter.send(&worker).await;
        }
    }
}
