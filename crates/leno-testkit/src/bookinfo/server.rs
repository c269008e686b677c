//! One role's HTTP server: faults first, then the role's own paths.
//!
//! Single-threaded; ends when told to, after the requests under way (bounded by
//! [`DRAIN`]).

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::fault::{Decision, Fault};
use super::ratings::Ratings;
use super::seen::{Seen, SeenRequest, flatten};
use super::upstream::Caller;
use super::{Role, Workload};

mod paths;

const DRAIN: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A peer that opens a connection and says nothing is let go after this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) type Reply = Response<Full<Bytes>>;

/// One running workload.
pub(super) struct App {
    pub(super) workload: Workload,
    pub(super) caller: Caller,
    pub(super) ratings: RefCell<Ratings>,
    fault: RefCell<Fault>,
    seen: RefCell<Seen>,
    faulted: Cell<u64>,
    under_way: Cell<usize>,
}

/// A request whose body is here.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Bytes,
}

/// Serves `workload` until `stop` completes. `ready` learns the address it
/// listens on. Fails only when it cannot listen.
///
/// Runs on the caller's `LocalSet`.
pub async fn serve(
    workload: Workload,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(workload.listen).await?;
    ready(listener.local_addr()?);
    let proxy = std::env::var("HTTP_PROXY").or_else(|_| std::env::var("http_proxy")).ok();
    let app = Rc::new(App {
        caller: Caller::new(proxy),
        ratings: RefCell::default(),
        fault: RefCell::new(workload.fault.clone()),
        seen: RefCell::default(),
        faulted: Cell::new(0),
        under_way: Cell::new(0),
        workload,
    });
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    tokio::task::spawn_local(connection(app.clone(), stream, peer));
                }
                // Out of descriptors: the kernel keeps the connection queued.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
        }
    }
    drop(listener);
    let drained = async {
        while app.under_way.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(DRAIN, drained).await;
    Ok(())
}

async fn connection(app: Rc<App>, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let app = app.clone();
        async move { Ok::<_, Infallible>(app.answer(request, peer).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // A peer that goes away ends its connection, nothing else.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Counts a request as under way while it lives, however it ends.
struct UnderWay(Rc<App>);

impl UnderWay {
    fn begin(app: &Rc<App>) -> Self {
        app.under_way.set(app.under_way.get() + 1);
        Self(app.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

impl App {
    async fn answer(self: &Rc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        let _under_way = UnderWay::begin(self);
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            return error(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB");
        };
        let path = head.uri.path().to_owned();
        let call = Call { method: head.method, path, headers: head.headers, body: body.to_bytes() };
        if call.path.starts_with("/_") {
            return self.switch(&call);
        }
        self.record(&call, peer);
        if let Some(refusal) = self.misbehave(&call).await {
            return refusal;
        }
        self.route(&call).await
    }

    fn record(&self, call: &Call, peer: SocketAddr) {
        let host = call.headers.get(HOST).and_then(|value| value.to_str().ok());
        self.seen.borrow_mut().record(SeenRequest {
            method: call.method.to_string(),
            path: call.path.clone(),
            host: host.unwrap_or_default().to_owned(),
            peer: peer.to_string(),
            headers: flatten(&call.headers),
        });
    }

    /// Health stays honest: a fault is about answers to callers.
    async fn misbehave(&self, call: &Call) -> Option<Reply> {
        if call.path == "/health" {
            return None;
        }
        let nth = self.faulted.get();
        self.faulted.set(nth + 1);
        let Decision { delay, status } = self.fault.borrow().decide(nth);
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let status = StatusCode::from_u16(status?).ok()?;
        Some(error(status, "this workload was told to fail"))
    }

    /// `/_fault` and `/_seen`.
    fn switch(&self, call: &Call) -> Reply {
        match (call.method.as_str(), call.path.as_str()) {
            ("GET", "/_fault") => answer(StatusCode::OK, &json!(*self.fault.borrow())),
            ("POST" | "PUT", "/_fault") => match parse_fault(&call.body) {
                Ok(fault) => self.set_fault(fault),
                Err(problem) => error(StatusCode::BAD_REQUEST, &problem),
            },
            ("DELETE", "/_fault") => self.set_fault(Fault::default()),
            ("GET", "/_seen") => answer(StatusCode::OK, &json!(*self.seen.borrow())),
            ("DELETE", "/_seen") => {
                *self.seen.borrow_mut() = Seen::default();
                answer(StatusCode::OK, &json!({}))
            }
            ("GET", "/_who") => {
                let Workload { role, pod, .. } = &self.workload;
                answer(StatusCode::OK, &json!({ "role": role, "pod": pod }))
            }
            _ => error(StatusCode::NOT_FOUND, "use GET, POST or DELETE /_fault, or GET /_seen"),
        }
    }

    fn set_fault(&self, fault: Fault) -> Reply {
        self.faulted.set(0);
        *self.fault.borrow_mut() = fault;
        answer(StatusCode::OK, &json!(*self.fault.borrow()))
    }

    pub(super) fn health(&self) -> Reply {
        let name = match self.workload.role {
            Role::Productpage => return html(StatusCode::OK, "Product page is healthy".to_owned()),
            Role::Details => "Details",
            Role::Reviews(_) => "Reviews",
            Role::Ratings => "Ratings",
        };
        answer(StatusCode::OK, &json!({ "status": format!("{name} is healthy") }))
    }
}

fn parse_fault(body: &[u8]) -> Result<Fault, String> {
    let fault: Fault = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    fault.validate().map_err(|error| error.to_string())?;
    Ok(fault)
}

pub(super) fn answer(status: StatusCode, body: &Value) -> Reply {
    typed(status, "application/json", body.to_string())
}

pub(super) fn error(status: StatusCode, said: &str) -> Reply {
    answer(status, &json!({ "error": said }))
}

pub(super) fn html(status: StatusCode, body: String) -> Reply {
    typed(status, "text/html; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
