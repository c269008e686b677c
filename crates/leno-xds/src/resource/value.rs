//! `envoy.config.core.v3` and `envoy.type`: what several resources share.

use std::collections::BTreeMap;

use ipnet::IpNet;
use leno_core::config::{Fraction, StringMatch, StringPattern};
use serde_json::{Map, Value};

use crate::read::{Field, Names, Reader};
use crate::wire::Writer;

/// `Cluster.DnsLookupFamily.ALL`: both families, whichever answers first.
const LOOKUP_ALL: u64 = 4;
const LOOKUP_FAMILIES: [(u32, &str, ()); 2] = [(0, "AUTO", ()), (4, "ALL", ())];

/// How often names are asked for again, how many are kept, and how a resolver is spoken with.
const HARMLESS_DNS_CACHE: &Names = &[
    (3, "dns_refresh_rate"),
    (4, "host_ttl"),
    (5, "max_hosts"),
    (6, "dns_failure_refresh_rate"),
    (7, "dns_cache_circuit_breaker"),
    (8, "use_tcp_for_dns_lookups"),
    (9, "dns_resolution_config"),
    (10, "preresolve_hostnames"),
    (11, "dns_query_timeout"),
    (12, "typed_dns_resolver_config"),
    (14, "dns_min_refresh_rate"),
];

/// `DnsCacheConfig`: the one cache of the proxy, whatever it is called; how it asks is the host's business.
pub(crate) fn dns_cache(r: &mut Reader<'_, '_>, number: u32) {
    let found = r.message(number, "dns_cache_config", |r| {
        r.required_string(1, "name");
        r.choice(2, "dns_lookup_family", &LOOKUP_FAMILIES);
        r.harmless(HARMLESS_DNS_CACHE);
    });
    if found.is_none() {
        r.problem_at("dns_cache_config", "is missing");
    }
}

pub(crate) fn write_dns_cache(w: &mut Writer, number: u32) {
    w.message(number, |w| {
        w.string(1, "authorities");
        w.number(2, LOOKUP_ALL);
    });
}

/// A `ConfigSource` that must be the stream itself.
pub(crate) fn from_ads(r: &mut Reader<'_, '_>) {
    r.harmless(&[(4, "initial_fetch_timeout")]);
    r.choice(6, "resource_api_version", &[(0, "AUTO", ()), (2, "V3", ())]);
    if r.message(3, "ads", |_| ()).is_none() {
        r.problem("only \"ads\" is supported as a source");
        r.skip();
    }
}

pub(crate) fn write_ads(w: &mut Writer, number: u32) {
    w.message(number, |w| {
        w.message(3, |_| ());
        w.number(6, 2);
    });
}

/// `Metadata.filter_metadata`: every namespace as JSON. Only those named in `known` are acted on.
pub(crate) fn metadata(
    r: &mut Reader<'_, '_>,
    number: u32,
    known: &[&str],
) -> BTreeMap<String, Map<String, Value>> {
    let namespaces = r.message(number, "metadata", |r| {
        r.harmless(&[(2, "typed_filter_metadata")]);
        r.entries(1, "filter_metadata", |key, field| {
            if !known.contains(&key) {
                field.leave_out("is not acted on");
            }
            Some((key.to_owned(), field.structure()))
        })
    });
    namespaces.unwrap_or_default().into_iter().collect()
}

pub(crate) fn write_metadata(
    w: &mut Writer,
    number: u32,
    namespaces: &[(&str, Map<String, Value>)],
) {
    let mut namespaces = namespaces.iter().filter(|(_, fields)| !fields.is_empty()).peekable();
    if namespaces.peek().is_none() {
        return;
    }
    w.message(number, |w| {
        for (name, fields) in namespaces {
            w.message(1, |w| {
                w.string(1, name);
                w.structure(2, fields);
            });
        }
    });
}

/// The text at `key` of a metadata namespace.
pub(crate) fn text_at(fields: Option<&Map<String, Value>>, key: &str) -> Option<String> {
    fields?.get(key)?.as_str().map(str::to_owned)
}

/// `CidrRange`.
pub(crate) fn cidr(r: &mut Reader<'_, '_>) -> Option<IpNet> {
    let address = r.required_string(1, "address_prefix");
    let length = r.wrapped_u32(2, "prefix_len").unwrap_or(0);
    let net = address.parse().ok().zip(u8::try_from(length).ok());
    let net = net.and_then(|(address, length)| IpNet::new(address, length).ok());
    if net.is_none() {
        r.problem(&format!("{address}/{length} is not a range of addresses"));
    }
    net
}

pub(crate) fn write_cidr(w: &mut Writer, number: u32, range: &IpNet) {
    w.message(number, |w| {
        w.string(1, &range.addr().to_string());
        w.wrapped(2, Some(range.prefix_len().into()));
    });
}

