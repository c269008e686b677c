//! Runs a plan: one task per connection, one request at a time on each.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;

use super::tally::Tally;
use super::{Connector, Plan, Summary};

/// After a refused connection; the peer may be restarting.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Between two requests beside the others.
const BESIDE_PAUSE: Duration = Duration::from_millis(5);

/// A header that the plan's other requests do not have.
type Extra<'a> = Option<&'a (HeaderName, HeaderValue)>;

struct Run {
    plan: Plan,
    connector: Connector,
    tally: RefCell<Tally>,
    begun: Cell<u64>,
    start: Instant,
    is_stopped: Cell<bool>,
}

/// Runs `plan` to its end or until `stop` completes. Requests under way are
/// then finished and counted.
///
/// Runs on the caller's `LocalSet`.
pub async fn run(plan: Plan, stop: impl Future<Output = ()>) -> Summary {
    let run = Rc::new(Run {
        connector: Connector::new(plan.proxy.clone()),
        tally: RefCell::default(),
        begun: Cell::new(0),
        start: Instant::now(),
        is_stopped: Cell::new(false),
        plan,
    });
    let connections = run.plan.connections.max(1);
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::task::spawn_local(run.clone().drive())).collect();
    let beside = tokio::task::spawn_local(run.clone().drive_beside());
    let all = async {
        for task in tasks {
            let _ = task.await;
        }
        run.is_stopped.set(true);
        let _ = beside.await;
    };
    let mut all = std::pin::pin!(all);
    tokio::select! {
        () = &mut all => {}
        () = stop => {
            run.is_stopped.set(true);
            all.await;
        }
    }
    run.tally.take().finish(&run.plan, run.start.elapsed())
}

impl Run {
    async fn drive(self: Rc<Self>) {
        let mut connection = None;
        while let Some(nth) = self.next() {
            self.pace(nth).await;
            if self.is_stopped.get() {
                break;
            }
            self.tally.borrow_mut().begin();
            let began = Instant::now();
            let exchange = self.exchange(&mut connection, None);
            match tokio::time::timeout(self.plan.timeout, exchange).await {
                Ok(Ok((head, body))) => {
                    let answer = (head.status.as_u16(), &head.headers, &body);
                    self.tally.borrow_mut().answered(&self.plan, answer, began.elapsed());
                }
                Ok(Err(why)) => {
                    connection = None;
                    self.tally.borrow_mut().failed(why);
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                Err(_) => {
                    connection = None;
                    self.tally.borrow_mut().failed("timeout".to_owned());
                }
            }
        }
    }

    async fn drive_beside(self: Rc<Self>) {
        let Some(extra) = &self.plan.beside else { return };
        let mut connection = None;
        while !self.is_stopped.get() {
            let began = Instant::now();
            let exchange = self.exchange(&mut connection, Some(extra));
            match tokio::time::timeout(self.plan.timeout, exchange).await {
                Ok(Ok(_)) => self.tally.borrow_mut().answered_beside(began.elapsed()),
                _ => connection = None,
            }
            tokio::time::sleep(BESIDE_PAUSE).await;
        }
    }

    /// The number of the next request, while there is one.
    fn next(&self) -> Option<u64> {
        let nth = self.begun.get();
        let is_left = self.plan.requests == 0 || nth < self.plan.requests;
        let goes_on = is_left && !self.is_stopped.get();
        goes_on.then(|| {
            self.begun.set(nth + 1);
            nth
        })
    }

    /// Waits until request `nth` is due; slow answers do not make it later.
    async fn pace(&self, nth: u64) {
        let Some(rate) = self.plan.rate.filter(|rate| *rate > 0.0) else { return };
        let due = self.start + Duration::from_secs_f64(nth as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
    }

    async fn exchange(
        &self,
        connection: &mut Option<SendRequest<Full<Bytes>>>,
        extra: Extra<'_>,
    ) -> Result<(response::Parts, Bytes), String> {
        let sender = match connection {
            Some(sender) if !sender.is_closed() => sender,
            _ => connection.insert(self.connect(extra).await?),
        };
        sender.ready().await.map_err(describe)?;
        let request = self.request(extra).map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(describe)?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(describe)?.to_bytes();
        Ok((head, body))
    }

    async fn connect(&self, extra: Extra<'_>) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = self.connector.connect(&self.plan.url).await.map_err(|e| kind(&e))?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(describe)?;
        tokio::task::spawn_local(async move {
            // Its failure is the failure of the request on it.
            let _ = driver.await;
        });
        if extra.is_none() {
            self.tally.borrow_mut().connected();
        }
        Ok(sender)
    }

    fn request(&self, extra: Extra<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let plan = &self.plan;
        let path = plan.url.path_and_query().map_or("/", |path| path.as_str());
        let target =
            if self.connector.is_proxied() { plan.url.clone() } else { path.parse::<Uri>()? };
        let mut request = Request::builder().method(plan.method.clone()).uri(target);
        if let Some(headers) = request.headers_mut() {
            let authority = plan.url.authority().map_or("", |authority| authority.as_str());
            headers.insert(HOST, HeaderValue::from_str(authority)?);
            for name in plan.headers.keys() {
                headers.remove(name);
            }
            headers.extend(plan.headers.clone());
            headers.extend(extra.cloned());
        }
        request.body(Full::new(Bytes::from(plan.body.clone())))
    }
}

fn kind(error: &io::Error) -> String {
    format!("connect: {}", error.kind())
}

fn describe(error: hyper::Error) -> String {
    let source = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", source.unwrap_or_default())
}
