//! Copies of requests, fire and forget: the answers are read and thrown away, and nobody waits for them.
//!
//! A copy is complete or not sent at all: a body beyond the replay limit is not mirrored. Copies run in tasks of their
//! own on the same worker, at most [`limits::MIRRORS_IN_FLIGHT`].

use std::rc::Rc;

use leno_core::random::Random as _;
use leno_core::route_table::Forward;
use tokio::time::timeout;

use super::detached::Detached;
use super::session::Session;
use crate::limits;
use crate::upstream::cluster::ClusterState;
use crate::worker::View;

/// The clusters that get a copy of this request.
pub(super) type Mirrors = Vec<Rc<ClusterState>>;

/// Draws each mirror's share. Empty, and without allocation, for routes that mirror nothing.
pub(super) fn choose(session: &Session, configuration: &View, forward: &Forward) -> Mirrors {
    let mut random = session.worker.random.borrow_mut();
    let drawn = forward.mirrors.iter().filter(|mirror| random.hits(mirror.fraction));
    let cluster_of = |name| configuration.cluster(&session.worker, name).cloned();
    drawn.filter_map(|mirror| cluster_of(&mirror.cluster)).collect()
}

/// Sends the copies of a complete request.
pub(super) fn send(session: &Session, mirrors: &Mirrors, body: &[u8]) {
    for cluster in mirrors {
        let worker = Rc::clone(&session.worker);
        if worker.mirrors_in_flight.get() >= limits::MIRRORS_IN_FLIGHT {
            continue;
        }
        worker.mirrors_in_flight.set(worker.mirrors_in_flight.get() + 1);
        let mut head = session.request.clone();
        head.set_authority(&shadow(head.authority()));
        let (cluster, destination) = (Rc::clone(cluster), session.facts.destination);
        let body = body.to_vec();
        tokio::task::spawn_local(async move {
            let copy = Detached { cluster, destination, head, body: [&body, &[]] };
            // Nobody waits for it; the cluster's own counters tell of its failures.
            let _ = timeout(limits::MIRROR, copy.run(&worker)).await;
            worker.mirrors_in_flight.set(worker.mirrors_in_flight.get() - 1);
        });
    }
}

/// `host:port` becomes `host-shadow:port`, as Envoy does it.
fn shadow(authority: &str) -> String {
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = authority.split_at(port.unwrap_or(authority.len()));
    format!("{host}-shadow{port}")
}

#[cfg(test)]
mod tests {
    use super::shadow;

    #[test]
    fn the_host_gets_the_suffix_and_the_port_stays() {
        let table = [
            ("reviews", "reviews-shadow"),
            ("reviews:9080", "reviews-shadow:9080"),
            ("[::1]:80", "[::1]-shadow:80"),
            ("[::1]", "[::1]-shadow"),
        ];
        for (authority, expected) in table {
            assert_eq!(shadow(authority), expected);
        }
    }
}
