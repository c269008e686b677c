//! Which resolvers the host uses: the part of `resolv.conf(5)` that matters.
//!
//! Pure but for [`Resolvers::of_host`]. A host without a `nameserver` line has
//! one on its loopback address, as the C library assumes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 53;
/// The C library's own limits.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 6;

/// Where foreign names are asked for, and what is appended to short ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// In the order they are tried; never empty.
    pub servers: Vec<SocketAddr>,
    /// The search domains.
    pub search: Vec<String>,
}

impl Resolvers {
    /// The host's own, read once.
    #[must_use]
    pub fn of_host() -> Self {
        Self::parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    }

    /// Lines that make no sense are skipped, as the C library does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut servers = Vec::new();
        let mut search = Vec::new();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                // The last of them wins.
                Some("search" | "domain") => {
                    search = words.take(SEARCH_MAX).map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        servers.truncate(SERVERS_MAX);
        if servers.is_empty() {
            servers.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT));
        }
        Self { servers, search }
    }
}

/// A scope (`fe80::1%eth0`) names an interface; only its number can be dialled.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, scope) = word.split_once('%')?;
    let index = fs::read_to_string(format!("/sys/class/net/{scope}/ifindex")).ok();
    let scope = index.map_or_else(|| scope.parse().ok(), |text| text.trim().parse().ok())?;
    let v6 = std::net::SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope);
    Some(SocketAddr::V6(v6))
}

#[cfg(test)]
mod tests {
    use super::Resolvers;

    #[test]
    fn resolv_conf_is_read_as_the_c_library_reads_it() {
        // (text, servers, search)
        let table = [
            ("", "127.0.0.1:53", ""),
            ("search a.example b.example\n", "127.0.0.1:53", "a.example b.example"),
            ("nameserver 192.0.2.1 # first\nnameserver ::1\n", "192.0.2.1:53 [::1]:53", ""),
            ("nameserver not-an-address\nnameserver 192.0.2.9", "192.0.2.9:53", ""),
            ("; nameserver 192.0.2.1\nnameserver 192.0.2.2", "192.0.2.2:53", ""),
            ("nameserver fe80::1%3", "[fe80::1%3]:53", ""),
            ("domain a\nsearch b\noptions ndots:2\n", "127.0.0.1:53", "b"),
            (&"nameserver 192.0.2.1\n".repeat(5), "192.0.2.1:53 192.0.2.1:53 192.0.2.1:53", ""),
        ];
        for (text, servers, search) in table {
            let found = Resolvers::parse(text);
            let joined: Vec<_> = found.servers.iter().map(ToString::to_string).collect();
            assert_eq!(joined.join(" "), servers, "{text}");
            assert_eq!(found.search.join(" "), search, "{text}");
        }
    }
}
