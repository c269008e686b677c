//! The admin endpoint, on its own thread: what is in force, how it does, and how to end it.
//!
//! Everything it shows is read from what the threads share; no worker is ever asked or held up. Served by axum: this is
//! not the path of any request.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use leno_telemetry::{CONTENT_TYPE, ProcessStat};
use serde_json::{Value, json};

use crate::process::{Process, Shutdown, Then};

mod dump;
mod logging;

pub use logging::{ChangeLevel, LogLevel};

/// Which pages a socket serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Everything.
    All,
    /// `/ready` and `/stats/prometheus`: for probes and scrapers.
    Metrics,
}

/// Serves one socket until `until`.
pub(crate) async fn serve(
    process: Arc<Process>,
    socket: TcpListener,
    pages: Pages,
    until: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    axum::serve(socket, router(process, pages)).with_graceful_shutdown(until).await
}

/// Binds an admin address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn router(process: Arc<Process>, pages: Pages) -> Router {
    let metrics = Router::new()
        .route("/ready", get(ready))
        .route("/healthz/ready", get(ready))
        .route("/stats/prometheus", get(prometheus));
    let router = match pages {
        Pages::Metrics => metrics.route("/metrics", get(prometheus)),
        Pages::All => metrics
            .route("/", get(index))
            .route("/stats", get(prometheus))
            .route("/config_dump", get(config_dump))
            .route("/clusters", get(clusters))
            .route("/listeners", get(listeners))
            .route("/protocols", get(protocols))
            .route("/certs", get(certs))
            .route("/server_info", get(server_info))
            .route("/logging", get(logging::show).post(logging::change))
            .route("/drain", post(drain))
            .route("/quitquitquit", post(quit)),
    };
    router.with_state(process)
}

async fn index() -> &'static str {
    "leno proxy\n\n\
     GET  /ready              200 when a configuration is in force\n\
     GET  /stats/prometheus   metrics\n\
     GET  /config_dump        listeners, routes and clusters in force\n\
     GET  /clusters           endpoints, their health and what they are doing\n\
     GET  /listeners          where connections are accepted\n\
     GET  /protocols          what destinations were seen to speak
     GET  /certs              our certificate and whom we trust\n\
     GET  /server_info        version, start, state\n\
     GET  /logging            the log level; POST /logging?level=debug changes it\n\
     POST /drain              finish what is in flight, take nothing new\n\
     POST /quitquitquit       drain and end\n"
}

async fn ready(State(process): State<Arc<Process>>) -> Response {
    let state = state(&process);
    let status = if state == "LIVE" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{state}\n")).into_response()
}

fn state(process: &Process) -> &'static str {
    match *process.shutdown.borrow() {
        Shutdown::No if process.is_ready() => "LIVE",
        Shutdown::No => "PRE_INITIALIZING",
        Shutdown::LameDuck | Shutdown::Quiet | Shutdown::Drain | Shutdown::Now => "DRAINING",
    }
}

async fn prometheus(State(process): State<Arc<Process>>) -> Response {
    let metrics = &process.metrics;
    metrics.set(ProcessStat::AccessLogDropped, process.logs.dropped());
    metrics.set(ProcessStat::SnapshotRevision, process.publisher.in_force().revision);
    let learned = process.learned.all(Instant::now()).len();
    metrics.set(ProcessStat::LearnedDestinations, learned as u64);
    metrics.set(ProcessStat::MemoryHeld, process.budget.held_bytes() as u64);
    metrics.set(ProcessStat::MemoryBudget, process.budget.limit_bytes() as u64);
    metrics.set(ProcessStat::MemoryGrade, process.budget.grade().into());
    let mut page = String::new();
    metrics.expose(|_| true, &mut page);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

fn document(document: &Value) -> Response {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn config_dump(State(process): State<Arc<Process>>) -> Response {
    document(&dump::config(&process))
}

async fn clusters(State(process): State<Arc<Process>>) -> Response {
    document(&dump::clusters(&process.publisher.in_force()))
}

async fn listeners(State(process): State<Arc<Process>>) -> Response {
    document(&dump::listeners(&process.publisher.in_force()))
}

async fn protocols(State(process): State<Arc<Process>>) -> Response {
    document(&dump::protocols(&process))
}

async fn certs(State(process): State<Arc<Process>>) -> Response {
    document(&crate::identity::certs(process.tls.secrets(), SystemTime::now()))
}

async fn server_info(State(process): State<Arc<Process>>) -> Response {
    let uptime = SystemTime::now().duration_since(process.started).unwrap_or_default();
    document(&json!({
        "version": concat!("leno/", env!("CARGO_PKG_VERSION")),
        "state": state(&process),
        "uptime_seconds": uptime.as_secs(),
        "workers": process.workers,
        "node": process.node,
    }))
}

async fn drain(State(process): State<Arc<Process>>) -> &'static str {
    process.leave(Then::Stay);
    "OK\n"
}

async fn quit(State(process): State<Arc<Process>>) -> &'static str {
    process.leave(Then::End);
    "OK\n"
}
