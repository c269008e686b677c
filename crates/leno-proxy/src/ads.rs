//! Follows a control plane: one ADS stream, reconnected for ever, its resources put in force.
//!
//! Runs on the admin thread. With the control plane gone what is in force stays; a proxy that starts meanwhile serves
//! what [`kept`] finds on disk.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leno_core::snapshot::Resources;
use leno_xds::discovery::{Malformed, Request, Response, Variant};
use leno_xds::{ByType, BytesCodec, Node, TAKES_PARTS};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

mod apply;
mod give_way;
mod kept;
mod pace;

use apply::Apply;
use pace::Pace;

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

/// Follows the control plane until the process ends. Never returns. `base` is in force beside what is received.
pub async fn run(
    (mesh, base): (&Mesh, Resources),
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
        features: vec![TAKES_PARTS.to_owned()],
    };
    let mut apply = Apply::new(mesh.variant, node, publisher, names, base);
    if let Some(folder) = &mesh.data_dir {
        apply.restore((folder, mesh.seal.as_deref()));
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
    let first = apply.connected();
    let first = first.iter().map(|request| request.encode(apply.variant())).collect();
    let (send, mut responses) = match open(apply.variant(), dial, first).await {
        Ok(stream) => stream,
        Err(ended) => return ended,
    };
    state.send_modify(|state| state.connected = true);
    tracing::info!(control = mesh.control, "ADS stream is up");
    let mut requests = Vec::<Request>::new();
    let (mut pace, mut versions) = (Pace::default(), ByType::<String>::default());
    let mut keep = interval(KEEP);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for request in requests.drain(..) {
            let version = request.kind().map_or("", |kind| versions[kind].as_str());
            let now = Instant::now();
            let passed = match apply.variant() {
                // A delta server sends what was refused again only when it has changed.
                Variant::Delta => Some(request),
                Variant::StateOfTheWorld => pace.pass(request, version, now),
            };
            let Some(request) = passed else { continue };
            if send.send(request.encode(apply.variant())).await.is_err() {
                return Ended::Closed;
            }
        }
        tokio::select! {
            message = responses.message() => match read(message, apply.variant()) {
                Ok(response) => {
                    if let Some(kind) = response.kind() {
                        versions[kind].clone_from(&response.version);
                    }
                    requests = apply.response(response);
                }
                Err(ended) => return ended,
            },
            () = apply.overdue() => requests = apply.settle(),
            () = pace.due() => {
                for request in pace.ready(Instant::now()) {
                    if send.send(request.encode(apply.variant())).await.is_err() {
                        return Ended::Closed;
                    }
                }
            }
            _ = keep.tick() => {
                if let Some(folder) = &mesh.data_dir {
                    apply.keep((folder, mesh.seal.as_deref()));
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

async fn open(variant: Variant, dial: &impl Dial, first: Vec<Vec<u8>>) -> Result<Stream, Ended> {
    let (channel, token) = dial.dial().map_err(Ended::Dial)?;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX);
    timeout(CONNECT, grpc.ready()).await.map_err(|_| Ended::Silent)??;
    let (send, requests) = mpsc::channel(16);
    // Most servers answer their headers with their first response, which waits for our first request.
    for request in first {
        send.try_send(request).map_err(|_| Ended::Closed)?;
    }
    let mut request = tonic::Request::new(ReceiverStream::new(requests));
    if let Some(value) =
        token.and_then(|token| MetadataValue::try_from(format!("Bearer {token}")).ok())
    {
        request.metadata_mut().insert("authorization", value);
    }
    let path = http::uri::PathAndQuery::from_static(variant.path());
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
