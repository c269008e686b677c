//! Fault injection: which requests wait, and which get an answer of our own (`envoy.filters.http.fault`).

use std::time::Duration;

use crate::config::{FaultInjection, Fraction};
use crate::problem::{ProblemKind, Report};
use crate::random::Random;

/// A compiled [`FaultInjection`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    delay: Option<(Duration, Fraction)>,
    abort: Option<(u16, Fraction)>,
}

/// What happens to one request: first the delay (flag `DI`), then the abort (flag `FI`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultDecision {
    /// Wait so long before going on.
    pub delay: Option<Duration>,
    /// Then answer this status instead of going on.
    pub abort: Option<u16>,
}

impl Fault {
    pub(crate) fn compile(config: &FaultInjection, report: &mut Report) -> Self {
        if let Some(abort) = config.abort.as_ref().filter(|a| !(200..600).contains(&a.status)) {
            let what = ProblemKind::InvalidStatus { status: abort.status, allowed: "200 to 599" };
            report.problem_at(format_args!(".abort.status"), what);
        }
        report.check_duration("delay.fixed", config.delay.as_ref().map(|delay| delay.fixed));
        if config.delay.as_ref().is_some_and(|delay| delay.fixed.is_zero()) {
            report.problem_at(format_args!(".delay.fixed"), ProblemKind::ZeroDuration);
        }
        Self {
            delay: config.delay.as_ref().map(|delay| (delay.fixed, delay.fraction)),
            abort: config.abort.as_ref().map(|abort| (abort.status, abort.fraction)),
        }
    }

    /// The two shares are drawn independently, as in Envoy.
    pub fn decide(&self, random: &mut impl Random) -> FaultDecision {
        let delay = self.delay.filter(|&(_, share)| random.hits(share)).map(|(length, _)| length);
        let abort = self.abort.filter(|&(_, share)| random.hits(share)).map(|(status, _)| status);
        FaultDecision { delay, abort }
    }

    /// Length and share of the delay.
    #[must_use]
    pub fn delay(&self) -> Option<(Duration, Fraction)> {
        self.delay
    }

    /// Status and share of the abort.
    #[must_use]
    pub fn abort(&self) -> Option<(u16, Fraction)> {
        self.abort
    }
}
