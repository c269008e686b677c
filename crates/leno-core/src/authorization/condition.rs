//! Permissions and principals as one tree of conditions.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Caller;
use super::index::{Anchor, Dimension};
use crate::config::{Permission, Policy, Principal};
use crate::header_match::HeaderMatcher;
use crate::problem::{ProblemKind, Report};
use crate::request::{RequestView, path_only};
use crate::string_match::{Fixed, StringMatcher};

/// What must hold.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Always,
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    Header(Box<HeaderMatcher>),
    Path(StringMatcher),
    DestinationIp(IpNet),
    /// From the first to the second, which is beyond.
    DestinationPort(u32, u32),
    ServerName(StringMatcher),
    Authenticated(Option<StringMatcher>),
    Source(IpNet),
    Direct(IpNet),
    Client(IpNet),
}

impl Condition {
    pub(super) fn of_policy(policy: &Policy, report: &mut Report) -> Self {
        let permissions = each("permissions", &policy.permissions, report, Self::of_permission);
        let principals = each("principals", &policy.principals, report, Self::of_principal);
        Self::all(vec![Self::any(permissions), Self::any(principals)])
    }

    fn of_permission(permission: &Permission, report: &mut Report) -> Option<Self> {
        let set = |step, rules, report: &mut Report| {
            non_empty(step, rules, report);
            each(step, rules, report, Self::of_permission)
        };
        Some(match permission {
            Permission::Any => Self::Always,
            Permission::And(rules) => Self::all(set("and_rules", rules, report)),
            Permission::Or(rules) => Self::any(set("or_rules", rules, report)),
            Permission::Not(rule) => {
                let rule = report
                    .within(format_args!(".not_rule"), |report| Self::of_permission(rule, report));
                Self::Not(Box::new(rule?))
            }
            Permission::Header(header) => {
                Self::Header(Box::new(at("header", header, report, HeaderMatcher::compile)?))
            }
            Permission::UrlPath(text) => {
                Self::Path(at("url_path", text, report, StringMatcher::compile)?)
            }
            Permission::DestinationIp(range) => Self::DestinationIp(*range),
            Permission::DestinationPort(port) => {
                Self::DestinationPort(u32::from(*port), u32::from(*port) + 1)
            }
            &Permission::DestinationPortRange { start, end } => {
                if start >= end {
                    let (start, end) = (i64::from(start), i64::from(end));
                    let what = ProblemKind::EmptyRange { start, end };
                    report.problem_at(format_args!(".destination_port_range"), what);
                }
                Self::DestinationPort(start, end)
            }
            Permission::RequestedServerName(text) => {
                Self::ServerName(at("requested_server_name", text, report, StringMatcher::compile)?)
            }
        })
    }

    fn of_principal(principal: &Principal, report: &mut Report) -> Option<Self> {
        let set = |step, ids, report: &mut Report| {
            non_empty(step, ids, report);
            each(step, ids, report, Self::of_principal)
        };
        Some(match principal {
            Principal::Any => Self::Always,
            Principal::And(ids) => Self::all(set("and_ids", ids, report)),
            Principal::Or(ids) => Self::any(set("or_ids", ids, report)),
            Principal::Not(id) => {
                let id =
                    report.within(format_args!(".not_id"), |report| Self::of_principal(id, report));
                Self::Not(Box::new(id?))
            }
            Principal::Authenticated(None) => Self::Authenticated(None),
            Principal::Authenticated(Some(name)) => {
                let name = at("authenticated.principal_name", name, report, StringMatcher::compile);
                Self::Authenticated(Some(name?))
            }
            Principal::SourceIp(range) => Self::Source(*range),
            Principal::DirectRemoteIp(range) => Self::Direct(*range),
            Principal::RemoteIp(range) => Self::Client(*range),
            Principal::Header(header) => {
                Self::Header(Box::new(at("header", header, report, HeaderMatcher::compile)?))
            }
            Principal::UrlPath(text) => {
                Self::Path(at("url_path", text, report, StringMatcher::compile)?)
            }
        })
    }

