//! One vocabulary for metrics, access records and spans: names, labels, sharded counters, exposition, peer metadata.
//!
//! Decides nothing. A worker owns its [`Shard`] and its [`AccessWriter`]; the request path takes no lock and builds no
//! string. Everything is added up and written out only when somebody scrapes.

mod access_log;
mod counters;
mod exposition;
mod flags;
mod labels;
pub mod metrics;
pub mod peer;
mod record;
pub mod span;
mod trace;

pub use access_log::{AccessLog, AccessLogs, AccessWriter, LogError};
pub use counters::{
    AuthorizationKey, AuthorizationStats, ClusterStats, ConnectionLimitStats, Exchange, Metrics,
    SeriesLimits, Shard, TcpStats,
};
pub use exposition::CONTENT_TYPE;
pub use flags::{ResponseFlag, ResponseFlags};
pub use labels::{
    Party, PartyId, Protocol, Reporter, Security, SeriesKey, Service, ServiceId, Workload,
};
pub use leno_core::reply::Blame;
pub use metrics::{AuthorizationScope, AuthorizationStat, ClusterStat, LimitReached, ProcessStat};
pub use record::AccessRecord;
pub use trace::TraceContext;
