//! Which names the mesh answers, and with what.
//!
//! Built from the control plane's name table (Istio's NDS) and the host's
//! search domains; immutable. A name is looked up as it was asked, and again
//! without a search domain that the app's resolver appended.

use std::collections::HashMap;
use std::net::IpAddr;

/// One service as the control plane names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full name, as `reviews.default.svc.cluster.local` or `api.example.com`.
    pub host: String,
    /// Where connections to it should go: its virtual address, or those of its
    /// endpoints when it is headless.
    pub addresses: Vec<IpAddr>,
    /// `reviews` when the name is a service of a namespace.
    pub short_name: Option<String>,
    /// The namespace that `short_name` is in.
    pub namespace: Option<String>,
}

/// The addresses of a name; both lists may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) v4: Vec<std::net::Ipv4Addr>,
    pub(super) v6: Vec<std::net::Ipv6Addr>,
}

/// Every name of the mesh that one proxy can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    names: HashMap<String, Addresses>,
    namespace: String,
    mesh_domain: String,
    search: Vec<String>,
}

/// What the table says about a name.
#[derive(Debug, PartialEq)]
pub(super) enum Lookup<'a> {
    /// A name of the mesh.
    Known(&'a Addresses),
    /// A name that only the mesh could know, and it does not.
    Absent,
    /// Somebody else's name.
    Foreign,
}

impl Table {
    /// `namespace` and `mesh_domain` (`cluster.local`) are the proxy's own: they
    /// decide which short forms exist. `search` are the host's search domains.
    #[must_use]
    pub fn new(entries: &[Entry], namespace: &str, mesh_domain: &str, search: &[String]) -> Self {
        let mut names: HashMap<String, Addresses> = HashMap::new();
        for entry in entries {
            let mut addresses = Addresses::default();
            for address in &entry.addresses {
                match address {
                    IpAddr::V4(v4) => addresses.v4.push(*v4),
                    IpAddr::V6(v6) => addresses.v6.push(*v6),
                }
            }
            for name in forms(entry, namespace, mesh_domain) {
                // A full name beats a short form of another service.
                if name == entry.host.to_ascii_lowercase() || !names.contains_key(&name) {
                    names.insert(name, addresses.clone());
                }
            }
        }
        let bare = |domain: &String| domain.trim_matches('.').to_ascii_lowercase();
        let search = search.iter().map(bare).filter(|domain| !domain.is_empty()).collect();
        let namespace = namespace.to_owned();
        Self { names, namespace, mesh_domain: mesh_domain.to_ascii_lowercase(), search }
    }

    /// The same proxy's table with the mesh's latest names.
    #[must_use]
    pub fn from_mesh(before: &Self, entries: &[Entry]) -> Self {
        Self::new(entries, &before.namespace, &before.mesh_domain, &before.search)
    }

    /// `name` in lower case without the final dot.
    pub(super) fn lookup(&self, name: &str) -> Lookup<'_> {
        if let Some(addresses) = self.find(name) {
            return Lookup::Known(addresses);
        }
        let is_ours = name == self.mesh_domain || has_suffix(name, &self.mesh_domain).is_some();
        if is_ours && !self.mesh_domain.is_empty() { Lookup::Absent } else { Lookup::Foreign }
    }

    fn find(&self, name: &str) -> Option<&Addresses> {
        let exact = self.names.get(name).or_else(|| self.wildcard(name));
        exact.or_else(|| {
            let asked = |domain: &String| has_suffix(name, domain);
            self.search.iter().filter_map(asked).find_map(|short| self.names.get(short))
        })
    }

    /// `*.example.com` holds for any name below `example.com`; the longest wins.
    fn wildcard(&self, name: &str) -> Option<&Addresses> {
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.names.get(&format!("*.{parent}")) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }
}

/// The part of `name` before `.domain`.
fn has_suffix<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    name.strip_suffix(domain)?.strip_suffix('.').filter(|rest| !rest.is_empty())
}

/// The names an entry answers to: its own, and for a service of a namespace
/// what Kubernetes' search domains would make of it.
fn forms(entry: &Entry, own_namespace: &str, mesh_domain: &str) -> Vec<String> {
    let host = entry.host.trim_end_matches('.').to_ascii_lowercase();
    let mut forms = vec![host];
    if let (Some(short), Some(namespace)) = (&entry.short_name, &entry.namespace) {
        let (short, namespace) = (short.to_ascii_lowercase(), namespace.to_ascii_lowercase());
        forms.push(format!("{short}.{namespace}.svc.{mesh_domain}"));
        forms.push(format!("{short}.{namespace}.svc"));
        forms.push(format!("{short}.{namespace}"));
        if namespace == own_namespace {
            forms.push(short);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::{Entry, Lookup, Table};

    #[test]
    fn each_form_of_a_name_finds_its_service() {
        let table = table();
        // (name, the last byte of its address, or what else)
        let cases = [
            ("reviews", "1"),
            ("reviews.default", "1"),
            ("reviews.default.svc", "1"),
            ("reviews.default.svc.cluster.local", "1"),
            ("reviews.lan.example", "1"),
            ("reviews.default.lan.example", "1"),
            ("billing", "foreign"),
            ("billing.shop", "2"),
            ("api.example.com", "3"),
            ("a.b.wild.example", "4"),
            ("wild.example", "foreign"),
            ("nothing.default.svc.cluster.local", "absent"),
            ("cluster.local", "absent"),
            ("notcluster.local", "foreign"),
            ("example.org", "foreign"),
        ];
        for (name, expected) in cases {
            let found = match table.lookup(name) {
                Lookup::Known(addresses) => addresses.v4[0].octets()[3].to_string(),
                Lookup::Absent => "absent".to_owned(),
                Lookup::Foreign => "foreign".to_owned(),
            };
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn an_empty_table_owns_no_name() {
        assert_eq!(Table::default().lookup("reviews"), Lookup::Foreign);
        assert_eq!(Table::default().lookup(""), Lookup::Foreign);
    }

    fn table() -> Table {
        let entry = |host: &str, last: u8, service: Option<(&str, &str)>| Entry {
            host: host.to_owned(),
            addresses: vec![[240, 240, 0, last].into()],
            short_name: service.map(|(short, _)| short.to_owned()),
            namespace: service.map(|(_, namespace)| namespace.to_owned()),
        };
        let entries = [
            entry("Reviews.default.svc.cluster.local", 1, Some(("reviews", "default"))),
            entry("billing.shop.svc.cluster.local", 2, Some(("billing", "shop"))),
            entry("api.example.com", 3, None),
            entry("*.wild.example", 4, None),
        ];
        Table::new(&entries, "default", "cluster.local", &["lan.example.".to_owned()])
    }
}
