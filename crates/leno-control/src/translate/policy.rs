//! DestinationRules for one port and subset, merged as Istio does.
//!
//! A subset's settings go over the rule's, one group at a time; a port's settings replace the groups of its level as
//! a whole. Subsets of several rules for the same host come together; the first rule's settings stand.

use std::sync::Arc;

use leno_api::spec::Labels;
use leno_api::spec::destination_rule::{
    DestinationRule, RetryBudget, Settings, Subset, TrafficPolicy,
};

use crate::world::Rule;

/// What holds for one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Policy {
    pub(super) settings: Settings,
    pub(super) retry_budget: Option<RetryBudget>,
    /// The document it comes from.
    pub(super) origin: Option<String>,
}

/// A named part of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NamedSubset {
    pub(super) name: String,
    pub(super) labels: Labels,
}

/// The policy of the whole service at `port`, then that of each subset.
pub(super) fn resolve(
    rules: &[Arc<Rule<DestinationRule>>],
    port: u16,
) -> Vec<(Option<NamedSubset>, Policy)> {
    let Some(first) = rules.first() else { return vec![(None, Policy::default())] };
    let base = at_port(&first.spec.traffic_policy, port);
    let retry_budget = &first.spec.traffic_policy.retry_budget;
    let whole = Policy {
        settings: base.clone(),
        retry_budget: retry_budget.clone(),
        origin: Some(first.origin()),
    };
    let mut resolved = vec![(None, whole)];
    for (rule, subset) in
        rules.iter().flat_map(|rule| rule.spec.subsets.iter().map(move |s| (rule, s)))
    {
        let known = |(known, _): &(Option<NamedSubset>, Policy)| {
            known.as_ref().is_some_and(|known| known.name == subset.name)
        };
        if !resolved.iter().any(known) {
            let policy = of_subset(&base, retry_budget.as_ref(), rule, subset, port);
            let named = NamedSubset { name: subset.name.clone(), labels: subset.labels.clone() };
            resolved.push((Some(named), policy));
        }
    }
    resolved
}

fn of_subset(
    base: &Settings,
    retry_budget: Option<&RetryBudget>,
    rule: &Rule<DestinationRule>,
    subset: &Subset,
    port: u16,
) -> Policy {
    let own = subset.traffic_policy.as_ref();
    let over = own.map(|policy| at_port(policy, port)).unwrap_or_default();
    let settings = Settings {
        load_balancer: over.load_balancer.or_else(|| base.load_balancer.clone()),
        connection_pool: over.connection_pool.or_else(|| base.connection_pool.clone()),
        outlier_detection: over.outlier_detection.or_else(|| base.outlier_detection.clone()),
        tls: over.tls.or_else(|| base.tls.clone()),
    };
    let retry_budget =
        own.and_then(|policy| policy.retry_budget.as_ref()).or(retry_budget).cloned();
    Policy { settings, retry_budget, origin: Some(rule.origin()) }
}

fn at_port(policy: &TrafficPolicy, port: u16) -> Settings {
    let own = policy.port_level_settings.iter().find(|settings| settings.port.number == port);
    own.map_or_else(|| policy.settings.clone(), |own| own.settings.clone())
}
