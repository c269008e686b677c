//! Request targets and authorities (RFC 9112 §3.2).

use crate::Method;
use crate::request::is_target_byte;

/// A request target, by form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// `/path?query`, or `*` with OPTIONS.
    Origin,
    /// `http://authority/path?query`; `path` is empty where the target had none.
    Absolute { authority: &'a [u8], path: &'a [u8] },
    /// `host:port`, with CONNECT.
    Authority,
}

/// `None` when the target has a forbidden byte or is of a form its method does not allow.
pub(crate) fn parse(method: Method, target: &[u8]) -> Option<Target<'_>> {
    if !target.iter().all(|&byte| is_target_byte(byte)) {
        return None;
    }
    if method == Method::Connect {
        return is_connect_authority(target).then_some(Target::Authority);
    }
    match target {
        [b'/', ..] => Some(Target::Origin),
        b"*" if method == Method::Options => Some(Target::Origin),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Option<Target<'_>> {
    let after_scheme = strip_prefix_ignoring_case(target, b"http://")
        .or_else(|| strip_prefix_ignoring_case(target, b"https://"))?;
    let end = after_scheme
        .iter()
        .position(|&byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(after_scheme.len());
    let (authority, path) = after_scheme.split_at(end);
    // `http://host?query` is legal but has no path to put before the query; nobody sends it but to confuse.
    let path_is_plain = path.is_empty() || path[0] == b'/';
    (!authority.is_empty() && is_authority(authority) && path_is_plain)
        .then_some(Target::Absolute { authority, path })
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `host [":" port]`, possibly empty, without user information: names, addresses and bracketed IPv6 addresses.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let name_end = text.iter().position(|&byte| !NAME_BYTES[usize::from(byte)]);
    let Some(name_end) = name_end else { return true };
    let (host, port) =
        if text[0] == b'[' { split_port(text) } else { (&[][..], text.get(name_end + 1..)) };
    let host_holds = match (text[name_end], host) {
        (b':', _) => true,
        (b'[', [b'[', inner @ .., b']']) => {
            !inner.is_empty()
                && inner.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        _ => false,
    };
    host_holds && port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit))
}

/// `host ":" port`.
pub(crate) fn is_connect_authority(text: &[u8]) -> bool {
    let (host, port) = split_port(text);
    !host.is_empty() && port.is_some_and(|port| !port.is_empty()) && is_authority(text)
}

fn split_port(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let after_host = match text.iter().position(|&byte| byte == b']') {
        Some(bracket) => bracket + 1,
        None => text.iter().position(|&byte| byte == b':').unwrap_or(text.len()),
    };
    match text[after_host..].split_first() {
        Some((b':', port)) => (&text[..after_host], Some(port)),
        Some(_) => (text, None),
        None => (text, None),
    }
}

/// RFC 3986 §3.2.2 reg-name, percent-encoding included.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_name_byte(byte as u8);
        byte += 1;
    }
    table
};

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b';'
                | b'='
        )
}

#[cfg(test)]
mod tests {
    use super::{Target, is_authority, parse};
    use crate::Method;

    #[test]
    fn targets_by_method_and_form() {
        let absolute = |authority, path| Some(Target::Absolute { authority, path });
        let table: [(Method, &str, Option<Target<'_>>); 18] = [
            (Method::Get, "/", Some(Target::Origin)),
            (Method::Get, "/a?b=%20|{}", Some(Target::Origin)),
            (Method::Get, "//double", Some(Target::Origin)),
            (Method::Get, "*", None),
            (Method::Options, "*", Some(Target::Origin)),
            (Method::Get, "/a#b", None),
            (Method::Get, "/\u{e9}", None),
            (Method::Get, "a", None),
            (Method::Get, "", None),
            (Method::Get, "http://h:80/x?y", absolute(b"h:80", b"/x?y")),
            (Method::Get, "HTTPS://h", absolute(b"h", b"")),
            (Method::Get, "http://user@h/", None),
            (Method::Get, "http:///x", None),
            (Method::Get, "ftp://h/", None),
            (Method::Connect, "h:443", Some(Target::Authority)),
            (Method::Connect, "h", None),
            (Method::Connect, "/", None),
            (Method::Get, "h:443", None),
        ];
        for (method, target, expected) in table {
            assert_eq!(parse(method, target.as_bytes()), expected, "{method:?} {target}");
        }
    }

    #[test]
    fn authorities() {
        let table = [
            ("", true),
            ("a.b-c_d:8080", true),
            ("[::1]:80", true),
            ("[::1]", true),
            ("127.0.0.1", true),
            ("a:b", false),
            ("a:1:2", false),
            ("a b", false),
            ("a,b", false),
            ("a/b", false),
            ("u@a", false),
            ("[::1]x", false),
            ("[]", false),
            ("a:123456", false),
            ("a?b", false),
        ];
        for (text, expected) in table {
            assert_eq!(is_authority(text.as_bytes()), expected, "{text:?}");
        }
    }
}
