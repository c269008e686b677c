//! HTTP/2 and gRPC load by `h2load`, and the servers behind the proxies that answer it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::load::{HOST, Seen};
use super::process::{LOAD_CORE, Process, free_port, pinned};
use crate::peers;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requests {
    /// GET, 100 bytes come back.
    Small,
    /// The same with a thousand paths in turn.
    Uris,
    /// The same with fifteen more fields and a cookie of 320 bytes.
    Headers,
    /// 1 KiB is sent.
    Post,
    /// 100 KB come back.
    Large,
    /// 100 bytes either way in one gRPC message each.
    Unary,
    /// One gRPC message there, a hundred of 1 KiB back.
    ServerStream,
}

/// How h2load is run.
pub(super) struct Plan {
    pub(super) connections: u32,
    pub(super) streams: u32,
    pub(super) requests: Requests,
    pub(super) time: Duration,
}

impl Requests {
    fn path(self) -> &'static str {
        match self {
            Self::Small | Self::Headers | Self::Post | Self::Uris => "/products/42?view=full",
            Self::Large => "/100k",
            Self::Unary => "/grpc.testing.TestService/UnaryCall",
            Self::ServerStream => "/grpc.testing.TestService/StreamingOutputCall",
        }
    }

    fn body(self) -> Option<&'static str> {
        match self {
            Self::Small | Self::Headers | Self::Uris | Self::Large => None,
            Self::Post => Some("1k"),
            Self::Unary => Some("unary"),
            Self::ServerStream => Some("stream"),
        }
    }

    const fn is_grpc(self) -> bool {
        matches!(self, Self::Unary | Self::ServerStream)
    }
}

/// Writes what the generator and the server read: bodies, and a list of paths.
pub(crate) fn write_files(folder: &Path) -> Result<()> {
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes);
    write("100", &[b'x'; 100])?;
    write("1k", &[b'x'; 1024])?;
    write("100k", &[b'x'; 100_000])?;
    // SimpleRequest: response_size = 2, payload = 3 with body = 2.
    let mut unary = vec![0x10, 100, 0x1a, 102, 0x12, 100];
    unary.extend_from_slice(&[b'x'; 100]);
    write("unary", &grpc_message(&unary))?;
    // StreamingOutputCallRequest: response_parameters = 2, each with size = 1: 1024.
    write("stream", &grpc_message(&[0x12, 3, 0x08, 0x80, 0x08].repeat(100)))?;
    Ok(())
}

/// A length-prefixed message (gRPC over HTTP/2): not compressed, length, bytes.
fn grpc_message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a message of a bench is short");
    [&[0][..], &length.to_be_bytes(), bytes].concat()
}

/// Starts the HTTP/2 server.
pub(crate) fn serve(root: &Path, folder: &Path) -> Result<(Process, SocketAddr)> {
    serve_by(root, folder, "answers-haproxy.cfg")
}

/// Starts the collector of spans.
pub(super) fn collect(root: &Path, folder: &Path) -> Result<(Process, SocketAddr)> {
    serve_by(root, folder, "collector-haproxy.cfg")
}

fn serve_by(root: &Path, folder: &Path, template: &str) -> Result<(Process, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let config = folder.join(template);
    let template = std::fs::read_to_string(root.join("bench/hop").join(template))?;
    let text = template
        .replace("{{PORT}}", &address.port().to_string())
        .replace("{{FOLDER}}", &folder.display().to_string());
    std::fs::write(&config, text)?;
    let mut command = pinned(LOAD_CORE, peers::path("haproxy")?);
    command.args(["-db", "-f"]).arg(&config);
    let mut process = Process::start(command)?;
    process.wait_for(address).with_context(|| format!("start haproxy by {}", config.display()))?;
    Ok((process, address))
}

