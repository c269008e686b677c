//! Where a request's own authority says it goes: for clusters without endpoints (Envoy's dynamic forward proxy).
//!
//! Asked by `http/exchange` once such a cluster is chosen. The host's resolver answers; what it said is kept for a
//! moment, so that requests one after the other ask once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leno_core::reply::Failure;

use crate::limits;

/// How long an answer is used; the host's resolver tells no time to live.
const KEPT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;
/// What an `http` URL without a port means.
const DEFAULT_PORT: u16 = 80;

/// What names were resolved to, on one worker.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: RefCell<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    addresses: Arc<[SocketAddr]>,
}

impl Names {
    /// The addresses of an authority, in the order in which the host prefers them; `own` is the listener the request
    /// came in by, which is no place to send it to.
    pub(crate) async fn resolve(
        &self,
        authority: &str,
        own: SocketAddr,
    ) -> Result<Arc<[SocketAddr]>, Failure> {
        let now = Instant::now();
        let known = self.known.borrow().get(authority).and_then(|known| {
            let is_fresh = now.saturating_duration_since(known.since) < KEPT;
            is_fresh.then(|| Arc::clone(&known.addresses))
        });
        if let Some(addresses) = known {
            return Ok(addresses);
        }
        let (host, port) = split(authority).ok_or(Failure::MissingHost)?;
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|error| {
            tracing::debug!(authority, %error, "not resolved");
            Failure::DnsResolution
        })?;
        let addresses: Arc<[SocketAddr]> = found.take(ADDRESSES_MAX).collect();
        if addresses.is_empty() {
            return Err(Failure::DnsResolution);
        }
        // It would come round for ever.
        if addresses.contains(&own) {
            return Err(Failure::RouteNotFound);
        }
        let mut known = self.known.borrow_mut();
        if known.len() >= limits::ORIGINAL_DESTINATIONS {
            known.clear();
        }
        let one = Known { since: now, addresses: Arc::clone(&addresses) };
        known.insert(authority.to_owned(), one);
        Ok(addresses)
    }
}

/// Host and port of an authority; an address of IPv6 loses its brackets.
fn split(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok()?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    (!host.is_empty() && port != 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        // (authority, host and port)
        let table = [
            ("web", Some(("web", 80))),
            ("web.example:8080", Some(("web.example", 8080))),
            ("127.0.0.1:1", Some(("127.0.0.1", 1))),
            ("[::1]", Some(("::1", 80))),
            ("[::1]:9", Some(("::1", 9))),
            ("", None),
            (":80", None),
            ("web:", None),
            ("web:0", None),
            ("web:65536", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
        ];
        for (authority, expected) in table {
            assert_eq!(split(authority), expected, "{authority}");
        }
    }

    #[tokio::test]
    async fn an_address_is_itself_and_never_the_listener_it_came_in_by() {
        let names = Names::default();
        let own: SocketAddr = "127.64.0.9:15007".parse().unwrap();
        let found = names.resolve("127.0.0.1:81", own).await.unwrap();
        assert_eq!(*found, ["127.0.0.1:81".parse().unwrap()]);
        assert_eq!(names.resolve("127.64.0.9:15007", own).await, Err(Failure::RouteNotFound));
        assert_eq!(names.resolve("127.0.0.1:x", own).await, Err(Failure::MissingHost));
        assert_eq!(names.resolve("no such host:80", own).await, Err(Failure::DnsResolution));
    }
}
