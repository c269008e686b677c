//! A record at its end: counted, written to the logs, and told by a span.

use std::time::{Duration, Instant};

use leno_core::config::Address;
use leno_core::reply::Side;
use leno_http::Known;
use leno_telemetry::{AccessRecord, Exchange, Protocol, Reporter, Security, SeriesKey, ServiceId};

use crate::access_log::{Heads, Logged};
use crate::http::edited::client;
use crate::http::session::Session;
use crate::http::spans;

impl Session {
    /// Writes the record of the exchange that is under way, if there is one.
    pub(in crate::http) fn finish_record(&mut self) {
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
            upstream_protocol: record.upstream_protocol,
            upstream_attempts: record.attempts,
            trace_id: record.trace_id(),
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
