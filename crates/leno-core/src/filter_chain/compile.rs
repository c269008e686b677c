//! From a listener's configuration to its compiled form.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    ConnectionAuthorization, ConnectionLimit, FilterChain, HttpManager, Listener, NetworkFilter,
    RouteSource, TcpProxy, TlsTermination, Tunneling,
};
use crate::authorization::Authorization;
use crate::cluster::compile_sans;
use crate::config::{self, FilterChainMatch, TransportProtocol};
use crate::format::Format;
use crate::header_edit::HeaderEdits;
use crate::http_filter::{self, stat_label};
use crate::name::ResourceName;
use crate::problem::{Problem, ProblemKind, Report};
use crate::route_table::{ClusterChoice, RouteTable};

impl Listener {
    /// Checks and compiles; reports every problem, each path starting with `listeners[NAME]`.
    pub fn compile(source: &Arc<config::Listener>) -> Result<Self, Vec<Problem>> {
        let root = format!("listeners[{}]", source.name);
        let mut report = Report::new(root.clone());
        let mut inner = Vec::new();
        if source.name.is_empty() {
            report.problem_at(format_args!(".name"), ProblemKind::Empty { what: "name" });
        }
        if source.filter_chains.is_empty()
            && source.default_filter_chain.is_none()
            && !source.use_original_dst
        {
            report.problem(ProblemKind::NoFilterChain);
        }
        let timeout = Some(source.listener_filters_timeout);
        report.check_duration("listener_filters_timeout", timeout);
        let mut taken = HashMap::new();
        let mut chains = Vec::with_capacity(source.filter_chains.len());
        for (i, chain) in source.filter_chains.iter().enumerate() {
            let step = format!(".filter_chains[{}]", label(&chain.name, i));
            report.within(format_args!("{step}"), |report| {
                check_unique(chain, i, &mut taken, report);
                chains.extend(compile_chain(chain, &format!("{root}{step}"), report, &mut inner));
            });
        }
        let default_chain = source.default_filter_chain.as_ref().and_then(|chain| {
            report.within(format_args!(".default_filter_chain"), |report| {
                let at = format!("{root}.default_filter_chain");
                compile_chain(chain, &at, report, &mut inner)
            })
        });
        let compiled = report.finish(|| Self {
            name: source.name.as_str().into(),
            source: Arc::clone(source),
            chains: chains.into(),
            default_chain,
        });
        match compiled {
            Ok(listener) if inner.is_empty() => Ok(listener),
            Ok(_) => Err(inner),
            Err(mut problems) => {
                problems.append(&mut inner);
                Err(problems)
            }
        }
    }
}

/// Chains without a name are told apart by position.
fn label(name: &str, position: usize) -> String {
    if name.is_empty() { position.to_string() } else { name.to_owned() }
}

/// What one chain may combine: each combination is looked at.
const COMBINATIONS_MAX: usize = 1 << 16;

/// One combination of single match values.
type Combination = (Option<u16>, Option<ipnet::IpNet>, String, Option<TransportProtocol>, String);

fn check_unique(
    chain: &config::FilterChain,
    position: usize,
    taken: &mut HashMap<Combination, (usize, String)>,
    report: &mut Report,
) {
    let FilterChainMatch {
        destination_port,
        prefix_ranges,
        transport_protocol,
        application_protocols,
        server_names,
    } = &chain.filter_chain_match;
    for (i, name) in server_names.iter().enumerate() {
        let rest = name.strip_prefix("*.").unwrap_or(name);
        if rest.is_empty() || rest.contains('*') {
            let what = ProblemKind::InvalidServerName { name: name.clone() };
            report.problem_at(format_args!(".match.server_names[{i}]"), what);
        }
    }
    let counts = [prefix_ranges.len(), server_names.len(), application_protocols.len()];
    let found = counts.iter().fold(1, |all: usize, count| all.saturating_mul((*count).max(1)));
    if found > COMBINATIONS_MAX {
        let what = ProblemKind::TooManyCombinations { found, max: COMBINATIONS_MAX };
        report.problem_at(format_args!(".match"), what);
        return;
    }
    for range in or_any(prefix_ranges) {
        for name in or_any(server_names) {
            for protocol in or_any(application_protocols) {
                let combination = (
                    *destination_port,
                    range.map(ipnet::IpNet::trunc),
                    name.map(|name| name.to_ascii_lowercase()).unwrap_or_default(),
                    *transport_protocol,
                    protocol.cloned().unwrap_or_default(),
                );
                let own = (position, label(&chain.name, position));
                let (owner, other) = taken.entry(combination).or_insert(own).clone();
                if owner != position {
                    let what = ProblemKind::DuplicateFilterChainMatch { other };
                    report.problem_at(format_args!(".match"), what);
                    return;
                }
            }
        }
    }
}

