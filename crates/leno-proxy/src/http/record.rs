//! What one exchange leaves behind: its access record and its place in the metrics.
//!
//! Plain values, filled in as the exchange goes; written once, also when the exchange is dropped half way (the session's
//! `Drop` sees to that). Costs no allocation unless something fails.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::config::Address;
use leno_core::endpoint::Endpoint;
use leno_core::format::{self, Fact};
use leno_core::grpc;
use leno_core::reply::{self, Failure, Side};
use leno_core::route_table::Matched;
use leno_http::Known;
use leno_telemetry::span::Attributes;
use leno_telemetry::{
    AccessRecord, Blame, Exchange, PartyId, Protocol, Reporter, ResponseFlag, ResponseFlags,
    Security, SeriesKey, ServiceId, attribute_key as key,
};

use super::edited::client;
use super::session::Session;
use super::spans::{self, Trace};
use crate::access_log::{Heads, Logged};
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
        (self.upstream_local, self.upstream_peer, self.transport_failure) = (None, None, None);
    }

    pub(super) fn connected(&mut self, link: &Link, party: PartyId, now: Instant) {
        self.party = party;
        self.upstream_local = link.local();
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

    /// What a span says of where the request went and how that was.
    pub(super) fn write_span(&self, attributes: &mut Attributes<'_>) {
        attributes.written(key!("response_flags"), |out| {
            self.flags.each_part(|part| out.extend_from_slice(part.as_bytes()));
        });
        if let Some(cluster) = &self.cluster {
            attributes.str(key!("upstream_cluster"), cluster.settings().name().as_str());
        }
        if let Some(Address::Socket(address)) = self.endpoint.as_ref().map(|e| &e.address) {
            attributes.written(key!("upstream_address"), |out| format::address(*address, out));
        }
        if let Some(blame) = self.blame {
            attributes.str(key!("leno.blame"), blame.as_str());
        }
        if self.status >= 500 || self.status == 0 {
            attributes.str(key!("error"), "true");
        }
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

    /// How a gRPC call ended: by its own status, or what stands for the HTTP status.
    fn grpc_result(&self) -> Option<u8> {
        let of_http = (self.status != 0).then(|| grpc::of_http(self.status));
        self.grpc_status.or(of_http).filter(|_| self.is_grpc)
    }

    /// What a command operator asks of the record; nothing of what is not known (yet).
    pub(super) fn write_fact(&self, fact: Fact, out: &mut Vec<u8>) {
        let text = match fact {
            Fact::ResponseCode if self.status != 0 => {
                return format::decimal(self.status.into(), out);
            }
            Fact::ResponseFlags => {
                return self.flags.each_part(|part| out.extend_from_slice(part.as_bytes()));
            }
            Fact::UpstreamHost | Fact::UpstreamRemoteAddress => {
                return match self.endpoint.as_ref().map(|endpoint| &endpoint.address) {
                    Some(Address::Socket(address)) => format::address(*address, out),
                    Some(Address::Host { .. } | Address::Pipe(_) | Address::Internal(_)) | None => {
                    }
                };
            }
            Fact::UpstreamLocalAddress => {
                return self
                    .upstream_local
                    .into_iter()
                    .for_each(|address| format::address(address, out));
            }
            Fact::UpstreamCluster | Fact::UpstreamClusterRaw => {
                let name = |cluster: &Rc<ClusterState>| {
                    out.extend_from_slice(cluster.settings().name().as_str().as_bytes());
                };
                return self.cluster.iter().for_each(name);
            }
            Fact::UpstreamRemoteAddressWithoutPort | Fact::UpstreamRemotePort => {
                let address = self.endpoint.as_ref().map(|endpoint| &endpoint.address);
                let Some(Address::Socket(address)) = address else { return };
                return write_part(*address, fact == Fact::UpstreamRemotePort, out);
            }
            Fact::UpstreamLocalAddressWithoutPort | Fact::UpstreamLocalPort => {
                let Some(address) = self.upstream_local else { return };
                return write_part(address, fact == Fact::UpstreamLocalPort, out);
            }
            Fact::ResponseCodeDetails => self.details(),
            Fact::RouteName => self.route.as_deref(),
            Fact::UpstreamPeerUriSan => self.upstream_peer.as_deref(),
            Fact::UpstreamTransportFailureReason => self.transport_failure.as_deref(),
            _ => None,
        };
        out.extend_from_slice(text.unwrap_or_default().as_bytes());
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

/// The port of an address, or all but that.
fn write_part(address: SocketAddr, is_port: bool, out: &mut Vec<u8>) {
    if is_port {
        format::decimal(address.port().into(), out);
    } else {
        format::ip(address.ip(), out);
    }
}

impl Session {
    /// Writes the record of the exchange that is under way, if there is one.
    pub(super) fn finish_record(&mut self) {
        let Some(started) = self.record.started.take() else { return };
        let ended = self.record.moved_at.unwrap_or_else(Instant::now);
        let duration = ended.duration_since(started);
        self.count(duration);
        if !self.logs.is_empty() {
            self.log(started, duration);
        }
        if let Some(trace) = self.record.trace {
            spans::end(self, trace, started, duration);
        }
    }

    fn count(&mut self, duration: Duration) {
        let side = self.facts.side();
        let record = &self.record;
        let cluster_service = record.cluster.as_ref().map_or(ServiceId::UNKNOWN, |c| c.service());
        let (reporter, peer, is_mutual) = match side {
            Side::Outbound => (Reporter::Source, record.party, record.is_upstream_mutual),
            Side::Inbound => (Reporter::Destination, self.peer_party, self.facts.proof.is_mutual),
        };
        let key = SeriesKey {
            reporter,
            peer,
            service: cluster_service,
            protocol: if record.is_grpc { Protocol::Grpc } else { Protocol::Http },
            security: match (is_mutual, record.endpoint.is_some()) {
                (true, _) => Security::MutualTls,
                (false, true) => Security::None,
                (false, false) => Security::Unknown,
            },
            response_code: record.status,
            flags: record.flags,
            grpc_status: record.grpc_status,
            blame: record.blame,
        };
        let exchange = Exchange {
            duration,
            request_bytes: record.request_head + record.received,
            response_bytes: record.response_head + record.sent,
            request_messages: record.messages.0,
            response_messages: record.messages.1,
        };
        self.worker.telemetry.shard.request(&key, &exchange);
    }

    fn log(&self, started: Instant, duration: Duration) {
        let record = &self.record;
        let fields = self.request.fields();
        let has_request = !self.request.method_str().is_empty();
        let settings = record.cluster.as_ref().map(|cluster| cluster.settings().clone());
        let upstream_host = record.endpoint.as_ref().and_then(|e| match e.address {
            Address::Socket(address) => Some(address),
            Address::Host { .. } | Address::Pipe(_) | Address::Internal(_) => None,
        });
        let line = AccessRecord {
            method: has_request.then(|| self.request.method_bytes()),
            path: has_request.then(|| self.request.received_target_bytes()),
            protocol: has_request.then(|| self.request.version().as_str()),
            response_code: record.status,
            response_flags: record.flags,
            response_code_details: record.details().filter(|text| !text.is_empty()),
            upstream_transport_failure_reason: record.transport_failure.as_deref(),
            bytes_received: record.received,
            bytes_sent: record.sent,
            duration,
            upstream_service_time: record.service_time,
            response_duration: record.response_duration(started),
            grpc_status: record.grpc_result(),
            x_forwarded_for: fields.get(Known::XForwardedFor),
            user_agent: fields.get(Known::UserAgent),
            request_id: fields.get(Known::XRequestId),
            authority: fields.get(Known::Host),
            upstream_host,
            upstream_cluster: settings.as_ref().map(|settings| settings.name().as_str()),
            upstream_local_address: record.upstream_local,
            downstream_local_address: Some(self.facts.destination),
            downstream_remote_address: Some(self.facts.peer),
            requested_server_name: self.facts.server_name.as_deref(),
            route_name: record.route.as_deref().filter(|name| !name.is_empty()),
            blame: record.blame,
            blame_detail: record.blame.and(record.details()),
            upstream_peer: record.upstream_peer.as_deref(),
            peer: self.facts.proof.peer.as_deref(),
            ..AccessRecord::at(self.worker.telemetry.wall_clock(started))
        };
        let heads = Heads {
            request: &self.request,
            // Where nothing was answered it is an earlier request's.
            response: (record.status != 0).then_some(&self.response),
            scheme: self.facts.scheme(),
            client: client(&self.request, &self.facts, !self.manager.settings.use_remote_address),
        };
        let logged = Logged { record: &line, heads: Some(heads) };
        for log in &self.logs {
            log.write(&logged);
        }
    }
}
