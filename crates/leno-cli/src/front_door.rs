//! The control plane as a command sees it. Where it is comes from `--kubeconfig`, `KUBECONFIG` or `~/.kube/config`.

use std::path::PathBuf;

use anyhow::{Context as _, Error, Result};
use http::{Method, StatusCode};
use leno_api::client::{Client, ClientError, KubeconfigError};
use serde::de::DeserializeOwned;

use crate::exit::{Code, WithCode as _};

/// Flags of every command that asks the control plane.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Connection {
    /// The kubeconfig that `leno up` wrote.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Connection {
    /// The kubeconfig's path: the flag, the environment, or kubectl's default.
    pub(crate) fn path(&self) -> PathBuf {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        self.kubeconfig.clone().unwrap_or_else(|| home().join(".kube/config"))
    }

    /// A client for the kubeconfig's current context.
    pub(crate) fn client(&self) -> Result<Client> {
        said(Client::from_kubeconfig(&self.path()))
    }

    /// Fetches a document of the management API; `path` begins with `/leno/v1`.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let client = self.client()?;
        let answer = block_on(client.call(Method::GET, path, "application/json", Vec::new()))?;
        let document = said(answer)?;
        serde_json::from_value(document).with_context(|| format!("{path} is not what was expected"))
    }
}

/// Runs one conversation with the control plane to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

/// Gives an error of the client its exit code.
pub(crate) fn said<T>(outcome: Result<T, ClientError>) -> Result<T> {
    let error = match outcome {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let code = code_of(&error);
    let error = Error::new(error);
    let advised = if code == Code::Unreachable { error.context("LN0201") } else { error };
    Err(advised).code(code)
}

fn code_of(error: &ClientError) -> Code {
    let Some(refusal) = error.refusal() else {
        return match error {
            ClientError::BadServer { .. }
            | ClientError::BadRequest { .. }
            | ClientError::Kubeconfig(KubeconfigError::Invalid { .. }) => Code::Usage,
            _ => Code::Unreachable,
        };
    };
    match refusal.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Code::Refused,
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Code::Conflict,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Code::Unreachable
        }
        _ => Code::Found,
    }
}