fn or_any<T>(values: &[T]) -> Vec<Option<&T>> {
    if values.is_empty() { vec![None] } else { values.iter().map(Some).collect() }
}

fn compile_chain(
    chain: &config::FilterChain,
    at: &str,
    report: &mut Report,
    inner: &mut Vec<Problem>,
) -> Option<Arc<FilterChain>> {
    let tls = chain.tls.as_ref().map(|settings| TlsTermination {
        peer_sans: compile_sans("tls", &settings.peer_sans, report),
        settings: settings.clone(),
    });
    let connection_limits = compile_limits(&chain.connection_limits, report);
    let authorization = compile_authorization(&chain.authorization, report);
    let filter = match &chain.filter {
        config::NetworkFilter::Http(manager) => {
            let at = format!("{at}.http");
            let manager = report.within(format_args!(".http"), |report| {
                compile_manager(manager, at, report, inner)
            });
            NetworkFilter::Http(Arc::new(manager?))
        }
        config::NetworkFilter::Tcp(proxy) => {
            let clusters = report.within(format_args!(".tcp.cluster"), |report| {
                ClusterChoice::compile(&proxy.cluster, report)
            });
            report.check_duration("tcp.idle_timeout", proxy.idle_timeout);
            let tunneling = proxy.tunneling.as_ref().and_then(|tunneling| {
                report.within(format_args!(".tcp.tunneling"), |report| {
                    compile_tunneling(tunneling, report)
                })
            });
            NetworkFilter::Tcp(Arc::new(TcpProxy { settings: proxy.clone(), clusters, tunneling }))
        }
    };
    Some(Arc::new(FilterChain {
        name: chain.name.as_str().into(),
        tls,
        connection_limits,
        authorization,
        filter,
        applies: chain.filter_chain_match.clone(),
    }))
}

fn compile_limits(
    limits: &[config::ConnectionLimit],
    report: &mut Report,
) -> Box<[ConnectionLimit]> {
    let compile = |(i, settings): (usize, &config::ConnectionLimit)| {
        report.check_duration(&format!("connection_limits[{i}].delay"), settings.delay);
        ConnectionLimit {
            stat_prefix: stat_label(&settings.stat_prefix),
            max_connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
            delay: settings.delay,
            is_enabled: settings.is_enabled,
        }
    };
    limits.iter().enumerate().map(compile).collect()
}

fn compile_authorization(
    filters: &[config::ConnectionAuthorization],
    report: &mut Report,
) -> Box<[ConnectionAuthorization]> {
    let compile = |(i, settings): (usize, &config::ConnectionAuthorization)| {
        report.within(format_args!(".authorization[{i}]"), |report| ConnectionAuthorization {
            check: Authorization::compile(&settings.check, report),
            stat_prefix: stat_label(&settings.stat_prefix),
            rules_stat_prefix: stat_label(&settings.check.rules_stat_prefix),
            shadow_rules_stat_prefix: stat_label(&settings.check.shadow_rules_stat_prefix),
        })
    };
    filters.iter().enumerate().map(compile).collect()
}

fn compile_tunneling(tunneling: &config::Tunneling, report: &mut Report) -> Option<Tunneling> {
    let headers = report.within(format_args!(".headers"), |report| {
        HeaderEdits::compile(&tunneling.headers, report)
    });
    let value = &tunneling.hostname;
    if value.is_empty() {
        report.problem_at(format_args!(".hostname"), ProblemKind::Empty { what: "host and port" });
    }
    match Format::parse(value) {
        Ok(hostname) => Some(Tunneling { hostname, headers }),
        Err(reason) => {
            let what = ProblemKind::HeaderOperator { value: value.clone(), reason };
            report.problem_at(format_args!(".hostname"), what);
            None
        }
    }
}

fn compile_manager(
    manager: &config::HttpConnectionManager,
    at: String,
    report: &mut Report,
    inner: &mut Vec<Problem>,
) -> Option<HttpManager> {
    report.check_duration("idle_timeout", manager.idle_timeout);
    report.check_duration("request_headers_timeout", manager.request_headers_timeout);
    report.check_duration("stream_idle_timeout", manager.limits.stream_idle_timeout);
    report.check_duration("request_timeout", manager.limits.request_timeout);
    let filters = http_filter::compile(&manager.http_filters, report);
    let routes = match &manager.routes {
        config::RouteSource::Rds(name) => {
            if name.is_empty() {
                let what = ProblemKind::Empty { what: "route configuration name" };
                report.problem_at(format_args!(".routes"), what);
            }
            RouteSource::Rds(ResourceName::new(name))
        }
        config::RouteSource::Inline(source) => {
            match RouteTable::compile_at(source, format!("{at}.routes")) {
                Ok(table) => RouteSource::Inline(Arc::new(table)),
                Err(mut problems) => {
                    inner.append(&mut problems);
                    return None;
                }
            }
        }
    };
    Some(HttpManager { settings: manager.clone(), routes, filters })
}
