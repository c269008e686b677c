//! `POST …/serviceaccounts/NAME/token`: a join token for a service account, in Kubernetes' `TokenRequest`.

use std::time::{Duration, SystemTime};

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Api;
use super::body::{self, Parsed};
use super::path::{self, Target};
use super::read::key;
use super::status::{Failure, json_response};

/// As Kubernetes: shorter ones are raised to it.
const LIFETIME_MIN: Duration = Duration::from_secs(600);
/// Without a wish.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);
/// A token is for joining; it need not outlive a week.
const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The service account whose token the path names.
pub(super) fn account_of(path: &str) -> Option<Target> {
    let account = path::parse(path.strip_suffix("/token")?)?;
    Some(account).filter(|target| target.kind.kind == "ServiceAccount" && target.name.is_some())
}

/// Answers the request with a token.
pub(super) async fn create(
    api: &Api,
    account: &Target,
    request: Request,
) -> Result<Response, Failure> {
    if *request.method() != Method::POST {
        return Err(Failure::method_not_allowed("a token is asked for with POST"));
    }
    let name = account.one()?;
    if api.store.get(&key(account, name)).is_none() {
        return Err(Failure::not_found(account.kind, name));
    }
    let (parts, sent) = request.into_parts();
    let bytes = body::read(sent).await?;
    let Parsed { value: mut wish, .. } = body::parse(&bytes, body::syntax(&parts.headers)?)?;
    if wish["kind"] != "TokenRequest" {
        let why = "the body must be a TokenRequest of authentication.k8s.io/v1";
        return Err(Failure::bad_request(why));
    }
    let seconds = wish["spec"]["expirationSeconds"].as_u64().map(Duration::from_secs);
    let lifetime = seconds.unwrap_or(LIFETIME_DEFAULT).clamp(LIFETIME_MIN, LIFETIME_MAX);
    let now = SystemTime::now();
    let minted = api.identity.mint_token(&account.namespace, name, lifetime, now);
    let token = minted.map_err(|error| Failure::unprocessable(error.to_string()))?;
    let end = OffsetDateTime::from(now + lifetime).replace_nanosecond(0);
    let end = end.ok().and_then(|end| end.format(&Rfc3339).ok());
    wish["status"] = json!({"token": token, "expirationTimestamp": end});
    wish["metadata"] = json!({"name": name, "namespace": account.namespace});
    let made: &Value = &wish;
    Ok(json_response(StatusCode::CREATED, made))
}
