//! One proxy's ADS stream: the machine of `leno-xds`, fed with requests and with changes of the world.

use bytes::Bytes;
use leno_identity::SpiffeId;
use leno_xds::discovery::{Request, Variant};
use leno_xds::server::{Event, Server};
use leno_xds::{Node, ResourceType};
use tokio::sync::mpsc::Sender;
use tonic::{Code, Status, Streaming};

use super::admission::StreamPlace;
use super::service::{Push, authorize};
use super::table::{Progress, Row};
use crate::limits::{self, Limit};

/// The stream's state; lives as long as its task.
pub(super) struct Stream {
    push: Push,
    variant: Variant,
    id: Option<SpiffeId>,
    server: Server,
    place: StreamPlace,
    proxy: Option<Proxy>,
}

/// Known once the first request told who asks.
struct Proxy {
    node: Node,
    row: Row,
}

/// Why a stream ends before the proxy ends it.
enum End {
    /// The proxy or the connection is gone.
    Gone,
    /// The proxy is told why.
    Because(Status),
}

impl Stream {
    pub(super) fn new(
        push: Push,
        variant: Variant,
        id: Option<SpiffeId>,
        place: StreamPlace,
    ) -> Self {
        Self { push, variant, id, server: Server::new(variant), place, proxy: None }
    }

    /// Runs until either side ends it. Whatever changes is sent at once; while a response is in flight the machine
    /// coalesces.
    pub(super) async fn run(
        mut self,
        mut requests: Streaming<Bytes>,
        send: Sender<Result<Vec<u8>, Status>>,
    ) {
        let mut revision = self.push.resources.revision();
        let first_request = self.push.admission.limits().first_request;
        let mut patience = std::pin::pin!(tokio::time::sleep(first_request));
        let end = loop {
            let outcome = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(bytes)) => self.take(bytes),
                    Err(status) if status.code() == Code::OutOfRange => Err(self.too_long()),
                    Ok(None) | Err(_) => Err(End::Gone),
                },
                () = &mut patience, if self.proxy.is_none() => Err(self.too_late()),
                changed = revision.changed() => changed.map_err(|_| End::Gone),
                () = send.closed() => Err(End::Gone),
            };
            if let Err(end) = outcome {
                break end;
            }
            if let Err(end) = self.advance(&send).await {
                break end;
            }
        };
        if let End::Because(status) = end {
            // A full channel means that the proxy reads nothing; then there is nobody to tell.
            let _ = send.try_send(Err(status));
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), End> {
        let request = Request::decode(self.variant, bytes)
            .map_err(|error| End::Because(Status::invalid_argument(error.to_string())))?;
        if self.proxy.is_none() {
            self.proxy = Some(self.meet(request.node.clone())?);
            self.place.meet();
        }
        let events = self.server.request(&request);
        let (held, names_max) = (self.server.held(), self.push.admission.limits().names);
        if held.names > names_max || held.bytes > limits::NAME_BYTES {
            return Err(self.exhausted(
                Limit::Names,
                format!(
                    "this stream's requests add up to {} names in {} bytes; the limits are {names_max} (--xds-names) and {}",
                    held.names,
                    held.bytes,
                    limits::NAME_BYTES
                ),
            ));
        }
        for event in &events {
            self.note(event);
        }
        Ok(())
    }

    /// Who asks, as far as it is known.
    fn asker(&self) -> String {
        let node = self.proxy.as_ref().map(|proxy| proxy.node.id.clone());
        node.or_else(|| self.id.as_ref().map(ToString::to_string)).unwrap_or_default()
    }

    fn exhausted(&self, limit: Limit, message: String) -> End {
        End::Because(self.push.admission.exhausted(limit, &self.asker(), message))
    }

    fn too_long(&self) -> End {
        let what = format!(
            "a request has more than {} bytes, which is the limit; ask for fewer names at a time",
            limits::REQUEST_BYTES
        );
        self.exhausted(Limit::RequestBytes, what)
    }

    fn too_late(&self) -> End {
        let admission = &self.push.admission;
        admission.reach(Limit::FirstRequest, &self.asker());
        End::Because(Status::deadline_exceeded(format!(
            "no request within {} ms of the stream's beginning, which is the limit (--xds-first-request-seconds)",
            admission.limits().first_request.as_millis()
        )))
    }

    fn meet(&self, node: Option<Node>) -> Result<Proxy, End> {
        let unnamed = || {
            End::Because(Status::invalid_argument(
                "the first request of a stream must carry its node",
            ))
        };
        let node = node.filter(|node| !node.id.is_empty()).ok_or_else(unnamed)?;
        if let Some(id) = &self.id {
            authorize(id, &node).map_err(End::Because)?;
        }
        tracing::info!(node = node.id, "proxy connected");
        let row = self.push.proxies.add(node.clone());
        Ok(Proxy { node, row })
    }

    fn note(&self, event: &Event) {
        let Some(proxy) = &self.proxy else { return };
        match event {
            Event::Subscribed(kind) => proxy.row.subscribed(*kind),
            Event::Acknowledged(kind, revision) => proxy.row.acknowledged(*kind, *revision),
            Event::Refused(kind, revision, problems) => {
                tracing::warn!(
                    node = proxy.node.id,
                    kind = kind.plural(),
                    revision,
                    problems,
                    "refused by a proxy"
                );
                proxy.row.refused(*kind, *revision, problems);
            }
        }
    }

    async fn advance(&mut self, send: &Sender<Result<Vec<u8>, Status>>) -> Result<(), End> {
        let Some(proxy) = &self.proxy else { return Ok(()) };
        let wanted = self.push.resources.current(&proxy.node);
        for response in self.server.advance(&wanted.by_type, wanted.revision) {
            send.send(Ok(response.encode(self.variant))).await.map_err(|_| End::Gone)?;
        }
        for kind in ResourceType::ALL {
            proxy.row.progress(
                kind,
                Progress {
                    sent: self.server.offered(kind),
                    settled: self.server.settled(kind),
                    acknowledged: self.server.acknowledged(kind),
                },
            );
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        tracing::info!(node = self.node.id, "proxy disconnected");
    }
}
