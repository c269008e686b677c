//! The proxy's own identity: a key it makes itself, an SVID from the control plane, renewed before it is needed.
//!
//! Runs on the admin thread. Each SVID has a new key. What is in force is kept on disk, so that a proxy that starts
//! while the control plane is away still has an identity. Handshakes read it from [`Secrets`]; connections that stand
//! are not touched by a renewal.

mod certs;
mod channel;
mod keep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_core::random::SplitMix64;
use leno_identity::issuance::{self, CertificateRequest};
use leno_identity::{
    BundleError, Expected, KeyError, PrivateKey, Refused, Role, Svid, SvidError, TrustBundle,
    rotation, verify,
};
use leno_telemetry::{Metrics, ProcessStat};

use crate::options::Mesh;
use crate::tls::Secrets;

pub use certs::certs;
pub use channel::{ChannelError, control_channel};
pub use keep::KeepError;

/// A sleep is never longer: clocks jump, laptops are closed and opened.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// An answer that takes longer is given up.
const ANSWER: Duration = Duration::from_secs(10);

/// Why there is no (new) SVID.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum IdentityError {
    #[error("reading the join token {path}: {source}")]
    Token { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("the control plane answered {}: {}", .0.code(), .0.message())]
    Control(tonic::Status),
    #[error("the control plane did not answer within {ANSWER:?}")]
    Timeout,
    #[error("the answer has {found} certificates; a chain and a root were expected")]
    Answer { found: usize },
    #[error("the answer's certificate: {0}")]
    Svid(#[from] SvidError),
    #[error("the answer's root: {0}")]
    Bundle(#[from] BundleError),
    #[error("our own new certificate does not pass: {0}")]
    Own(#[from] Refused),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Gets, keeps and renews the SVID of one proxy.
pub struct Identity {
    mesh: Mesh,
    secrets: Arc<Secrets>,
    metrics: Arc<Metrics>,
    random: SplitMix64,
    /// When the next SVID is asked for.
    due: SystemTime,
    failures: u32,
    /// What was said of the last failure, so that it is said once.
    said: String,
}

impl Identity {
    /// What the disk has is put in force here, if it is still valid.
    #[must_use]
    pub fn new(mesh: Mesh, secrets: Arc<Secrets>, metrics: Arc<Metrics>, now: SystemTime) -> Self {
        let random = SplitMix64::new(rand::random());
        let mut identity =
            Self { mesh, secrets, metrics, random, due: now, failures: 0, said: String::new() };
        identity.restore(now);
        identity
    }

    /// Renews for ever; the caller drops it to end.
    pub async fn run(mut self) {
        loop {
            let wait = self.due.duration_since(SystemTime::now()).unwrap_or_default();
            if wait > Duration::ZERO {
                tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
                continue;
            }
            let outcome = self.renew().await;
            self.settle(outcome, SystemTime::now());
        }
    }

    /// Asks for one SVID and puts it in force.
    ///
    /// # Errors
    /// [`IdentityError`]; what was in force stays.
    pub async fn renew(&mut self) -> Result<(), IdentityError> {
        let key = PrivateKey::generate()?;
        let request = CertificateRequest {
            csr: issuance::signing_request(&key)?,
            validity_duration: 0,
            metadata: None,
        };
        let token = self.token()?;
        let channel = control_channel(&self.mesh, &self.secrets)?;
        let asked = issuance::create_certificate(channel, token.as_deref(), request);
        let answer = tokio::time::timeout(ANSWER, asked)
            .await
            .map_err(|_| IdentityError::Timeout)?
            .map_err(IdentityError::Control)?;
        let found = answer.cert_chain.len();
        let (chain, root) =
            issuance::split_answer(&answer).ok_or(IdentityError::Answer { found })?;
        let svid = Svid::from_pem(chain.as_bytes(), key)?;
        let bundle = bundle_for(&svid, root.as_bytes())?;
        let now = SystemTime::now();
        verify(svid.chain(), Role::Server, &bundle, &Expected::anyone(), now)?;
        if let Some(directory) = &self.mesh.data_dir {
            // Without it on disk we still have it: only a restart without a control plane would miss it.
            if let Err(error) = keep::store((directory, self.mesh.seal.as_deref()), &svid, &bundle)
            {
                tracing::warn!(%error, "the SVID is not kept");
            }
        }
        self.put_in_force(svid, bundle);
        Ok(())
    }

    fn settle(&mut self, outcome: Result<(), IdentityError>, now: SystemTime) {
        match outcome {
            Ok(()) => {
                self.failures = 0;
                self.said.clear();
                self.metrics.add(ProcessStat::CertificateRenewals, 1);
                // From now, not from the certificate's beginning, which is set back for clocks that differ.
                let until = self.secrets.svid().map_or(now, |svid| svid.facts().not_after);
                self.due = rotation::renew_at(now, until, &mut self.random);
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                self.metrics.add(ProcessStat::CertificateRenewalFailures, 1);
                self.due = now + rotation::retry_after(self.failures, &mut self.random);
                let text = error.to_string();
                if text != self.said {
                    tracing::warn!(error = %text, "no new SVID yet; trying again");
                    self.said = text;
                }
            }
        }
    }

    fn restore(&mut self, now: SystemTime) {
        let Some(directory) = &self.mesh.data_dir else { return };
        if self.mesh.seal.is_none() {
            tracing::info!(path = %directory.display(), "no key was handed over: what is kept is not sealed");
        }
        match keep::load((directory, self.mesh.seal.as_deref()), now) {
            Ok(Some((svid, bundle))) => {
                let facts = svid.facts();
                self.due = rotation::renew_at(facts.not_before, facts.not_after, &mut self.random);
                self.put_in_force(svid, bundle);
            }
            Ok(None) => {}
            // A new one is asked for at once, and replaces it.
            Err(error) => tracing::warn!(%error, "the kept SVID is not used"),
        }
    }

    fn put_in_force(&self, svid: Svid, bundle: TrustBundle) {
        let expires = svid.facts().not_after.duration_since(SystemTime::UNIX_EPOCH);
        self.metrics.set(ProcessStat::CertificateExpiry, expires.unwrap_or_default().as_secs());
        self.metrics.set_principal(svid.id().as_str());
        tracing::info!(id = %svid.id(), serial = svid.facts().serial, "SVID in force");
        self.secrets.publish(Arc::new(svid), Arc::new(bundle));
    }

    fn token(&self) -> Result<Option<String>, IdentityError> {
        let Some(path) = &self.mesh.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        match text {
            Ok(token) => Ok(Some(token.trim().to_owned())),
            Err(source) => Err(IdentityError::Token { path: path.clone(), source }),
        }
    }
}

/// The bundle that came with an SVID speaks for the SVID's own trust domain.
fn bundle_for(svid: &Svid, roots: &[u8]) -> Result<TrustBundle, IdentityError> {
    let domain = svid.id().trust_domain().parse().expect("an id has a valid trust domain");
    Ok(TrustBundle::from_pem(Some(domain), roots)?)
}

#[cfg(test)]
mod tests;