/// The number of `meaning` in an enum's table.
pub(crate) fn number_of<T: Copy + PartialEq>(table: &[(u32, &str, T)], meaning: T) -> u64 {
    let found = table.iter().find(|(.., each)| *each == meaning);
    found.expect("every variant is in its table").0.into()
}

pub(crate) fn string_match(r: &mut Reader<'_, '_>) -> StringMatch {
    let mut patterns = r.texts(&[
        (1, "exact", StringPattern::Exact),
        (2, "prefix", StringPattern::Prefix),
        (3, "suffix", StringPattern::Suffix),
        (7, "contains", StringPattern::Contains),
    ]);
    if let Some(regex) = r.message(5, "safe_regex", regex) {
        patterns.push(StringPattern::Regex(regex));
    }
    if patterns.len() != 1 {
        r.problem("exactly one of exact, prefix, suffix, contains and safe_regex is expected");
    }
    let pattern = patterns.pop().unwrap_or_else(|| StringPattern::Exact(String::new()));
    StringMatch { pattern, ignore_case: r.bool(6, "ignore_case") }
}

pub(crate) fn write_string_match(w: &mut Writer, number: u32, string: &StringMatch) {
    w.message(number, |w| {
        match &string.pattern {
            StringPattern::Exact(text) => w.element(1, text.as_bytes()),
            StringPattern::Prefix(text) => w.element(2, text.as_bytes()),
            StringPattern::Suffix(text) => w.element(3, text.as_bytes()),
            StringPattern::Contains(text) => w.element(7, text.as_bytes()),
            StringPattern::Regex(text) => write_regex(w, 5, text),
        }
        w.bool(6, string.ignore_case);
    });
}

/// `RegexMatcher`; the engine is always RE2's syntax.
pub(crate) fn regex(r: &mut Reader<'_, '_>) -> String {
    r.message(1, "google_re2", |r| r.harmless(&[(1, "max_program_size")]));
    r.required_string(2, "regex")
}

pub(crate) fn write_regex(w: &mut Writer, number: u32, regex: &str) {
    w.message(number, |w| w.string(2, regex));
}

const DENOMINATORS: [(u32, &str, u32); 3] =
    [(0, "HUNDRED", 10_000), (1, "TEN_THOUSAND", 100), (2, "MILLION", 1)];

pub(crate) fn fraction(r: &mut Reader<'_, '_>) -> Fraction {
    let numerator = r.u32(1, "numerator");
    let unit = r.choice(2, "denominator", &DENOMINATORS).unwrap_or(10_000);
    Fraction { per_million: numerator.saturating_mul(unit) }
}

pub(crate) fn write_fraction(w: &mut Writer, number: u32, fraction: Fraction) {
    w.message(number, |w| {
        w.number(1, fraction.per_million.into());
        w.number(2, 2);
    });
}

/// `RuntimeFractionalPercent`: there is no runtime here, the default is the value.
pub(crate) fn runtime_fraction(r: &mut Reader<'_, '_>) -> Fraction {
    r.harmless(&[(2, "runtime_key")]);
    r.message(1, "default_value", fraction).unwrap_or_else(|| {
        r.problem_at("default_value", "is missing");
        Fraction::NEVER
    })
}

pub(crate) fn write_runtime_fraction(w: &mut Writer, number: u32, fraction: Fraction) {
    w.message(number, |w| write_fraction(w, 1, fraction));
}

/// `envoy.type.v3.Percent` in hundredths of a percent.
pub(crate) fn percent(r: &mut Reader<'_, '_>) -> u32 {
    let value = r.field(1, "value").and_then(Field::double).unwrap_or_default();
    if !(0.0..=100.0).contains(&value) {
        r.problem_at("value", "is not within 0 and 100");
        return 0;
    }
    (value * 100.0).round() as u32
}

pub(crate) fn write_percent(w: &mut Writer, number: u32, per_ten_thousand: u32) {
    w.message(number, |w| w.double(1, f64::from(per_ten_thousand) / 100.0));
}

/// `DataSource` with its content inline.
pub(crate) fn inline_data(r: &mut Reader<'_, '_>) -> Vec<u8> {
    let bytes = r.field(2, "inline_bytes").and_then(|field| field.bytes());
    let text = r.field(3, "inline_string").and_then(|field| field.text());
    match (bytes, text) {
        (Some(bytes), None) => bytes,
        (None, Some(text)) => text.as_bytes().to_vec(),
        _ => {
            r.problem("exactly one of inline_string and inline_bytes is expected");
            Vec::new()
        }
    }
}

pub(crate) fn write_inline_data(w: &mut Writer, number: u32, data: &[u8]) {
    w.message(number, |w| match std::str::from_utf8(data) {
        Ok(text) => w.element(3, text.as_bytes()),
        Err(_) => w.element(2, data),
    });
}
