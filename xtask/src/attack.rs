//! Attacks on default configurations, Leno beside haproxy, nginx and Envoy: what an attacker's second costs the proxy in
//! processor time and memory, and what a good client notices.
//!
//! Each attack runs in a process of its own, so that its cost is known too. Everything stays on the loopback and ends by
//! itself.

mod client;
mod send;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use self::send::Attack;
use crate::bench::{Running, Usage, Wire, serve_http2};
use crate::interop::Bed;

/// `cargo xtask attack`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these attacks.
    #[arg(long)]
    only: Vec<String>,
    /// Only these proxies.
    #[arg(long)]
    proxy: Vec<String>,
    /// How long each takes.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// The leno to attack.
    #[arg(long, default_value = "bin/leno")]
    leno: PathBuf,
    /// Be the attacker: what, and whom.
    #[arg(long, hide = true, num_args = 2)]
    send: Option<Vec<String>>,
}

/// What one attack did to one proxy.
struct Harm {
    /// Processor time of the proxy over that of the attacker.
    processor: f64,
    /// What the proxy holds more than before, in KiB.
    held_kib: i64,
    /// A good client's slowest of a hundred, before and during, in microseconds.
    p99_us: (f64, f64),
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let time = Duration::from_secs(args.seconds);
    if let Some([what, whom]) = args.send.as_deref() {
        let attack = Attack::named(what).with_context(|| format!("no attack {what}"))?;
        attack.send(whom.parse()?, time);
        println!("{}", client::own_processor_us()?);
        return Ok(ExitCode::SUCCESS);
    }
    let bed = Bed::new(root, &args.leno, &args.proxy)?;
    let (_server, behind) = serve_http2(bed.root(), bed.folder())?;
    let plain = client::serve()?;
    let mut table = "| attack | proxy | processor, proxy ÷ attacker | held KiB | good client's p99 µs, before → during |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for attack in send::ATTACKS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == attack.name()) {
            continue;
        }
        let wires: &'static [Wire] = if attack.is_http2() {
            &[Wire::Http2, Wire::Http2]
        } else {
            &[Wire::Http1, Wire::Http1]
        };
        // Each attack meets fresh processes: what one leaves behind is not the next one's.
        for proxy in bed.start(wires, if attack.is_http2() { behind } else { plain }) {
            let name = proxy.contender.name;
            match strike(&proxy, attack, time) {
                Ok(Harm { processor, held_kib, p99_us: (before, during) }) => {
                    let _ = writeln!(
                        table,
                        "| {} | {name} | {processor:.2} | {held_kib} | {before:.0} → {during:.0} |",
                        attack.name()
                    );
                }
                Err(error) => {
                    let _ = writeln!(table, "| {} | {name} | {error:#} | | |", attack.name());
                }
            }
        }
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn strike(proxy: &Running, attack: Attack, time: Duration) -> Result<Harm> {
    let watch = |time| client::p99_us(proxy.address, attack.is_http2(), time);
    let before_us = watch(Duration::from_secs(1))?;
    let (used, held): (Usage, u64) = (proxy.usage()?, proxy.resident_kib()?);
    let attacker = Command::new(std::env::current_exe()?)
        .args(["attack", "--seconds", &time.as_secs().to_string()])
        .args(["--send", attack.name(), &proxy.address.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let during_us = watch(time);
    let peak = proxy.resident_kib().context("the proxy ended")?;
    let output = attacker.wait_with_output()?;
    ensure!(output.status.success(), "the attacker ended with {}", output.status);
    let spent: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    if spent <= 0.0 {
        bail!("the attacker did nothing");
    }
    let cost = proxy.usage().context("the proxy ended")?.since(used).total_us;
    let held_kib = i64::try_from(peak)? - i64::try_from(held)?;
    // A client that got no answer at all within the time is the worst there is.
    let during_us = during_us.unwrap_or(f64::INFINITY);
    Ok(Harm { processor: cost / spent, held_kib, p99_us: (before_us, during_us) })
}

/// For attacks that must not block on a proxy that stops reading.
fn connect(address: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    stream.set_read_timeout(Some(Duration::from_millis(1)))?;
    Ok(stream)
}
