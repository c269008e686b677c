//! What one exchange leaves behind: its access record and its place in the metrics.
//!
//! Plain values, filled in as the exchange goes; written once, also when the exchange is dropped half way (the session's
//! `Drop` sees to that). Costs no allocation unless something fails.

mod facts;
mod finish;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::endpoint::Endpoint;
use leno_core::grpc;
use leno_core::reply::{self, Failure, Side};
use leno_core::route_table::Matched;
use leno_telemetry::{Blame, PartyId, ResponseFlag, ResponseFlags};

use super::spans::Trace;
use crate::tcp::open::Opened;
use crate::telemetry;
use crate::upstream::cluster::ClusterState;
use crate::upstream::connect::Link;

/// The open record of a session; reused from exchange to exchange.
#[derive(Default)]
pub(crate) struct Record {
    started: Option<Instant>,
    moved_at: Option<Instant>,
    sent_at: Option<Instant>,
    answered_at: Option<Instant>,
    service_time: Option<Duration>,
    status: u16,
    flags: ResponseFlags,
    details: Option<&'static str>,
    denied: Option<Arc<str>>,
    blame: Option<Blame>,
    received: u64,
    sent: u64,
    request_head: u64,
    response_head: u64,
    messages: (u64, u64),
    is_grpc: bool,
    grpc_status: Option<u8>,
    route: Option<Arc<str>>,
    cluster: Option<Rc<ClusterState>>,
    endpoint: Option<Arc<Endpoint>>,
    party: PartyId,
    upstream_local: Option<SocketAddr>,
    upstream_peer: Option<Arc<str>>,
    is_upstream_mutual: bool,
    transport_failure: Option<String>,
    trace: Option<Trace>,
    attempts: u32,
    upstream_protocol: Option<&'static str>,
}

impl Record {
    /// A request has begun.
    pub(super) fn open(&mut self, started: Instant, head_bytes: usize) {
        let request_head = head_bytes as u64;
        *self = Self { started: Some(started), request_head, ..Self::default() };
    }

    pub(super) fn routed(&mut self, matched: &Matched<'_>) {
        let name = &matched.route.name;
        self.route = (!name.is_empty()).then(|| Arc::clone(name));
    }

    pub(super) fn targeted(&mut self, cluster: &Rc<ClusterState>) {
        self.cluster = Some(Rc::clone(cluster));
    }

    /// An endpoint was picked for an attempt.
    pub(super) fn attempted(&mut self, endpoint: &Arc<Endpoint>) {
        self.endpoint = Some(Arc::clone(endpoint));
        self.attempts += 1;
        (self.upstream_local, self.upstream_peer, self.transport_failure) = (None, None, None);
    }

    pub(super) fn connected(&mut self, link: &Link, party: PartyId, now: Instant) {
        self.party = party;
        self.upstream_local = link.local();
        self.upstream_protocol = Some(link.protocol());
        self.upstream_peer.clone_from(&link.proof().peer);
        self.is_upstream_mutual = link.proof().is_mutual;
        self.sent_at = Some(now);
    }

    /// The tunnel that a request asked for reached an endpoint.
    pub(super) fn tunnelled(&mut self, opened: &Opened, party: PartyId) {
        self.attempted(&opened.endpoint);
        self.party = party;
        self.upstream_local = opened.local;
        self.upstream_peer.clone_from(&opened.proof.peer);
        self.is_upstream_mutual = opened.proof.is_mutual;
    }

    /// The connection to the endpoint failed, below HTTP.
    pub(super) fn transport_failed(&mut self, error: &impl std::fmt::Display) {
        self.transport_failure = Some(error.to_string());
    }

    /// The head of a response arrived.
    pub(super) fn answered(&mut self, status: u16, now: Instant) {
        self.status = status;
        self.details = Some(reply::details::VIA_UPSTREAM);
        self.service_time = self.sent_at.map(|sent| now.duration_since(sent));
        self.answered_at = Some(now);
    }

    /// Whether the request is gRPC's.
    pub(super) fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// The request is gRPC's.
    pub(super) fn found_grpc(&mut self) {
        self.is_grpc = true;
    }

