//! Connections that no filter takes: each leaves a record, as those do that a filter served.
//!
//! Written where the listener says, or where its filter chains' records go: what was refused must not be missing there.

use leno_core::config::{AccessLog, NetworkFilter};
use leno_core::filter_chain::Listener;
use leno_core::reply::Failure;
use leno_telemetry::{AccessRecord, ProcessStat, ResponseFlags};

use super::Facts;
use crate::access_log::Logged;
use crate::telemetry;
use crate::worker::Worker;

/// Counts and records a connection that is closed unserved; `reason` says more than the failure's name.
pub(crate) fn note(
    worker: &Worker,
    listener: &Listener,
    facts: &Facts,
    failure: Failure,
    reason: Option<&str>,
) {
    let metrics = &worker.process.metrics;
    match failure {
        Failure::FilterChainNotFound => metrics.add(ProcessStat::DownstreamUnmatched, 1),
        Failure::DownstreamTlsFailure => metrics.add(ProcessStat::TlsHandshakeFailures, 1),
        Failure::ProxyProtocolError => metrics.add(ProcessStat::ProxyProtocolErrors, 1),
        _ => {}
    }
    let reaction = failure.reaction();
    let line = AccessRecord {
        response_flags: telemetry::flag(reaction.flag).map_or(ResponseFlags::NONE, Into::into),
        response_code_details: Some(reaction.detail),
        connection_termination_details: reason,
        duration: facts.since.elapsed(),
        downstream_local_address: Some(facts.destination),
        downstream_remote_address: Some(facts.peer),
        requested_server_name: facts.server_name.as_deref(),
        blame: Some(reaction.blame(facts.side())),
        blame_detail: Some(reaction.detail),
        ..AccessRecord::at(worker.telemetry.wall_clock(facts.since))
    };
    for log in worker.telemetry.writers(&logs(listener)) {
        log.write(&Logged { record: &line, heads: None });
    }
}

fn logs(listener: &Listener) -> Vec<AccessLog> {
    let source = listener.source();
    if !source.access_log.is_empty() {
        return source.access_log.clone();
    }
    let mut all: Vec<AccessLog> = Vec::new();
    for chain in source.filter_chains.iter().chain(&source.default_filter_chain) {
        let logs = match &chain.filter {
            NetworkFilter::Http(manager) => &manager.access_log,
            NetworkFilter::Tcp(proxy) => &proxy.access_log,
        };
        for log in logs {
            if !all.contains(log) {
                all.push(log.clone());
            }
        }
    }
    all
}
