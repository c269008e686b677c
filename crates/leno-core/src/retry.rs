//! Whether a failed attempt is tried again, and after how long.
//!
//! Conditions are Envoy's (`x-envoy-retry-on`), with one rule on top that Envoy does not have: a request whose method
//! is not idempotent (POST, PATCH, CONNECT, unknown ones) and that may have been processed is never replayed. Proof
//! that it was not processed is a failed connect, a reset before the request was sent, or a refused stream. A policy
//! overrides the rule only by naming the answer itself (`retriable-status-codes`, `retriable-4xx`,
//! `envoy-ratelimited`, `grpc-*`), never by a class (`5xx`, `gateway-error`, `reset`).
//! A budget ([`crate::budget`]) bounds what is left.

use std::time::Duration;

use crate::config::{self, RetryCondition};
use crate::problem::{ProblemKind, Report};
use crate::random::Random;

/// A compiled [`config::RetryPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    conditions: u16,
    statuses: Box<[u16]>,
    /// Retries after the first attempt.
    pub num_retries: u32,
    /// For each attempt; never zero.
    pub per_try_timeout: Option<Duration>,
    /// Do not pick an endpoint that was tried already.
    pub avoid_previous_hosts: bool,
    back_off_base: Duration,
    back_off_max: Duration,
}

/// How one attempt ended, as far as retrying is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A response head came.
    Response {
        /// The HTTP status.
        status: u16,
        /// `grpc-status` of a head without body (trailers-only).
        grpc_status: Option<u32>,
        /// Whether `x-envoy-ratelimited` was there.
        is_rate_limited: bool,
    },
    /// No connection: refused, timed out, or the TLS handshake was not completed.
    ConnectFailure,
    /// The connection broke before any byte of this request was sent.
    ResetBeforeRequest,
    /// The stream was refused (HTTP/2 `REFUSED_STREAM`, or above the last id of a GOAWAY).
    RefusedStream,
    /// The connection or stream broke after the request was sent.
    Reset,
    /// The attempt's own timeout ran out.
    PerTryTimeout,
    /// A circuit limit refused it; never retried.
    Overflow,
}

/// Whether a second execution of the request repeats its effect (RFC 9110 §9.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// Everything else.
    NotIdempotent,
}

impl Idempotence {
    /// Methods are case-sensitive.
    #[must_use]
    pub fn of_method(method: &[u8]) -> Self {
        match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::NotIdempotent,
        }
    }
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRetry {
    /// The outcome is not one the policy retries.
    NotRetriable,
    /// It would be, but the request may have been processed and is not idempotent.
    MayHaveBeenProcessed,
    /// The policy's number of retries is used up (flag `URX`).
    LimitReached,
}

impl RetryPolicy {
    pub(crate) fn compile(config: &config::RetryPolicy, report: &mut Report) -> Self {
        if config.back_off_base.is_zero() {
            report.problem_at(format_args!(".back_off_base"), ProblemKind::ZeroDuration);
        }
        if config.back_off_max < config.back_off_base {
            let base_ms = config.back_off_base.as_millis();
            let max_ms = config.back_off_max.as_millis();
            let what = ProblemKind::BackOffMaxBelowBase { base_ms, max_ms };
            report.problem_at(format_args!(".back_off_max"), what);
        }
        report.check_duration("per_try_timeout", config.per_try_timeout);
        report.check_duration("back_off_max", Some(config.back_off_max));
        for (i, &status) in config.retriable_status_codes.iter().enumerate() {
            if !(100..600).contains(&status) {
                let what = ProblemKind::InvalidStatus { status, allowed: "100 to 599" };
                report.problem_at(format_args!(".retriable_status_codes[{i}]"), what);
            }
        }
        Self {
            conditions: config.retry_on.iter().fold(0, |set, &condition| set | bit(condition)),
            statuses: config.retriable_status_codes.as_slice().into(),
            num_retries: config.num_retries,
            per_try_timeout: config.per_try_timeout.filter(|timeout| !timeout.is_zero()),
            avoid_previous_hosts: config.avoid_previous_hosts,
            back_off_base: config.back_off_base,
            back_off_max: config.back_off_max,
        }
    }

