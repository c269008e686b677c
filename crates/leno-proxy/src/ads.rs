//! Follows a control plane: one ADS stream, reconnected for ever, its resources put in force.
//!
//! Runs on the admin thread. With the control plane gone what is in force stays; a proxy that starts meanwhile serves
//! what [`kept`] finds on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leno_xds::Node;
use leno_xds::discovery::{Malformed, Response, Variant};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

mod apply;
mod codec;
mod kept;

use apply::Apply;
use codec::BytesCodec;

use crate::dns::SharedTable;
use crate::options::Mesh;
use crate::publish::Publisher;

/// First and longest pause between attempts to connect; each is drawn between half and all of it.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A stream that lasted this long was a good one: the next attempt is made at once.
const GOOD_STREAM: Duration = Duration::from_secs(10);

/// How often what is in force is written to disk, if it changed.
const KEEP: Duration = Duration::from_millis(500);

/// The largest response taken.
const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// How the stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether there is a stream now.
    pub connected: bool,
    /// Whether a configuration is in force.
    pub configured: bool,
    /// What was refused last, one problem a line; cleared by the next that is taken.
    pub refused: Option<String>,
}

/// How to reach the control plane, made anew for each attempt: tokens and certificates change.
pub trait Dial {
    /// A channel that is not connected yet, and the token to send, if any.
    fn dial(&self) -> Result<(Channel, Option<String>), String>;
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot dial: {0}")]
    Dial(String),
    #[error("no answer within {CONNECT:?}")]
    Silent,
    #[error("{}", .0.message())]
    Status(#[from] Status),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the control plane ended the stream")]
    Closed,
}

/// Follows the control plane until the process ends. Never returns.
pub async fn run(
    mesh: &Mesh,
    dial: &impl Dial,
    publisher: Arc<Publisher>,
    names: SharedTable,
    state: watch::Sender<State>,
) {
    let node = Node {
        id: mesh.node.id.clone(),
        cluster: mesh.node.cluster.clone(),
        metadata: mesh.node.metadata.clone(),
        user_agent: "leno".to_owned(),
    };
    let mut apply = Apply::new(Variant::Delta, node, publisher, names);
    if let Some(folder) = &mesh.data_dir {
        apply.restore(folder);
        state.send_modify(|state| state.configured = apply.is_configured());
    }
    let mut pause = RECONNECT.0;
    loop {
        let started = Instant::now();
        let ended = follow(&mut apply, mesh, dial, &state).await;
        state.send_modify(|state| state.connected = false);
        if started.elapsed() > GOOD_STREAM {
            pause = RECONNECT.0;
        }
        tracing::warn!(control = mesh.control, %ended, retry_in = ?pause, "no ADS stream");
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(RECONNECT.1);
    }
}

/// One stream, from its first request to its end.
async fn follow(
    apply: &mut Apply,
    mesh: &Mesh,
    dial: &impl Dial,
    state: &watch::Sender<State>,
) -> Ended {
    let (send, mut responses) = match open(apply.variant(), dial).await {
        Ok(stream) => stream,
        Err(ended) => return ended,
    };
    state.send_modify(|state| state.connected = true);
    tracing::info!(control = mesh.control, "ADS stream is up");
    let mut requests = apply.connected();
    let mut keep = interval(KEEP);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for request in requests.drain(..) {
            if send.send(request.encode(apply.variant())).await.is_err() {
                return Ended::Closed;
            }
        }
        tokio::select! {
            message = responses.message() => match read(message, apply.variant()) {
                Ok(response) => requests = apply.response(response),
                Err(ended) => return ended,
            },
            () = apply.overdue() => requests = apply.settle(),
            _ = keep.tick() => {
                if let Some(folder) = &mesh.data_dir {
                    apply.keep(folder);
                }
            }
        }
        state.send_if_modified(|state| {
            let next = State {
                connected: true,
                configured: apply.is_configured(),
                refused: apply.refused(),
            };
            let changed = *state != next;
            *state = next;
            changed
        });
    }
}

type Stream = (mpsc::Sender<Vec<u8>>, Streaming<Bytes>);

async fn open(variant: Variant, dial: &impl Dial) -> Result<Stream, Ended> {
    let (channel, token) = dial.dial().map_err(Ended::Dial)?;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    timeout(CONNECT, grpc.ready()).await.map_err(|_| Ended::Silent)??;
    let (send, requests) = mpsc::channel(16);
    let mut request = tonic::Request::new(ReceiverStream::new(requests));
    if let Some(value) =
        token.and_then(|token| MetadataValue::try_from(format!("Bearer {token}")).ok())
    {
        request.metadata_mut().insert("authorization", value);
    }
    let path = http::uri::PathAndQuery::from_static(variant.path());
    // The server answers its headers with its first response, which waits for our first request.
    let opened = grpc.streaming(request, path, BytesCodec);
    let responses = timeout(CONNECT, opened).await.map_err(|_| Ended::Silent)??.into_inner();
    Ok((send, responses))
}

fn read(message: Result<Option<Bytes>, Status>, variant: Variant) -> Result<Response, Ended> {
    let bytes = message?.ok_or(Ended::Closed)?;
    Ok(Response::decode(variant, bytes)?)
}

#[cfg(test)]
mod tests;
