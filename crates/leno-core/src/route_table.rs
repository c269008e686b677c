//! The compiled route configuration: from a request to the route that takes it. Called once per request; allocates
//! only where a rewrite or redirect makes a new string.
//!
//! Invariant: the answer equals that of a naive scan over virtual hosts and routes in their order.

mod action;
mod host_index;
mod path_index;
mod rewrite;
mod route_match;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

pub use action::{Action, ClusterChoice, ClusterTarget, DirectResponse, Forward, Mirror};
pub use rewrite::Redirect;

use self::host_index::HostIndex;
use self::path_index::PathIndex;
use self::route_match::RouteMatcher;
use crate::config;
use crate::header_edit::{HeaderEdits, HeadersMut};
use crate::http_filter::{RouteAuthorization, RouteFault};
use crate::name::ResourceName;
use crate::problem::{Problem, ProblemKind, Report};
use crate::request::{RequestView, path_only};
use crate::retry::RetryPolicy;

/// A compiled [`config::RouteConfiguration`].
#[derive(Debug)]
pub struct RouteTable {
    name: ResourceName,
    source: Arc<config::RouteConfiguration>,
    hosts: HostIndex,
    virtual_hosts: Box<[VirtualHost]>,
    request_edits: HeaderEdits,
    response_edits: HeaderEdits,
}

/// Hosts that share routes.
#[derive(Debug)]
pub struct VirtualHost {
    /// Unique within its route table.
    pub name: Arc<str>,
    /// Add `x-envoy-attempt-count` to requests.
    pub include_attempt_count: bool,
    routes: Box<[RouteEntry]>,
    paths: PathIndex,
    request_edits: HeaderEdits,
    response_edits: HeaderEdits,
}

/// One route.
#[derive(Debug)]
pub struct RouteEntry {
    /// For logs, metrics and explanation; may be empty.
    pub name: Arc<str>,
    /// The document it was translated from.
    pub origin: Option<Arc<str>>,
    /// What is done.
    pub action: Action,
    /// What it says to the fault filter.
    pub fault: Option<RouteFault>,
    /// What it says to the authorization filter.
    pub authorization: Option<RouteAuthorization>,
    matcher: RouteMatcher,
    request_edits: HeaderEdits,
    response_edits: HeaderEdits,
}

/// The route that takes a request, with the levels above it.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    /// The route configuration.
    pub table: &'a RouteTable,
    /// The virtual host.
    pub virtual_host: &'a VirtualHost,
    /// The route.
    pub route: &'a RouteEntry,
    /// The route's position in its virtual host.
    pub position: usize,
}

/// Why no route takes a request; either way the answer is 404 with flag `NR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRouted<'a> {
    /// No virtual host has the authority among its domains.
    NoVirtualHost,
    /// The virtual host of this name has no route that matches.
    NoRoute(&'a str),
}

impl RouteTable {
    /// Checks and compiles; reports every problem, each path starting with `routes[NAME]`.
    pub fn compile(source: &Arc<config::RouteConfiguration>) -> Result<Self, Vec<Problem>> {
        Self::compile_at(source, format!("routes[{}]", source.name))
    }

    /// The same for a table written in place at `root`.
    pub(crate) fn compile_at(
        source: &Arc<config::RouteConfiguration>,
        root: String,
    ) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(root);
        let named: Vec<(&str, &[String])> = source
            .virtual_hosts
            .iter()
            .map(|host| (host.name.as_str(), host.domains.as_slice()))
            .collect();
        let hosts = HostIndex::compile(&named, &mut report);
        let mut names = HashSet::new();
        let mut virtual_hosts = Vec::with_capacity(source.virtual_hosts.len());
        for host in &source.virtual_hosts {
            report.within(format_args!(".virtual_hosts[{}]", host.name), |report| {
                if !names.insert(&host.name) {
                    report.problem(ProblemKind::DuplicateVirtualHost { name: host.name.clone() });
                }
                virtual_hosts.push(VirtualHost::compile(host, report));
            });
        }
        let request_edits = edits("request_headers", &source.request_headers, &mut report);
        let response_edits = edits("response_headers", &source.response_headers, &mut report);
        report.finish(|| Self {
            name: ResourceName::new(&source.name),
            source: Arc::clone(source),
            hosts,
            virtual_hosts: virtual_hosts.into(),
            request_edits,
            response_edits,
        })
    }

    /// The RDS name.
    #[must_use]
    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    /// What it was compiled from.
    #[must_use]
    pub fn source(&self) -> &Arc<config::RouteConfiguration> {
        &self.source
    }

    /// Every virtual host, in order.
    #[must_use]
    pub fn virtual_hosts(&self) -> &[VirtualHost] {
        &self.virtual_hosts
    }

    /// The virtual host that owns the request's authority.
    pub fn virtual_host<R: RequestView + ?Sized>(&self, request: &R) -> Option<&VirtualHost> {
        let host = self.hosts.find(request.authority())?;
        Some(&self.virtual_hosts[host as usize])
    }

    /// The first route of the most specific virtual host that matches.
    pub fn route<R: RequestView + ?Sized>(
        &self,
        request: &R,
    ) -> Result<Matched<'_>, NotRouted<'_>> {
        let virtual_host = self.virtual_host(request).ok_or(NotRouted::NoVirtualHost)?;
        let path = path_only(request.path());
        let fits = |at: u32| virtual_host.routes[at as usize].matcher.is_match(path, request);
        let Some(position) = virtual_host.paths.first(path, fits) else {
            return Err(NotRouted::NoRoute(&virtual_host.name));
        };
        let position = position as usize;
        let route = &virtual_host.routes[position];
        Ok(Matched { table: self, virtual_host, route, position })
    }
}