    /// Whether attempt number `retries_done + 1` may follow. The caller then asks the budget and the circuit.
    pub fn may_retry(
        &self,
        outcome: AttemptOutcome,
        idempotence: Idempotence,
        retries_done: u32,
    ) -> Result<(), NoRetry> {
        match self.assess(outcome) {
            Assessment::NotRetriable => return Err(NoRetry::NotRetriable),
            Assessment::Retriable if idempotence == Idempotence::NotIdempotent => {
                return Err(NoRetry::MayHaveBeenProcessed);
            }
            Assessment::Retriable | Assessment::RetriableAlways => {}
        }
        if retries_done >= self.num_retries { Err(NoRetry::LimitReached) } else { Ok(()) }
    }

    /// Whether a response with this status may be retried at all: the caller must then hold its head back.
    #[must_use]
    pub fn wants_response_held(&self, status: u16) -> bool {
        let outcome =
            AttemptOutcome::Response { status, grpc_status: None, is_rate_limited: false };
        self.num_retries > 0
            && (self.assess(outcome) != Assessment::NotRetriable || self.has_any(GRPC))
    }

    /// Fully jittered exponential back-off before retry number `retry` (1 is the first): uniform in
    /// `0..min(base * 2^(retry-1), max)`, as Envoy's code does it.
    pub fn back_off(&self, retry: u32, random: &mut impl Random) -> Duration {
        let doublings = retry.saturating_sub(1).min(31);
        let ceiling = self.back_off_base.saturating_mul(1 << doublings).min(self.back_off_max);
        let ceiling_us = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random.below(ceiling_us))
    }

    fn assess(&self, outcome: AttemptOutcome) -> Assessment {
        use RetryCondition as On;
        let sure =
            |on: bool| if on { Assessment::RetriableAlways } else { Assessment::NotRetriable };
        let unsure = |on: bool| if on { Assessment::Retriable } else { Assessment::NotRetriable };
        // Envoy counts any reset as the 5xx that it would become.
        let reset = bit(On::Reset) | bit(On::ServerError5xx) | bit(On::GatewayError);
        match outcome {
            AttemptOutcome::Response { status, grpc_status, is_rate_limited } => {
                // A rate limiter said no; asking again is for those who asked for it.
                if is_rate_limited {
                    return sure(self.has_any(bit(On::EnvoyRatelimited)));
                }
                if self.names_response(status, grpc_status) {
                    return Assessment::RetriableAlways;
                }
                let is_gateway_error = matches!(status, 502..=504);
                unsure(
                    self.has_any(bit(On::ServerError5xx)) && (500..600).contains(&status)
                        || self.has_any(bit(On::GatewayError)) && is_gateway_error,
                )
            }
            AttemptOutcome::ConnectFailure => {
                sure(self.has_any(reset | bit(On::ConnectFailure) | bit(On::ResetBeforeRequest)))
            }
            AttemptOutcome::ResetBeforeRequest => {
                sure(self.has_any(reset | bit(On::ResetBeforeRequest)))
            }
            AttemptOutcome::RefusedStream => sure(self.has_any(reset | bit(On::RefusedStream))),
            AttemptOutcome::Reset | AttemptOutcome::PerTryTimeout => unsure(self.has_any(reset)),
            AttemptOutcome::Overflow => Assessment::NotRetriable,
        }
    }

    /// Whether the policy names exactly this answer.
    fn names_response(&self, status: u16, grpc_status: Option<u32>) -> bool {
        use RetryCondition as On;
        let grpc_condition = match grpc_status {
            Some(1) => bit(On::GrpcCancelled),
            Some(4) => bit(On::GrpcDeadlineExceeded),
            Some(8) => bit(On::GrpcResourceExhausted),
            Some(13) => bit(On::GrpcInternal),
            Some(14) => bit(On::GrpcUnavailable),
            Some(_) | None => 0,
        };
        self.has_any(grpc_condition)
            || self.has_any(bit(On::Retriable4xx)) && status == 409
            || self.has_any(bit(On::RetriableStatusCodes)) && self.statuses.contains(&status)
    }

    fn has_any(&self, conditions: u16) -> bool {
        self.conditions & conditions != 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assessment {
    NotRetriable,
    /// For idempotent requests only.
    Retriable,
    /// Not processed for sure, or named by the policy.
    RetriableAlways,
}

const fn bit(condition: RetryCondition) -> u16 {
    1 << condition as u16
}

const GRPC: u16 = bit(RetryCondition::GrpcCancelled)
    | bit(RetryCondition::GrpcDeadlineExceeded)
    | bit(RetryCondition::GrpcInternal)
    | bit(RetryCondition::GrpcResourceExhausted)
    | bit(RetryCondition::GrpcUnavailable);

#[cfg(test)]
mod tests;
