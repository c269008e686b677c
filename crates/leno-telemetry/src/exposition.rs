//! Prometheus' text exposition format (0.0.4): every series of [`Metrics`] with HELP and TYPE.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Blame;
use crate::counters::Metrics;
use crate::counters::cells::{HistogramSum, RequestSum, TcpSum};
use crate::labels::{Party, Protocol, Reporter, SeriesKey};
use crate::metrics::{
    self, AuthorizationScope, AuthorizationStat, BOUNDS, ClusterStat, Kind, LimitReached, Metric,
    ProcessStat,
};

/// The content type of what [`Metrics::expose`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Writes every metric whose name `wanted` accepts. Any thread may; workers are not held up.
    pub fn expose(&self, wanted: impl Fn(&str) -> bool, out: &mut String) {
        let mut page = Page { out, wanted };
        let requests = self.requests.sums();
        self.expose_requests(&requests, &mut page);
        self.expose_tcp(&self.tcp.sums(), &mut page);
        self.expose_blame(&requests, &mut page);
        self.expose_clusters(&mut page);
        self.expose_authorization(&mut page);
        self.expose_connection_limits(&mut page);
        self.expose_process(&mut page);
    }

    fn expose_requests(
        &self,
        sums: &BTreeMap<SeriesKey, RequestSum>,
        page: &mut Page<'_, impl Fn(&str) -> bool>,
    ) {
        // Blame is a label of its own metric only.
        let mut rows: BTreeMap<String, RequestSum> = BTreeMap::new();
        for (key, sum) in sums {
            rows.entry(self.labels(key)).or_default().merge(sum);
        }
        page.metric(&metrics::REQUESTS, |page| {
            for (labels, sum) in &rows {
                page.sample("", labels, sum.duration.count());
            }
        });
        page.metric(&metrics::REQUEST_DURATION, |page| {
            for (labels, sum) in &rows {
                page.histogram(labels, &sum.duration, 1000);
            }
        });
        page.metric(&metrics::REQUEST_BYTES, |page| {
            for (labels, sum) in &rows {
                page.histogram(labels, &sum.request_bytes, 1);
            }
        });
        page.metric(&metrics::RESPONSE_BYTES, |page| {
            for (labels, sum) in &rows {
                page.histogram(labels, &sum.response_bytes, 1);
            }
        });
        let messages = rows.iter().filter(|(_, s)| s.request_messages | s.response_messages != 0);
        page.metric(&metrics::REQUEST_MESSAGES, |page| {
            for (labels, sum) in messages.clone() {
                page.sample("", labels, sum.request_messages);
            }
        });
        page.metric(&metrics::RESPONSE_MESSAGES, |page| {
            for (labels, sum) in messages {
                page.sample("", labels, sum.response_messages);
            }
        });
    }

    fn expose_tcp(
        &self,
        sums: &BTreeMap<SeriesKey, TcpSum>,
        page: &mut Page<'_, impl Fn(&str) -> bool>,
    ) {
        let rows: Vec<(String, &TcpSum)> =
            sums.iter().map(|(key, sum)| (self.labels(key), sum)).collect();
        let metrics =
            [metrics::TCP_OPENED, metrics::TCP_CLOSED, metrics::TCP_SENT, metrics::TCP_RECEIVED];
        for (index, metric) in metrics.iter().enumerate() {
            page.metric(metric, |page| {
                // A label set that only a close has (its flags) was never opened: no line says 0 for ever.
                for (labels, sum) in rows.iter().filter(|(_, sum)| sum[index] > 0) {
                    page.sample("", labels, sum[index]);
                }
            });
        }
    }

    fn expose_blame(
        &self,
        sums: &BTreeMap<SeriesKey, RequestSum>,
        page: &mut Page<'_, impl Fn(&str) -> bool>,
    ) {
        let mut rows: BTreeMap<(Reporter, String, Blame), u64> = BTreeMap::new();
        for (key, sum) in sums {
            if let Some(blame) = key.blame {
                let service = self.names.service(key.service).host.clone();
                *rows.entry((key.reporter, service, blame)).or_default() += sum.duration.count();
            }
        }
        page.metric(&metrics::BLAME, |page| {
            for ((reporter, service, blame), count) in &rows {
                let mut labels = String::new();
                label(&mut labels, "reporter", reporter.as_str());
                label(&mut labels, "destination_service", or_unknown(service));
                label(&mut labels, "blame", blame.as_str());
                page.sample("", &labels, *count);
            }
        });
    }

    fn expose_clusters(&self, page: &mut Page<'_, impl Fn(&str) -> bool>) {
        let sums = self.clusters.sums();
        for (index, metric) in ClusterStat::TABLE.iter().enumerate() {
            page.metric(metric, |page| {
                for (name, sum) in &sums {
                    let mut labels = String::new();
                    label(&mut labels, "cluster_name", name);
                    // One worker's close of another's connection cannot happen; a torn read of two shards can.
                    page.sample("", &labels, sum[index].cast_signed().max(0));
                }
            });
        }
    }

    fn expose_authorization(&self, page: &mut Page<'_, impl Fn(&str) -> bool>) {
        let sums = self.authorization.sums();
        for scope in [AuthorizationScope::Requests, AuthorizationScope::Connections] {
            let (filter, rules) = scope.labels();
            for stat in AuthorizationStat::ALL {
                // Filters that differ in another prefix count together here.
                let mut rows: BTreeMap<String, u64> = BTreeMap::new();
                for (key, sum) in sums.iter().filter(|(key, _)| key.scope == scope) {
                    let prefix = match stat {
                        AuthorizationStat::Allowed | AuthorizationStat::Denied => &key.rules_prefix,
                        AuthorizationStat::ShadowAllowed | AuthorizationStat::ShadowDenied => {
                            &key.shadow_rules_prefix
                        }
                    };
                    let mut labels = String::new();
                    if !prefix.is_empty() {
                        label(&mut labels, rules, prefix);
                    }
                    label(&mut labels, filter, &key.stat_prefix);
                    *rows.entry(labels).or_default() += sum[stat as usize];
                }
                page.metric(&scope.table()[stat as usize], |page| {
                    for (labels, count) in &rows {
                        page.sample("", labels, *count);
                    }
                });
            }
        }
    }

    fn expose_connection_limits(&self, page: &mut Page<'_, impl Fn(&str) -> bool>) {
        let all = self.connection_limits.all();
        for (metric, is_limited) in [(&metrics::LIMITED_ACTIVE, false), (&metrics::LIMITED, true)] {
            page.metric(metric, |page| {
                for (prefix, active, limited) in &all {
                    let mut labels = String::new();
                    label(&mut labels, "envoy_connection_limit_prefix", prefix);
                    page.sample("", &labels, if is_limited { *limited } else { *active });
                }
            });
        }
    }

    fn expose_process(&self, page: &mut Page<'_, impl Fn(&str) -> bool>) {
        page.metric(&metrics::BUILD, |page| {
            let mut labels = String::new();
            label(&mut labels, "component", self.component);
            label(&mut labels, "tag", concat!("leno-", env!("CARGO_PKG_VERSION")));
            page.sample("", &labels, 1);
        });
        page.metric(&metrics::SERIES, |page| {
            page.sample("", "kind=\"request\"", self.requests.len());
            page.sample("", "kind=\"tcp\"", self.tcp.len());
            page.sample("", "kind=\"cluster\"", self.clusters.len());
        });
        page.metric(&metrics::LIMITS_REACHED, |page| {
            for limit in LimitReached::ALL {
                let mut labels = String::new();
                label(&mut labels, "limit", limit.label());
                page.sample("", &labels, self.times_reached(*limit));
            }
        });
        for (metric, stat) in ProcessStat::TABLE.iter().zip(ProcessStat::ALL) {
            page.metric(metric, |page| page.sample("", "", self.value(*stat).cast_signed()));
        }
    }

    /// The 25 labels of Istio's contract, without braces; `response_code` is HTTP's, `grpc_response_status` gRPC's.
    fn labels(&self, key: &SeriesKey) -> String {
        let peer = self.names.party(key.peer);
        let service = self.names.service(key.service);
        let is_mutual = key.security == crate::Security::MutualTls;
        let local = self.local();
        let (source, destination) = match key.reporter {
            Reporter::Source => (&*local, &*peer),
            Reporter::Destination => (&*peer, &*local),
        };
        let mut out = String::with_capacity(1024);
        label(&mut out, "reporter", key.reporter.as_str());
        party_labels(&mut out, "source", source, is_mutual);
        party_labels(&mut out, "destination", destination, is_mutual);
        label(&mut out, "destination_service", or_unknown(&service.host));
        label(&mut out, "destination_service_name", or_unknown(&service.name));
        label(&mut out, "destination_service_namespace", or_unknown(&service.namespace));
        label(&mut out, "request_protocol", key.protocol.as_str());
        label(&mut out, "response_flags", &key.flags.to_string());
        label(&mut out, "connection_security_policy", key.security.as_str());
        if key.protocol != Protocol::Tcp {
            label(&mut out, "response_code", &key.response_code.to_string());
        }
        if key.protocol == Protocol::Grpc {
            let status = key.grpc_status.map_or(String::new(), |status| status.to_string());
            label(&mut out, "grpc_response_status", &status);
        }
        out
    }
}

