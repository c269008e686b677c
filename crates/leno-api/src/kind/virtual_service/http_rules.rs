//! Istio's rules for one entry of `spec.http`.

use super::super::shared_rules::{
    Presence, header_names, is_header_name, string_match, time_limit,
};
use leno_core::format::Format;

use super::rules::{caller, destination, weighted};
use crate::field::{Field, Findings, is_fqdn};
use crate::problem::Warning;

/// The longest body of a direct response, as in Istio.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Words that proxies know in `retryOn`.
const RETRY_WORDS: [&str; 14] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
/// Words of Envoy that are taken and do nothing yet.
const IDLE_RETRY_WORDS: [&str; 3] =
    ["retriable-headers", "http3-post-connect-failure", "envoy-overloaded"];
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];

pub(super) fn rule(rule: &Field<'_>, findings: &mut Findings) {
    for one in rule.at("match").items() {
        request(&one, findings);
    }
    one_action(rule, findings);
    weighted(&rule.at("route"), findings);
    for part in rule.at("route").items() {
        header_edits(&part.at("headers"), findings);
    }
    header_edits(&rule.at("headers"), findings);
    time_limit(&rule.at("timeout"), findings);
    retries(&rule.at("retries"), findings);
    fault(&rule.at("fault"), findings);
    mirrors(rule, findings);
    rewrite(&rule.at("rewrite"), findings);
    redirect(&rule.at("redirect"), findings);
    direct_response(&rule.at("directResponse"), findings);
    cors(&rule.at("corsPolicy"), findings);
}

fn request(one: &Field<'_>, findings: &mut Findings) {
    caller(one, findings);
    for name in ["uri", "scheme", "method", "authority"] {
        string_match(&one.at(name), Presence::CannotBeAsked, findings);
    }
    for name in ["headers", "withoutHeaders", "queryParams"] {
        for (key, value) in one.at(name).entries() {
            string_match(&value, Presence::CanBeAsked, findings);
            if key.is_empty() {
                findings.invalid(&value, "the name must not be empty");
            }
        }
    }
    header_names(&one.at("headers"), findings);
    header_names(&one.at("withoutHeaders"), findings);
}

/// A rule forwards, redirects, answers or delegates.
fn one_action(rule: &Field<'_>, findings: &mut Findings) {
    let actions = ["route", "redirect", "directResponse", "delegate"].map(|name| rule.at(name));
    let set: Vec<&Field<'_>> = actions.iter().filter(|action| has_action(action)).collect();
    match set.as_slice() {
        [] => findings.required(&rule.at("route"), "one of route, redirect and directResponse"),
        [_] => {}
        [first, rest @ ..] => {
            for other in rest {
                let name = |field: &Field<'_>| last_name(field).to_owned();
                findings.forbidden(
                    other,
                    format!("a rule has {} or {}, not both", name(first), name(other)),
                );
            }
        }
    }
    let answers = actions[1].is_set() || actions[2].is_set();
    for name in ["fault", "rewrite"] {
        let field = rule.at(name);
        if answers && field.is_set() {
            findings.forbidden(&field, format!("a rule that answers itself has no {name}"));
        }
    }
}

fn has_action(action: &Field<'_>) -> bool {
    // `redirect: {}` is there, an empty list of routes is not.
    action.is_set() && (action.value().is_object() || action.has_content())
}

fn last_name<'a>(field: &'a Field<'_>) -> &'a str {
    field.path().rsplit('.').next().unwrap_or("")
}

fn header_edits(headers: &Field<'_>, findings: &mut Findings) {
    for direction in ["request", "response"] {
        let edits = headers.at(direction);
        for kind in ["set", "add"] {
            header_names(&edits.at(kind), findings);
            for (_, value) in edits.at(kind).entries() {
                if value.text().contains(['\r', '\n', '\0']) {
                    findings.invalid(&value, "a header's value has no line break");
                }
                if let Err(reason) = Format::parse(value.text()) {
                    findings.invalid(&value, format!("{:?}: {reason}", value.text()));
                }
            }
        }
        for name in edits.at("remove").items() {
            if !is_header_name(name.text()) {
                findings.invalid(&name, format!("{:?}: not a header name", name.text()));
            }
        }
    }
}

