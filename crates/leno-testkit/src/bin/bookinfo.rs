//! `bookinfo ROLE`: one of the four services; `bookinfo client URL`: a client.
//!
//! What the original takes from its environment (`DETAILS_HOSTNAME`,
//! `SERVICES_DOMAIN`, ...) is taken here too, beside flags.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use leno_testkit::bookinfo::{Fault, ReviewsVersion, Role, Upstreams, Workload, serve};
use leno_testkit::client::{Plan, run};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(version, about = "Bookinfo: four services that call each other, and a client for them")]
struct Command {
    #[command(subcommand)]
    role: Chosen,
}

#[derive(Subcommand)]
enum Chosen {
    /// The page people see, and the JSON API behind it.
    Productpage(Serve),
    /// Facts about a book.
    Details(Serve),
    /// What readers wrote.
    Reviews {
        /// Which generation: v1 has no stars, v2 black ones, v3 red ones.
        #[arg(long, value_enum, env = "SERVICE_VERSION", default_value = "v1")]
        version: Version,
        #[command(flatten)]
        serve: Serve,
    },
    /// The stars.
    Ratings(Serve),
    /// Sends requests and prints one JSON summary of the answers.
    Client(Box<Client>),
}

#[derive(Clone, Copy, ValueEnum)]
enum Version {
    V1,
    V2,
    V3,
}

#[derive(Args)]
struct Serve {
    /// Where to listen.
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Only the port, on the address in HOST or on all.
    #[arg(long, env = "PORT", default_value_t = 9080)]
    port: u16,
    /// How this workload names itself in its answers.
    #[arg(long, env = "POD_NAME")]
    pod: Option<String>,
    /// Answer this share of requests with --fault-status.
    #[arg(long, default_value_t = 1.0, value_name = "0..1")]
    fault_share: f64,
    /// The status of failed answers.
    #[arg(long, value_name = "STATUS")]
    fault_status: Option<u16>,
    /// Answer this much later.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    fault_delay_ms: u64,
}

#[derive(Args)]
struct Client {
    /// Absolute http:// address.
    url: Uri,
    /// How many requests in all; 0 goes on until a signal.
    #[arg(short = 'n', long, default_value_t = 1)]
    requests: u64,
    /// Over how many keep-alive connections.
    #[arg(short, long, default_value_t = 1)]
    connections: usize,
    /// At most this many a second in all.
    #[arg(long)]
    rate: Option<f64>,
    /// The method.
    #[arg(short = 'X', long, default_value = "GET")]
    method: Method,
    /// A header, as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body.
    #[arg(short, long, default_value = "")]
    data: String,
    /// How long one answer may take.
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    timeout_ms: u64,
    /// Count answers by this field of their JSON, as podname or reviews.0.rating.color.
    #[arg(long, value_name = "PATH")]
    count_field: Option<String>,
    /// Count answers by this header.
    #[arg(long, value_name = "NAME")]
    count_header: Option<String>,
    /// Count answers at least this slow apart.
    #[arg(long, value_name = "MS")]
    slow_ms: Option<u64>,
    /// Send further requests with this header all along, one at a time, and count them apart.
    #[arg(long, value_name = "NAME: VALUE")]
    beside: Option<String>,
    /// A proxy that takes absolute-form requests.
    #[arg(long, env = "HTTP_PROXY", value_name = "HOST:PORT")]
    proxy: Option<String>,
    /// Print nothing at the end.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    match start(Command::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bookinfo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let work = async {
        match command.role {
            Chosen::Productpage(options) => serve_role(Role::Productpage, options).await,
            Chosen::Details(options) => serve_role(Role::Details, options).await,
            Chosen::Ratings(options) => serve_role(Role::Ratings, options).await,
            Chosen::Reviews { version, serve } => {
                let version = match version {
                    Version::V1 => ReviewsVersion::V1,
                    Version::V2 => ReviewsVersion::V2,
                    Version::V3 => ReviewsVersion::V3,
                };
                serve_role(Role::Reviews(version), serve).await
            }
            Chosen::Client(client) => call(*client).await,
        }
    };
    local.block_on(&runtime, work)
}

async fn serve_role(role: Role, options: Serve) -> anyhow::Result<()> {
    let fault = Fault {
        status: options.fault_status,
        share: options.fault_share,
        delay_ms: options.fault_delay_ms,
        ..Fault::default()
    };
    fault.validate().context("--fault")?;
    // Some shells put the machine's name there, which says nothing about where to listen.
    let host = variable("HOST").and_then(|host| host.parse::<IpAddr>().ok());
    let any = IpAddr::from([0, 0, 0, 0]);
    let listen =
        options.listen.unwrap_or_else(|| SocketAddr::new(host.unwrap_or(any), options.port));
    let pod = options.pod.or_else(|| variable("HOSTNAME")).unwrap_or_else(|| name(role));
    let upstreams = upstreams_of_environment();
    let stop = stop_signal()?;
    let ready = |address: SocketAddr| eprintln!("{} listens on {address}", name(role));
    serve(Workload { role, listen, pod, upstreams, fault }, ready, stop)
        .await
        .with_context(|| format!("listening on {listen}"))
}

fn name(role: Role) -> String {
    match role {
        Role::Productpage => "productpage-v1".to_owned(),
        Role::Details => "details-v1".to_owned(),
        Role::Ratings => "ratings-v1".to_owned(),
        Role::Reviews(ReviewsVersion::V1) => "reviews-v1".to_owned(),
        Role::Reviews(ReviewsVersion::V2) => "reviews-v2".to_owned(),
        Role::Reviews(ReviewsVersion::V3) => "reviews-v3".to_owned(),
    }
}

/// As the original: `DETAILS_HOSTNAME`, `DETAILS_SERVICE_PORT`, and a domain
/// for all in `SERVICES_DOMAIN`.
fn upstreams_of_environment() -> Upstreams {
    let domain = variable("SERVICES_DOMAIN").map(|domain| format!(".{domain}"));
    let domain = domain.unwrap_or_default();
    let at = |name: &str| {
        let upper = name.to_uppercase();
        let host = variable(&format!("{upper}_HOSTNAME")).unwrap_or_else(|| name.to_owned());
        let port = variable(&format!("{upper}_SERVICE_PORT"));
        format!("{host}{domain}:{}", port.as_deref().unwrap_or("9080"))
    };
    Upstreams { details: at("details"), reviews: at("reviews"), ratings: at("ratings") }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn call(client: Client) -> anyhow::Result<()> {
    if client.url.scheme_str() != Some("http") || client.url.authority().is_none() {
        bail!("{} is not an absolute http:// address", client.url);
    }
    let plan = Plan {
        url: client.url,
        method: client.method,
        headers: parse_headers(&client.headers)?,
        body: client.data,
        requests: client.requests,
        connections: client.connections,
        rate: client.rate,
        timeout: Duration::from_millis(client.timeout_ms),
        count_field: client.count_field,
        count_header: client.count_header,
        slow: client.slow_ms.map(Duration::from_millis),
        beside: client.beside.as_deref().map(parse_header).transpose()?,
        proxy: client.proxy,
    };
    let summary = run(plan, stop_signal()?).await;
    if !client.quiet {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(())
}

fn parse_headers(lines: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = parse_header(line)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn parse_header(line: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| anyhow!("{line:?} is not a header; write it as 'name: value'"))?;
    let name: HeaderName = name.trim().parse().with_context(|| format!("header {line:?}"))?;
    let value: HeaderValue = value.trim().parse().with_context(|| format!("header {line:?}"))?;
    Ok((name, value))
}

/// Completes at the first interrupt or termination signal.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
