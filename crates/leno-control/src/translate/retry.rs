//! Retry policies: what Istio does when nothing is said, and what a rule says.

use std::time::Duration;

use leno_api::spec::virtual_service::Retries;
use leno_core::config::{RetryCondition, RetryPolicy};

/// Istio's default, for every route without `retries`.
pub(super) const DEFAULT_RETRY_ON: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const DEFAULT_ATTEMPTS: u32 = 2;
const DEFAULT_BACK_OFF: Duration = Duration::from_millis(25);

/// The policy for a route; `None` when retries are turned off.
pub(super) fn policy(said: Option<&Retries>) -> Option<Box<RetryPolicy>> {
    let default = Retries { attempts: DEFAULT_ATTEMPTS, ..Retries::default() };
    let said = said.unwrap_or(&default);
    if said.attempts == 0 {
        return None;
    }
    let words = if said.retry_on.is_empty() { DEFAULT_RETRY_ON } else { &said.retry_on };
    let mut retry_on = Vec::new();
    let mut codes = Vec::new();
    for word in words.split(',').map(str::trim) {
        match (condition(word), word.parse::<u16>()) {
            (Some(condition), _) => retry_on.push(condition),
            (None, Ok(code)) => codes.push(code),
            (None, Err(_)) => {}
        }
    }
    if said.retry_on.is_empty() {
        codes.push(503);
    }
    if !codes.is_empty() && !retry_on.contains(&RetryCondition::RetriableStatusCodes) {
        retry_on.push(RetryCondition::RetriableStatusCodes);
    }
    let back_off_base = said.backoff.unwrap_or(DEFAULT_BACK_OFF);
    Some(Box::new(RetryPolicy {
        retry_on,
        retriable_status_codes: codes,
        num_retries: said.attempts,
        per_try_timeout: said.per_try_timeout.filter(|timeout| !timeout.is_zero()),
        back_off_base,
        back_off_max: back_off_base.saturating_mul(10),
        avoid_previous_hosts: said.retry_ignore_previous_hosts.unwrap_or(true),
    }))
}

fn condition(word: &str) -> Option<RetryCondition> {
    Some(match word {
        "5xx" => RetryCondition::ServerError5xx,
        "gateway-error" => RetryCondition::GatewayError,
        "reset" => RetryCondition::Reset,
        "reset-before-request" => RetryCondition::ResetBeforeRequest,
        "connect-failure" => RetryCondition::ConnectFailure,
        "retriable-4xx" => RetryCondition::Retriable4xx,
        "refused-stream" => RetryCondition::RefusedStream,
        "retriable-status-codes" => RetryCondition::RetriableStatusCodes,
        "envoy-ratelimited" => RetryCondition::EnvoyRatelimited,
        "cancelled" => RetryCondition::GrpcCancelled,
        "deadline-exceeded" => RetryCondition::GrpcDeadlineExceeded,
        "internal" => RetryCondition::GrpcInternal,
        "resource-exhausted" => RetryCondition::GrpcResourceExhausted,
        "unavailable" => RetryCondition::GrpcUnavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_istios_default() {
        let policy = policy(None).unwrap();
        assert_eq!(policy.num_retries, 2);
        assert_eq!(policy.retriable_status_codes, [503]);
        assert!(policy.retry_on.contains(&RetryCondition::ConnectFailure));
        assert_eq!(policy.per_try_timeout, None);
    }

    #[test]
    fn zero_attempts_turn_retries_off_and_numbers_are_statuses() {
        assert_eq!(policy(Some(&Retries::default())), None);
        let said = Retries { attempts: 3, retry_on: "5xx, 418".to_owned(), ..Retries::default() };
        let policy = policy(Some(&said)).unwrap();
        let expected = [RetryCondition::ServerError5xx, RetryCondition::RetriableStatusCodes];
        assert_eq!(policy.retry_on, expected);
        assert_eq!(policy.retriable_status_codes, [418]);
    }
}
