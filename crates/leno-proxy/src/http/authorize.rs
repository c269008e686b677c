//! Whether a request may go on: asks the authorization filters, counts, and leaves the reason in the record.
//!
//! The path that is judged is the one that routing matched and the upstream receives. Allocates nothing per request.

use std::sync::Arc;

use leno_core::authorization::Permit;
use leno_core::filter_chain::HttpManager;
use leno_core::http_filter::{AuthorizationFilter, Filter};
use leno_core::reply::Failure;
use leno_core::route_table::RouteEntry;
use leno_telemetry::{AuthorizationKey, AuthorizationScope, AuthorizationStats};

use super::edited::client;
use super::exchange::Failed;
use super::headers;
use super::session::Session;
use super::view::View;
use crate::listener::authorize::count;
use crate::worker::Worker;

/// Asks one filter, the so-manieth of its kind.
pub(super) fn authorize(
    session: &mut Session,
    (number, filter): (usize, &AuthorizationFilter),
    route: Option<&RouteEntry>,
    permit: Permit,
) -> Result<Permit, Failed> {
    let Some(check) = filter.of(route) else { return Ok(permit) };
    let view = View { head: &session.request, scheme: headers::scheme(session) };
    let mut caller = session.facts.caller();
    if check.asks_client() && caller.client.is_some() {
        let trusts_forwarded = !session.manager.settings.use_remote_address;
        caller.client = Some(client(&session.request, &session.facts, trusts_forwarded).ip());
    }
    let verdicts = check.judge(&caller, &view);
    if let Some(stats) = session.authorization.get(number) {
        count(stats, &verdicts);
    }
    verdicts.enforce(permit).map_err(|denied| {
        session.record.denied(denied.detail);
        Failure::AuthorizationDenied.into()
    })
}

/// The counters of the manager's authorization filters, in their order.
pub(super) fn stats(worker: &Worker, manager: &HttpManager) -> Box<[AuthorizationStats]> {
    let of = |filter: &Filter| match filter {
        Filter::Authorization(filter) => {
            Some(worker.telemetry.shard.authorization(&AuthorizationKey {
                scope: AuthorizationScope::Requests,
                stat_prefix: manager.settings.stat_prefix.as_str().into(),
                rules_prefix: Arc::clone(&filter.rules_stat_prefix),
                shadow_rules_prefix: Arc::clone(&filter.shadow_rules_stat_prefix),
            }))
        }
        _ => None,
    };
    manager.filters.iter().filter_map(of).collect()
}
