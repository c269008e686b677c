//! Which documents a refusal is about: those that made the route or cluster the proxy names. Pure.

use std::collections::BTreeSet;

use leno_core::config::Route;

use crate::translate::Translated;

/// The documents behind a problem such as `routes[9080].virtual_hosts[a:80].routes[0].match.path: …`, as Istio names
/// them; none when the place tells of no document.
pub(super) fn blamed(translated: &Translated, problem: &str) -> BTreeSet<String> {
    match key(problem, "routes") {
        Some((name, rest)) => {
            let table = translated.routes.get(name);
            let hosts = table.iter().flat_map(|table| &table.virtual_hosts);
            let (host, rest) = match key(rest.trim_start_matches('.'), "virtual_hosts") {
                Some((host, rest)) => (Some(host), rest),
                None => (None, ""),
            };
            let hosts = hosts.filter(|one| host.is_none_or(|host| one.name == host));
            let index = key(rest.trim_start_matches('.'), "routes");
            let index = index.and_then(|(index, _)| index.parse::<usize>().ok());
            let named = |(at, _): &(usize, &Route)| index.is_none_or(|index| index == *at);
            hosts
                .flat_map(|host| host.routes.iter().enumerate().filter(named))
                .filter_map(|(_, route)| route.origin.clone())
                .collect()
        }
        None => {
            let cluster =
                key(problem, "clusters").and_then(|(name, _)| translated.clusters.get(name));
            cluster.and_then(|cluster| cluster.origin.clone()).into_iter().collect()
        }
    }
}

/// `name[key]rest` as key and rest.
fn key<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(name)?.strip_prefix('[')?.split_once(']')
}