fn party_labels(out: &mut String, side: &str, party: &Party, is_mutual: bool) {
    let workload = &party.workload;
    // Without mutual TLS nobody proved anything: a principal would be a claim.
    let principal = if is_mutual { party.principal.as_str() } else { "" };
    let table = [
        ("workload", &*workload.name),
        ("workload_namespace", &workload.namespace),
        ("principal", principal),
        ("app", &workload.app),
        ("version", &workload.version),
        ("cluster", &workload.cluster_id),
        ("canonical_service", &workload.canonical_name),
        ("canonical_revision", &workload.canonical_revision),
    ];
    for (name, value) in table {
        separate(out);
        out.push_str(side);
        out.push('_');
        value_of(out, name, or_unknown(value));
    }
}

fn or_unknown(value: &str) -> &str {
    if value.is_empty() { "unknown" } else { value }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
}

fn label(out: &mut String, name: &str, value: &str) {
    separate(out);
    value_of(out, name, value);
}

fn value_of(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

/// The page under construction. A metric without samples is left out.
struct Page<'a, W> {
    out: &'a mut String,
    wanted: W,
}

impl<W: Fn(&str) -> bool> Page<'_, W> {
    fn metric(&mut self, metric: &Metric, body: impl FnOnce(&mut Samples<'_>)) {
        if !(self.wanted)(metric.name) {
            return;
        }
        let start = self.out.len();
        let Metric { name, kind, help } = metric;
        write_line(self.out, format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.as_str()));
        let head = self.out.len();
        debug_assert!(*kind != Kind::Histogram || !name.ends_with("_total"));
        body(&mut Samples { out: self.out, name });
        if self.out.len() == head {
            self.out.truncate(start);
        }
    }
}

/// The sample lines of one metric.
struct Samples<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Samples<'_> {
    fn sample(&mut self, suffix: &str, labels: &str, value: impl std::fmt::Display) {
        let name = self.name;
        if labels.is_empty() {
            write_line(self.out, format_args!("{name}{suffix} {value}"));
        } else {
            write_line(self.out, format_args!("{name}{suffix}{{{labels}}} {value}"));
        }
    }

    /// `per_unit` raw units make one of the metric's.
    #[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 loses what nobody can see")]
    fn histogram(&mut self, labels: &str, sum: &HistogramSum, per_unit: u32) {
        let name = self.name;
        let mut total = 0;
        for (bound, count) in BOUNDS.iter().zip(&sum.buckets) {
            total += count;
            write_line(self.out, format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {total}"));
        }
        let total = sum.count();
        write_line(self.out, format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {total}"));
        self.sample("_sum", labels, sum.raw as f64 / f64::from(per_unit));
        self.sample("_count", labels, total);
    }
}

fn write_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("writing to a String cannot fail");
}
