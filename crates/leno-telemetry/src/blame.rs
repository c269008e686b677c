//! Whose fault a failed request is: one closed set for the access record, the metric label and the portal.

use std::fmt;

/// Where the cause of a failure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Blame {
    /// The workload that answers (or the one that called and went away).
    App,
    /// The proxy beside the caller.
    ClientProxy,
    /// What lies between the two proxies.
    Network,
    /// The proxy beside the workload that answers.
    ServerProxy,
    /// A policy said no: authorization, limits, injected faults.
    Policy,
    /// The configuration names something that does not exist or cannot work.
    Config,
}

impl Blame {
    /// The word in records and labels.
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
