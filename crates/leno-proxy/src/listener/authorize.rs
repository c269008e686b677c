//! Who may connect at all: `envoy.filters.network.rbac`, asked once a connection's peer is known and before anything is
//! done with its bytes. [`super::connection`] calls it; what is denied never reaches a filter.

use std::sync::Arc;

use leno_core::authorization::{Denied, Permit, Verdicts};
use leno_core::filter_chain::FilterChain;
use leno_telemetry::{AuthorizationKey, AuthorizationScope, AuthorizationStat, AuthorizationStats};

use super::Facts;
use crate::worker::Worker;

/// Asks every filter of the chain.
///
/// # Errors
/// The first denial.
pub(super) fn authorize(
    worker: &Worker,
    chain: &FilterChain,
    facts: &Facts,
) -> Result<Permit, Denied> {
    let mut permit = Permit::unasked();
    for filter in &chain.authorization {
        let verdicts = filter.check.judge_connection(&facts.caller());
        let key = AuthorizationKey {
            scope: AuthorizationScope::Connections,
            stat_prefix: Arc::clone(&filter.stat_prefix),
            rules_prefix: Arc::clone(&filter.rules_stat_prefix),
            shadow_rules_prefix: Arc::clone(&filter.shadow_rules_stat_prefix),
        };
        count(&worker.telemetry.shard.authorization(&key), &verdicts);
        permit = verdicts.enforce(permit)?;
    }
    Ok(permit)
}

/// Counts what a filter said.
pub(crate) fn count(stats: &AuthorizationStats, verdicts: &Verdicts) {
    use AuthorizationStat::{Allowed, Denied, ShadowAllowed, ShadowDenied};
    if let Some(shadow) = &verdicts.shadow {
        stats.increment(if shadow.is_ok() { ShadowAllowed } else { ShadowDenied });
    }
    if let Some(enforced) = &verdicts.enforced {
        stats.increment(if enforced.is_ok() { Allowed } else { Denied });
    }
}
