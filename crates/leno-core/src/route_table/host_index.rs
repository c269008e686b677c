//! Which virtual host a request's authority belongs to.
//!
//! Envoy's order: exact, longest suffix (`*.b`), longest prefix (`a.*`), then `*`. In each step the authority is tried
//! as received and then without its port, so that `reviews` also answers for `reviews:9080`.

use std::collections::HashMap;

use crate::frozen_index::{AffixIndex, End, HashIndex, folded_hash};
use crate::problem::{ProblemKind, Report};

#[derive(Clone, Debug)]
pub(crate) struct HostIndex {
    exact_keys: Box<[(Box<[u8]>, u32)]>,
    exact: HashIndex,
    suffix: Wildcards,
    prefix: Wildcards,
    any: Option<u32>,
}

#[derive(Clone, Debug)]
struct Wildcards {
    affixes: AffixIndex,
    hosts: Box<[u32]>,
}

impl Wildcards {
    fn build(end: End, entries: Vec<(Box<[u8]>, u32)>) -> Self {
        let (keys, hosts): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        Self { affixes: AffixIndex::build(end, keys), hosts: hosts.into() }
    }

    fn find(&self, authority: &[u8]) -> Option<u32> {
        let found = self.affixes.longest_proper(authority)?;
        Some(self.hosts[found as usize])
    }
}

impl HostIndex {
    /// `hosts` are virtual hosts in order: name and domains.
    pub(crate) fn compile(hosts: &[(&str, &[String])], report: &mut Report) -> Self {
        let mut owners: HashMap<String, &str> = HashMap::new();
        let (mut exact, mut suffix, mut prefix, mut any) = (vec![], vec![], vec![], None);
        for (number, &(host, domains)) in (0..).zip(hosts) {
            report.within(format_args!(".virtual_hosts[{host}]"), |report| {
                for (i, domain) in domains.iter().enumerate() {
                    let step = format_args!(".domains[{i}]").to_string();
                    let key = domain.to_ascii_lowercase();
                    if let Some(other) = owners.insert(key.clone(), host) {
                        let (domain, other) = (domain.clone(), other.to_owned());
                        let what = ProblemKind::DuplicateDomain { domain, other };
                        report.problem_at(format_args!("{step}"), what);
                        continue;
                    }
                    match Shape::of(&key) {
                        Some(Shape::Any) => any = Some(number),
                        Some(Shape::Exact) => exact.push((Box::from(key.as_bytes()), number)),
                        Some(Shape::Suffix(text)) => suffix.push((text.as_bytes().into(), number)),
                        Some(Shape::Prefix(text)) => prefix.push((text.as_bytes().into(), number)),
                        None => report.problem_at(
                            format_args!("{step}"),
                            ProblemKind::InvalidDomain { domain: domain.clone() },
                        ),
                    }
                }
            });
        }
        Self {
            exact: HashIndex::build(exact.iter().map(|(key, _)| folded_hash(key))),
            exact_keys: exact.into(),
            suffix: Wildcards::build(End::Back, suffix),
            prefix: Wildcards::build(End::Front, prefix),
            any,
        }
    }

    /// The number of the virtual host.
    pub(crate) fn find(&self, authority: &[u8]) -> Option<u32> {
        let host = without_port(authority);
        let has_port = host.len() != authority.len();
        let twice = |find: &dyn Fn(&[u8]) -> Option<u32>| {
            find(authority).or_else(|| if has_port { find(host) } else { None })
        };
        twice(&|text| self.find_exact(text))
            .or_else(|| twice(&|text| self.suffix.find(text)))
            .or_else(|| twice(&|text| self.prefix.find(text)))
            .or(self.any)
    }

    fn find_exact(&self, text: &[u8]) -> Option<u32> {
        if self.exact_keys.is_empty() {
            return None;
        }
        let key = |at: u32| &self.exact_keys[at as usize];
        let at = self.exact.find(folded_hash(text), |at| key(at).0.eq_ignore_ascii_case(text))?;
        Some(key(at).1)
    }
}

