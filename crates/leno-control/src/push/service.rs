//! The gRPC service of ADS: both variants, on plaintext loopback and on TLS.
//!
//! Over TLS a stream must prove who it is, and may speak only for workloads of that identity. On plaintext loopback
//! (15010) a token is checked where there is one; without one the stream is taken as it is, as Istio's is.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use leno_identity::SpiffeId;
use leno_xds::discovery::Variant;
use leno_xds::{BytesCodec, Node};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Body, BoxFuture, StdError};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::admission::Connection;
use super::stream::Stream;
use super::{Admission, ProxyTable, Resources};
use crate::identity::{Caller, Identity, NotAuthenticated, Transport};
use crate::limits;

/// Responses that wait for the connection; a proxy that reads nothing holds no more than this.
const RESPONSES_WAITING_MAX: usize = 8;

/// What every stream works with.
#[derive(Clone)]
pub struct Push {
    /// What proxies shall have.
    pub resources: Arc<dyn Resources>,
    /// What proxies have.
    pub proxies: ProxyTable,
    /// Who they are.
    pub identity: Arc<Identity>,
    /// How many there may be, and of what.
    pub admission: Admission,
}

/// `envoy.service.discovery.v3.AggregatedDiscoveryService` as a tower service.
#[derive(Clone)]
pub struct DiscoveryService {
    push: Push,
}

impl Push {
    /// The service to add to a gRPC server.
    #[must_use]
    pub fn service(&self) -> DiscoveryService {
        DiscoveryService { push: self.clone() }
    }

    /// Whose stream this is; `None` for one that proves nothing and need not.
    fn authenticate<T>(&self, request: &Request<T>) -> Result<Option<SpiffeId>, Status> {
        let caller = request.extensions().get::<Caller>();
        let is_plaintext = caller.is_none_or(|caller| caller.transport == Transport::Plaintext);
        match self.identity.authenticate(request.metadata().as_ref(), caller, SystemTime::now()) {
            Ok(id) => Ok(Some(id)),
            Err(NotAuthenticated::Nothing) if is_plaintext => Ok(None),
            Err(error) => Err(Status::unauthenticated(error.to_string())),
        }
    }
}

/// Refuses a node that is not of the stream's identity.
pub(super) fn authorize(id: &SpiffeId, node: &Node) -> Result<(), Status> {
    let (namespace, service_account) = id.workload().unwrap_or_default();
    for (key, proved) in [("NAMESPACE", namespace), ("SERVICE_ACCOUNT", service_account)] {
        if let Some(claimed) = node.text(key).filter(|claimed| *claimed != proved) {
            let what =
                format!("node metadata {key} is {claimed:?}, but the stream belongs to {id}");
            return Err(Status::permission_denied(what));
        }
    }
    Ok(())
}

impl NamedService for DiscoveryService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<B> tower::Service<http::Request<B>> for DiscoveryService
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
        let path = request.uri().path();
        let asked = [Variant::Delta, Variant::StateOfTheWorld]
            .into_iter()
            .find(|variant| variant.path() == path);
        let Some(variant) = asked else {
            let unknown = Status::unimplemented(
                "the service has DeltaAggregatedResources and StreamAggregatedResources",
            );
            return Box::pin(async move { Ok(unknown.into_http()) });
        };
        let method = Method { push: self.push.clone(), variant };
        Box::pin(async move {
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(limits::REQUEST_BYTES);
            Ok(grpc.streaming(method, request).await)
        })
    }
}

struct Method {
    push: Push,
    variant: Variant,
}

impl StreamingService<Bytes> for Method {
    type Response = Vec<u8>;
    type ResponseStream = ReceiverStream<Result<Vec<u8>, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let started = || {
            let id = self.push.authenticate(&request)?;
            let connection = request.extensions().get::<Arc<Connection>>();
            let place = self.push.admission.open(connection, id.as_ref())?;
            let (send, responses) = mpsc::channel(RESPONSES_WAITING_MAX);
            let stream = Stream::new(self.push.clone(), self.variant, id, place);
            tokio::spawn(stream.run(request.into_inner(), send));
            Ok(Response::new(ReceiverStream::new(responses)))
        };
        std::future::ready(started())
    }
}
