//! Which strings are names: DNS labels and names, hosts with wildcards, label keys and values.

pub(super) const LABEL_KEY: &str = "a label's key is [prefix/]name, name of at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends";
pub(super) const LABEL_VALUE: &str = "a label's value has at most 63 letters, digits, '-', '_', '.', with a letter or digit at both ends, or is empty";

/// RFC 1123 label: lower-case letters, digits and inner `-`, at most 63.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    let ends =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

/// RFC 1123 subdomain: labels joined by dots, at most 253.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// A host name as Istio takes it: labels of either case (and `_`), a final dot allowed.
#[must_use]
pub fn is_fqdn(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty() && text.len() <= 255 && text.split('.').all(is_host_label)
}

/// `*`, `*.name`, `*-suffix.name`, or a name without a wildcard.
#[must_use]
pub fn is_wildcard_host(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('*') else { return is_fqdn(text) };
    match rest.chars().next() {
        None => true,
        Some('.') => is_fqdn(&rest[1..]),
        Some('-') => is_fqdn(&format!("x{rest}")),
        Some(_) => false,
    }
}

fn is_host_label(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// `[prefix/]name`.
#[must_use]
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// Empty, or at most 63 of `[A-Za-z0-9._-]` with a letter or digit at both ends.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bytes.is_empty()
        || (bytes.len() <= 63
            && ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_text() {
        // (text, label, name, host with wildcard)
        let table = [
            ("reviews", true, true, true),
            ("reviews.default.svc.cluster.local", false, true, true),
            ("Reviews.example.com", false, false, true),
            ("*.example.com", false, false, true),
            ("*-staging.example.com", false, false, true),
            ("*", false, false, true),
            ("*.", false, false, false),
            ("a.*.b", false, false, false),
            ("*foo.com", false, false, false),
            ("-a", false, false, false),
            ("a..b", false, false, false),
            ("", false, false, false),
            ("a_b.com", false, false, true),
        ];
        for (text, label, name, host) in table {
            assert_eq!(is_dns_label(text), label, "{text} label");
            assert_eq!(is_dns_name(text), name, "{text} name");
            assert_eq!(is_wildcard_host(text), host, "{text} host");
        }
    }

    #[test]
    fn label_keys_may_have_a_prefix() {
        for good in ["app", "app.kubernetes.io/name", "a_b"] {
            assert!(is_label_key(good), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "-a", "A B"] {
            assert!(!is_label_key(bad), "{bad}");
        }
    }
}
