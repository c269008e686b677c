//! A small client of the Kubernetes-style API, for the command and for whatever registers workloads.
//!
//! One idle HTTP/1.1 connection is kept; a watch has its own. Every failure says which server and why; what the API
//! refused carries the API's own words.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::kind::Kind;

mod connect;
mod documents;
mod error;
mod kubeconfig;
mod watch;

pub use documents::{Applied, Documents, Patch};
pub use error::{ClientError, Refusal};
pub use kubeconfig::{Kubeconfig, KubeconfigError};
pub use watch::{Change, ChangeKind, Watch};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long connecting, and waiting for an answer, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One API server, as one user.
#[derive(Debug)]
pub struct Client {
    target: connect::Target,
    token: Option<String>,
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// For the current context of a kubeconfig file. Nothing is sent yet.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, ClientError> {
        let config = Kubeconfig::read(path)?;
        Self::new(&config)
    }

    /// For what a kubeconfig said. Nothing is sent yet.
    pub fn new(config: &Kubeconfig) -> Result<Self, ClientError> {
        let target = connect::Target::new(&config.server, config.certificate_authority.as_deref())?;
        Ok(Self { target, token: config.token.clone(), idle: Mutex::new(None) })
    }

    /// The server, as the kubeconfig wrote it.
    #[must_use]
    pub fn server(&self) -> &str {
        self.target.server()
    }

    /// Documents of a kind in a namespace; `None` is every namespace, and the only choice for kinds without.
    #[must_use]
    pub fn documents<'a>(&'a self, kind: &'static Kind, namespace: Option<&str>) -> Documents<'a> {
        Documents::new(self, kind, namespace)
    }

    /// One request to a path of the server, with a JSON answer (null when it is empty). For paths that are not
    /// documents, such as `/leno/v1/…` and `/version`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Value, ClientError> {
        Ok(self.exchange(method, path, content_type, body).await?.0)
    }

    /// As [`Client::call`], with the warnings the server gave.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<(Value, Vec<String>), ClientError> {
        let request = self.request(&method, path, content_type, body)?;
        let idle = self.idle.lock().await.take().filter(|sender| sender.is_ready());
        let reused = idle.is_some();
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.dial().await?,
        };
        let response = match self.send(&mut sender, request.clone()).await {
            // The server may have closed the idle connection while the request was on its way; reading twice is safe.
            Err(ClientError::Broken { .. }) if reused && method == Method::GET => {
                sender = self.dial().await?;
                self.send(&mut sender, request).await?
            }
            other => other?,
        };
        let status = response.status();
        let warnings = response
            .headers()
            .get_all(header::WARNING)
            .iter()
            .filter_map(|value| warning_text(value.to_str().ok()?))
            .collect();
        let answer = self.read(response).await?;
        *self.idle.lock().await = Some(sender);
        Ok((self.judge(status, answer)?, warnings))
    }

    /// A connection of its own whose answer keeps coming.
    pub(crate) async fn open(&self, path: &str) -> Result<Incoming, ClientError> {
        let request = self.request(&Method::GET, path, "application/json", Vec::new())?;
        let mut sender = self.dial().await?;
        let response = self.send(&mut sender, request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let answer = self.read(response).await?;
        self.judge(status, answer)?;
        Err(self.broken("an answer that is neither a stream nor a refusal".into()))
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let dial = self.target.dial();
        match tokio::time::timeout(CONNECT_TIMEOUT, dial).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout {
                server: self.server().to_owned(),
                waited: CONNECT_TIMEOUT,
            }),
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.target.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, concat!("leno/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        request
            .body(Full::new(body.into()))
            .map_err(|source| ClientError::BadRequest { path: path.to_owned(), source })
    }

    async fn send(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, ClientError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.broken(error.into())),
            Err(_) => Err(ClientError::Timeout {
                server: self.server().to_owned(),
                waited: ANSWER_TIMEOUT,
            }),
        }
    }

    async fn read(&self, response: http::Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        match tokio::time::timeout(ANSWER_TIMEOUT, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(self.broken(error)),
            Err(_) => Err(ClientError::Timeout {
                server: self.server().to_owned(),
                waited: ANSWER_TIMEOUT,
            }),
        }
    }

    fn judge(&self, status: StatusCode, answer: Bytes) -> Result<Value, ClientError> {
        if !status.is_success() {
            return Err(ClientError::Refused(Box::new(Refusal::new(status, &answer))));
        }
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        // `/healthz` and its like answer in plain text.
        let text = || Value::String(String::from_utf8_lossy(&answer).into_owned());
        Ok(serde_json::from_slice(&answer).unwrap_or_else(|_| text()))
    }

    fn broken(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ClientError {
        ClientError::Broken { server: self.server().to_owned(), source }
    }
}

/// The text of `299 - "text"`.
fn warning_text(value: &str) -> Option<String> {
    let quoted = value.split_once('"')?.1.rsplit_once('"')?.0;
    Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}
