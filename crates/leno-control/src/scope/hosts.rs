//! Rules by the hosts they name: exact ones by a look-up, wildcards from the longest to the shortest.

use std::collections::HashMap;
use std::sync::Arc;

/// Rules by host, each list in the order of insertion.
#[derive(Clone, Debug)]
pub(super) struct Hosts<T> {
    exact: HashMap<String, Vec<Arc<T>>>,
    /// What follows the `*`; longest first.
    wildcards: Vec<(String, Vec<Arc<T>>)>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: Vec::new() }
    }
}

impl<T> Hosts<T> {
    pub(super) fn insert(&mut self, pattern: &str, rule: &Arc<T>) {
        self.exact.entry(pattern.to_owned()).or_default().push(rule.clone());
        let Some(suffix) = pattern.strip_prefix('*') else { return };
        let place = self.wildcards.binary_search_by(|(known, _)| {
            suffix.len().cmp(&known.len()).then_with(|| known.as_str().cmp(suffix))
        });
        match place {
            Ok(at) => self.wildcards[at].1.push(rule.clone()),
            Err(at) => self.wildcards.insert(at, (suffix.to_owned(), vec![rule.clone()])),
        }
    }

    /// The rules for a host: of its own name, then of ever wider wildcards. A host may itself be a wildcard.
    pub(super) fn closest_first(&self, host: &str) -> impl Iterator<Item = &[Arc<T>]> {
        let exact = self.exact.get(host).map(Vec::as_slice);
        let fitting = self.wildcards.iter().filter(move |(suffix, _)| {
            host.ends_with(suffix.as_str()) && host.strip_prefix('*') != Some(suffix)
        });
        exact.into_iter().chain(fitting.map(|(_, rules)| rules.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_host_comes_first() {
        let mut hosts = Hosts::default();
        for pattern in ["*", "*.example.com", "a.shop.example.com", "*.shop.example.com", "*.org"] {
            hosts.insert(pattern, &Arc::new(pattern));
        }
        let found =
            |host: &str| hosts.closest_first(host).map(|rules| *rules[0]).collect::<Vec<_>>();
        assert_eq!(
            found("a.shop.example.com"),
            ["a.shop.example.com", "*.shop.example.com", "*.example.com", "*"]
        );
        assert_eq!(found("*.example.com"), ["*.example.com", "*"]);
        assert_eq!(found("shop"), ["*"]);
    }
}