enum Shape<'a> {
    Any,
    Exact,
    Suffix(&'a str),
    Prefix(&'a str),
}

impl<'a> Shape<'a> {
    fn of(domain: &'a str) -> Option<Self> {
        let is_bad = |byte: u8| byte <= b' ' || byte == 0x7f || byte == b'/';
        if domain.is_empty() || domain.bytes().any(is_bad) {
            return None;
        }
        if domain == "*" {
            return Some(Self::Any);
        }
        let shape = match (domain.strip_prefix('*'), domain.strip_suffix('*')) {
            (Some(suffix), _) => Self::Suffix(suffix),
            (None, Some(prefix)) => Self::Prefix(prefix),
            (None, None) => Self::Exact,
        };
        let rest = match shape {
            Self::Suffix(text) | Self::Prefix(text) => text,
            Self::Any | Self::Exact => domain,
        };
        (!rest.contains('*')).then_some(shape)
    }
}

/// The authority up to its port; an IPv6 literal keeps its brackets.
pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    let Some(colon) = memchr::memrchr(b':', authority) else { return authority };
    let is_port = authority[colon + 1..].iter().all(u8::is_ascii_digit);
    let inside_brackets = authority.first() == Some(&b'[') && authority[colon - 1] != b']';
    let bare_v6 = authority.first() != Some(&b'[') && authority[..colon].contains(&b':');
    if is_port && !inside_brackets && !bare_v6 { &authority[..colon] } else { authority }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(hosts: &[&[&str]], authority: &str) -> Option<u32> {
        let owned: Vec<Vec<String>> =
            hosts.iter().map(|d| d.iter().map(|d| (*d).to_owned()).collect()).collect();
        let hosts: Vec<(&str, &[String])> = owned.iter().map(|d| ("h", d.as_slice())).collect();
        let mut report = Report::new(String::new());
        let index = HostIndex::compile(&hosts, &mut report);
        report.finish(|| ()).unwrap();
        index.find(authority.as_bytes())
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let hosts: &[&[&str]] = &[
            &["*"],
            &["*.com"],
            &["*.b.com", "api-*"],
            &["a.b.com", "a.b.com:9080"],
            &["api.*", "[::1]"],
            &["*-x.b.com"],
        ];
        let table = [
            ("a.b.com", Some(3)),
            ("A.B.COM", Some(3)),
            ("a.b.com:9080", Some(3)),
            ("a.b.com:1234", Some(3)),
            ("c.b.com", Some(2)),
            ("c.b.com:80", Some(2)),
            ("c-x.b.com", Some(5)),
            ("-x.b.com", Some(2)),
            ("b.com", Some(1)),
            (".b.com", Some(1)),
            ("api.org", Some(4)),
            ("api.", Some(0)),
            ("api-1", Some(2)),
            ("[::1]:80", Some(4)),
            ("[::1]", Some(4)),
            ("other", Some(0)),
            ("", Some(0)),
            (":80", Some(0)),
        ];
        for (authority, expected) in table {
            assert_eq!(find(hosts, authority), expected, "{authority}");
        }
        assert_eq!(find(&[&["a"]], "b"), None);
    }

    #[test]
    fn a_port_is_cut_off_only_where_there_is_one() {
        let table = [
            ("a:80", "a"),
            ("a:", "a"),
            ("a", "a"),
            ("a:b", "a:b"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("::1", "::1"),
            (":80", ""),
            ("[", "["),
            ("[:", "[:"),
        ];
        for (authority, expected) in table {
            let found = without_port(authority.as_bytes());
            assert_eq!(String::from_utf8_lossy(found), expected, "{authority}");
        }
    }

    #[test]
    fn bad_and_repeated_domains_are_problems() {
        let domains = ["a.b", "A.b", "", "a b", "*.*", "a*b", "**"].map(str::to_owned);
        let mut report = Report::new("t".to_owned());
        HostIndex::compile(&[("one", &domains)], &mut report);
        let problems = report.finish(|| ()).unwrap_err();
        let places: Vec<&str> = problems.iter().map(|p| p.at.as_str()).collect();
        let expected: Vec<String> =
            (1..7).map(|i| format!("t.virtual_hosts[one].domains[{i}]")).collect();
        assert_eq!(places, expected);
        assert!(matches!(problems[0].what, ProblemKind::DuplicateDomain { .. }));
    }
}
