//! Istio's CA API: one unary method, authorised by what the caller can prove.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use leno_identity::issuance::{
    CREATE_CERTIFICATE, CertificateRequest, CertificateResponse, MessageCodec, SERVICE,
};
use tonic::codegen::{Body, BoxFuture, StdError};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

use super::listener::Caller;
use super::{Identity, IssueError};

/// A request is a PEM text and a number.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// `istio.v1.auth.IstioCertificateService` as a tower service; add it to the same server as ADS.
#[derive(Clone)]
pub struct CertificateService {
    identity: Arc<Identity>,
}

impl CertificateService {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self { identity }
    }
}

impl NamedService for CertificateService {
    const NAME: &'static str = SERVICE;
}

impl<B> tower::Service<http::Request<B>> for CertificateService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
    B::Data: Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != CREATE_CERTIFICATE {
            let unknown = Status::unimplemented("the service has one method: CreateCertificate");
            return Box::pin(async move { Ok(unknown.into_http()) });
        }
        let method = CreateCertificate(self.identity.clone());
        Box::pin(async move {
            let codec = MessageCodec::<CertificateResponse, CertificateRequest>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(REQUEST_BYTES_MAX);
            Ok(grpc.unary(method, request).await)
        })
    }
}

struct CreateCertificate(Arc<Identity>);

impl UnaryService<CertificateRequest> for CreateCertificate {
    type Response = CertificateResponse;
    type Future = std::future::Ready<Result<Response<CertificateResponse>, Status>>;

    fn call(&mut self, request: Request<CertificateRequest>) -> Self::Future {
        std::future::ready(create(&self.0, request, SystemTime::now()))
    }
}

/// Signing takes some ten microseconds, so it is done in place.
fn create(
    identity: &Identity,
    request: Request<CertificateRequest>,
    now: SystemTime,
) -> Result<Response<CertificateResponse>, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    let (metadata, _, request) = request.into_parts();
    let id = identity
        .authenticate(metadata.as_ref(), caller.as_ref(), now)
        .map_err(|error| Status::unauthenticated(error.to_string()))?;
    let lifetime = lifetime(request.validity_duration, identity.options().svid_lifetime)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let authority = identity.authority();
    let leaf = authority.issue(&request.csr, &id, lifetime, now).map_err(|error| match error {
        IssueError::OtherId { .. } => Status::permission_denied(error.to_string()),
        IssueError::TooLong { .. } | IssueError::Request(_) => {
            Status::invalid_argument(error.to_string())
        }
        error => Status::internal(error.to_string()),
    })?;
    tracing::info!(%id, lifetime_seconds = lifetime.as_secs(), "issued an SVID");
    Ok(Response::new(CertificateResponse {
        cert_chain: vec![leaf, authority.root_pem().to_owned()],
    }))
}

/// What is asked for, at most what is allowed.
fn lifetime(asked_seconds: i64, allowed: Duration) -> Result<Duration, IssueError> {
    match u64::try_from(asked_seconds) {
        Ok(0) => Ok(allowed),
        Ok(seconds) => Ok(Duration::from_secs(seconds).min(allowed)),
        Err(_) => Err(IssueError::Lifetime { seconds: asked_seconds }),
    }
}
