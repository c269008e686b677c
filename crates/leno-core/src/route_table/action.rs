//! What a route does, compiled: forward, redirect or answer.

use std::sync::Arc;
use std::time::Duration;

use super::rewrite::{PathRewrite, Redirect, check_host};
use crate::config::{self, Fraction};
use crate::header_edit::HeaderEdits;
use crate::name::ResourceName;
use crate::problem::{ProblemKind, Report};
use crate::retry::RetryPolicy;

/// What is done with a request that a route matched.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants hold documented types")]
pub enum Action {
    Forward(Box<Forward>),
    Redirect(Box<Redirect>),
    DirectResponse(DirectResponse),
}

/// Send to a cluster.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Which cluster, or clusters by weight.
    pub clusters: ClusterChoice,
    /// From the end of the request to the end of the response; never zero.
    pub timeout: Option<Duration>,
    /// No byte either way for this long; never zero.
    pub idle_timeout: Option<Duration>,
    /// The route's policy, or the virtual host's where the route has none.
    pub retry: Option<Arc<RetryPolicy>>,
    /// What replaces the authority.
    pub host_rewrite: Option<Arc<str>>,
    /// Clusters that get copies; the caller draws each one's share.
    pub mirrors: Box<[Mirror]>,
    /// Whether `Upgrade: websocket` is accepted; `None` is as the listener says.
    pub websocket: Option<bool>,
    /// What becomes of CONNECT; `None` is as the listener says.
    pub connect: Option<config::Connect>,
    /// From the beginning of the request to the end of the response; never zero.
    pub max_stream_duration: Option<Duration>,
    /// How far gRPC's own deadlines go.
    pub grpc_timeout: Option<Box<config::GrpcTimeout>>,
    pub(crate) path_rewrite: Option<Box<PathRewrite>>,
}

/// A cluster that gets copies of requests.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The cluster's name.
    pub cluster: ResourceName,
    /// The share of requests copied.
    pub fraction: Fraction,
}

/// An answer of our own.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// 100–599.
    pub status: u16,
    /// Sent as is.
    pub body: Arc<[u8]>,
}

/// One cluster, or several by weight.
#[derive(Clone, Debug)]
pub struct ClusterChoice {
    targets: Box<[ClusterTarget]>,
    total_weight: u64,
}

/// One of a [`ClusterChoice`].
#[derive(Clone, Debug)]
pub struct ClusterTarget {
    /// The cluster's name; the snapshot knows whether there is one.
    pub cluster: ResourceName,
    /// Its part of the total; 1 where there is only one.
    pub weight: u32,
    pub(crate) request_edits: HeaderEdits,
    pub(crate) response_edits: HeaderEdits,
    /// The sum of the weights up to and including this one.
    weight_end: u64,
}

impl ClusterChoice {
    pub(crate) fn compile(config: &config::ClusterSpecifier, report: &mut Report) -> Self {
        match config {
            config::ClusterSpecifier::Cluster(name) => {
                if name.is_empty() {
                    report.problem(ProblemKind::Empty { what: "cluster name" });
                }
                let target = ClusterTarget {
                    cluster: ResourceName::new(name),
                    weight: 1,
                    request_edits: HeaderEdits::default(),
                    response_edits: HeaderEdits::default(),
                    weight_end: 1,
                };
                Self { targets: Box::new([target]), total_weight: 1 }
            }
            config::ClusterSpecifier::Weighted(clusters) => {
                let mut total_weight = 0;
                let mut compile = |(i, cluster): (usize, &config::WeightedCluster)| {
                    total_weight += u64::from(cluster.weight);
                    report.within(format_args!("[{i}]"), |report| {
                        ClusterTarget::compile(cluster, total_weight, report)
                    })
                };
                let targets = clusters.iter().enumerate().map(&mut compile).collect();
                if total_weight == 0 {
                    report.problem(ProblemKind::ZeroTotalWeight);
                }
                Self { targets, total_weight }
            }
        }
    }

    /// The cluster a uniformly distributed number stands for.
    #[must_use]
    pub fn pick(&self, random: u64) -> &ClusterTarget {
        if let [only] = &*self.targets {
            return only;
        }
        let point = random % self.total_weight.max(1);
        // Few targets: a scan beats a binary search, and a weight of zero is never reached.
        let hit = self.targets.iter().find(|target| point < target.weight_end);
        hit.expect("compile refuses a total weight of zero, and the last end is the total")
    }

