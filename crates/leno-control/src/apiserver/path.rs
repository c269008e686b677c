//! Which kind, document and subresource a path names. Pure.

use leno_api::{Kind, kinds};

use super::status::Failure;

/// What a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The kind.
    pub(crate) kind: &'static Kind,
    /// The version asked for, one of the kind's.
    pub(crate) version: &'static str,
    /// Empty: all namespaces, or a kind without.
    pub(crate) namespace: String,
    /// One document; `None` for the collection.
    pub(crate) name: Option<String>,
    /// Which part of it.
    pub(crate) part: Part,
}

/// The whole document or its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The document.
    Whole,
    /// `/status`.
    Status,
}

impl Target {
    /// The name, where the request is about one document.
    pub(crate) fn one(&self) -> Result<&str, Failure> {
        self.name.as_deref().ok_or_else(|| {
            Failure::method_not_allowed("this is done to one document: name it in the path")
        })
    }

    /// `apiVersion` as the request wants it.
    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(self.version)
    }
}

/// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…` below the version; `None` when nothing is served there.
pub(crate) fn parse(path: &str) -> Option<Target> {
    let decoded: Option<Vec<String>> =
        path.trim_matches('/').split('/').map(percent_decoded).collect();
    let decoded = decoded?;
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let resource = |plural: &str, namespace: &str, rest: &[&str]| {
        let kind = kinds().iter().find(|kind| kind.group == group && kind.plural == plural)?;
        let version = kind.versions.iter().find(|served| **served == version)?;
        let (name, part) = match rest {
            [] => (None, Part::Whole),
            [name] => (Some((*name).to_owned()), Part::Whole),
            [name, "status"] => (Some((*name).to_owned()), Part::Status),
            _ => return None,
        };
        Some(Target { kind, version, namespace: namespace.to_owned(), name, part })
    };
    match rest {
        // A namespace's own subresources look like a resource in it.
        ["namespaces", _, "status"] => resource("namespaces", "", &rest[1..]),
        ["namespaces", namespace, plural, rest @ ..] => {
            resource(plural, namespace, rest).filter(|target| target.kind.is_namespaced())
        }
        // A namespaced document has its namespace in the path; only its collection may go without.
        [plural, rest @ ..] => resource(plural, "", rest)
            .filter(|target| !target.kind.is_namespaced() || target.name.is_none()),
        [] => None,
    }
}

fn percent_decoded(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let pair = [bytes.next()?, bytes.next()?];
            let pair = std::str::from_utf8(&pair).ok()?;
            decoded.push(u8::from_str_radix(pair, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) -> Option<String> {
        let target = parse(path)?;
        let name = target.name.as_deref().unwrap_or("*");
        Some(format!(
            "{} {} {} {name} {:?}",
            target.api_version(),
            target.kind.kind,
            target.namespace,
            target.part
        ))
    }

    #[test]
    fn paths_name_what_they_should() {
        let table = [
            ("/api/v1/namespaces", Some("v1 Namespace  * Whole")),
            ("/api/v1/namespaces/a", Some("v1 Namespace  a Whole")),
            ("/api/v1/namespaces/a/status", Some("v1 Namespace  a Status")),
            ("/api/v1/configmaps", Some("v1 ConfigMap  * Whole")),
            ("/api/v1/namespaces/a/configmaps/b%2Dc", Some("v1 ConfigMap a b-c Whole")),
            (
                "/apis/networking.istio.io/v1beta1/namespaces/a/virtualservices/b/status",
                Some("networking.istio.io/v1beta1 VirtualService a b Status"),
            ),
            ("/apis/networking.istio.io/v9/namespaces/a/virtualservices", None),
            ("/api/v1/configmaps/b", None),
            ("/api/v1/namespaces/a/namespaces/b", None),
            ("/api/v1/namespaces/a/configmaps/b/c/d", None),
            ("/api/v1/nothing", None),
            ("/api/v1/namespaces/%ff", None),
            ("/api/v1/namespaces/%4", None),
        ];
        for (path, expected) in table {
            assert_eq!(check(path).as_deref(), expected, "{path}");
        }
    }
}
