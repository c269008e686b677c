use super::*;
use crate::random::{Random, SplitMix64};

/// Requests at a steady rate, each retried up to twice; the share of attempts that succeed is given.
/// Attempts per request, and the share of requests that succeed in the end.
fn check(per_second: u32, seconds: u32, success_percent: u64) -> (f64, f64) {
    let start = Instant::now();
    let mut budget = Budget::new(DEFAULT, start);
    let mut random = SplitMix64::new(9);
    let (mut attempts, mut succeeded) = (0, 0);
    let requests = per_second * seconds;
    for number in 0..requests {
        let now = start + Duration::from_secs(1) * number / per_second;
        budget.on_request(now);
        attempts += 1;
        if random.below(100) < success_percent {
            budget.on_success();
            succeeded += 1;
            continue;
        }
        for _ in 0..2 {
            let Ok(token) = budget.try_retry(now) else { break };
            attempts += 1;
            if random.below(100) < success_percent {
                budget.on_retry_success(token, now);
                succeeded += 1;
                break;
            }
        }
    }
    (f64::from(attempts) / f64::from(requests), f64::from(succeeded) / f64::from(requests))
}

#[test]
fn a_full_outage_costs_at_most_a_fifth_more() {
    for (per_second, seconds) in [(2, 600), (10, 60), (100, 10), (1000, 60), (500, 1), (15, 1)] {
        let (attempts, succeeded) = check(per_second, seconds, 0);
        assert!(attempts <= 1.2, "{per_second}/s for {seconds} s: {attempts}");
        assert!((succeeded - 0.0).abs() < f64::EPSILON);
    }
}

#[test]
fn a_quiet_cluster_spends_its_reserve_once_and_earns_it_by_success() {
    let start = Instant::now();
    let mut budget = Budget::new(DEFAULT, start);
    let hour = |n: u32| start + n * Duration::from_secs(3600);
    let mut retried = |n| {
        budget.on_request(hour(n));
        budget.try_retry(hour(n)).is_ok()
    };
    let answers: Vec<bool> = (0..6).map(&mut retried).collect();
    assert_eq!(answers, [true, true, true, false, false, false], "no time brings it back");
    for n in 6..11 {
        budget.on_request(hour(n));
        budget.on_success();
    }
    budget.on_request(hour(12));
    assert!(budget.try_retry(hour(12)).is_ok(), "five successes earn one retry");
    assert!(budget.try_retry(hour(12)).is_err());
}

#[test]
fn retries_that_help_are_not_held_back() {
    let (attempts, succeeded) = check(100, 30, 95);
    assert!(succeeded > 0.999, "{succeeded}");
    assert!(attempts < 1.07, "{attempts}");
    // Every other attempt fails, and each retry succeeds: the token always comes back.
    let start = Instant::now();
    let mut budget = Budget::new(DEFAULT, start);
    for number in 0..1000 {
        let now = start + Duration::from_millis(10) * number;
        budget.on_request(now);
        let token = budget.try_retry(now).expect("the retry before gave its token back");
        budget.on_retry_success(token, now);
    }
}

#[test]
fn a_generous_budget_lets_everything_be_retried() {
    let start = Instant::now();
    let all = RetryBudget { per_ten_thousand: 10_000, min_concurrency: 0 };
    let mut budget = Budget::new(all, start);
    for _ in 0..100 {
        budget.on_request(start);
        assert!(budget.try_retry(start).is_ok());
    }
    let none = RetryBudget { per_ten_thousand: 0, min_concurrency: 0 };
    budget.reconfigure(none);
    budget.on_request(start);
    assert_eq!(budget.try_retry(start), Err(BudgetExhausted));
}

#[test]
fn the_window_forgets_after_ten_seconds() {
    let start = Instant::now();
    let settings = RetryBudget { per_ten_thousand: 2_000, min_concurrency: 0 };
    let mut budget = Budget::new(settings, start);
    (0..10).for_each(|_| budget.on_request(start));
    let at = |seconds| start + Duration::from_secs(seconds);
    assert!(budget.try_retry(at(9)).is_ok());
    assert!(budget.try_retry(at(10)).is_err(), "the requests are forgotten, the retry is not");
    (0..10).for_each(|_| budget.on_request(at(19)));
    assert!(budget.try_retry(at(19)).is_ok());
}

#[test]
fn amplification_is_bounded_at_every_rate_of_success() {
    // (share of attempts that succeed, attempts a request at most, requests that succeed at least)
    let table = [
        (95, 1.06, 0.999),
        (90, 1.13, 0.998),
        (80, 1.27, 0.98),
        (70, 1.45, 0.95),
        (60, 1.55, 0.8),
        (50, 1.45, 0.65),
        (30, 1.32, 0.35),
        (10, 1.25, 0.11),
        (0, 1.2, 0.0),
    ];
    for (success_percent, attempts_max, succeeded_min) in table {
        let (attempts, succeeded) = check(100, 60, success_percent);
        assert!(attempts <= attempts_max, "{success_percent} %: {attempts} attempts");
        assert!(succeeded >= succeeded_min, "{success_percent} %: {succeeded} succeeded");
    }
}
