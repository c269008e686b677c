//! The workload's documents: made at the start, kept alive by a lease, removed at the end.
//!
//! Everything goes through the Kubernetes-style API with the caller's own rights. A run that dies without removing
//! its documents stops renewing its lease, and the control plane removes them.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use leno_api::client::{Client, Documents, Kubeconfig, Patch};
use leno_api::kind_of;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::workload::Workload;
use crate::exit::{Code, WithCode as _};
use crate::front_door::said;

mod documents;

/// A lease is renewed this often and holds three times as long, so that two lost renewals harm nothing.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(30);
const TOKEN_SECONDS: u64 = 3600;
/// Leaving must not hang on a control plane that is gone.
const FAREWELL: Duration = Duration::from_secs(3);

/// A join token and when a new one is due.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) renew_in: Duration,
}

/// The API as this workload uses it.
pub(super) struct Registration {
    client: Client,
    workload: Workload,
    pub(super) namespace: String,
    address: IpAddr,
    uid: String,
}

impl Registration {
    /// Reads the kubeconfig. Nothing is sent yet.
    pub(super) fn new(kubeconfig: &Path, workload: Workload, address: IpAddr) -> Result<Self> {
        let config = Kubeconfig::read(kubeconfig)
            .context("start the control plane with leno up, or set KUBECONFIG")
            .code(Code::Unreachable)?;
        let client = said(Client::new(&config))?;
        let namespace = workload.namespace.clone().or(config.namespace);
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        Ok(Self { client, workload, namespace, address, uid: String::new() })
    }

    /// Where proxies join the mesh, `HOST:PORT`.
    pub(super) async fn discovery(&self) -> Result<String> {
        let path = "/leno/v1/discovery";
        let answer = self.client.call(Method::GET, path, "application/json", Vec::new()).await;
        let answer = said(answer).context("asking where proxies join the mesh")?;
        let address = answer["address"].as_str();
        Ok(address.with_context(|| format!("{path} named no address: {answer}"))?.to_owned())
    }

    /// Makes what is missing, and the pod. Its endpoints come when it listens.
    pub(super) async fn register(&mut self) -> Result<()> {
        self.make_unless_there("", "Namespace", documents::namespace(&self.namespace)).await?;
        let account = documents::account(&self.workload.account, &self.namespace);
        self.make_unless_there("", "ServiceAccount", account).await?;
        if let Some(service) = documents::service(&self.workload, &self.namespace) {
            self.make_unless_there("", "Service", service).await?;
        }
        let pod = documents::pod(&self.workload, &self.namespace, &lease());
        let made = said(self.of("", "Pod").create(&pod).await).context("registering the pod")?;
        self.uid = made.document["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let status = documents::pod_status(self.address, false, &now());
        let patched = self.of("", "Pod").patch_status(&self.workload.pod, &status).await;
        said(patched).context("registering the pod's address").map(drop)
    }

    /// Tells the mesh that the program takes requests.
    pub(super) async fn set_ready(&self) -> Result<()> {
        if self.workload.port.is_some() {
            let service = said(self.of("", "Service").get(&self.workload.service).await)?;
            let slice = documents::slice(
                &self.workload,
                &self.namespace,
                (self.address, &self.uid),
                &service,
            );
            let slices = self.of("discovery.k8s.io", "EndpointSlice");
            match slices.create(&slice).await {
                Err(error) if error.is_conflict() => {}
                made => drop(said(made).context("registering the endpoint")?),
            }
        }
        let status = documents::pod_status(self.address, true, &now());
        let patched = self.of("", "Pod").patch_status(&self.workload.pod, &status).await;
        said(patched).map(drop)
    }

    /// Says that the run lives. A pod that is gone is made again, `true` then.
    pub(super) async fn renew(&mut self) -> Result<bool> {
        let patch = json!({ "metadata": { "annotations": { documents::LEASE: lease() } } });
        let renewed = self.of("", "Pod").patch(&self.workload.pod, Patch::Merge, &patch).await;
        match renewed {
            Err(error) if error.is_not_found() => {
                self.register().await?;
                Ok(true)
            }
            other => said(other).map(|_| false),
        }
    }

    /// Takes the workload's endpoints out of the mesh: no new requests come.
    pub(super) async fn retire(&self) {
        let slices = self.of("discovery.k8s.io", "EndpointSlice");
        let _ = tokio::time::timeout(FAREWELL, slices.delete(&self.workload.pod)).await;
    }

    /// Removes the workload's own documents; the service stays for others.
    pub(super) async fn deregister(&self) -> Result<()> {
        self.retire().await;
        let pods = self.of("", "Pod");
        match tokio::time::timeout(FAREWELL, pods.delete(&self.workload.pod)).await {
            Ok(Err(error)) if error.is_not_found() => Ok(()),
            Ok(outcome) => said(outcome).context("removing the pod"),
            Err(_) => anyhow::bail!("removing the pod: no answer within {FAREWELL:?}"),
        }
    }

    /// A token that proves to the control plane which account the sidecar runs as.
    pub(super) async fn token(&self) -> Result<Token> {
        let path = format!(
            "/api/v1/namespaces/{}/serviceaccounts/{}/token",
            self.namespace, self.workload.account
        );
        let pod = (self.workload.pod.as_str(), self.uid.as_str());
        let request = documents::token_request(TOKEN_SECONDS, pod).to_string().into_bytes();
        let answer = self.client.call(Method::POST, &path, "application/json", request).await;
        let answer = said(answer).context("asking for a join token")?;
        let status = &answer["status"];
        let text = status["token"].as_str().context("the answer holds no token")?.to_owned();
        let end = status["expirationTimestamp"].as_str();
        let end = end.and_then(|end| OffsetDateTime::parse(end, &Rfc3339).ok());
        let left = end
            .map_or(TOKEN_SECONDS as f64, |end| (end - OffsetDateTime::now_utc()).as_seconds_f64());
        // As the kubelet does: well before it ends.
        Ok(Token { text, renew_in: Duration::from_secs_f64((left * 0.8).max(1.0)) })
    }

    async fn make_unless_there(&self, group: &str, kind: &str, document: Value) -> Result<()> {
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        let documents = self.of(group, kind);
        match documents.get(name).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_not_found() => {}
            Err(error) => return said(Err(error)).with_context(|| format!("{kind} {name}")),
        }
        match documents.create(&document).await {
            // Another run was faster.
            Err(error) if error.is_conflict() => Ok(()),
            made => said(made).map(drop).with_context(|| format!("making {kind} {name}")),
        }
    }

    fn of(&self, group: &str, kind: &str) -> Documents<'_> {
        let kind = kind_of(group, kind).expect("a kind of the registry, named in this file");
        self.client.documents(kind, Some(&self.namespace))
    }
}

fn now() -> String {
    stamp(OffsetDateTime::now_utc())
}

fn lease() -> String {
    stamp(OffsetDateTime::now_utc() + LEASE)
}

/// Seconds are enough, and what Kubernetes writes.
fn stamp(time: OffsetDateTime) -> String {
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    whole.format(&Rfc3339).expect("a UTC time of this century has an RFC 3339 form")
}
