//! The HTTP filters of a connection manager, compiled and in the configured order.
//!
//! The proxy runs them one after the other, before the route's action; what a route says in place of a filter's own
//! settings is resolved here. The set is closed: a filter is a variant, and the compiler lists every place that must
//! learn about it.

use std::sync::Arc;

use crate::authorization::Authorization;
use crate::config::{self, FaultInjection};
use crate::fault::Fault;
use crate::problem::{ProblemKind, Report};
use crate::route_table::RouteEntry;

/// One filter.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Delay and abort.
    Fault(FaultFilter),
    /// Who may do what.
    Authorization(AuthorizationFilter),
    /// Peers tell each other over headers whom they stand for.
    PeerMetadata,
    /// Resolves the authority once the cluster is known; wherever the filter stands, and only for clusters that ask for it.
    DynamicForwardProxy,
    /// Istio's metrics. They are counted when the exchange ends, wherever the filter stands.
    Stats,
    /// Ends the list: the route's action.
    Router,
}

/// `envoy.filters.http.fault`: its own settings, for routes that say nothing.
#[derive(Clone, Debug)]
pub struct FaultFilter(Option<Fault>);

/// What a route says in place of the fault filter's own settings.
#[derive(Clone, Debug)]
pub enum RouteFault {
    /// Nothing is injected.
    Disabled,
    /// This is.
    Inject(Box<Fault>),
}

/// `envoy.filters.http.rbac`: its own settings, for routes that say nothing.
#[derive(Clone, Debug)]
pub struct AuthorizationFilter {
    own: Authorization,
    /// As configured, for statistics.
    pub rules_stat_prefix: Arc<str>,
    /// The same of the shadow rules.
    pub shadow_rules_stat_prefix: Arc<str>,
}

/// What a route says in place of the authorization filter's own settings.
#[derive(Clone, Debug)]
pub enum RouteAuthorization {
    /// Nothing is checked.
    Disabled,
    /// This is.
    Check(Box<Authorization>),
}

impl AuthorizationFilter {
    /// What applies to a request with this route, or without one: the route's word, else the filter's own.
    #[must_use]
    pub fn of<'a>(&'a self, route: Option<&'a RouteEntry>) -> Option<&'a Authorization> {
        let check = match route.and_then(|route| route.authorization.as_ref()) {
            Some(RouteAuthorization::Check(check)) => check,
            Some(RouteAuthorization::Disabled) => return None,
            None => &self.own,
        };
        (!check.is_empty()).then_some(check)
    }
}

impl RouteAuthorization {
    pub(crate) fn compile(config: &config::RouteAuthorization, report: &mut Report) -> Self {
        match config {
            config::RouteAuthorization::Disabled => Self::Disabled,
            config::RouteAuthorization::Check(check) => {
                Self::Check(Box::new(compile_authorization(check, report)))
            }
        }
    }
}

/// A prefix of statistics as a label: the dot at its end is not part of it.
pub(crate) fn stat_label(prefix: &str) -> Arc<str> {
    prefix.trim_end_matches('.').into()
}

fn compile_authorization(check: &config::Authorization, report: &mut Report) -> Authorization {
    report.within(format_args!(".authorization"), |report| Authorization::compile(check, report))
}

impl FaultFilter {
    /// What applies to a request with this route, or without one: the route's word, else the filter's own.
    #[must_use]
    pub fn of<'a>(&'a self, route: Option<&'a RouteEntry>) -> Option<&'a Fault> {
        match route.and_then(|route| route.fault.as_ref()) {
            Some(RouteFault::Inject(fault)) => Some(fault),
            Some(RouteFault::Disabled) => None,
            None => self.0.as_ref(),
        }
    }
}

impl RouteFault {
    pub(crate) fn compile(config: &config::RouteFault, report: &mut Report) -> Self {
        match config {
            config::RouteFault::Disabled => Self::Disabled,
            config::RouteFault::Inject(fault) => {
                Self::Inject(Box::new(compile_fault(fault, report)))
            }
        }
    }
}

fn compile_fault(fault: &FaultInjection, report: &mut Report) -> Fault {
    report.within(format_args!(".fault"), |report| Fault::compile(fault, report))
}

