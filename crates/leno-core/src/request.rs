//! A request as the rules see it: a view over bytes that somebody else owns.

/// What routing may look at. `leno-proxy` implements it over the received head without copying.
///
/// Everything is bytes as received: header values need not be UTF-8.
pub trait RequestView {
    /// `GET`, case as received.
    fn method(&self) -> &[u8];
    /// Path with query, starting with `/`.
    fn path(&self) -> &[u8];
    /// `Host` or `:authority`, with port if there was one.
    fn authority(&self) -> &[u8];
    /// `http` or `https`: what the downstream used.
    fn scheme(&self) -> &[u8];
    /// Every value of a header, in order. The name is lower case.
    fn header_values(&self, lower_name: &str) -> impl Iterator<Item = &[u8]>;
}

/// Whether there is a path at all: what a CONNECT is for is none.
pub fn has_path<R: RequestView + ?Sized>(request: &R) -> bool {
    request.method() != b"CONNECT"
}

/// The path without query and fragment (what route matches and rewrites look at).
#[must_use]
pub fn path_only(path: &[u8]) -> &[u8] {
    match memchr::memchr2(b'?', b'#', path) {
        Some(end) => &path[..end],
        None => path,
    }
}

/// The query without `?` and without fragment; empty if there is none.
#[must_use]
pub fn query_only(path: &[u8]) -> &[u8] {
    let path = match memchr::memchr(b'#', path) {
        Some(end) => &path[..end],
        None => path,
    };
    memchr::memchr(b'?', path).map_or(&[], |start| &path[start + 1..])
}

/// A request written down: for explanation and tests.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Call {
    /// `GET`.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `reviews:9080`.
    pub authority: String,
    /// `/reviews/0?x=1`.
    pub path: String,
    /// Names in any case, in order.
    pub headers: Vec<(String, String)>,
}

impl Call {
    /// A plaintext GET without headers.
    #[must_use]
    pub fn get(authority: &str, path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            scheme: "http".to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }

    /// The same with another method.
    #[must_use]
    pub fn with_method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl RequestView for Call {
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn authority(&self) -> &[u8] {
        self.authority.as_bytes()
    }

    fn scheme(&self) -> &[u8] {
        self.scheme.as_bytes()
    }

    fn header_values(&self, lower_name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers
            .iter()
            .filter(move |(name, _)| name.eq_ignore_ascii_case(lower_name))
            .map(|(_, value)| value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_and_fragment_are_cut_off() {
        let table: [(&str, &str, &str); 6] = [
            ("/a", "/a", ""),
            ("/a?", "/a", ""),
            ("/a?b=c", "/a", "b=c"),
            ("/a#f?b", "/a", ""),
            ("/a?b#f", "/a", "b"),
            ("", "", ""),
        ];
        for (path, expected_path, expected_query) in table {
            assert_eq!(path_only(path.as_bytes()), expected_path.as_bytes(), "{path}");
            assert_eq!(query_only(path.as_bytes()), expected_query.as_bytes(), "{path}");
        }
    }
}
