use super::*;
use crate::endpoint::tests::set;
use crate::random::{Random, SplitMix64};
use crate::samples::{endpoint, locality};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway_failure: 0,
        interval: 10 * SECOND,
        base_ejection_time: 30 * SECOND,
        max_ejection_time: 100 * SECOND,
        max_ejection_percent: 50,
        min_health_percent: 0,
    }
}

fn endpoints(count: u8, now: Instant) -> EndpointSet {
    let endpoints = (1..=count).map(|number| endpoint(number, 1)).collect();
    set(vec![locality("a", 0, None, endpoints)], None, now)
}

/// Feeds outcomes to one endpoint; the position of the one that ejected it.
fn check(
    settings: &OutlierDetection,
    outcomes: &[EndpointOutcome],
) -> Option<(usize, EjectionCause)> {
    let now = Instant::now();
    let set = endpoints(4, now);
    let victim = &set.endpoints()[0];
    outcomes.iter().enumerate().find_map(|(i, &outcome)| {
        on_result(settings, &set, victim, outcome, now).map(|ejection| (i, ejection.cause))
    })
}

#[test]
fn failures_in_a_row_eject() {
    use EjectionCause::{Consecutive5xx, ConsecutiveGatewayFailure};
    use EndpointOutcome::{ConnectFailure, Reset, Status, Timeout};
    let with = |consecutive_5xx, consecutive_gateway_failure| OutlierDetection {
        consecutive_5xx,
        consecutive_gateway_failure,
        ..settings()
    };
    type Case<'a> = (OutlierDetection, &'a [EndpointOutcome], Option<(usize, EjectionCause)>);
    let table: [Case<'_>; 9] = [
        (with(3, 0), &[Status(500), Status(503), Status(599)], Some((2, Consecutive5xx))),
        (with(3, 0), &[Status(500), Status(500), Status(404), Status(500), Status(500)], None),
        (with(3, 0), &[ConnectFailure, Timeout, Reset], Some((2, Consecutive5xx))),
        (with(0, 0), &[Status(500); 9], None),
        (with(0, 2), &[Status(502), Status(504)], Some((1, ConsecutiveGatewayFailure))),
        (with(0, 2), &[Status(502), Status(500), Status(503)], None),
        (with(0, 2), &[ConnectFailure, Timeout], Some((1, ConsecutiveGatewayFailure))),
        (with(3, 3), &[Status(503); 3], Some((2, ConsecutiveGatewayFailure))),
        (with(3, 3), &[Status(500), Status(503), Status(503)], Some((2, Consecutive5xx))),
    ];
    for (settings, outcomes, expected) in table {
        assert_eq!(check(&settings, outcomes), expected, "{settings:?} {outcomes:?}");
    }
}

fn fail(
    set: &EndpointSet,
    at: usize,
    settings: &OutlierDetection,
    now: Instant,
) -> Option<Ejection> {
    let victim = &set.endpoints()[at];
    (0..settings.consecutive_5xx)
        .find_map(|_| on_result(settings, set, victim, EndpointOutcome::Status(500), now))
}

#[test]
fn a_late_result_must_not_undo_or_prolong_an_ejection() {
    let now = Instant::now();
    let set = endpoints(2, now);
    let ejection = fail(&set, 0, &settings(), now).unwrap();
    assert_eq!(ejection.until, now + 30 * SECOND);
    let victim = &set.endpoints()[0];
    on_result(&settings(), &set, victim, EndpointOutcome::Status(200), now + SECOND);
    assert!(!victim.is_available(now + SECOND), "a late success");
    assert_eq!(fail(&set, 0, &settings(), now + SECOND), None, "late failures");
    assert!(!victim.is_available(now + 29 * SECOND));
    assert!(victim.is_available(now + 30 * SECOND));
}

#[test]
fn ejections_grow_with_each_other_and_shrink_with_health() {
    let mut now = Instant::now();
    let set = endpoints(2, now);
    // (healthy seconds since the last ejection ended, length of the next one)
    let table =
        [(0, 30), (0, 60), (0, 90), (0, 100), (9, 100), (30, 90), (1000, 30), (15, 30), (5, 60)];
    for (healthy, expected) in table {
        now += healthy * SECOND;
        let ejection = fail(&set, 0, &settings(), now).unwrap();
        assert_eq!(ejection.until - now, expected * SECOND, "after {healthy} healthy seconds");
        now = ejection.until;
    }
}

#[test]
fn one_of_several_and_at_most_the_share_is_ejected() {
    // (endpoints, max percent, min health percent, ejected in the end)
    for (count, max_ejection_percent, min_health_percent, expected) in [
        (10, 50, 0, 5),
        (10, 10, 0, 1),
        (3, 10, 0, 1),
        (1, 10, 0, 0),
        (1, 100, 0, 1),
        (2, 10, 0, 1),
        (4, 100, 0, 4),
        (4, 0, 0, 1),
        (10, 100, 80, 3),
        (10, 100, 100, 1),
    ] {
        let now = Instant::now();
        let set = endpoints(count, now);
        let settings = OutlierDetection { max_ejection_percent, min_health_percent, ..settings() };
        for at in 0..usize::from(count) {
            fail(&set, at, &settings, now);
        }
        let (available, total) = set.availability(now);
        assert_eq!(
            total - available,
            expected,
            "{count} {max_ejection_percent} {min_health_percent}"
        );
    }
}

#[test]
fn a_day_of_a_flapping_endpoint() {
    let start = Instant::now();
    let set = endpoints(2, start);
    let settings = settings();
    let mut random = SplitMix64::new(11);
    let (mut sent, mut failed, mut ejections) = (0, 0, 0);
    for tick in 0..86_400 {
        let now = start + tick * SECOND;
        let victim = &set.endpoints()[0];
        if !victim.is_available(now) {
            continue;
        }
        sent += 1;
        // It fails for the first ten minutes of every hour, and one request in ten otherwise.
        let is_bad = tick % 3600 < 600;
        failed += u32::from(is_bad);
        let status = if is_bad || random.below(10) == 0 { 500 } else { 200 };
        ejections += u32::from(
            on_result(&settings, &set, victim, EndpointOutcome::Status(status), now).is_some(),
        );
    }
    // In each bad ten minutes: 30 + 60 + 90 + 100 … seconds aside, three failures between.
    assert!((24 * 6..24 * 12).contains(&ejections), "{ejections} ejections");
    assert!(sent > 86_400 / 2, "mostly in use: {sent}");
    assert!(failed < 24 * 60, "spared most of the bad minutes: {failed}");
}
