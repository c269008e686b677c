//! `envoy.config.route.v3.RetryPolicy`.

use std::time::Duration;

use leno_core::config::{RetryCondition, RetryPolicy};

use crate::read::{Field, Names, Reader};
use crate::wire::Writer;

const PREVIOUS_HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";

/// How often another host is looked for; we look until there is none left.
const HARMLESS: &Names =
    &[(6, "host_selection_retry_max_attempts"), (14, "refresh_cluster_on_retry")];

const DEFAULT_BASE: Duration = Duration::from_millis(25);

const CONDITIONS: [(&str, RetryCondition); 14] = [
    ("5xx", RetryCondition::ServerError5xx),
    ("gateway-error", RetryCondition::GatewayError),
    ("reset", RetryCondition::Reset),
    ("reset-before-request", RetryCondition::ResetBeforeRequest),
    ("connect-failure", RetryCondition::ConnectFailure),
    ("retriable-4xx", RetryCondition::Retriable4xx),
    ("refused-stream", RetryCondition::RefusedStream),
    ("retriable-status-codes", RetryCondition::RetriableStatusCodes),
    ("envoy-ratelimited", RetryCondition::EnvoyRatelimited),
    ("cancelled", RetryCondition::GrpcCancelled),
    ("deadline-exceeded", RetryCondition::GrpcDeadlineExceeded),
    ("internal", RetryCondition::GrpcInternal),
    ("resource-exhausted", RetryCondition::GrpcResourceExhausted),
    ("unavailable", RetryCondition::GrpcUnavailable),
];

pub(crate) fn decode(r: &mut Reader<'_, '_>) -> RetryPolicy {
    r.harmless(HARMLESS);
    let retry_on = r.field(1, "retry_on").map(conditions).unwrap_or_default();
    let predicates = r.messages(5, "retry_host_predicate", |r| {
        let name = r.required_string(1, "name");
        let kind = r.any(3, "typed_config", |kind, _| kind.to_owned());
        let known = kind.as_deref() == Some(PREVIOUS_HOSTS);
        if !known && name != "envoy.retry_host_predicates.previous_hosts" {
            r.problem("only envoy.retry_host_predicates.previous_hosts is supported");
        }
    });
    let back_off = r.message(8, "retry_back_off", |r| {
        let base = r.duration(1, "base_interval");
        if base.is_none_or(|base| base.is_zero()) {
            r.problem_at("base_interval", "must be more than zero");
        }
        (base.unwrap_or(DEFAULT_BASE), r.duration(2, "max_interval"))
    });
    let (base, max) = back_off.unwrap_or((DEFAULT_BASE, None));
    RetryPolicy {
        retry_on,
        retriable_status_codes: r
            .each(7, "retriable_status_codes", |field| field.statuses())
            .concat(),
        num_retries: r.wrapped_u32(2, "num_retries").unwrap_or(1),
        per_try_timeout: r.duration(3, "per_try_timeout").filter(|timeout| !timeout.is_zero()),
        back_off_base: base,
        back_off_max: max.unwrap_or(base.saturating_mul(10)),
        avoid_previous_hosts: !predicates.is_empty(),
    }
}

fn conditions(field: Field<'_, '_>) -> Vec<RetryCondition> {
    let words = field.text().unwrap_or_default().split(',').map(str::trim);
    let condition = |word: &str| {
        let found = CONDITIONS.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            field.problem(&format!("\"{word}\" is not a supported condition"));
        }
        found.map(|(_, condition)| *condition)
    };
    words.filter(|word| !word.is_empty()).filter_map(condition).collect()
}

pub(crate) fn encode(w: &mut Writer, policy: &RetryPolicy) {
    let word = |condition: &RetryCondition| {
        let found = CONDITIONS.iter().find(|(_, each)| each == condition);
        found.expect("every condition is in the table").0
    };
    let words: Vec<_> = policy.retry_on.iter().map(word).collect();
    w.string(1, &words.join(","));
    w.wrapped(2, Some(policy.num_retries));
    if let Some(timeout) = policy.per_try_timeout {
        w.duration(3, timeout);
    }
    if policy.avoid_previous_hosts {
        w.message(5, |w| {
            w.string(1, "envoy.retry_host_predicates.previous_hosts");
            w.any(3, PREVIOUS_HOSTS, |_| ());
        });
    }
    for status in &policy.retriable_status_codes {
        w.explicit(7, (*status).into());
    }
    w.message(8, |w| {
        w.duration(1, policy.back_off_base);
        w.duration(2, policy.back_off_max);
    });
}
