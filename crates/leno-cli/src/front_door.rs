//! Asks the control plane's management API. Where it is comes from `--kubeconfig`, `KUBECONFIG` or `~/.kube/config`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exit::{Code, WithCode as _};

/// How long the control plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than this is no answer we ever gave.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Flags of every command that asks the control plane.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Connection {
    /// The kubeconfig that `leno up` wrote.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl Connection {
    /// The kubeconfig's path: the flag, the environment, or kubectl's default.
    pub(crate) fn path(&self) -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        self.kubeconfig.clone().unwrap_or_else(|| home().join(".kube/config"))
    }

    /// Fetches a JSON document; `path` begins with `/leno/v1`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let server = self.server()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = runtime.block_on(fetch(&server, path))?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{server}{path} is not what was expected"))
    }

    fn server(&self) -> Result<String> {
        let path = self.path();
        let text = std::fs::read_to_string(&path)
            .with_context(|| {
                format!(
                    "{}: start the control plane with leno up, or set KUBECONFIG",
                    path.display()
                )
            })
            .code(Code::Unreachable)?;
        server_of(&text).with_context(|| path.display().to_string()).code(Code::Usage)
    }
}

/// What matters of a kubeconfig.
#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(rename = "current-context", default)]
    current: String,
    #[serde(default)]
    contexts: Vec<Named<ContextEntry>>,
    #[serde(default)]
    clusters: Vec<Named<ClusterEntry>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster")]
    entry: T,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
}

#[derive(Deserialize)]
struct ClusterEntry {
    server: String,
}

fn server_of(text: &str) -> Result<String> {
    let config: Kubeconfig = serde_saphyr::from_str(text).context("not a kubeconfig")?;
    let context = config.contexts.iter().find(|context| context.name == config.current);
    let context = context.with_context(|| format!("no context {:?}", config.current))?;
    let cluster = config.clusters.iter().find(|cluster| cluster.name == context.entry.cluster);
    let cluster = cluster.with_context(|| format!("no cluster {:?}", context.entry.cluster))?;
    Ok(cluster.entry.server.trim_end_matches('/').to_owned())
}

async fn fetch(server: &str, path: &str) -> Result<Bytes> {
    let uri: http::Uri = format!("{server}{path}").parse().with_context(|| server.to_owned())?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = async {
        let response = client.get(uri).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        Ok::<_, anyhow::Error>((status, body.map_err(|error| anyhow!(error))?.to_bytes()))
    };
    let outcome = tokio::time::timeout(PATIENCE, answer)
        .await
        .map_err(|_| anyhow!("no answer in {PATIENCE:?}"));
    let reached = outcome.and_then(|answer| answer).with_context(|| format!("{server} (LN0201)"));
    let (status, body) = reached.code(Code::Unreachable)?;
    let said = || anyhow!("{}", String::from_utf8_lossy(&body).trim());
    match status {
        StatusCode::OK => Ok(body),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(said()).code(Code::Refused),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Err(said()).code(Code::Unreachable)
        }
        _ => Err(said()).code(Code::Usage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_that_of_the_current_context() {
        let text = "current-context: b\ncontexts:\n- {name: a, context: {cluster: x}}\n- {name: b, context: {cluster: y}}\n\
            clusters:\n- {name: x, cluster: {server: http://x}}\n- {name: y, cluster: {server: http://y/}}\n";
        assert_eq!(server_of(text).unwrap(), "http://y");
    }

    #[test]
    fn a_broken_kubeconfig_says_what_is_missing() {
        // (text, what is said)
        let table = [
            ("current-context: a\n", "no context \"a\""),
            (
                "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n",
                "no cluster \"c\"",
            ),
            ("[]", "not a kubeconfig"),
        ];
        for (text, said) in table {
            let error = server_of(text).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{text}: {error:#}");
        }
    }
}
