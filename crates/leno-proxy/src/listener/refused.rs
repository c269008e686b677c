//! Connections that no filter takes, or that one denies: each leaves a record, as those do that a filter served.
//!
//! Written where the listener says, or where its filter chains' records go: what was refused must not be missing there.

use leno_core::authorization::Denied;
use leno_core::config::{AccessLog, NetworkFilter};
use leno_core::filter_chain::{FilterChain, Listener, NetworkFilter as Compiled};
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
    write(worker, &logs(listener), facts, (failure, reason));
}

/// Records a connection that a filter of its chain denied, where the chain's records go.
pub(crate) fn denied(worker: &Worker, chain: &FilterChain, facts: &Facts, denied: &Denied) {
    let reason = (Failure::AuthorizationDenied, Some(&*denied.detail));
    write(worker, logs_of(chain), facts, reason);
}

fn logs_of(chain: &FilterChain) -> &[AccessLog] {
    match &chain.filter {
        Compiled::Http(manager) => &manager.settings.access_log,
        Compiled::Tcp(proxy) => &proxy.settings.access_log,
    }
}

/// Records a connection that is beyond a limit of its chain, where the chain's records go. As with Envoy neither a flag
/// nor a detail tells of it.
pub(crate) fn limited(worker: &Worker, chain: &FilterChain, facts: &Facts) {
    let record = AccessRecord { blame_detail: Some("over_connection_limit"), ..of(worker, facts) };
    log(worker, logs_of(chain), &record);
}

fn write(
    worker: &Worker,
    logs: &[AccessLog],
    facts: &Facts,
    (failure, reason): (Failure, Option<&str>),
) {
    if logs.is_empty() {
        return;
    }
    let reaction = failure.reaction();
    let record = AccessRecord {
        response_flags: telemetry::flag(reaction.flag).map_or(ResponseFlags::NONE, Into::into),
        response_code_details: Some(reaction.detail),
        connection_termination_details: reason,
        blame: Some(reaction.blame(facts.side())),
        blame_detail: Some(reaction.detail),
        ..of(worker, facts)
    };
    log(worker, logs, &record);
}

/// What is known of a connection that nobody served.
fn of<'a>(worker: &Worker, facts: &'a Facts) -> AccessRecord<'a> {
    AccessRecord {
        duration: facts.since.elapsed(),
        downstream_local_address: Some(facts.destination),
        downstream_remote_address: Some(facts.peer),
        requested_server_name: facts.server_name.as_deref(),
        peer: facts.proof.peer.as_deref(),
        ..AccessRecord::at(worker.telemetry.wall_clock(facts.since))
    }
}

fn log(worker: &Worker, logs: &[AccessLog], record: &AccessRecord<'_>) {
    for log in worker.telemetry.writers(logs) {
        log.write(&Logged { record, heads: None });
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
