//! What a workload has received: for checks that need the other side's view
//! (mirrored copies, forwarded headers).
//!
//! Counts never stop; of the requests themselves the last [`KEPT_MAX`] are kept.

use std::collections::{BTreeMap, VecDeque};

use hyper::HeaderMap;
use serde::Serialize;

const KEPT_MAX: usize = 256;
/// A peer chooses the host header, so the table of hosts is bounded too.
const HOSTS_MAX: usize = 64;

/// The report of `GET /_seen`; `DELETE /_seen` empties it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Seen {
    total: u64,
    by_host: BTreeMap<String, u64>,
    requests: VecDeque<SeenRequest>,
}

#[derive(Debug, Serialize)]
pub(super) struct SeenRequest {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) peer: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Seen {
    pub(super) fn record(&mut self, request: SeenRequest) {
        self.total += 1;
        let has_room = self.by_host.len() < HOSTS_MAX || self.by_host.contains_key(&request.host);
        let host = if has_room { request.host.clone() } else { "other".to_owned() };
        *self.by_host.entry(host).or_default() += 1;
        if self.requests.len() == KEPT_MAX {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }
}

/// Header names to values; repeated names are joined as RFC 9110 §5.3 allows.
pub(super) fn flatten(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut flat: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        flat.entry(name.as_str().to_owned())
            .and_modify(|joined| joined.push_str(&format!(", {value}")))
            .or_insert(value);
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::{HOSTS_MAX, KEPT_MAX, Seen, SeenRequest};

    #[test]
    fn counts_go_on_where_memory_ends() {
        let mut seen = Seen::default();
        for number in 0..1000 {
            seen.record(SeenRequest {
                method: "GET".into(),
                path: format!("/{number}"),
                host: format!("host-{number}"),
                peer: "127.0.0.1".into(),
                headers: [].into(),
            });
        }
        assert_eq!((seen.total, seen.requests.len()), (1000, KEPT_MAX));
        assert_eq!(seen.by_host.len(), HOSTS_MAX + 1);
        assert_eq!(seen.by_host.values().sum::<u64>(), 1000);
        assert_eq!(seen.requests.back().unwrap().path, "/999");
    }
}
