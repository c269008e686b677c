//! Load on one address: `wrk` as fast as answers come, our own generator at a fixed rate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::process::{LOAD_CORE, Process, pinned};
use super::streams::{self, Plan, Requests};
use crate::peers;

/// The host asked for: one of the hundred in the mesh configuration.
pub(super) const HOST: &str = "svc7.ns.svc.cluster.local";

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// Each connection sends the next request when the last is answered.
    Saturate { connections: u32 },
    /// The same over TLS; with `once` a connection serves one request, and its session is resumed by the next.
    Secure { connections: u32, once: bool },
    /// Full handshakes and nothing else, one after the other.
    Handshakes,
    /// Requests come at this rate, whatever the answers do.
    Rate { connections: u32, per_second: u32 },
    /// HTTP/2: each connection keeps so many requests open.
    Streams { connections: u32, streams: u32, requests: Requests, tls: bool },
}

/// What the generator saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) requests: f64,
    pub(super) rps: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

/// The programs that make load.
pub(super) struct Tools {
    wrk: Option<PathBuf>,
    loadgen: PathBuf,
    /// For files that generators read.
    folder: PathBuf,
}

impl Tools {
    /// Finds `wrk` if it is there, and builds our generator unless there is one.
    pub(super) fn find(root: &Path, folder: &Path, loadgen: Option<&Path>) -> Result<Self> {
        let wrk = peers::path("wrk");
        if let Err(error) = &wrk {
            eprintln!("bench: wrk: {error:#}; saturating with our own generator");
        }
        let loadgen = match loadgen {
            Some(loadgen) => loadgen.to_owned(),
            None => build(root)?,
        };
        Ok(Self { wrk: wrk.ok(), loadgen, folder: folder.to_owned() })
    }

    /// The program that saturates, for the report.
    pub(super) fn wrk(&self) -> Option<&Path> {
        self.wrk.as_deref()
    }

    /// Starts the HTTP/1.1 server behind all proxies.
    pub(super) fn serve(&self, body_bytes: usize) -> Result<(Process, SocketAddr)> {
        let mut command = pinned(LOAD_CORE, &self.loadgen);
        command.args(["serve", "--listen", "127.0.0.1:0", "--body-bytes"]);
        command.arg(body_bytes.to_string());
        let (process, line) = Process::start_and_read(command)?;
        Ok((process, line.parse().with_context(|| format!("loadgen said {line:?}"))?))
    }

    /// Puts the load on the address for that long.
    pub(super) fn run(&self, load: Load, address: SocketAddr, time: Duration) -> Result<Seen> {
        match (load, &self.wrk) {
            (Load::Saturate { connections }, Some(wrk)) => {
                saturate(wrk, &format!("http://{address}/"), connections, &[], time)
            }
            (Load::Secure { connections, once }, Some(wrk)) => {
                let last: &[&str] = if once { &["-H", "Connection: close"] } else { &[] };
                saturate(wrk, &format!("https://{address}/"), connections, last, time)
            }
            (Load::Secure { .. }, None) => bail!("TLS load needs wrk"),
            (Load::Handshakes, _) => handshakes(address, time),
            (Load::Streams { connections, streams, requests, tls }, _) => {
                let scheme = if tls { "https" } else { "http" };
                let plan = Plan { connections, streams, requests, time };
                streams::run(&self.folder, &format!("{scheme}://{address}"), &plan)
            }
            (Load::Saturate { connections }, None) => self.drive(address, connections, None, time),
            (Load::Rate { connections, per_second }, _) => {
                self.drive(address, connections, Some(per_second), time)
            }
        }
    }

    fn drive(
        &self,
        address: SocketAddr,
        connections: u32,
        rate: Option<u32>,
        time: Duration,
    ) -> Result<Seen> {
        let mut command = pinned(LOAD_CORE, &self.loadgen);
        command.arg("drive").arg(address.to_string()).args([
            "--host",
            HOST,
            "--warm-up-seconds",
            "0.2",
        ]);
        command.args([
            "--connections",
            &connections.to_string(),
            "--seconds",
            &time.as_secs_f64().to_string(),
        ]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let output = command.output()?;
        ensure!(output.status.success(), "loadgen drive: {}", output.status);
        let seen: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(seen["not_ok"] == 0, "{} answers were not 200", seen["not_ok"]);
        let figure =
            |name: &str| seen[name].as_f64().with_context(|| format!("loadgen printed no {name}"));
        Ok(Seen {
            requests: figure("requests_total")?,
            rps: figure("rps")?,
            p50_us: figure("p50_us")?,
            p99_us: figure("p99_us")?,
        })
    }
}

fn build(root: &Path) -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "-p", "leno-testkit"])
        .args(["--bin", "loadgen"])
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "loadgen does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR");
    Ok(target.map_or_else(|| root.join("target"), PathBuf::from).join("release/loadgen"))
}