    /// Every cluster, in order.
    #[must_use]
    pub fn targets(&self) -> &[ClusterTarget] {
        &self.targets
    }

    /// The sum of the weights.
    #[must_use]
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }
}

impl ClusterTarget {
    fn compile(config: &config::WeightedCluster, weight_end: u64, report: &mut Report) -> Self {
        if config.name.is_empty() {
            report.problem(ProblemKind::Empty { what: "cluster name" });
        }
        let request_edits = report.within(format_args!(".request_headers"), |report| {
            HeaderEdits::compile(&config.request_headers, report)
        });
        let response_edits = report.within(format_args!(".response_headers"), |report| {
            HeaderEdits::compile(&config.response_headers, report)
        });
        let cluster = ResourceName::new(&config.name);
        Self { cluster, weight: config.weight, request_edits, response_edits, weight_end }
    }
}

impl Action {
    pub(crate) fn compile(
        config: &config::RouteAction,
        inherited_retry: Option<&Arc<RetryPolicy>>,
        report: &mut Report,
    ) -> Self {
        match config {
            config::RouteAction::Forward(forward) => {
                report.within(format_args!(".forward"), |report| {
                    Self::Forward(Box::new(Forward::compile(forward, inherited_retry, report)))
                })
            }
            config::RouteAction::Redirect(redirect) => report
                .within(format_args!(".redirect"), |report| {
                    Self::Redirect(Box::new(Redirect::compile(redirect, report)))
                }),
            config::RouteAction::DirectResponse(response) => {
                let status = response.status;
                if !(100..600).contains(&status) {
                    let what = ProblemKind::InvalidStatus { status, allowed: "100 to 599" };
                    report.problem_at(format_args!(".direct_response.status"), what);
                }
                Self::DirectResponse(DirectResponse {
                    status,
                    body: response.body.as_slice().into(),
                })
            }
        }
    }
}

impl Forward {
    fn compile(
        config: &config::Forward,
        inherited_retry: Option<&Arc<RetryPolicy>>,
        report: &mut Report,
    ) -> Self {
        let clusters = report.within(format_args!(".cluster"), |report| {
            ClusterChoice::compile(&config.cluster, report)
        });
        let own_retry = config.retry_policy.as_ref().map(|policy| {
            report.within(format_args!(".retry_policy"), |report| {
                Arc::new(RetryPolicy::compile(policy, report))
            })
        });
        let path_rewrite = config.path_rewrite.as_ref().and_then(|rewrite| {
            report.within(format_args!(".path_rewrite"), |report| {
                PathRewrite::compile(rewrite, report).map(Box::new)
            })
        });
        report.check_duration("timeout", config.timeout);
        report.check_duration("idle_timeout", config.idle_timeout);
        report.check_duration("max_stream_duration", config.max_stream_duration);
        if let Some(host) = &config.host_rewrite {
            report.within(format_args!(".host_rewrite"), |report| check_host(host, report));
        }
        for (i, mirror) in config.mirrors.iter().enumerate() {
            if mirror.cluster.is_empty() {
                let what = ProblemKind::Empty { what: "cluster name" };
                report.problem_at(format_args!(".mirrors[{i}].cluster"), what);
            }
        }
        let compile_mirror = |mirror: &config::Mirror| Mirror {
            cluster: ResourceName::new(&mirror.cluster),
            fraction: mirror.fraction,
        };
        Self {
            clusters,
            timeout: config.timeout.filter(|timeout| !timeout.is_zero()),
            idle_timeout: config.idle_timeout.filter(|timeout| !timeout.is_zero()),
            retry: own_retry.or_else(|| inherited_retry.cloned()),
            host_rewrite: config.host_rewrite.as_deref().map(Arc::from),
            mirrors: config.mirrors.iter().map(compile_mirror).collect(),
            websocket: config.websocket,
            connect: config.connect,
            max_stream_duration: config.max_stream_duration.filter(|limit| !limit.is_zero()),
            grpc_timeout: config.grpc_timeout.clone(),
            path_rewrite,
        }
    }
}
