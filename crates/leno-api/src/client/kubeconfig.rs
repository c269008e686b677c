//! The part of a kubeconfig file that says where the API is and who we are.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What the current context says.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// `http://127.0.0.1:15080`.
    pub server: String,
    /// Roots in PEM, for https.
    pub certificate_authority: Option<Vec<u8>>,
    /// Bearer token.
    pub token: Option<String>,
    /// The namespace used when none is named.
    pub namespace: Option<String>,
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file is not readable.
    #[error("kubeconfig {path}: cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The contents are wrong.
    #[error("kubeconfig {path}: {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        what: String,
    },
}

impl Kubeconfig {
    /// Reads a file. Files it names are relative to it.
    pub fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let text = read_file(path)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text, path)
    }

    /// `text` is the contents of `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, KubeconfigError> {
        let invalid = |what: String| KubeconfigError::Invalid { path: path.to_owned(), what };
        let document: Value =
            serde_saphyr::from_str(text).map_err(|error| invalid(format!("not YAML: {error}")))?;
        let current = document["current-context"].as_str().unwrap_or("");
        if current.is_empty() {
            return Err(invalid("current-context: must name one of contexts".to_owned()));
        }
        let entry = |list: &str, name: &str, what: &str| {
            let entries = document[list].as_array().into_iter().flatten();
            let found = entries.into_iter().find(|entry| entry["name"].as_str() == Some(name));
            found
                .map(|entry| &entry[what])
                .ok_or_else(|| invalid(format!("{list}: none is named {name:?}")))
        };
        let context = entry("contexts", current, "context")?;
        let cluster = entry("clusters", context["cluster"].as_str().unwrap_or(""), "cluster")?;
        let user = match context["user"].as_str() {
            Some(name) if !name.is_empty() => entry("users", name, "user")?,
            _ => &Value::Null,
        };
        let server = cluster["server"].as_str().unwrap_or("");
        if server.is_empty() {
            return Err(invalid("clusters[].cluster.server: must be a URL".to_owned()));
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        let contents = |holder: &Value, name: &str| -> Result<Option<Vec<u8>>, KubeconfigError> {
            if let Some(data) = holder[format!("{name}-data")].as_str() {
                let decoded = STANDARD.decode(data.trim());
                return decoded
                    .map(Some)
                    .map_err(|_| invalid(format!("{name}-data: must be base64")));
            }
            holder[name].as_str().map(|file| read_file(&directory.join(file))).transpose()
        };
        let token = match (user["token"].as_str(), user["tokenFile"].as_str()) {
            (Some(token), _) => Some(token.to_owned()),
            (None, Some(file)) => {
                let token = read_file(&directory.join(file))?;
                Some(String::from_utf8_lossy(&token).trim().to_owned())
            }
            (None, None) => None,
        };
        Ok(Self {
            server: server.to_owned(),
            certificate_authority: contents(cluster, "certificate-authority")?,
            token,
            namespace: context["namespace"].as_str().map(str::to_owned),
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, KubeconfigError> {
    let unreadable = |source| KubeconfigError::Unreadable { path: path.to_owned(), source };
    std::fs::read(path).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
apiVersion: v1
kind: Config
current-context: leno
contexts: [{name: leno, context: {cluster: leno, user: admin, namespace: shop}}]
clusters: [{name: leno, cluster: {server: 'http://127.0.0.1:15080', certificate-authority-data: cm9vdHM=}}]
users: [{name: admin, user: {token: secret}}]
";

    #[test]
    fn the_current_context_is_read() {
        let config = Kubeconfig::parse(GOOD, Path::new("k")).unwrap();
        assert_eq!(config.server, "http://127.0.0.1:15080");
        assert_eq!(config.token.as_deref(), Some("secret"));
        assert_eq!(config.namespace.as_deref(), Some("shop"));
        assert_eq!(config.certificate_authority.as_deref(), Some(&b"roots"[..]));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("{", "not YAML"),
            ("{}", "current-context: must name"),
            ("{current-context: a}", "contexts: none is named \"a\""),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c}}]}",
                "clusters: none is named \"c\"",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, cluster: {}}]}",
                "cluster.server: must be a URL",
            ),
        ];
        for (text, expected) in table {
            let error = Kubeconfig::parse(text, Path::new("k")).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
