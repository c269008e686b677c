//! What one TCP connection leaves behind: its access record and its counters. Written on drop, whatever ended it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use leno_core::config::Address;
use leno_core::endpoint::Endpoint;
use leno_core::filter_chain::TcpProxy;
use leno_core::reply::{Failure, Side};
use leno_telemetry::{
    AccessRecord, PartyId, Protocol, Reporter, ResponseFlag, ResponseFlags, Security, SeriesKey,
    ServiceId, TcpStats,
};

use super::open::{Opened, Unopened};
use crate::access_log::{Log, Logged};
use crate::listener::Facts;
use crate::telemetry;
use crate::upstream::cluster::ClusterState;
use crate::worker::Worker;

/// The record of one connection.
pub(super) struct TcpRecord {
    worker: Rc<Worker>,
    facts: Rc<Facts>,
    logs: Vec<Log>,
    cluster: Option<Rc<ClusterState>>,
    endpoint: Option<Arc<Endpoint>>,
    party: PartyId,
    local: Option<SocketAddr>,
    upstream_peer: Option<Arc<str>>,
    is_upstream_mutual: bool,
    stats: Option<TcpStats>,
    failure: Option<Failure>,
    is_exhausted: bool,
    is_too_old: bool,
    transport_failure: Option<String>,
    termination: Option<String>,
    received: u64,
    sent: u64,
}

impl TcpRecord {
    pub(super) fn open(worker: Rc<Worker>, facts: Rc<Facts>, filter: &TcpProxy) -> Self {
        Self {
            logs: worker.telemetry.writers(&filter.settings.access_log),
            worker,
            facts,
            cluster: None,
            endpoint: None,
            party: PartyId::UNKNOWN,
            local: None,
            upstream_peer: None,
            is_upstream_mutual: false,
            stats: None,
            failure: None,
            is_exhausted: false,
            is_too_old: false,
            transport_failure: None,
            termination: None,
            received: 0,
            sent: 0,
        }
    }

    /// There is a connection to an endpoint, and the relay begins.
    pub(super) fn opened(&mut self, opened: &Opened) {
        let Opened { cluster, endpoint, proof, local, .. } = opened;
        self.party = cluster.party(endpoint, proof, &self.worker);
        self.local = *local;
        self.upstream_peer.clone_from(&proof.peer);
        self.is_upstream_mutual = proof.is_mutual;
        self.cluster = Some(Rc::clone(cluster));
        self.endpoint = Some(Arc::clone(endpoint));
        self.count();
    }

    /// There is none.
    pub(super) fn unopened(&mut self, unopened: Unopened) {
        self.failure = Some(unopened.failure);
        self.transport_failure = unopened.reason;
        self.is_exhausted = unopened.is_exhausted;
        self.cluster = unopened.cluster;
        self.endpoint = unopened.endpoint;
        self.count();
    }

    /// From now on the connection counts.
    fn count(&mut self) {
        let stats = self.worker.telemetry.shard.tcp(&self.key());
        stats.opened();
        self.stats = Some(stats);
    }

    /// More bytes moved.
    pub(super) fn moved(&mut self, received: u64, sent: u64) {
        self.received += received;
        self.sent += sent;
        if let Some(stats) = &self.stats {
            stats.received(received);
            stats.sent(sent);
        }
    }

    /// What ended the connection, where that was not both its sides.
    pub(super) fn ended_by(&mut self, what: String) {
        self.termination = Some(what);
    }

    /// The connection was as old as it may become; the words are Envoy's.
    pub(super) fn too_old(&mut self) {
        self.is_too_old = true;
        self.termination = Some("max_connection_duration_reached".to_owned());
    }

    pub(super) fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    fn flags(&self) -> ResponseFlags {
        let flag = self.failure.and_then(|failure| telemetry::flag(failure.reaction().flag));
        let mut flags = flag.map_or(ResponseFlags::NONE, Into::into);
        if self.is_exhausted {
            flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
        }
        if self.is_too_old {
            flags.insert(ResponseFlag::DurationTimeout);
        }
        flags
    }

    fn key(&self) -> SeriesKey {
        let side = self.facts.side();
        let (reporter, peer, is_mutual) = match side {
            Side::Outbound => (Reporter::Source, self.party, self.is_upstream_mutual),
            Side::Inbound => (Reporter::Destination, PartyId::UNKNOWN, self.facts.proof.is_mutual),
        };
        SeriesKey {
            reporter,
            peer,
            service: self.cluster.as_ref().map_or(ServiceId::UNKNOWN, |c| c.service()),
            protocol: Protocol::Tcp,
            security: if is_mutual { Security::MutualTls } else { Security::None },
            response_code: 0,
            flags: self.flags(),
            grpc_status: None,
            blame: None,
        }
    }
}

impl Drop for TcpRecord {
    fn drop(&mut self) {
        if self.stats.is_some() {
            // Among those that ended in the same way, as Istio counts.
            self.worker.telemetry.shard.tcp(&self.key()).closed();
        }
        if self.logs.is_empty() {
            return;
        }
        let settings = self.cluster.as_ref().map(|cluster| cluster.settings().clone());
        let reaction = self.failure.map(Failure::reaction);
        let blame = reaction.map(|reaction| reaction.blame(self.facts.side()));
        let upstream_host = self.endpoint.as_ref().and_then(|e| match e.address {
            Address::Socket(address) => Some(address),
            Address::Host { .. } | Address::Pipe(_) | Address::Internal(_) => None,
        });
        let line = AccessRecord {
            response_flags: self.flags(),
            response_code_details: reaction.map(|reaction| reaction.detail),
            connection_termination_details: self.termination.as_deref(),
            upstream_transport_failure_reason: self.transport_failure.as_deref(),
            bytes_received: self.received,
            bytes_sent: self.sent,
            duration: self.facts.since.elapsed(),
            upstream_host,
            upstream_cluster: settings.as_ref().map(|settings| settings.name().as_str()),
            upstream_local_address: self.local,
            downstream_local_address: Some(self.facts.destination),
            downstream_remote_address: Some(self.facts.peer),
            requested_server_name: self.facts.server_name.as_deref(),
            blame,
            blame_detail: reaction.map(|reaction| reaction.detail),
            upstream_peer: self.upstream_peer.as_deref(),
            peer: self.facts.proof.peer.as_deref(),
            ..AccessRecord::at(self.worker.telemetry.wall_clock(self.facts.since))
        };
        for log in &self.logs {
            log.write(&Logged { record: &line, heads: None });
        }
    }
}
