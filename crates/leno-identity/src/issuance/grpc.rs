//! The CA API over a gRPC channel that somebody else opened.

use std::marker::PhantomData;

use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, Bytes, StdError};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::{CREATE_CERTIFICATE, CertificateRequest, CertificateResponse};

/// More than a chain ever needs; a longer answer is refused.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks for a certificate. `token` proves who asks; without one, the channel's own certificate does.
///
/// # Errors
/// The CA's answer, or why there is none.
pub async fn create_certificate<S>(
    channel: S,
    token: Option<&str>,
    request: CertificateRequest,
) -> Result<CertificateResponse, Status>
where
    S: GrpcService<tonic::body::Body>,
    S::Error: Into<StdError>,
    S::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <S::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    grpc.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
    let mut request = Request::new(request);
    if let Some(token) = token {
        let value = MetadataValue::try_from(format!("Bearer {}", token.trim()));
        let value = value.map_err(|_| {
            Status::new(Code::InvalidArgument, "the join token has characters no header can carry")
        })?;
        request.metadata_mut().insert("authorization", value);
    }
    let path = http::uri::PathAndQuery::from_static(CREATE_CERTIFICATE);
    grpc.unary(request, path, MessageCodec::default()).await.map(tonic::Response::into_inner)
}

/// Protobuf messages on a gRPC stream: `E` goes out, `D` comes in.
#[derive(Debug)]
pub struct MessageCodec<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for MessageCodec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for MessageCodec<E, D>
where
    E: prost::Message + 'static,
    D: prost::Message + Default + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = Out<E>;
    type Decoder = In<D>;

    fn encoder(&mut self) -> Out<E> {
        Out(PhantomData)
    }

    fn decoder(&mut self) -> In<D> {
        In(PhantomData)
    }
}

/// See [`MessageCodec`].
#[derive(Debug)]
pub struct Out<E>(PhantomData<fn(E)>);

impl<E: prost::Message> Encoder for Out<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

/// See [`MessageCodec`].
#[derive(Debug)]
pub struct In<D>(PhantomData<fn() -> D>);

impl<D: prost::Message + Default> Decoder for In<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(buffer)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not the expected message: {error}")))
    }
}