fn saturate(
    wrk: &Path,
    url: &str,
    connections: u32,
    more: &[&str],
    time: Duration,
) -> Result<Seen> {
    let output = pinned(LOAD_CORE, wrk)
        .args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{}s", time.as_secs().max(1)),
            "--latency",
        ])
        .args(["-H", &format!("Host: {HOST}")])
        .args([
            "-H",
            "User-Agent: load/1.0",
            "-H",
            "Accept: application/json",
            "-H",
            "Accept-Encoding: gzip",
        ])
        .args(["-H", "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789"])
        .args(more)
        .arg(url)
        .output()?;
    ensure!(output.status.success(), "wrk: {}", output.status);
    read_wrk(&String::from_utf8_lossy(&output.stdout))
}

/// wrk keeps sessions and resumes them; OpenSSL's own timer forgets them when told so.
fn handshakes(address: SocketAddr, time: Duration) -> Result<Seen> {
    let seconds = time.as_secs().max(1);
    let output = pinned(LOAD_CORE, Path::new("openssl"))
        .args(["s_time", "-new", "-tls1_3", "-connect", &address.to_string()])
        .args(["-time", &seconds.to_string()])
        .output()?;
    ensure!(output.status.success(), "openssl s_time: {}", output.status);
    read_s_time(&String::from_utf8_lossy(&output.stdout))
}

fn read_s_time(text: &str) -> Result<Seen> {
    let line = text.lines().find(|line| line.contains(" real seconds"));
    let line = line.context("openssl s_time printed no connections")?;
    let mut words = line.split_whitespace();
    let requests: f64 = words.next().unwrap_or_default().parse()?;
    let seconds: f64 = words.nth(2).unwrap_or_default().parse()?;
    Ok(Seen { requests, rps: requests / seconds, p50_us: 0.0, p99_us: 0.0 })
}

fn read_wrk(text: &str) -> Result<Seen> {
    if let Some(line) =
        text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("wrk: {}", line.trim());
    }
    let after =
        |label: &str| text.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let requests = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .context("wrk printed no requests")?;
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    Ok(Seen {
        requests: first(requests).parse()?,
        rps: after("Requests/sec:").context("wrk printed no rate")?.parse()?,
        p50_us: microseconds(after("50%").context("wrk printed no latency")?)?,
        p99_us: microseconds(after("99%").context("wrk printed no latency")?)?,
    })
}

/// `1.25ms` and the like.
fn microseconds(text: &str) -> Result<f64> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[number.len()..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        unit => bail!("wrk printed a time in {unit:?}"),
    };
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::{microseconds, read_s_time, read_wrk};

    #[test]
    fn what_s_time_prints_is_read() {
        let text = "\n\n900 connections in 0.61s; 1475.41 connections/user sec, bytes read 0\n\
                    900 connections in 2 real seconds, 0 bytes read per connection\n";
        let seen = read_s_time(text).unwrap();
        assert_eq!((seen.requests, seen.rps), (900.0, 450.0));
        assert!(read_s_time("No CIPHER specified\n").is_err());
    }

    #[test]
    fn what_wrk_prints_is_read() {
        let text = "  Latency Distribution\n     50%  290.00us\n     75%  310.00us\n     99%    1.25ms\n  \
                    162316 requests in 2.10s, 171.98MB read\nRequests/sec:  77268.24\n";
        let seen = read_wrk(text).unwrap();
        assert_eq!(
            (seen.requests, seen.rps, seen.p50_us, seen.p99_us),
            (162316.0, 77268.24, 290.0, 1250.0)
        );
        assert!(read_wrk(&format!("{text}  Non-2xx or 3xx responses: 5\n")).is_err());
        assert_eq!(microseconds("2.5s").unwrap(), 2.5e6);
        assert!(microseconds("2m").is_err());
    }
}