fn retries(retries: &Field<'_>, findings: &mut Findings) {
    let attempts = retries.at("attempts");
    findings.in_range(&attempts, 0..=100);
    if retries.is_set() && attempts.integer().unwrap_or(0) == 0 {
        for name in ["perTryTimeout", "retryOn", "backoff"] {
            let field = retries.at(name);
            if field.has_content() {
                findings.invalid(
                    &field,
                    "has no effect while attempts is 0: set attempts, or leave this out",
                );
            }
        }
    }
    time_limit(&retries.at("perTryTimeout"), findings);
    findings.at_least_a_millisecond(&retries.at("backoff"));
    let retry_on = retries.at("retryOn");
    for word in retry_on.text().split(',').map(str::trim).filter(|_| retry_on.has_content()) {
        let code = word.parse::<u16>().is_ok_and(|code| (100..600).contains(&code));
        if !code && !RETRY_WORDS.contains(&word) && !IDLE_RETRY_WORDS.contains(&word) {
            let right = RETRY_WORDS.join(", ");
            findings
                .unsupported(&retry_on, format!("{word:?}: must be a status or one of {right}"));
        }
    }
}

fn fault(fault: &Field<'_>, findings: &mut Findings) {
    if !fault.is_set() {
        return;
    }
    let (delay, abort) = (fault.at("delay"), fault.at("abort"));
    if !delay.is_set() && !abort.is_set() {
        findings.required(fault, "delay, abort or both");
    }
    if delay.is_set() {
        let (fixed, exponential) = (delay.at("fixedDelay"), delay.at("exponentialDelay"));
        if !fixed.is_set() && !exponential.is_set() {
            findings.required(&fixed, "how long to wait");
        }
        findings.at_least_a_millisecond(&fixed);
        findings.at_least_a_millisecond(&exponential);
        findings.percentage(&delay.at("percent"));
        findings.percentage(&delay.below("percentage.value"));
    }
    if abort.is_set() {
        let kinds = ["httpStatus", "grpcStatus", "http2Error"].map(|kind| abort.at(kind));
        match kinds.iter().filter(|kind| kind.is_set()).count() {
            0 => findings.required(&kinds[0], "what to answer"),
            1 => {}
            _ => findings
                .invalid(&abort, "only one of httpStatus, grpcStatus and http2Error may be set"),
        }
        findings.in_range(&kinds[0], 200..=599);
        findings.percentage(&abort.below("percentage.value"));
    }
}

fn mirrors(rule: &Field<'_>, findings: &mut Findings) {
    let (mirror, mirrors) = (rule.at("mirror"), rule.at("mirrors"));
    if mirror.is_set() && mirrors.has_content() {
        findings.forbidden(&mirrors, "a rule has mirror or mirrors, not both");
    }
    destination(&mirror, findings);
    for name in ["mirrorPercent", "mirror_percent"] {
        findings.percentage(&rule.at(name));
    }
    findings.percentage(&rule.below("mirrorPercentage.value"));
    for one in mirrors.items() {
        let to = one.at("destination");
        if !to.is_set() {
            findings.required(&to, "where copies go");
        }
        destination(&to, findings);
        findings.percentage(&one.below("percentage.value"));
    }
}

fn rewrite(rewrite: &Field<'_>, findings: &mut Findings) {
    if !rewrite.is_set() {
        return;
    }
    let (uri, authority) = (rewrite.at("uri"), rewrite.at("authority"));
    let regex = rewrite.at("uriRegexRewrite");
    if !uri.has_content() && !authority.has_content() && !regex.is_set() {
        findings.required(rewrite, "one of uri, authority and uriRegexRewrite");
    }
    if uri.has_content() && regex.is_set() {
        findings.forbidden(&regex, "a rewrite has uri or uriRegexRewrite, not both");
    }
    if regex.is_set() {
        let pattern = regex.at("match");
        if pattern.has_content() {
            findings.regex(&pattern);
        } else {
            findings.required(&pattern, "a regular expression (RE2)");
        }
        if !regex.at("rewrite").is_set() {
            findings.required(&regex.at("rewrite"), "what takes its place");
        }
    }
}

