//! Attacks with a number on what decides: a rule that looks at a path or a name must not be passed by writing it differently.

use leno_core::config::{EscapedSlashes, PathNormalization, StringMatch, StringPattern};
use leno_core::path::{Outcome, normalize};
use leno_core::string_match::StringMatcher;

const STRICT: PathNormalization = PathNormalization {
    normalize: true,
    merge_slashes: true,
    escaped_slashes: EscapedSlashes::Unescape,
};

/// The path that routing, rules and the endpoint see; `None` is 400.
fn seen(settings: PathNormalization, target: &str) -> Option<String> {
    let mut out = Vec::new();
    match normalize(settings, target.as_bytes(), &mut out) {
        Ok(Outcome::Unchanged) => Some(target.to_owned()),
        Ok(Outcome::Changed) => Some(String::from_utf8(out).unwrap()),
        Ok(Outcome::Redirect) | Err(_) => None,
    }
}

#[test]
fn dot_segments_and_doubled_slashes_do_not_pass_a_rule_cve_2019_9901() {
    for target in ["//admin", "/x/../admin", "/./admin", "/x/%2e%2e/admin", "///admin"] {
        assert_eq!(seen(STRICT, target).as_deref(), Some("/admin"), "{target}");
    }
}

#[test]
fn escaped_slashes_do_not_pass_a_rule_cve_2021_29492() {
    for target in ["/%2Fadmin", "/x%2f..%2fadmin", "%2fadmin", "/x%5C..%5Cadmin", "/x/..%2Fadmin"] {
        let path = seen(STRICT, target);
        assert!(
            path.is_none() || path.as_deref() == Some("/admin") || target.starts_with('%'),
            "{target}: {path:?}"
        );
        let rejects = PathNormalization { escaped_slashes: EscapedSlashes::Reject, ..STRICT };
        let path = seen(rejects, target);
        assert!(path.is_none() || target.starts_with('%'), "{target}: {path:?}");
    }
    assert_eq!(seen(STRICT, "/a%00/../admin"), None, "and a NUL ends nothing");
}

#[test]
fn a_pattern_matches_what_it_says_and_not_more_cve_2025_46821() {
    let matches = |pattern: StringPattern, value: &str| {
        let config = StringMatch { pattern, ignore_case: false };
        StringMatcher::new(&config, "at").unwrap().is_match(value.as_bytes())
    };
    // (pattern, value, whether it matches)
    let table = [
        (StringPattern::Exact("/a*b".into()), "/a*b", true),
        (StringPattern::Exact("/a*b".into()), "/axxb", false),
        (StringPattern::Prefix("/a*".into()), "/a*/b", true),
        (StringPattern::Prefix("/a*".into()), "/ab", false),
        (StringPattern::Suffix(".example".into()), "evil-example", false),
        (StringPattern::Regex("/admin".into()), "/admin", true),
        (StringPattern::Regex("/admin".into()), "/x/admin/y", false),
        (StringPattern::Regex("/a.c".into()), "/a\nc", false),
        (StringPattern::Exact("admin".into()), "admin\0", false),
    ];
    for (pattern, value, expected) in table {
        assert_eq!(matches(pattern.clone(), value), expected, "{pattern:?} on {value:?}");
    }
}
