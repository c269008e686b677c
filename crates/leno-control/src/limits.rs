//! Every limit on what a peer can make the xDS ports (15010 and 15012) hold or wait for, each with its unit, its reason and
//! the label under which `leno_limits_reached_total` counts it.
//!
//! Read by `push`; three of them are options of the process, the others follow from those or are constants.

use std::fmt::Write as _;
use std::time::Duration;

/// Connections at once, of both ports together; the open files of the process may make it fewer. A connection with its
/// stream costs about 100 KB.
pub const CONNECTIONS: usize = 16_384;

/// Connections of one peer address (IPv6: its /64), in percent of all: the proxies of one machine are one address, so most of
/// them; not all, so that another machine's still get in.
pub const PER_ADDRESS_PERCENT: usize = 75;

/// Streams that speak for one identity at once, in percent of all connections: the replicas of a workload share theirs, and a
/// stolen token must not shut out the others.
pub const PER_IDENTITY_PERCENT: usize = 75;

/// Discovery streams of one connection at once: a proxy has one, an agent in front of some has some.
pub const STREAMS_PER_CONNECTION: usize = 16;

/// Calls of one connection at once, of whichever service (`SETTINGS_MAX_CONCURRENT_STREAMS`): clients wait for their turn.
pub const CALLS_PER_CONNECTION: u32 = 64;

/// Longest a TLS handshake may take: a peer that says nothing holds a socket no longer.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest from a stream's beginning to its first request, which says who asks. A connection that asks for nothing at all is
/// closed after twice as long.
pub const FIRST_REQUEST: Duration = Duration::from_secs(15);

/// Bytes of one request: as many names as a stream may have.
pub const REQUEST_BYTES: usize = 16 << 20;

/// Names that a stream's requests make us keep, over all types and messages: every service of a mesh of 100,000, as cluster
/// and as endpoints.
pub const NAMES: usize = 200_000;

/// The bytes of those names, and of what was said when they were refused.
pub const NAME_BYTES: usize = 16 << 20;

/// Connections above the limit that are still served, each only to be told which limit it met. Those beyond are closed.
pub const REFUSED_AT_ONCE: usize = 64;

/// How long a connection that was told so may stay.
pub const REFUSED_STAY: Duration = Duration::from_secs(5);

/// How often a limit that was reached is told in the log.
pub const LOGGED: Duration = Duration::from_secs(10);

/// The limits of the xDS ports that one process is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveryLimits {
    /// See [`CONNECTIONS`].
    pub connections: usize,
    /// See [`NAMES`].
    pub names: usize,
    /// See [`FIRST_REQUEST`].
    pub first_request: Duration,
}

/// The label of each limit in `leno_limits_reached_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`CONNECTIONS`]
    Connections,
    /// [`PER_ADDRESS_PERCENT`]
    PerAddress,
    /// [`PER_IDENTITY_PERCENT`]
    PerIdentity,
    /// [`STREAMS_PER_CONNECTION`]
    StreamsPerConnection,
    /// [`HANDSHAKE`]
    Handshake,
    /// [`FIRST_REQUEST`]
    FirstRequest,
    /// [`REQUEST_BYTES`]
    RequestBytes,
    /// [`NAMES`] and [`NAME_BYTES`]
    Names,
}

impl DiscoveryLimits {
    /// What is in force where nothing else is asked for.
    pub const USUAL: Self =
        Self { connections: CONNECTIONS, names: NAMES, first_request: FIRST_REQUEST };

    /// The same with no more connections than half of the open files that the process may have.
    #[must_use]
    pub(crate) fn within_open_files(self) -> Self {
        let half = open_files().map_or(usize::MAX, |files| (files / 2).max(1));
        Self { connections: self.connections.min(half), ..self }
    }

    /// See [`PER_ADDRESS_PERCENT`].
    pub(crate) fn per_address(&self) -> usize {
        (self.connections * PER_ADDRESS_PERCENT / 100).max(1)
    }

    /// See [`PER_IDENTITY_PERCENT`].
    pub(crate) fn per_identity(&self) -> usize {
        (self.connections * PER_IDENTITY_PERCENT / 100).max(1)
    }
}