/// Checks the list as a whole: the router ends it, and nothing else does.
pub(crate) fn compile(filters: &[config::HttpFilter], report: &mut Report) -> Box<[Filter]> {
    let routers = filters.iter().filter(|filter| **filter == config::HttpFilter::Router).count();
    if routers != 1 || filters.last() != Some(&config::HttpFilter::Router) {
        report.problem_at(format_args!(".http_filters"), ProblemKind::RouterNotLast);
    }
    let compile_one = |(i, filter): (usize, &config::HttpFilter)| match filter {
        config::HttpFilter::Fault(own) => {
            report.within(format_args!(".http_filters[{i}]"), |report| {
                let own = own.as_ref().map(|fault| compile_fault(fault, report));
                Filter::Fault(FaultFilter(own))
            })
        }
        config::HttpFilter::Authorization(check) => {
            report.within(format_args!(".http_filters[{i}]"), |report| {
                Filter::Authorization(AuthorizationFilter {
                    own: compile_authorization(check, report),
                    rules_stat_prefix: stat_label(&check.rules_stat_prefix),
                    shadow_rules_stat_prefix: stat_label(&check.shadow_rules_stat_prefix),
                })
            })
        }
        config::HttpFilter::IstioStats => Filter::Stats,
        config::HttpFilter::PeerMetadata => Filter::PeerMetadata,
        config::HttpFilter::DynamicForwardProxy => Filter::DynamicForwardProxy,
        config::HttpFilter::Router => Filter::Router,
    };
    filters.iter().enumerate().map(compile_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FaultAbort, Fraction, HttpFilter};
    use crate::route_table::RouteTable;
    use crate::samples::{self, prefix, route_to};

    fn abort(status: u16) -> FaultInjection {
        FaultInjection {
            delay: None,
            abort: Some(FaultAbort { status, fraction: Fraction::ALWAYS }),
        }
    }

    fn compiled(filters: &[HttpFilter]) -> Result<Box<[Filter]>, Vec<String>> {
        let mut report = Report::new("http".to_owned());
        let filters = compile(filters, &mut report);
        let lines = |problems: Vec<crate::problem::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        report.finish(|| filters).map_err(lines)
    }

    #[test]
    fn a_route_speaks_before_the_filter() {
        let own = HttpFilter::Fault(Some(abort(501)));
        let none = HttpFilter::Fault(None);
        let says = config::RouteFault::Inject(Box::new(abort(502)));
        // (the filter's own, what the route says, what is answered)
        let table: [(&HttpFilter, Option<config::RouteFault>, Option<u16>); 6] = [
            (&own, None, Some(501)),
            (&own, Some(config::RouteFault::Disabled), None),
            (&own, Some(says.clone()), Some(502)),
            (&none, None, None),
            (&none, Some(config::RouteFault::Disabled), None),
            (&none, Some(says), Some(502)),
        ];
        for (filter, said, expected) in table {
            let filters = compiled(&[filter.clone(), HttpFilter::Router]).unwrap();
            let Filter::Fault(filter) = &filters[0] else { panic!("the order is kept") };
            let mut one = route_to(prefix("/"), "a");
            one.fault = said;
            let routes = RouteTable::compile(&Arc::new(samples::table(
                "r",
                vec![samples::virtual_host("all", &["*"], vec![one])],
            )))
            .unwrap();
            let entry = &routes.virtual_hosts()[0].routes()[0];
            let status = |fault: Option<&Fault>| Some(fault?.abort()?.0);
            assert_eq!(status(filter.of(Some(entry))), expected);
            assert_eq!(status(filter.of(None)), status(filter.0.as_ref()), "without a route");
        }
    }

    #[test]
    fn a_route_speaks_before_the_authorization_filter() {
        let allow_none = || config::Authorization {
            rules: Some(config::AuthorizationRules {
                action: config::AuthorizationAction::Allow,
                policies: std::collections::BTreeMap::new(),
            }),
            ..config::Authorization::default()
        };
        let own = HttpFilter::Authorization(Box::new(allow_none()));
        let none = HttpFilter::Authorization(Box::default());
        let says = config::RouteAuthorization::Check(Box::new(allow_none()));
        // (the filter's own, what the route says, whether anything is checked)
        let table: [(&HttpFilter, Option<config::RouteAuthorization>, bool); 5] = [
            (&own, None, true),
            (&own, Some(config::RouteAuthorization::Disabled), false),
            (&own, Some(says.clone()), true),
            (&none, None, false),
            (&none, Some(says), true),
        ];
        for (filter, said, expected) in table {
            let filters = compiled(&[filter.clone(), HttpFilter::Router]).unwrap();
            let Filter::Authorization(filter) = &filters[0] else { panic!("the order is kept") };
            let mut one = route_to(prefix("/"), "a");
            one.authorization = said;
            let routes = RouteTable::compile(&Arc::new(samples::table(
                "r",
                vec![samples::virtual_host("all", &["*"], vec![one])],
            )))
            .unwrap();
            let entry = &routes.virtual_hosts()[0].routes()[0];
            assert_eq!(filter.of(Some(entry)).is_some(), expected);
        }
    }

    #[test]
    fn a_wrong_list_is_told_with_its_place() {
        let table: [(&[HttpFilter], &str); 4] = [
            (&[], "http.http_filters: the last"),
            (&[HttpFilter::Router, HttpFilter::Fault(None)], "http.http_filters: the last"),
            (&[HttpFilter::Router, HttpFilter::Router], "http.http_filters: the last"),
            (
                &[HttpFilter::Fault(Some(abort(99))), HttpFilter::Router],
                "http.http_filters[0].fault.abort.status: status 99",
            ),
        ];
        for (filters, expected) in table {
            let problems = compiled(filters).unwrap_err();
            assert!(problems[0].starts_with(expected), "{problems:?}");
        }
    }
}