impl VirtualHost {
    fn compile(config: &config::VirtualHost, report: &mut Report) -> Self {
        if config.name.is_empty() {
            report.problem_at(format_args!(".name"), ProblemKind::Empty { what: "name" });
        }
        if config.domains.is_empty() {
            report.problem_at(format_args!(".domains"), ProblemKind::Empty { what: "domain" });
        }
        let retry = config.retry_policy.as_ref().map(|policy| {
            report.within(format_args!(".retry_policy"), |report| {
                Arc::new(RetryPolicy::compile(policy, report))
            })
        });
        let compile_route = |(i, route): (usize, &config::Route)| {
            report.within(format_args!(".routes[{i}]"), |report| {
                RouteEntry::compile(route, retry.as_ref(), report)
            })
        };
        // A route that did not compile leaves a gap, but then the table as a whole is refused.
        let routes: Vec<_> = config.routes.iter().enumerate().filter_map(compile_route).collect();
        Self {
            name: config.name.as_str().into(),
            include_attempt_count: config.include_attempt_count,
            routes: routes.into(),
            paths: PathIndex::build(config.routes.iter().map(|route| &route.route_match.path)),
            request_edits: edits("request_headers", &config.request_headers, report),
            response_edits: edits("response_headers", &config.response_headers, report),
        }
    }

    /// Every route, in order.
    #[must_use]
    pub fn routes(&self) -> &[RouteEntry] {
        &self.routes
    }
}

impl RouteEntry {
    /// The first condition the request does not meet (`path`, `header end-user`), for explanation; `None` is a match.
    pub fn mismatch<R: RequestView + ?Sized>(&self, request: &R) -> Option<String> {
        self.matcher.mismatch(path_only(request.path()), request)
    }

    fn compile(
        config: &config::Route,
        inherited_retry: Option<&Arc<RetryPolicy>>,
        report: &mut Report,
    ) -> Option<Self> {
        let matcher = report.within(format_args!(".match"), |report| {
            RouteMatcher::compile(&config.route_match, report)
        });
        let action = Action::compile(&config.action, inherited_retry, report);
        let fault = config.fault.as_ref().map(|fault| RouteFault::compile(fault, report));
        let authorization = config.authorization.as_ref();
        let authorization = authorization.map(|said| RouteAuthorization::compile(said, report));
        let request_edits = edits("request_headers", &config.request_headers, report);
        let response_edits = edits("response_headers", &config.response_headers, report);
        Some(Self {
            name: config.name.as_str().into(),
            origin: config.origin.as_deref().map(Arc::from),
            action,
            fault,
            authorization,
            matcher: matcher?,
            request_edits,
            response_edits,
        })
    }
}

fn edits(field: &str, config: &config::HeaderMutations, report: &mut Report) -> HeaderEdits {
    report.within(format_args!(".{field}"), |report| HeaderEdits::compile(config, report))
}

impl<'a> Matched<'a> {
    /// Edits the request's headers: weighted cluster, route, virtual host, route configuration (Envoy's default order).
    /// `target` is the chosen cluster, if the route forwards.
    pub fn edit_request(&self, target: Option<&ClusterTarget>, headers: &mut impl HeadersMut) {
        if let Some(target) = target {
            target.request_edits.apply(headers);
        }
        self.route.request_edits.apply(headers);
        self.virtual_host.request_edits.apply(headers);
        self.table.request_edits.apply(headers);
    }

    /// Edits the response's headers, in the same order.
    pub fn edit_response(&self, target: Option<&ClusterTarget>, headers: &mut impl HeadersMut) {
        if let Some(target) = target {
            target.response_edits.apply(headers);
        }
        self.route.response_edits.apply(headers);
        self.virtual_host.response_edits.apply(headers);
        self.table.response_edits.apply(headers);
    }

    /// Whether any level edits request headers; lets a caller skip the work of opening them for edits.
    #[must_use]
    pub fn edits_request(&self, target: Option<&ClusterTarget>) -> bool {
        target.is_some_and(|target| !target.request_edits.is_empty())
            || !self.route.request_edits.is_empty()
            || !self.virtual_host.request_edits.is_empty()
            || !self.table.request_edits.is_empty()
    }

    /// Whether any level edits response headers.
    #[must_use]
    pub fn edits_response(&self, target: Option<&ClusterTarget>) -> bool {
        target.is_some_and(|target| !target.response_edits.is_empty())
            || !self.route.response_edits.is_empty()
            || !self.virtual_host.response_edits.is_empty()
            || !self.table.response_edits.is_empty()
    }

    /// The path sent upstream, where the route rewrites it; query and fragment stay.
    pub fn rewritten_path<R: RequestView + ?Sized>(&self, request: &R) -> Option<Vec<u8>> {
        let Action::Forward(forward) = &self.route.action else { return None };
        let rewrite = forward.path_rewrite.as_ref()?;
        Some(rewrite.apply(&self.route.matcher, request.path()))
    }

    /// The authority sent upstream, where the route rewrites it.
    #[must_use]
    pub fn rewritten_host(&self) -> Option<&'a str> {
        match &self.route.action {
            Action::Forward(forward) => forward.host_rewrite.as_deref(),
            Action::Redirect(_) | Action::DirectResponse(_) => None,
        }
    }

    /// The `location` of a redirect.
    pub fn redirect_location<R: RequestView + ?Sized>(
        &self,
        redirect: &Redirect,
        request: &R,
    ) -> Vec<u8> {
        redirect.location(&self.route.matcher, request)
    }
}
