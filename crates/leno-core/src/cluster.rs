//! The compiled cluster: settings that cannot fail. Endpoints are not in it ([`crate::endpoint`]), nor is live state.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::circuit::CircuitLimits;
use crate::config::{
    self, Address, Discovery, LbPolicy, ProxyProtocolVersion, UpstreamTls, UpstreamTransport,
};
use crate::name::ResourceName;
use crate::problem::{Problem, ProblemKind, Report};
use crate::string_match::StringMatcher;

/// A compiled [`config::Cluster`].
#[derive(Debug)]
pub struct Cluster {
    name: ResourceName,
    source: Arc<config::Cluster>,
    /// The default, then one per transport match.
    transports: Box<[Arc<Transport>]>,
    limits: CircuitLimits,
}

/// How an endpoint is talked to.
#[derive(Debug)]
pub struct Transport {
    /// The transport match's name; `default` where none fits.
    pub name: Arc<str>,
    /// TLS settings; `None` is plaintext.
    pub tls: Option<TlsTransport>,
    /// The header that names the downstream connection's ends, before TLS; `None` sends none.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

/// TLS towards an endpoint.
#[derive(Debug)]
pub struct TlsTransport {
    /// As configured: names of secrets, server name, ALPN.
    pub settings: UpstreamTls,
    peer_sans: Box<[StringMatcher]>,
}

impl TlsTransport {
    /// Whether a peer with these subject alternative names is the one we want; without a list the bundle decides alone.
    pub fn accepts<'a>(&self, mut sans: impl Iterator<Item = &'a str>) -> bool {
        self.peer_sans.is_empty()
            || sans.any(|san| self.peer_sans.iter().any(|wanted| wanted.is_match(san.as_bytes())))
    }
}

impl Cluster {
    /// Checks and compiles; reports every problem, each path starting with `clusters[NAME]`.
    pub fn compile(source: &Arc<config::Cluster>) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(format!("clusters[{}]", source.name));
        if source.name.is_empty() {
            report.problem_at(format_args!(".name"), ProblemKind::Empty { what: "name" });
        }
        if source.connect_timeout.is_zero() {
            report.problem_at(format_args!(".connect_timeout"), ProblemKind::ZeroDuration);
        }
        report.check_duration("connect_timeout", Some(source.connect_timeout));
        report.check_duration("http.idle_timeout", source.http.idle_timeout);
        if let LbPolicy::LeastRequest { choices: found @ 0..=1 } = source.lb_policy {
            report.problem_at(format_args!(".lb_policy"), ProblemKind::TooFewChoices { found });
        }
        check_discovery(&source.discovery, &mut report);
        check_outlier(source, &mut report);
        let mut transports =
            vec![compile_transport(DEFAULT_TRANSPORT, &source.transport, &mut report)];
        for (i, entry) in source.transport_matches.iter().enumerate() {
            transports.push(report.within(format_args!(".transport_matches[{i}]"), |report| {
                compile_transport(&entry.name, &entry.transport, report)
            }));
        }
        report.finish(|| Self {
            name: ResourceName::new(&source.name),
            transports: transports.into(),
            limits: CircuitLimits::compile(&source.circuit),
            source: Arc::clone(source),
        })
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &ResourceName {
        &self.name
    }

    /// What it was compiled from; settings that need no compiling are read here.
    #[must_use]
    pub fn source(&self) -> &Arc<config::Cluster> {
        &self.source
    }

    /// The circuit's limits, with Envoy's defaults filled in.
    #[must_use]
    pub fn limits(&self) -> &CircuitLimits {
        &self.limits
    }

    /// Share of available endpoints (in percent) below which all are used: 50 as in Envoy, or what outlier detection
    /// says (`min_health_percent`, Istio's meaning).
    #[must_use]
    pub fn panic_percent(&self) -> u32 {
        self.source.outlier.as_ref().map_or(50, |outlier| outlier.min_health_percent)
    }

    /// The EDS name to ask for; `None` where endpoints do not come from EDS.
    #[must_use]
    pub fn eds_name(&self) -> Option<&str> {
        match &self.source.discovery {
            Discovery::Eds { service_name } => {
                Some(service_name.as_deref().unwrap_or(&self.source.name))
            }
            Discovery::Static(_)
            | Discovery::StrictDns(_)
            | Discovery::LogicalDns(_)
            | Discovery::OriginalDst { .. }
            | Discovery::DynamicForwardProxy => None,
        }
    }

