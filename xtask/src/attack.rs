//! Attacks on default configurations, Leno beside haproxy, nginx and Envoy: what an attacker's bytes cost the proxy in
//! processor time and memory, and what a good client notices.
//!
//! Each attack runs in a process of its own, so that its cost is known too. Everything stays on the loopback and ends by
//! itself. `--short` attacks Leno alone and fails where it holds too much, ends, or leaves a good client unserved.

mod client;
mod harm;
mod line;
mod results;
mod send;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, sched_setaffinity};

use self::client::Watch;
use self::harm::{Harm, Sent};
use self::results::Results;
use self::send::Attack;
use crate::bench::{LOAD_CORE, Running, Wire, serve_http2};
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
    /// Leno alone, a second each, and fail where it does not hold.
    #[arg(long, conflicts_with_all = ["proxy", "seconds", "json"])]
    short: bool,
    /// Also write the figures into this folder, as `attack.json` and `attack.md`.
    #[arg(long, value_name = "FOLDER")]
    json: Option<PathBuf>,
    /// Be the attacker: what, and whom.
    #[arg(long, hide = true, num_args = 2)]
    send: Option<Vec<String>>,
}

/// What an attack of a second may make the proxy hold, in KiB: far below its memory budget, far above what it does hold.
const HELD_KIB_MAX: i64 = 96 * 1024;
/// What each stream that an attack keeps open may add to it. With `window-drip` haproxy 2.6 holds 8.5 KiB for each, Envoy
/// 1.40 14.8.
const STREAM_KIB_MAX: i64 = 10;

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let time = Duration::from_secs(if args.short { 1 } else { args.seconds });
    let rounds = if args.short { 1 } else { ROUNDS };
    if let Some([what, whom]) = args.send.as_deref() {
        let attack = Attack::named(what).with_context(|| format!("no attack {what}"))?;
        println!("{}", send::attack(attack, whom.parse()?, time)?);
        return Ok(ExitCode::SUCCESS);
    }
    let alone = ["leno".to_owned()];
    quarters()?;
    let bed = Bed::new(root, &args.leno, if args.short { &alone } else { &args.proxy })?;
    let (_server, behind) = serve_http2(bed.root(), bed.folder())?;
    let plain = client::serve()?;
    let mut results = Results::new(time);
    for attack in send::ATTACKS {
        if !args.only.is_empty() && !args.only.iter().any(|name| name == attack.name()) {
            continue;
        }
        if args.short && attack.is_nothing() {
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
            eprintln!("attack: {} on {name}", attack.name());
            let harm = strike(&proxy, attack, (rounds, time));
            if args.short {
                let harm = harm.with_context(|| format!("{} on {name}", attack.name()))?;
                withstood(attack, &harm)?;
                results.add(attack, name, Ok(harm));
            } else {
                results.add(attack, name, harm);
            }
        }
    }
    println!("{}", results.table());
    if let Some(folder) = &args.json {
        results.write(folder, &bed.versions())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What has to hold on a machine that does other things, too.
fn withstood(attack: Attack, harm: &Harm) -> Result<()> {
    let name = attack.name();
    let streams = i64::try_from(harm.open)? * i64::from(attack.streams());
    let held_max = HELD_KIB_MAX + streams * STREAM_KIB_MAX;
    ensure!(harm.held_kib <= held_max, "{name}: {} of {held_max} KiB held", harm.held_kib);
    ensure!(harm.answers.1 > 0, "{name}: no answer for a good client");
    ensure!(harm.unanswered == 0, "{name}: {} good requests without answer", harm.unanswered);
    Ok(())
}

/// How often a good client is watched for a [`CALM`] and then during the attack; the medians count.
const ROUNDS: usize = 3;
const CALM: Duration = Duration::from_secs(1);
/// How long it is watched after each: what was not answered by then shows.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// The good client and the origin behind it have a core with the attacker, and go before it: what the attacker takes of that
/// core is not the proxy's doing.
fn quarters() -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(LOAD_CORE);
    sched_setaffinity(None, &cores).context("cannot have a core to itself")?;
    // Only root may; without it everybody is ordinary but the attacker, who is less.
    let _ = setpriority_process(None, -19);
    Ok(())
}

fn strike(proxy: &Running, attack: Attack, (rounds, time): (usize, Duration)) -> Result<Harm> {
    let is_http2 = attack.is_http2();
    let ordinary = ordinary(proxy, is_http2)?;
    let mut watch = Watch::new(proxy.address, is_http2);
    let held = i64::try_from(proxy.resident_kib()?)?;
    let mut sent = Sent::default();
    let (mut calm_us, mut attacked_us) = (Vec::new(), Vec::new());
    let (mut answers, mut unanswered) = ((0, 0), 0);
    let (mut cost_us, mut held_kib, mut memory) = (0.0, 0, 0.0_f64);
    for _ in 0..rounds {
        let unharmed = proxy.usage()?;
        let before = watch.run(CALM, || Ok(0))?;
        let used = proxy.usage()?;
        let attacker = start(attack, proxy, time)?;
        let during = watch.run(time, || proxy.resident_kib().context("the proxy ended"))?;
        let this = ended(attacker)?;
        let attacked = proxy.usage().context("the proxy ended")?.since(used).total_us;
        let after = watch.run(AFTERWARDS, || Ok(0)).context("after the attack")?;
        let one_us = used.since(unharmed).total_us / before.answers.max(1) as f64;
        cost_us += attacked - one_us * during.answers as f64;
        let grown_kib = i64::try_from(during.peak_kib)? - held;
        held_kib = held_kib.max(grown_kib);
        if this.held_bytes() > 0.0 {
            memory = memory.max(grown_kib.max(0) as f64 * 1024.0 / this.held_bytes());
        }
        sent.add(&this);
        calm_us.push(before.p99_us);
        attacked_us.push(during.p99_us);
        answers = (answers.0 + before.answers, answers.1 + during.answers);
        unanswered += before.unanswered + during.unanswered + after.unanswered;
    }
    let cost_us = cost_us.max(0.0);
    let processor = if attack.is_nothing() { 0.0 } else { cost_us / sent.wire_bytes() / ordinary };
    Ok(Harm {
        raw: cost_us / sent.processor_us.max(1.0),
        processor,
        held_kib,
        memory,
        open: sent.open,
        calm_us,
        attacked_us,
        answers,
        unanswered,
    })
}

/// The attacker as a process of its own, which has the load's core only while nobody else wants it.
fn start(attack: Attack, proxy: &Running, time: Duration) -> Result<Child> {
    let attacker = Command::new("chrt")
        .args(["--idle", "0", "taskset", "-c", &LOAD_CORE.to_string()])
        .arg(std::env::current_exe()?)
        .args(["attack", "--seconds", &time.as_secs().to_string()])
        .args(["--send", attack.name(), &proxy.address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    attacker.context("no attacker")
}

fn ended(attacker: Child) -> Result<Sent> {
    let output = attacker.wait_with_output()?;
    ensure!(output.status.success(), "the attacker ended with {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().parse()
}

/// Microseconds of the proxy's processor time for each byte on the wire of a client that does nothing wrong: one request
/// after the other on one connection.
fn ordinary(proxy: &Running, is_http2: bool) -> Result<f64> {
    // What is done once is no part of it.
    client::converse(proxy.address, is_http2, Duration::from_millis(200))?;
    let before = proxy.usage()?;
    let sent = client::converse(proxy.address, is_http2, Duration::from_millis(700))?;
    Ok(proxy.usage()?.since(before).total_us / sent.wire_bytes())
}
