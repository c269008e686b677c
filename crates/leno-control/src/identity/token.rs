//! Join tokens: a JWT (HS256) that names a service account, in the form Kubernetes gives its own
//! (`sub: system:serviceaccount:NAMESPACE:NAME`, `aud: istio-ca`), so that Istio's clients need not tell them apart.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::files::{self, FileError};

/// What a token is for.
const AUDIENCE: &str = "istio-ca";
const ISSUER: &str = "leno";
const SUBJECT: &str = "system:serviceaccount:";
const KEY_BYTES: usize = 32;
/// A longer token is not ours.
const TOKEN_BYTES_MAX: usize = 4096;
/// How much a clock may be behind the one that minted the token.
const SKEW: Duration = Duration::from_secs(60);

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TokenError {
    #[error("it is not a signed JWT (three parts of base64url between dots)")]
    Malformed,
    #[error("it is signed by {algorithm:?}; this control plane signs with HS256")]
    Algorithm { algorithm: String },
    #[error("its signature is not of this control plane; was it minted by another, or cut?")]
    Signature,
    #[error("it expired {seconds} s ago; mint a new one")]
    Expired { seconds: u64 },
    #[error("it is valid only in {seconds} s; is a clock wrong?")]
    NotYetValid { seconds: u64 },
    #[error("it is for {found:?}, not for {AUDIENCE}")]
    Audience { found: Vec<String> },
    #[error("its subject {found:?} is not {SUBJECT}NAMESPACE:NAME")]
    Subject { found: String },
}

/// What a token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) namespace: String,
    pub(super) service_account: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: Vec<String>,
    iat: u64,
    exp: u64,
}

/// The key tokens are signed with.
pub(super) struct TokenKey(hmac::Key);

impl TokenKey {
    /// Reads the key, or makes one.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let bytes = files::load_or_create(path, || {
            let mut key = [0; KEY_BYTES];
            aws_lc_rs::rand::fill(&mut key)
                .map_err(|_| FileError::corrupt(path, "the system has no randomness"))?;
            Ok::<_, FileError>(URL_SAFE_NO_PAD.encode(key).into_bytes())
        })?;
        let key = URL_SAFE_NO_PAD.decode(bytes.trim_ascii_end());
        match key {
            Ok(key) if key.len() == KEY_BYTES => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key))),
            _ => Err(FileError::corrupt(path, "it is not 32 bytes in base64url")),
        }
    }

    pub(super) fn mint(
        &self,
        namespace: &str,
        service_account: &str,
        now: SystemTime,
        until: SystemTime,
    ) -> String {
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: format!("{SUBJECT}{namespace}:{service_account}"),
            aud: vec![AUDIENCE.to_owned()],
            iat: seconds(now),
            exp: seconds(until),
        };
        let payload = serde_json::to_vec(&payload).expect("strings and numbers are JSON");
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let signature = hmac::sign(&self.0, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Checks signature first, so that nothing unsigned is looked into (but the algorithm, for a clear refusal).
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = part(header)?;
        if header.alg != "HS256" {
            return Err(TokenError::Algorithm { algorithm: header.alg });
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        hmac::verify(&self.0, signed.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;
        let payload: Payload = part(payload)?;
        claims(payload, now)
    }
}

fn claims(payload: Payload, now: SystemTime) -> Result<Claims, TokenError> {
    let now = seconds(now);
    if payload.exp <= now {
        return Err(TokenError::Expired { seconds: now - payload.exp });
    }
    if payload.iat > now + SKEW.as_secs() {
        return Err(TokenError::NotYetValid { seconds: payload.iat - now });
    }
    if !payload.aud.iter().any(|audience| audience == AUDIENCE) {
        return Err(TokenError::Audience { found: payload.aud });
    }
    let names = payload.sub.strip_prefix(SUBJECT).and_then(|names| names.split_once(':'));
    match names {
        Some((namespace, service_account)) => Ok(Claims {
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        }),
        None => Err(TokenError::Subject { found: payload.sub }),
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
