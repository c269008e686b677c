//! One downstream HTTP/1 connection: its bytes, its machine, its timer.
//!
//! Made by the listener, driven by [`super::serve`]; everything in it is reused from request to request, so a request on
//! a warm connection allocates nothing here.

use std::rc::Rc;

use leno_core::filter_chain::HttpManager;
use leno_core::http_filter::Filter;
use leno_core::random::Random as _;
use leno_core::reply::Failure;
use leno_http::{Invalid, RequestHead, ResponseHead};
use leno_telemetry::peer::PeerCache;
use leno_telemetry::{PartyId, ProcessStat};

use super::downstream::http1::Wait;
use super::downstream::{Carrier, Downstream, Http1};
use super::record::Record;
use crate::lifecycle::Watcher;
use crate::limits;
use crate::listener::Facts;
use crate::telemetry::SharedWriter;
use crate::wire::Wire;
use crate::worker::Worker;

/// One downstream connection with everything its exchanges need.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    /// Who the peer is and where it was going.
    pub(crate) facts: Rc<Facts>,
    pub(crate) manager: std::sync::Arc<HttpManager>,
    pub(super) downstream: Downstream,
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(super) record: Record,
    pub(super) logs: Vec<SharedWriter>,
    /// Who the peer is, for metrics of inbound requests.
    pub(super) peer_party: PartyId,
    pub(super) peers: PeerCache,
    /// Whether proxies tell each other whom they stand for (`istio.peer_metadata`).
    pub(super) exchanges_metadata: bool,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub(crate) enum Next {
    /// A head of so many bytes is in [`Session::request`].
    Request(usize),
    /// Bytes that are no request; answer and close.
    Invalid(Invalid),
    /// The head did not arrive in time.
    HeadTimeout,
    /// Nothing more comes: the end, an idle timeout, a drain.
    End,
}

impl Session {
    /// `inbox` holds what the inspectors read.
    pub(crate) fn new(
        worker: Rc<Worker>,
        facts: Rc<Facts>,
        manager: std::sync::Arc<HttpManager>,
        wire: Wire,
        inbox: Vec<u8>,
        watcher: Watcher,
    ) -> Self {
        let carrier = Carrier::Http1(Http1::new(wire, inbox));
        let downstream = Downstream::new(Rc::clone(&worker), carrier, watcher);
        let principal = facts.proof.peer.clone();
        let exchanges_metadata =
            manager.filters.iter().any(|filter| matches!(filter, Filter::PeerMetadata));
        let logs = worker.telemetry.writers(&manager.settings.access_log);
        Self {
            worker,
            facts,
            manager,
            downstream,
            request: RequestHead::new(),
            response: ResponseHead::new(),
            record: Record::default(),
            logs,
            peer_party: PartyId::UNKNOWN,
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
        match &mut self.downstream.carrier {
            Carrier::Http1(end) => end.end(&self.worker.buffers).await,
        }
    }

    /// Waits for the next request's head.
    pub(super) async fn next_request(&mut self, served: u64) -> Next {
        let settings = &self.manager.settings;
        let Downstream { worker, carrier, deadline, watcher } = &mut self.downstream;
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
