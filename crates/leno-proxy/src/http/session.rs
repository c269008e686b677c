//! What serves one request after the other: an HTTP/1 connection, or a place on an HTTP/2 one.
//!
//! Driven by [`super::serve`]; everything in it is reused from request to request, so a request on a warm connection
//! allocates nothing here.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use leno_core::filter_chain::HttpManager;
use leno_core::http_filter::Filter;
use leno_core::random::Random as _;
use leno_core::reply::Failure;
use leno_http::{Invalid, RequestHead, ResponseHead};
use leno_telemetry::peer::PeerCache;
use leno_telemetry::{AuthorizationStats, PartyId, ProcessStat};

use super::authorize;
use super::downstream::http1::Wait;
use super::downstream::{Carrier, Downstream};
use super::exporter::Exporter;
use super::record::Record;
use crate::access_log::Log;
use crate::lifecycle::Watcher;
use crate::limits;
use crate::listener::Facts;
use crate::worker::Worker;

/// One end of what comes from downstream, with everything its exchanges need.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    /// Who the peer is and where it was going.
    pub(crate) facts: Rc<Facts>,
    pub(crate) manager: Arc<HttpManager>,
    pub(super) downstream: Downstream,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(super) record: Record,
    pub(super) logs: Vec<Log>,
    /// Where spans go; `None` where requests leave none.
    pub(super) exporter: Option<Rc<Exporter>>,
    /// Counters of the authorization filters, in their order.
    pub(super) authorization: Box<[AuthorizationStats]>,
    /// Who the peer is, for metrics of inbound requests.
    pub(super) peer_party: PartyId,
    pub(super) peers: PeerCache,
    /// Whether this request said whom its peer stands for.
    pub(super) peer_asks: bool,
    /// Whether proxies tell each other whom they stand for (`istio.peer_metadata`).
    pub(super) exchanges_metadata: bool,
}

/// A connection that was handed to HTTP, with what is known of it.
pub(crate) struct Arrival {
    pub(crate) worker: Rc<Worker>,
    /// Who the peer is and where it was going.
    pub(crate) facts: Rc<Facts>,
    pub(crate) manager: Arc<HttpManager>,
    pub(crate) watcher: Watcher,
}

impl Arrival {
    /// The same, for another task.
    pub(super) fn another(&self) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            facts: Rc::clone(&self.facts),
            manager: Arc::clone(&self.manager),
            watcher: self.watcher.another(),
        }
    }
}

/// What came of waiting for a request.
#[derive(Debug)]
pub(crate) enum Next {
    /// A head of so many bytes is in [`Session::request`].
    Request(usize),
    /// Bytes that are no request; answer and close.
    Invalid(Invalid),
    /// A head that cannot be served; answer.
    Refused(Failure),
    /// Nothing more comes: the end, an idle timeout, a drain.
    End,
}

impl Session {
    /// For what came with `arrival` and is carried by `carrier`.
    pub(super) fn new(arrival: Arrival, carrier: Carrier) -> Self {
        let Arrival { worker, facts, manager, watcher } = arrival;
        let downstream = Downstream::new(Rc::clone(&worker), carrier, watcher);
        let principal = facts.proof.peer.clone();
        let exchanges_metadata =
            manager.filters.iter().any(|filter| matches!(filter, Filter::PeerMetadata));
        let logs = worker.telemetry.writers(&manager.settings.access_log);
        let authorization = authorize::stats(&worker, &manager);
        let tracing = manager.settings.tracing.as_ref();
        let exporter = tracing.map(|settings| worker.exporters.get(&worker, settings));
        Self {
            worker,
            facts,
            manager,
            downstream,
            request: RequestHead::new(),
            response: ResponseHead::new(),
            record: Record::default(),
            logs,
            exporter,
            authorization,
            peer_party: PartyId::UNKNOWN,
            peer_asks: false,
            peers: PeerCache::new(principal.as_deref()),
            exchanges_metadata,
        }
    }

    /// A uniformly distributed number.
    pub(super) fn draw(&self) -> u64 {
        self.worker.random.borrow_mut().next_u64()
    }

    /// Ends what carried the exchanges, in order.
    pub(super) async fn end(&mut self) {
        if self.downstream.watcher.is_shed() {
            // Whoever is cut for what it holds must not hold it any longer.
            return;
        }
        match &mut self.downstream.carrier {
            Carrier::Http1(end) => end.end(&self.worker.buffers).await,
            Carrier::Http2(end) => end.finish(),
        }
    }

    /// Waits for the next request's head.
    pub(super) async fn next_request(&mut self, served: u64) -> Next {
        let settings = &self.manager.settings;
        let Downstream { worker, carrier, deadline, watcher, .. } = &mut self.downstream;
        if settings.max_requests_per_connection.is_some_and(|max| served + 1 >= u64::from(max)) {
            watcher.use_up();
        }
        let wait = Wait {
            buffers: &worker.buffers,
            deadline,
            watcher,
            now: self.record.now().into(),
            idle: settings.idle_timeout.unwrap_or(limits::DOWNSTREAM_IDLE),
            head: settings.request_headers_timeout.unwrap_or(limits::REQUEST_HEAD),
            is_first: served == 0,
        };
        match carrier {
            Carrier::Http1(end) => end.next_request(&mut self.request, wait).await,
            Carrier::Http2(end) => {
                if served == 0 {
                    poll_fn(|cx| {
                        wait.watcher.register(cx);
                        Poll::Ready(())
                    })
                    .await;
                }
                end.next_request(&mut self.request, wait).await
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A defect of ours: this connection is lost, the worker goes on.
            self.worker.process.metrics.add(ProcessStat::ExchangePanics, 1);
        } else if self.record.is_open() {
            self.record.failed(Failure::DownstreamDisconnect, self.facts.side());
            self.finish_record();
        }
    }
}
