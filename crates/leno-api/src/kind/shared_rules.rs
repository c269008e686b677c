//! Rules that several of Istio's kinds share: hosts, exports, selectors, string matches, header names.

use crate::field::{Field, Findings, is_dns_label, is_wildcard_host};

/// `exportTo`: `.`, `*` or names of namespaces.
pub(super) fn export_to(field: &Field<'_>, findings: &mut Findings) {
    let items = field.items();
    for (index, item) in items.iter().enumerate() {
        let text = item.text();
        if text == "~" {
            findings.unsupported(item, "\"~\": hide a document from all by not writing it; use \".\", \"*\" or names of namespaces");
        } else if !matches!(text, "." | "*") && !is_dns_label(text) {
            findings.invalid(item, format!("{text:?}: must be \".\", \"*\" or a namespace"));
        }
        if items[..index].iter().any(|earlier| earlier.text() == text) {
            findings.duplicate(item, format!("{text:?} is there already"));
        }
    }
    if items.len() > 1 && items.iter().any(|item| item.text() == "*") {
        findings.invalid(field, "\"*\" is every namespace: leave out the others");
    }
}

/// A DNS name, a short name, or a wildcard in the first label.
pub(super) fn host(field: &Field<'_>, findings: &mut Findings) {
    let text = field.text();
    if field.value().is_string() && !is_wildcard_host(text) {
        findings.invalid(field, format!("{text:?}: must be a host name; a wildcard may only be its first label, as in *.example.com"));
    }
}

/// Exactly one of `exact`, `prefix`, `regex`; `{}` only where presence can be asked for.
pub(super) fn string_match(field: &Field<'_>, presence: Presence, findings: &mut Findings) {
    if !field.value().is_object() {
        return;
    }
    let kinds = ["exact", "prefix", "regex"].map(|kind| field.at(kind));
    match kinds.iter().filter(|kind| kind.is_set()).count() {
        0 if presence == Presence::CannotBeAsked => {
            findings.required(field, "one of exact, prefix and regex must be set");
        }
        0 | 1 => {}
        _ => findings.invalid(field, "only one of exact, prefix and regex may be set"),
    }
    let [_, prefix, regex] = kinds;
    if prefix.is_set() && prefix.text().is_empty() {
        findings.invalid(&prefix, "an empty prefix matches everything: leave the match out");
    }
    if regex.is_set() {
        if regex.text().is_empty() {
            findings.invalid(&regex, "must not be empty");
        } else {
            findings.regex(&regex);
        }
    }
}

/// Whether a match may ask only that something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    CanBeAsked,
    CannotBeAsked,
}

/// Whether text is a field name of HTTP (RFC 9110 §5.1).
pub(super) fn is_header_name(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// Names of a map of headers; pseudo headers are allowed where they can be matched.
pub(super) fn header_names(field: &Field<'_>, findings: &mut Findings) {
    for (name, value) in field.entries() {
        let plain = name.strip_prefix(':').unwrap_or(name);
        if !is_header_name(plain) {
            findings.invalid(&value, format!("{name:?}: not a header name"));
        }
    }
}

/// `selector.matchLabels` and its like.
pub(super) fn selector(labels: &Field<'_>, findings: &mut Findings) {
    let entries = labels.entries();
    let wild =
        entries.iter().filter(|(key, value)| key.contains('*') || value.text().contains('*'));
    for (_, value) in wild.clone() {
        findings.invalid(value, "wildcards are not supported in selectors");
    }
    if wild.count() == 0 {
        findings.labels(labels);
    }
}

/// Every port number in a document that is one.
pub(super) fn number_of(port: &Field<'_>, findings: &mut Findings) {
    let number = port.at("number");
    if port.is_set() && !number.is_set() {
        findings.required(&number, "the port's number");
    }
    findings.port(&number);
}

/// A duration of at least a millisecond; zero is "none".
pub(super) fn time_limit(field: &Field<'_>, findings: &mut Findings) {
    if field.duration().is_some_and(|duration| !duration.is_zero()) {
        findings.at_least_a_millisecond(field);
    }
}
