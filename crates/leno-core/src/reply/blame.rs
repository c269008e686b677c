//! Whose fault a failure is.

use std::fmt;

/// Which side of the workload the proxy handled the request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Leaving the workload; also gateways.
    Outbound,
    /// Arriving at the workload.
    Inbound,
}

/// Where the source of the problem is: one closed set for decisions, access records and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Blame {
    /// A workload: the calling one or the called one.
    App,
    /// The calling workload's proxy.
    ClientProxy,
    /// Between the proxies.
    Network,
    /// The called workload's proxy.
    ServerProxy,
    /// A rule that somebody wrote to refuse this.
    Policy,
    /// Configuration that is missing, wrong or asks for the failure.
    Config,
}

impl Blame {
    /// The word in records, metrics and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::ClientProxy => "client-proxy",
            Self::Network => "network",
            Self::ServerProxy => "server-proxy",
            Self::Policy => "policy",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