    /// How gRPC ended.
    pub(super) fn grpc_ended(&mut self, status: Option<u8>) {
        self.grpc_status = status.or(self.grpc_status);
    }

    /// gRPC messages, received from and sent to downstream.
    pub(super) fn messages(&mut self, received: u64, sent: u64) {
        self.messages = (received, sent);
    }

    /// The proxy answered by itself.
    pub(super) fn replied(&mut self, status: u16, details: &'static str) {
        self.status = status;
        self.details = Some(details);
    }

    /// The status of a failure's answer.
    pub(super) fn replied_status(&mut self, status: u16) {
        self.status = status;
    }

    /// Nobody is left to answer.
    pub(super) fn replied_nothing(&mut self) {
        self.status = 0;
    }

    /// Body bytes received in an attempt that was not answered.
    pub(super) fn received(&mut self, bytes: u64) {
        self.received = bytes;
    }

    /// The size of the response's head.
    pub(super) fn head_sent(&mut self, bytes: usize) {
        self.response_head = bytes as u64;
    }

    /// Body bytes, received from and sent to downstream.
    pub(super) fn moved(&mut self, received: u64, sent: u64) {
        (self.received, self.sent) = (received, sent);
    }

    pub(super) fn flag(&mut self, flag: ResponseFlag) {
        self.flags.insert(flag);
    }

    /// What exactly was wrong; kept when the failure itself is noted afterwards.
    pub(super) fn detail(&mut self, detail: &'static str) {
        self.details = Some(detail);
    }

    /// Authorization denied the request; says more than the failure that is noted afterwards.
    pub(super) fn denied(&mut self, detail: Arc<str>) {
        self.denied = Some(detail);
    }

    fn details(&self) -> Option<&str> {
        self.denied.as_deref().or(self.details)
    }

    /// The exchange failed.
    pub(super) fn failed(&mut self, failure: Failure, side: Side) {
        let reaction = failure.reaction();
        if let Some(flag) = telemetry::flag(reaction.flag) {
            self.flags.insert(flag);
        }
        let is_finer = self.details.is_some_and(|details| details.starts_with("http1."));
        if !is_finer {
            self.details = Some(reaction.detail);
        }
        self.blame = Some(reaction.blame(side));
    }

    /// The exchange belongs to a trace.
    pub(super) fn traced(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// The status so far; 0 is none.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Body bytes, received from and sent to downstream.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// When the exchange began.
    pub(super) fn started(&self) -> Instant {
        self.started.unwrap_or_else(Instant::now)
    }

    /// How long the endpoint took to answer.
    pub(super) fn service_time(&self) -> Option<Duration> {
        self.service_time
    }

    /// How long it took from the beginning to the first byte of the endpoint's answer.
    fn response_duration(&self, started: Instant) -> Option<Duration> {
        let (sent, took) = self.sent_at.zip(self.service_time)?;
        Some((sent + took).saturating_duration_since(started))
    }

    fn trace_id(&self) -> Option<u128> {
        self.trace.map(|trace| trace.id())
    }

    /// How a gRPC call ended: by its own status, or what stands for the HTTP status.
    fn grpc_result(&self) -> Option<u8> {
        let of_http = (self.status != 0).then(|| grpc::of_http(self.status));
        self.grpc_status.or(of_http).filter(|_| self.is_grpc)
    }

    /// The time at which the exchange was last seen to move: good enough for whatever follows at once.
    pub(super) fn now(&self) -> Instant {
        self.moved_at.or(self.started).unwrap_or_else(Instant::now)
    }

    /// Something of the exchange ended now.
    pub(super) fn tick(&mut self) -> Instant {
        let now = Instant::now();
        self.moved_at = Some(now);
        now
    }

    /// The exchange ended when the head of its response came, which nothing was waited for after: no clock is asked.
    pub(super) fn ended_at_once(&mut self) -> Instant {
        match self.answered_at {
            Some(now) => *self.moved_at.insert(now),
            None => self.tick(),
        }
    }

    /// Whose fault the failure is.
    pub(super) fn blame(&self) -> Option<Blame> {
        self.blame
    }

    /// Whether an exchange is under way.
    pub(super) fn is_open(&self) -> bool {
        self.started.is_some()
    }
}
