//! Documents of one kind: get, list, watch, create, apply, patch, delete.

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Client, ClientError, Watch};
use crate::kind::Kind;

const JSON: &str = "application/json";

/// Documents of one kind, in one namespace or in all.
#[derive(Debug)]
pub struct Documents<'a> {
    client: &'a Client,
    path: String,
}

/// How a patch is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
    /// Kubernetes' own.
    Strategic,
}

impl Patch {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// A document as the server took it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// With everything the server set.
    pub document: Value,
    /// What the server remarked.
    pub warnings: Vec<String>,
}

impl<'a> Documents<'a> {
    pub(super) fn new(client: &'a Client, kind: &'static Kind, namespace: Option<&str>) -> Self {
        let version = kind.storage_version();
        let root = if kind.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", kind.group)
        };
        let path = match namespace.filter(|_| kind.is_namespaced()) {
            Some(namespace) => format!("{root}/namespaces/{}/{}", escaped(namespace), kind.plural),
            None => format!("{root}/{}", kind.plural),
        };
        Self { client, path }
    }

    fn named(&self, name: &str) -> String {
        format!("{}/{}", self.path, escaped(name))
    }

    /// One document.
    pub async fn get(&self, name: &str) -> Result<Value, ClientError> {
        self.client.call(Method::GET, &self.named(name), JSON, Vec::new()).await
    }

    /// One document as a type; `None` when it is not there.
    pub async fn find<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClientError> {
        match self.get(name).await {
            Ok(document) => {
                let typed = serde_json::from_value(document);
                typed.map(Some).map_err(|error| self.client.broken(error.into()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every document whose labels match `selector` (`app=reviews,version!=v1`; empty matches all), as a list document.
    pub async fn list(&self, selector: &str) -> Result<Value, ClientError> {
        let path = format!("{}?labelSelector={}", self.path, escaped(selector));
        self.client.call(Method::GET, &path, JSON, Vec::new()).await
    }

    /// Changes after `resource_version` (of a list), until the server ends the stream.
    pub async fn watch(&self, resource_version: &str) -> Result<Watch, ClientError> {
        let version = escaped(resource_version);
        let path =
            format!("{}?watch=1&allowWatchBookmarks=true&resourceVersion={version}", self.path);
        Ok(Watch::new(self.client.server(), self.client.open(&path).await?))
    }

    /// Makes a document; a conflict when it is there.
    pub async fn create(&self, document: &Value) -> Result<Applied, ClientError> {
        self.write(Method::POST, &self.path, JSON, document).await
    }

    /// Replaces a document; a conflict when its resourceVersion is set and no longer right.
    pub async fn replace(&self, name: &str, document: &Value) -> Result<Applied, ClientError> {
        self.write(Method::PUT, &self.named(name), JSON, document).await
    }

    /// Makes the document so, whether it was there or not, owning exactly its fields (server-side apply, forced).
    pub async fn apply(
        &self,
        name: &str,
        document: &Value,
        manager: &str,
    ) -> Result<Applied, ClientError> {
        let path = format!(
            "{}?fieldManager={}&force=true&fieldValidation=Strict",
            self.named(name),
            escaped(manager)
        );
        self.write(Method::PATCH, &path, "application/apply-patch+yaml", document).await
    }

    /// Changes part of a document.
    pub async fn patch(
        &self,
        name: &str,
        kind: Patch,
        patch: &Value,
    ) -> Result<Applied, ClientError> {
        self.write(Method::PATCH, &self.named(name), kind.content_type(), patch).await
    }

    /// Changes part of a document's status.
    pub async fn patch_status(&self, name: &str, patch: &Value) -> Result<Applied, ClientError> {
        let path = format!("{}/status", self.named(name));
        self.write(Method::PATCH, &path, Patch::Merge.content_type(), patch).await
    }

    /// Removes a document; not finding it is an error that [`ClientError::is_not_found`] knows.
    pub async fn delete(&self, name: &str) -> Result<(), ClientError> {
        self.client.call(Method::DELETE, &self.named(name), JSON, Vec::new()).await.map(drop)
    }

    async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        document: &Value,
    ) -> Result<Applied, ClientError> {
        let body = document.to_string().into_bytes();
        let (document, warnings) = self.client.exchange(method, path, content_type, body).await?;
        Ok(Applied { document, warnings })
    }
}

/// Percent-encodes what does not stand for itself in a path segment or a query value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