    /// All of them, the cheap ones first: the order changes nothing else.
    fn all(conditions: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match condition {
                Self::Always => {}
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat.sort_by_key(Self::cost);
        match flat.len() {
            0 => Self::Always,
            1 => flat.swap_remove(0),
            _ => Self::All(flat.into()),
        }
    }

    fn any(mut conditions: Vec<Self>) -> Self {
        if conditions.iter().any(|condition| matches!(condition, Self::Always)) {
            return Self::Always;
        }
        match conditions.len() {
            1 => conditions.swap_remove(0),
            _ => Self::Any(conditions.into()),
        }
    }

    fn cost(&self) -> u8 {
        match self {
            Self::Always | Self::DestinationPort(..) => 0,
            Self::DestinationIp(_) | Self::Source(_) | Self::Direct(_) | Self::Client(_) => 1,
            Self::Authenticated(_) | Self::Path(_) | Self::ServerName(_) => 2,
            Self::Header(_) => 3,
            Self::Not(condition) => condition.cost(),
            Self::All(_) | Self::Any(_) => 4,
        }
    }

    /// `path` is the request's without query, if it has one.
    pub(super) fn holds<R: RequestView + ?Sized>(
        &self,
        caller: &Caller<'_>,
        path: Option<&[u8]>,
        request: Option<&R>,
    ) -> bool {
        let within = |range: &IpNet, address: Option<IpAddr>| {
            address.is_some_and(|address| range.contains(&address.to_canonical()))
        };
        match self {
            Self::Always => true,
            Self::All(all) => all.iter().all(|each| each.holds(caller, path, request)),
            Self::Any(any) => any.iter().any(|each| each.holds(caller, path, request)),
            Self::Not(condition) => !condition.holds(caller, path, request),
            Self::Header(header) => header.is_match(request),
            Self::Path(text) => path.is_some_and(|path| text.is_match(path)),
            Self::DestinationIp(range) => within(range, caller.destination.map(|d| d.ip())),
            Self::DestinationPort(start, end) => caller
                .destination
                .is_some_and(|destination| (*start..*end).contains(&destination.port().into())),
            Self::ServerName(text) => text.is_match(caller.server_name.unwrap_or("").as_bytes()),
            Self::Authenticated(None) => caller.principal.is_some(),
            Self::Authenticated(Some(name)) => {
                caller.principal.is_some_and(|principal| name.is_match(principal.as_bytes()))
            }
            Self::Source(range) => within(range, caller.source),
            Self::Direct(range) => within(range, caller.direct),
            Self::Client(range) => within(range, caller.client),
        }
    }

    pub(super) fn asks_client(&self) -> bool {
        match self {
            Self::Client(_) => true,
            Self::All(inner) | Self::Any(inner) => inner.iter().any(Self::asks_client),
            Self::Not(inner) => inner.asks_client(),
            _ => false,
        }
    }

    /// Texts of which the call has one wherever this holds; `None` where nothing is known.
    pub(super) fn anchors(&self, dimension: Dimension) -> Option<Vec<Anchor>> {
        match self {
            Self::All(all) => {
                let known = all.iter().filter_map(|each| each.anchors(dimension));
                known.min_by_key(|anchors| {
                    let shortest = anchors.iter().map(Anchor::length).min();
                    (anchors.len(), std::cmp::Reverse(shortest))
                })
            }
            Self::Any(any) => {
                let each: Option<Vec<_>> = any.iter().map(|e| e.anchors(dimension)).collect();
                Some(each?.concat())
            }
            Self::Path(text) if dimension == Dimension::Path => Anchor::of_path(text.fixed()?),
            Self::Header(header) if dimension == Dimension::Path => {
                match header.path_pattern()?.fixed()? {
                    // The text goes on into the query; what is before it is all of the path.
                    Fixed::Whole(text) => Anchor::of_path(Fixed::Whole(path_only(text))),
                    Fixed::Front(text) if path_only(text).len() < text.len() => {
                        Anchor::of_path(Fixed::Whole(path_only(text)))
                    }
                    front => Anchor::of_path(front),
                }
            }
            Self::Authenticated(Some(name)) if dimension == Dimension::Principal => {
                match name.fixed()? {
                    Fixed::Whole(text) => Some(vec![Anchor::principal(text)]),
                    Fixed::Front(_) => None,
                }
            }
            _ => None,
        }
    }
}

fn non_empty<T>(step: &str, list: &[T], report: &mut Report) {
    if list.is_empty() {
        let what = ProblemKind::Empty { what: "condition" };
        report.problem_at(format_args!(".{step}"), what);
    }
}

fn at<C, T>(
    step: &str,
    config: &C,
    report: &mut Report,
    compile: fn(&C, &mut Report) -> Option<T>,
) -> Option<T> {
    report.within(format_args!(".{step}"), |report| compile(config, report))
}

/// What does not compile leaves a gap, but then the whole is refused.
fn each<C>(
    step: &str,
    configs: &[C],
    report: &mut Report,
    compile: fn(&C, &mut Report) -> Option<Condition>,
) -> Vec<Condition> {
    let compile_at =
        |(i, config)| report.within(format_args!(".{step}[{i}]"), |report| compile(config, report));
    configs.iter().enumerate().filter_map(compile_at).collect()
}