fn redirect(redirect: &Field<'_>, findings: &mut Findings) {
    if !redirect.is_set() {
        return;
    }
    if !redirect.has_content() {
        findings.required(
            redirect,
            "one of uri, prefixRewrite, authority, scheme, port and redirectCode",
        );
    }
    let authority = redirect.at("authority");
    if authority.has_content() && !is_authority(authority.text()) {
        findings.invalid(&authority, format!("{:?}: must be host or host:port", authority.text()));
    }
    let scheme = redirect.at("scheme");
    if scheme.has_content() && !matches!(scheme.text(), "http" | "https") {
        findings.unsupported(&scheme, format!("{:?}: must be http or https", scheme.text()));
    }
    let code = redirect.at("redirectCode");
    if code.integer().is_some_and(|code| !matches!(code, 0 | 301 | 302 | 303 | 307 | 308)) {
        findings.unsupported(&code, format!("{}: must be 301, 302, 303, 307 or 308", code.value()));
    }
    findings.in_range(&redirect.at("port"), 0..=65535);
    if redirect.at("port").is_set() && redirect.at("derivePort").is_set() {
        findings
            .forbidden(&redirect.at("derivePort"), "a redirect has port or derivePort, not both");
    }
    if redirect.at("uri").has_content() && redirect.at("prefixRewrite").has_content() {
        findings.forbidden(
            &redirect.at("prefixRewrite"),
            "a redirect has uri or prefixRewrite, not both",
        );
    }
}

fn is_authority(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => is_fqdn(host) && port.parse::<u16>().is_ok(),
        None => is_fqdn(text),
    }
}

fn direct_response(response: &Field<'_>, findings: &mut Findings) {
    findings.in_range(&response.at("status"), 200..=599);
    let body = response.at("body");
    if body.is_set() {
        let (text, bytes) = (body.at("string"), body.at("bytes"));
        if text.is_set() == bytes.is_set() {
            findings.invalid(&body, "exactly one of string and bytes must be set");
        }
        if text.text().len() > BODY_BYTES_MAX || bytes.text().len() > BODY_BYTES_MAX / 3 * 4 + 4 {
            findings.invalid(&body, format!("may have {BODY_BYTES_MAX} bytes"));
        }
    }
}

fn cors(cors: &Field<'_>, findings: &mut Findings) {
    for origin in cors.at("allowOrigins").items() {
        string_match(&origin, Presence::CannotBeAsked, findings);
    }
    for method in cors.at("allowMethods").items() {
        if !METHODS.contains(&method.text()) {
            findings.unsupported(&method, format!("{:?}: not a method of HTTP", method.text()));
        }
    }
    for list in ["allowHeaders", "exposeHeaders"] {
        for name in cors.at(list).items() {
            if name.text() != "*" && !is_header_name(name.text()) {
                findings.invalid(&name, format!("{:?}: not a header name", name.text()));
            }
        }
    }
    let age = cors.at("maxAge");
    if age.duration().is_some_and(|age| age.subsec_nanos() != 0) {
        findings.invalid(&age, format!("{:?}: is in whole seconds", age.text()));
    }
}

/// Faults without a share, and conditions for retries that are not looked at.
pub(super) fn remarks(rule: &Field<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for name in ["delay", "abort"] {
        let one = rule.at("fault").at(name);
        let share = one.below("percentage.value").number().or(one.at("percent").number());
        if one.is_set() && share.is_none_or(|share| share == 0.0) {
            let reason = "hits no request: percentage.value says how many";
            warnings.push(Warning::new(one.path(), reason));
        }
    }
    let retry_on = rule.at("retries").at("retryOn");
    for word in retry_on.text().split(',').map(str::trim) {
        if IDLE_RETRY_WORDS.contains(&word) {
            let reason = format!("{word:?} is {}", Warning::NOT_ENFORCED);
            warnings.push(Warning::new(retry_on.path(), reason));
        }
    }
    warnings
}
