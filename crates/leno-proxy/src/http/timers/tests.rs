use std::time::Duration;

use leno_http::BodyLength;
use tokio::time::Instant;

use super::{Expired, Pace, Timers};
use crate::limits::{STALL_BYTES, STREAMED_BYTES};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn time_begins_with_the_sent_request_and_the_route_outlives_attempts() {
    let start = Instant::now();
    let mut timers = Timers::new(start, Some(5 * SECOND), Some(2 * SECOND), 10 * SECOND);
    assert_eq!(timers.expired(start + 9 * SECOND), None, "the request is still arriving");
    timers.begin(start);
    assert_eq!(timers.next(), start + 2 * SECOND);
    assert_eq!(timers.expired(start + 2 * SECOND), Some(Expired::Attempt));
    timers.next_attempt(start + 4 * SECOND);
    assert_eq!(timers.next(), start + 5 * SECOND);
    assert_eq!(timers.expired(start + 6 * SECOND), Some(Expired::Route));
}

#[test]
fn an_announced_body_has_to_come_on_unless_nobody_takes_it() {
    let start = Instant::now();
    let period = crate::limits::BODY_PROGRESS;
    let enough = crate::limits::BODY_PROGRESS_BYTES;
    let mut timers = Timers::new(start, None, None, 100 * period);
    timers.expect_body(start, Some(5 * period), Pace::Announced);
    timers.body_came(start + period / 2, enough - 1, true);
    assert_eq!(timers.expired(start + period), Some(Expired::SlowBody));
    timers.body_came(start + period / 2, enough, true);
    assert_eq!(timers.expired(start + period), None);
    timers.body_came(start + 3 * period, enough, false);
    assert_eq!(timers.expired(start + 3 * period), None, "the endpoint was slow");
    assert_eq!(timers.expired(start + 4 * period), Some(Expired::SlowBody));
    assert_eq!(timers.expired(start + 5 * period), Some(Expired::Request));
    timers.request_received();
    assert_eq!(timers.expired(start + 9 * period), None, "it is all there");
    let mut streaming = Timers::new(start, None, None, 100 * period);
    streaming.expect_body(start, None, Pace::Free);
    assert_eq!(streaming.expired(start + 9 * period), None);
}

#[test]
fn how_fast_a_body_has_to_come_is_told_by_how_it_is_announced() {
    let json = b"application/json";
    let table = [
        (&json[..], BodyLength::Exactly(9), false, Pace::Announced),
        (json, BodyLength::Exactly(9), true, Pace::Streamed),
        (json, BodyLength::Unknown, false, Pace::Streamed),
        (json, BodyLength::Unknown, true, Pace::Streamed),
        (b"application/grpc", BodyLength::Unknown, true, Pace::Free),
        (b"application/grpc-web", BodyLength::Exactly(9), false, Pace::Free),
        (b"application/connect+proto", BodyLength::Unknown, true, Pace::Free),
    ];
    for (kind, length, shares, pace) in table {
        assert_eq!(Pace::of(kind, length, shares), pace, "{length:?} {shares}");
    }
}

#[test]
fn a_body_of_unknown_length_has_to_come_on_until_it_is_answered() {
    let start = Instant::now();
    let at = |second: u32| start + second * SECOND;
    // A short idle time is for those who send nothing: who sends a little has a minute.
    for (idle, period) in [(100, 100), (3, 60)] {
        let mut timers = Timers::new(start, None, None, idle * SECOND);
        timers.expect_body(start, None, Pace::Streamed);
        for second in 1..period {
            timers.moved(at(second));
            timers.body_came(at(second), u64::from(second), true);
            assert_eq!(timers.expired(at(second)), None, "{idle} {second}");
        }
        assert_eq!(timers.expired(at(period)), Some(Expired::SlowBody), "{idle}");
        timers.moved(at(period));
        timers.body_came(at(period - 1), STREAMED_BYTES, true);
        assert_eq!(timers.expired(at(period)), None, "that is a slow client, but one");
        timers.moved(at(2 * period));
        timers.body_came(at(2 * period - 2), STREAMED_BYTES, false);
        assert_eq!(timers.expired(at(2 * period)), None, "the endpoint was slow");
        timers.moved(at(3 * period));
        assert_eq!(timers.expired(at(3 * period)), Some(Expired::SlowBody), "{idle}");
        timers.answered();
        assert_eq!(timers.expired(at(3 * period)), None, "they talk to each other");
    }
}

#[test]
fn a_limit_of_the_whole_begins_with_the_exchange() {
    let start = Instant::now();
    let mut timers = Timers::new(start, Some(5 * SECOND), None, 10 * SECOND);
    timers.limit(Some(start + 2 * SECOND));
    assert_eq!(timers.expired(start + 2 * SECOND), Some(Expired::Duration));
    timers.begin(start);
    assert_eq!(timers.next(), start + 2 * SECOND, "the shorter one counts");
}

#[test]
fn an_answer_ends_the_attempts_time_and_bytes_push_the_idle_one() {
    let start = Instant::now();
    let mut timers = Timers::new(start, None, Some(SECOND), 3 * SECOND);
    timers.begin(start);
    timers.answered();
    assert_eq!(timers.expired(start + 2 * SECOND), None);
    timers.moved(start + 2 * SECOND);
    assert_eq!(timers.expired(start + 4 * SECOND), None);
    assert_eq!(timers.expired(start + 5 * SECOND), Some(Expired::Idle));
}

#[test]
fn a_receiver_that_takes_a_byte_at_a_time_is_stalled() {
    let start = Instant::now();
    let mut timers = Timers::new(start, None, None, 10 * SECOND);
    timers.blocked(start, 0);
    for second in 1..10_u32 {
        // Something moves all the time, so the exchange is not idle.
        timers.moved(start + second * SECOND);
        timers.blocked(start + second * SECOND, u64::from(second));
        assert_eq!(timers.expired(start + second * SECOND), None);
    }
    assert_eq!(timers.next(), start + 10 * SECOND);
    assert_eq!(timers.expired(start + 10 * SECOND), Some(Expired::Idle));
    timers.blocked(start + 9 * SECOND, STALL_BYTES);
    assert_eq!(timers.expired(start + 18 * SECOND), None, "that is a receiver, if a slow one");
    timers.flows();
    assert_eq!(timers.next(), start + 19 * SECOND);
}
