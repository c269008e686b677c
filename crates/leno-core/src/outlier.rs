//! Passive health: endpoints that fail several times in a row are ejected for a while.
//!
//! Envoy's rules (`OutlierDetection`), pure: time is an argument, nothing sleeps, nothing locks. Local failures count as
//! the 5xx they would become (`split_external_local_origin_errors: false`). Deliberate differences: an ejection
//! ends when its time is over and not at the next `interval` after that; an endpoint's record improves by arithmetic
//! (one step per healthy interval) instead of by a timer; and one endpoint may always be ejected while another is left
//! (Envoy: only with `always_eject_one_host`), so that the default share of 10 % protects a service of three.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::OutlierDetection;
use crate::endpoint::{Endpoint, EndpointLive, EndpointSet};

/// Whatever is configured, an ejection is no longer than a year; keeps the clock's arithmetic in range.
const EJECTION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a request to an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointOutcome {
    /// It answered with this status.
    Status(u16),
    /// No connection could be made: counts as 503.
    ConnectFailure,
    /// No answer in time: counts as 504.
    Timeout,
    /// The connection broke before the answer: counts as 500.
    Reset,
}

impl EndpointOutcome {
    fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::ConnectFailure => 503,
            Self::Timeout => 504,
            Self::Reset => 500,
        }
    }
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EjectionCause {
    /// Too many 5xx in a row.
    Consecutive5xx,
    /// Too many 502, 503 or 504 in a row.
    ConsecutiveGatewayFailure,
}

/// An ejection that has just begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// The rule that was broken.
    pub cause: EjectionCause,
    /// When the endpoint is available again.
    pub until: Instant,
}

/// Counts one result and ejects the endpoint if that was one failure too many; says so.
///
/// `endpoint` is one of `set`'s; the set is looked at only when a threshold is reached.
pub fn on_result(
    settings: &OutlierDetection,
    set: &EndpointSet,
    endpoint: &Endpoint,
    outcome: EndpointOutcome,
    now: Instant,
) -> Option<Ejection> {
    let live = &*endpoint.live;
    let status = outcome.status();
    if status < 500 {
        // Loads before stores: in good times the cache line stays shared.
        if live.consecutive_5xx.load(Ordering::Relaxed) != 0 {
            live.consecutive_5xx.store(0, Ordering::Relaxed);
        }
        if live.consecutive_gateway.load(Ordering::Relaxed) != 0 {
            live.consecutive_gateway.store(0, Ordering::Relaxed);
        }
        return None;
    }
    // What was in flight when the ejection began says nothing about the time after it.
    if live.is_ejected(now) {
        return None;
    }
    let is_gateway_failure = matches!(status, 502..=504);
    let gateway_failures = if is_gateway_failure {
        live.consecutive_gateway.fetch_add(1, Ordering::Relaxed) + 1
    } else {
        live.consecutive_gateway.store(0, Ordering::Relaxed);
        0
    };
    let failures = live.consecutive_5xx.fetch_add(1, Ordering::Relaxed) + 1;
    let reached = |threshold: u32, count: u32| threshold != 0 && count >= threshold;
    let cause = if reached(settings.consecutive_gateway_failure, gateway_failures) {
        EjectionCause::ConsecutiveGatewayFailure
    } else if reached(settings.consecutive_5xx, failures) {
        EjectionCause::Consecutive5xx
    } else {
        return None;
    };
    live.consecutive_5xx.store(0, Ordering::Relaxed);
    live.consecutive_gateway.store(0, Ordering::Relaxed);
    if !may_eject(settings, set, now) {
        return None;
    }
    let until = now + next_ejection(settings, live, now).min(EJECTION_MAX);
    live.eject_until(until);
    set.note_change();
    Some(Ejection { cause, until })
}

/// Whether one more endpoint may be set aside: up to the share, or the first one of several; and never while too few
/// are healthy.
fn may_eject(settings: &OutlierDetection, set: &EndpointSet, now: Instant) -> bool {
    let total = set.endpoints().len() as u64;
    let ejected = set.endpoints().iter().filter(|e| e.live.is_ejected(now)).count() as u64;
    let available = set.availability(now).0 as u64;
    let is_healthy_enough = available * 100 >= u64::from(settings.min_health_percent) * total;
    let is_within_share = (ejected + 1) * 100 <= u64::from(settings.max_ejection_percent) * total;
    is_healthy_enough && (is_within_share || (ejected == 0 && available > 1))
}

/// The n-th ejection is n base times long; every healthy interval since the last one takes one off n.
fn next_ejection(settings: &OutlierDetection, live: &EndpointLive, now: Instant) -> Duration {
    let healthy_for =
        live.ejected_until().map_or(Duration::MAX, |end| now.saturating_duration_since(end));
    let forgiven = healthy_for.as_nanos() / settings.interval.as_nanos().max(1);
    let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
    let count = live.ejections.load(Ordering::Relaxed).saturating_sub(forgiven).saturating_add(1);
    live.ejections.store(count, Ordering::Relaxed);
    let longest = settings.max_ejection_time.max(settings.base_ejection_time);
    settings.base_ejection_time.saturating_mul(count).min(longest)
}

#[cfg(test)]
mod tests;
