//! What is in force, as JSON: the resources word for word, and the live state that hangs on their names.

use std::time::{Instant, SystemTime};

use leno_core::circuit::Limited;
use leno_core::config::Address;
use leno_core::endpoint::Endpoint;
use serde_json::{Value, json};

use crate::process::Process;
use crate::publish::InForce;

/// `/config_dump`.
pub(super) fn config(process: &Process) -> Value {
    let in_force = process.publisher.in_force();
    let resources = process.publisher.resources();
    let status = process.publisher.status();
    json!({
        "revision": in_force.revision,
        "version": status.version,
        "updated": status.updated.map(seconds),
        "last_error": status.refused,
        "listeners": resources.listeners,
        "routes": resources.routes,
        "clusters": resources.clusters,
    })
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// `/clusters`.
pub(super) fn clusters(in_force: &InForce) -> Value {
    let now = Instant::now();
    let found = in_force.snapshot.clusters().iter().zip(&in_force.clusters);
    let clusters = found.map(|(cluster, shared)| {
        let set = shared.endpoints.load();
        let (available, total) = set.availability(now);
        let used = |what: Limited| {
            json!({ "in_use": shared.circuit.in_use(what), "limit": cluster.limits().limit(what) })
        };
        json!({
            "name": cluster.name().as_str(),
            "circuit": {
                "connections": used(Limited::Connections),
                "pending_requests": used(Limited::PendingRequests),
                "requests": used(Limited::Requests),
                "retries": used(Limited::Retries),
            },
            "available": available,
            "total": total,
            "endpoints": set.endpoints().iter().map(|e| endpoint(e, now)).collect::<Vec<_>>(),
        })
    });
    Value::Array(clusters.collect())
}

fn endpoint(endpoint: &Endpoint, now: Instant) -> Value {
    let address = match &endpoint.address {
        Address::Socket(address) => address.to_string(),
        other => other.to_string(),
    };
    let ejected_for = endpoint.live.ejected_until().map(|until| until.duration_since(now));
    json!({
        "address": address,
        "health": endpoint.health,
        "is_available": endpoint.is_available(now),
        "ejected_for_seconds": ejected_for.filter(|left| !left.is_zero()).map(|l| l.as_secs_f64()),
        "requests_active": endpoint.live.active(),
        "weight": endpoint.weight,
        "priority": endpoint.priority,
        "locality": *endpoint.locality,
        "transport": endpoint.transport.name,
        "tls": endpoint.transport.tls.is_some(),
        "workload": endpoint.workload,
    })
}

/// `/protocols`.
pub(super) fn protocols(process: &Process) -> Value {
    let known =
        process.learned.all(Instant::now()).into_iter().map(|(destination, spoken, age)| {
            json!({
                "destination": destination,
                "protocol": spoken.as_str(),
                "seen_seconds_ago": age.as_secs(),
            })
        });
    Value::Array(known.collect())
}

/// `/listeners`.
pub(super) fn listeners(in_force: &InForce) -> Value {
    let listeners = in_force.snapshot.listeners().iter().map(|listener| {
        let sockets =
            in_force.sockets.get(&**listener.name()).map(Vec::as_slice).unwrap_or_default();
        let mut bound = sockets.iter().map(|sockets| sockets.address);
        json!({
            "name": listener.name(),
            "address": listener.source().address,
            "bound": bound.next().flatten(),
            "additional_addresses": listener.source().additional_addresses,
            "additional_bound": bound.collect::<Vec<_>>(),
            "filter_chains": listener.filter_chains().map(|c| &*c.name).collect::<Vec<_>>(),
        })
    });
    Value::Array(listeners.collect())
}