/// Starts grpc-go's server of the interoperability tests.
pub(crate) fn serve_grpc() -> Result<(Process, SocketAddr)> {
    let port = free_port()?;
    let mut command = pinned(LOAD_CORE, peers::path("grpc-server")?);
    command.args(["-port", &port.to_string()]).env("GOMAXPROCS", "1");
    let mut process = Process::start(command)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    process.wait_for(address).context("start the gRPC server")?;
    Ok((process, address))
}

pub(super) fn run(folder: &Path, base: &str, plan: &Plan) -> Result<Seen> {
    let Plan { connections, streams, requests, time } = plan;
    let mut command = pinned(LOAD_CORE, peers::path("h2load")?);
    command.args(["-t1", &format!("-c{connections}"), &format!("-m{streams}")]);
    command.arg(format!("-D{}", time.as_secs().max(1)));
    // The authority is one of the hundred that the mesh configuration chooses from.
    command.args(["-H", &format!(":authority: {HOST}"), "-H", "accept: application/json"]);
    command.args(["-H", "authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789"]);
    if let Some(body) = requests.body() {
        command.arg("-d").arg(folder.join(body));
    }
    if requests.is_grpc() {
        command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    }
    if *requests == Requests::Headers {
        for number in 0..15 {
            command.args(["-H", &format!("x-extra-{number}: value-{number}-of-the-request")]);
        }
        command.args(["-H", &format!("cookie: session={}", "c".repeat(312))]);
    }
    if *requests == Requests::Uris {
        command.arg("-i").arg(uris(folder, base)?);
    } else {
        command.arg(format!("{base}{}", requests.path()));
    }
    let output = command.output()?;
    ensure!(output.status.success(), "h2load: {}", output.status);
    read(&String::from_utf8_lossy(&output.stdout))
}

fn uris(folder: &Path, base: &str) -> Result<PathBuf> {
    let list: String =
        (0..1000).map(|n| format!("{base}/products/{n}/reviews?page={}\n", n % 7)).collect();
    let path = folder.join(format!("uris-{}", base.rsplit(':').next().unwrap_or_default()));
    std::fs::write(&path, list)?;
    Ok(path)
}

/// h2load tells the mean; percentiles are for the generator with a fixed rate.
fn read(text: &str) -> Result<Seen> {
    let line = |label: &str| {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(label));
        found.with_context(|| format!("h2load printed no {label:?}"))
    };
    let first = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let requests = line("requests:")?;
    let count = |what: &str| -> Result<f64> {
        let part = requests.split(',').find(|part| part.ends_with(what));
        Ok(first(part.with_context(|| format!("h2load printed no {what}"))?).parse()?)
    };
    let done = count(" succeeded")?;
    ensure!(
        done > 0.0 && count(" failed")? == 0.0 && count(" errored")? == 0.0,
        "h2load: {requests}"
    );
    let codes = line("status codes:")?;
    ensure!(first(codes).parse::<f64>()? >= done, "h2load: status codes:{codes}");
    let rate = line("finished in")?.split(", ").nth(1).context("h2load printed no rate")?;
    Ok(Seen { requests: done, rps: first(rate).parse()?, p50_us: 0.0, p99_us: 0.0 })
}

#[cfg(test)]
mod tests {
    use super::{grpc_message, read};

    const PRINTED: &str = "finished in 1.01s, 173700.00 req/s, 9.44MB/s\n\
        requests: 173700 total, 173800 started, 173700 done, 173700 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 173700 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn what_h2load_prints_is_read() {
        let seen = read(PRINTED).unwrap();
        assert_eq!((seen.requests, seen.rps), (173700.0, 173700.0));
        assert!(read(&PRINTED.replace("0 failed", "1 failed")).is_err());
        assert!(read(&PRINTED.replace("173700 2xx, 0 3xx", "0 2xx, 173700 3xx")).is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn a_grpc_message_has_its_length_before_it() {
        assert_eq!(grpc_message(b"ab"), [0, 0, 0, 0, 2, b'a', b'b']);
    }
}
