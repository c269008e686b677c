//! A document that users write, with what is needed to order it, name it and say where something came from.

use std::sync::Arc;

use leno_api::spec::core::Metadata;

/// A user's document: its spec and its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule<S> {
    /// Where it is.
    pub place: DocumentRef,
    /// `metadata.creationTimestamp`; the oldest of several rules for one thing wins.
    pub created: String,
    /// What it says.
    pub spec: S,
}

/// Which document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentRef {
    /// `VirtualService`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl<S> Rule<S> {
    pub(super) fn new(kind: &'static str, metadata: &Metadata, spec: S) -> Self {
        let place = DocumentRef {
            kind,
            namespace: metadata.namespace.as_str().into(),
            name: metadata.name.as_str().into(),
        };
        Self { place, created: metadata.creation_timestamp.clone(), spec }
    }

    /// What orders rules: age, then place.
    pub(super) fn order(&self) -> (&str, &str, &str) {
        (&self.created, &self.place.namespace, &self.place.name)
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.place.namespace
    }

    /// As Istio names a document in metadata of resources.
    #[must_use]
    pub fn origin(&self) -> String {
        self.place.origin()
    }
}

impl DocumentRef {
    /// `/apis/networking.istio.io/v1/namespaces/NAMESPACE/virtual-service/NAME`, as Istio writes it.
    #[must_use]
    pub fn origin(&self) -> String {
        let group = match self.kind {
            "PeerAuthentication" => "security.istio.io",
            _ => "networking.istio.io",
        };
        let mut kind = String::new();
        for (index, letter) in self.kind.char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                kind.push('-');
            }
            kind.push(letter.to_ascii_lowercase());
        }
        format!("/apis/{group}/v1/namespaces/{}/{kind}/{}", self.namespace, self.name)
    }
}