impl Limit {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Connections,
        Self::PerAddress,
        Self::PerIdentity,
        Self::StreamsPerConnection,
        Self::Handshake,
        Self::FirstRequest,
        Self::RequestBytes,
        Self::Names,
    ];

    /// The value of the metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "xds_connections",
            Self::PerAddress => "xds_connections_per_address",
            Self::PerIdentity => "xds_streams_per_identity",
            Self::StreamsPerConnection => "xds_streams_per_connection",
            Self::Handshake => "xds_handshake",
            Self::FirstRequest => "xds_first_request",
            Self::RequestBytes => "xds_request_bytes",
            Self::Names => "xds_names",
        }
    }

    /// (what, default, why, how the peer sees it, the option that sets it)
    fn line(self) -> [String; 5] {
        let line = |what: &str, default: String, why: &str, seen: &str, option: &str| {
            [what, &default, why, seen, option].map(str::to_owned)
        };
        let exhausted = "RESOURCE_EXHAUSTED";
        match self {
            Self::Connections => line(
                "connections",
                format!("{CONNECTIONS}, at most half of the open files"),
                "each costs some 100 KB",
                &format!("{exhausted}; from {REFUSED_AT_ONCE} more on closed at once"),
                "--xds-connections",
            ),
            Self::PerAddress => line(
                "connections of a peer address (IPv6: its /64)",
                format!("{PER_ADDRESS_PERCENT} % of all"),
                "all proxies of a machine are one; another's must still get in",
                &format!("{exhausted}; from {REFUSED_AT_ONCE} more on closed at once"),
                "--xds-connections",
            ),
            Self::PerIdentity => line(
                "streams of an identity",
                format!("{PER_IDENTITY_PERCENT} % of all connections"),
                "replicas share one; a stolen token must not shut out the others",
                exhausted,
                "--xds-connections",
            ),
            Self::StreamsPerConnection => line(
                "streams of a connection",
                STREAMS_PER_CONNECTION.to_string(),
                "a proxy has one",
                exhausted,
                "",
            ),
            Self::Handshake => line(
                "TLS handshake",
                format!("{} s", HANDSHAKE.as_secs()),
                "a peer that says nothing holds a socket",
                "closed",
                "",
            ),
            Self::FirstRequest => line(
                "from the beginning of a stream to its first request",
                format!("{} s", FIRST_REQUEST.as_secs()),
                "nobody knows yet who asks; a connection without a request is closed after twice as long",
                "DEADLINE_EXCEEDED",
                "--xds-first-request-seconds",
            ),
            Self::RequestBytes => line(
                "bytes of a request",
                format!("{} MiB", REQUEST_BYTES >> 20),
                "it is read whole",
                exhausted,
                "",
            ),
            Self::Names => line(
                "names that a stream's requests add up to",
                format!("{NAMES}, or {} MiB of them", NAME_BYTES >> 20),
                "100,000 services, as cluster and as endpoints",
                exhausted,
                "--xds-names",
            ),
        }
    }
}

/// The table that `docs/limits.md` shows.
#[must_use]
pub fn table() -> String {
    let mut text =
        "| limit | default | why | the proxy sees | counted as | set by |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for limit in Limit::ALL {
        let [what, default, why, seen, option] = limit.line();
        let option = if option.is_empty() { option } else { format!("`{option}`") };
        let label = limit.label();
        let _ = writeln!(text, "| {what} | {default} | {why} | {seen} | `{label}` | {option} |");
    }
    text
}

/// The soft limit on open files, where the kernel tells it and there is one.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_on_limits_says_what_is_in_force() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/limits.md");
        let page = std::fs::read_to_string(page).unwrap();
        let table = table();
        assert!(page.contains(&table), "docs/limits.md should have:\n{table}");
    }

    #[test]
    fn open_files_bound_connections() {
        let files = open_files().expect("Linux tells");
        let limits = DiscoveryLimits { connections: usize::MAX / 100, ..DiscoveryLimits::USUAL };
        assert_eq!(limits.within_open_files().connections, files / 2);
        let one = DiscoveryLimits { connections: 1, ..limits };
        assert_eq!(one.within_open_files(), one);
        assert_eq!((one.per_address(), one.per_identity()), (1, 1));
    }
}
