use super::*;
use crate::random::SplitMix64;

use AttemptOutcome::{
    ConnectFailure, Overflow, PerTryTimeout, RefusedStream, Reset, ResetBeforeRequest,
};
use RetryCondition as On;

fn policy(retry_on: &[RetryCondition], statuses: &[u16]) -> RetryPolicy {
    let config = config::RetryPolicy {
        retry_on: retry_on.to_vec(),
        retriable_status_codes: statuses.to_vec(),
        num_retries: 2,
        per_try_timeout: None,
        back_off_base: Duration::from_millis(25),
        back_off_max: Duration::from_millis(250),
        avoid_previous_hosts: true,
    };
    let mut report = Report::new(String::new());
    let policy = RetryPolicy::compile(&config, &mut report);
    report.finish(|| policy).unwrap()
}

fn status(status: u16) -> AttemptOutcome {
    AttemptOutcome::Response { status, grpc_status: None, is_rate_limited: false }
}

fn grpc(code: u32) -> AttemptOutcome {
    AttemptOutcome::Response { status: 200, grpc_status: Some(code), is_rate_limited: false }
}

const LIMITED: AttemptOutcome =
    AttemptOutcome::Response { status: 429, grpc_status: None, is_rate_limited: true };

/// Answers for GET and POST: `y` retried, `n` not retriable, `p` may have been processed.
fn check(retry_on: &[RetryCondition], statuses: &[u16], outcome: AttemptOutcome) -> String {
    let policy = policy(retry_on, statuses);
    [b"GET".as_slice(), b"POST"]
        .map(|method| match policy.may_retry(outcome, Idempotence::of_method(method), 0) {
            Ok(()) => 'y',
            Err(NoRetry::NotRetriable) => 'n',
            Err(NoRetry::MayHaveBeenProcessed) => 'p',
            Err(NoRetry::LimitReached) => 'l',
        })
        .iter()
        .collect()
}

#[test]
fn conditions_are_envoys_and_a_post_is_replayed_only_with_proof() {
    let table: &[(&[RetryCondition], &[u16], AttemptOutcome, &str)] = &[
        (&[], &[], status(503), "nn"),
        (&[], &[], ConnectFailure, "nn"),
        (&[On::ServerError5xx], &[], status(500), "yp"),
        (&[On::ServerError5xx], &[], status(599), "yp"),
        (&[On::ServerError5xx], &[], status(404), "nn"),
        (&[On::ServerError5xx], &[], status(200), "nn"),
        (&[On::ServerError5xx], &[], ConnectFailure, "yy"),
        (&[On::ServerError5xx], &[], Reset, "yp"),
        (&[On::ServerError5xx], &[], ResetBeforeRequest, "yy"),
        (&[On::ServerError5xx], &[], RefusedStream, "yy"),
        (&[On::ServerError5xx], &[], PerTryTimeout, "yp"),
        (&[On::ServerError5xx], &[], Overflow, "nn"),
        (&[On::GatewayError], &[], status(500), "nn"),
        (&[On::GatewayError], &[], status(502), "yp"),
        (&[On::GatewayError], &[], status(504), "yp"),
        (&[On::GatewayError], &[], Reset, "yp"),
        (&[On::Reset], &[], Reset, "yp"),
        (&[On::Reset], &[], status(503), "nn"),
        (&[On::Reset], &[], PerTryTimeout, "yp"),
        (&[On::ResetBeforeRequest], &[], ResetBeforeRequest, "yy"),
        (&[On::ResetBeforeRequest], &[], Reset, "nn"),
        (&[On::ConnectFailure], &[], ConnectFailure, "yy"),
        (&[On::ConnectFailure], &[], ResetBeforeRequest, "nn"),
        (&[On::ConnectFailure], &[], status(503), "nn"),
        (&[On::RefusedStream], &[], RefusedStream, "yy"),
        (&[On::RefusedStream], &[], Reset, "nn"),
        (&[On::Retriable4xx], &[], status(409), "yy"),
        (&[On::Retriable4xx], &[], status(404), "nn"),
        (&[On::RetriableStatusCodes], &[503, 429], status(503), "yy"),
        (&[On::RetriableStatusCodes], &[503], status(500), "nn"),
        (&[On::ServerError5xx], &[503], status(503), "yp"),
        (&[On::ServerError5xx], &[], LIMITED, "nn"),
        (&[On::EnvoyRatelimited], &[], LIMITED, "yy"),
        (&[On::GrpcUnavailable], &[], grpc(14), "yy"),
        (&[On::GrpcUnavailable], &[], grpc(0), "nn"),
        (&[On::GrpcCancelled], &[], grpc(1), "yy"),
        (&[On::GrpcDeadlineExceeded], &[], grpc(4), "yy"),
        (&[On::GrpcResourceExhausted], &[], grpc(8), "yy"),
        (&[On::GrpcInternal], &[], grpc(13), "yy"),
        (&[On::GrpcInternal], &[], grpc(14), "nn"),
    ];
    for &(retry_on, statuses, outcome, expected) in table {
        assert_eq!(check(retry_on, statuses, outcome), expected, "{retry_on:?} {outcome:?}");
    }
}

#[test]
fn the_number_of_retries_is_a_limit() {
    let policy = policy(&[On::ConnectFailure], &[]);
    let answers = [0, 1, 2, 3]
        .map(|done| policy.may_retry(ConnectFailure, Idempotence::NotIdempotent, done).is_ok());
    assert_eq!(answers, [true, true, false, false]);
    assert_eq!(
        policy.may_retry(ConnectFailure, Idempotence::Idempotent, 2),
        Err(NoRetry::LimitReached)
    );
}

#[test]
fn back_off_is_fully_jittered_and_bounded() {
    let policy = policy(&[On::Reset], &[]);
    let mut random = SplitMix64::new(3);
    // (retry, exclusive ceiling in ms)
    for (retry, ceiling) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (40, 250)] {
        let drawn: Vec<Duration> =
            (0..10_000).map(|_| policy.back_off(retry, &mut random)).collect();
        let ceiling = Duration::from_millis(ceiling);
        let mean = drawn.iter().sum::<Duration>() / 10_000;
        assert!(drawn.iter().all(|&length| length < ceiling), "retry {retry}");
        // Uniform: sigma of the mean of 10,000 is 0.29 % of the ceiling.
        let off = mean.as_secs_f64() / ceiling.as_secs_f64() - 0.5;
        assert!(off.abs() < 0.0087, "retry {retry}: mean {mean:?}");
    }
}

#[test]
fn impossible_back_off_and_status_are_problems() {
    let config = config::RetryPolicy {
        retry_on: vec![],
        retriable_status_codes: vec![503, 42],
        num_retries: 1,
        per_try_timeout: None,
        back_off_base: Duration::ZERO,
        back_off_max: Duration::ZERO,
        avoid_previous_hosts: false,
    };
    let mut report = Report::new("r".to_owned());
    RetryPolicy::compile(&config, &mut report);
    let problems = report.finish(|| ()).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
    assert_eq!(places, ["r.back_off_base", "r.retriable_status_codes[1]"]);
}