    /// How an endpoint with these labels is talked to: the first transport match all of whose labels it carries.
    #[must_use]
    pub fn transport_for(&self, labels: &BTreeMap<String, String>) -> &Arc<Transport> {
        let fits = |wanted: &BTreeMap<String, String>| {
            wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let matched = self.source.transport_matches.iter().position(|entry| fits(&entry.labels));
        &self.transports[matched.map_or(0, |at| at + 1)]
    }
}

/// The name of the transport that is used where no match fits.
const DEFAULT_TRANSPORT: &str = "default";

static PLAINTEXT: LazyLock<Arc<Transport>> = LazyLock::new(|| {
    Arc::new(Transport { name: Arc::from(DEFAULT_TRANSPORT), tls: None, proxy_protocol: None })
});

fn compile_transport(
    name: &str,
    config: &UpstreamTransport,
    report: &mut Report,
) -> Arc<Transport> {
    // What almost every cluster has is there once.
    if (name, config) == (DEFAULT_TRANSPORT, &UpstreamTransport::Plaintext) {
        return Arc::clone(&PLAINTEXT);
    }
    let tls = config.tls().map(|settings| TlsTransport {
        peer_sans: compile_sans("transport", &settings.peer_sans, report),
        settings: settings.clone(),
    });
    let proxy_protocol = match config {
        UpstreamTransport::Plaintext | UpstreamTransport::Internal | UpstreamTransport::Tls(_) => {
            None
        }
        UpstreamTransport::ProxyProtocol { version, .. } => Some(*version),
    };
    Arc::new(Transport { name: Arc::from(name), tls, proxy_protocol })
}

pub(crate) fn compile_sans(
    field: &str,
    configs: &[config::StringMatch],
    report: &mut Report,
) -> Box<[StringMatcher]> {
    let compile = |(i, san)| {
        let step = format_args!(".{field}.peer_sans[{i}]").to_string();
        report.within(format_args!("{step}"), |report| StringMatcher::compile(san, report))
    };
    configs.iter().enumerate().filter_map(compile).collect()
}

fn check_outlier(source: &config::Cluster, report: &mut Report) {
    let Some(outlier) = &source.outlier else { return };
    report.within(format_args!(".outlier"), |report| {
        let percents = [
            ("max_ejection_percent", outlier.max_ejection_percent),
            ("min_health_percent", outlier.min_health_percent),
        ];
        for (field, percent) in percents.into_iter().filter(|&(_, percent)| percent > 100) {
            report.problem_at(format_args!(".{field}"), ProblemKind::InvalidPercent { percent });
        }
        let durations =
            [("interval", outlier.interval), ("base_ejection_time", outlier.base_ejection_time)];
        for (field, _) in durations.into_iter().filter(|(_, length)| length.is_zero()) {
            report.problem_at(format_args!(".{field}"), ProblemKind::ZeroDuration);
        }
    });
}

fn check_discovery(discovery: &Discovery, report: &mut Report) {
    match discovery {
        Discovery::Eds { .. } | Discovery::OriginalDst { .. } | Discovery::DynamicForwardProxy => {}
        Discovery::Static(assignment) => report.within(format_args!(".endpoints"), |report| {
            check_assignment(assignment, ResolvedBy::Nobody, report);
        }),
        Discovery::StrictDns(assignment) => report.within(format_args!(".endpoints"), |report| {
            check_assignment(assignment, ResolvedBy::Proxy, report);
        }),
        Discovery::LogicalDns(assignment) => report.within(format_args!(".endpoints"), |report| {
            check_assignment(assignment, ResolvedBy::Proxy, report);
            let found = assignment.localities.iter().map(|group| group.endpoints.len()).sum();
            if found != 1 {
                report.problem(ProblemKind::LogicalDnsEndpoints { found });
            }
        }),
    }
}

/// Who turns names into addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResolvedBy {
    Nobody,
    Proxy,
}

/// Envoy's bound of a priority.
const PRIORITY_MAX: u32 = 128;

/// The checks of an endpoint list, wherever it came from. An address may occur twice (gateways of another network
/// stand in several places): the two then share their live state.
pub(crate) fn check_assignment(
    assignment: &config::ClusterLoadAssignment,
    resolved_by: ResolvedBy,
    report: &mut Report,
) {
    for (i, group) in assignment.localities.iter().enumerate() {
        if group.priority > PRIORITY_MAX {
            let what = ProblemKind::PriorityTooHigh { found: group.priority, max: PRIORITY_MAX };
            report.problem_at(format_args!(".localities[{i}].priority"), what);
        }
        for (j, endpoint) in group.endpoints.iter().enumerate() {
            let is_named = matches!(endpoint.address, Address::Host { .. });
            if is_named && resolved_by == ResolvedBy::Nobody {
                let what = ProblemKind::UnresolvedAddress { address: endpoint.address.to_string() };
                report.problem_at(format_args!(".localities[{i}].endpoints[{j}].address"), what);
            }
        }
    }
}
