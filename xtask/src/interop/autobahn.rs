//! Autobahn|Testsuite: its client against a server behind proxies, its server with a client before them, every case, and
//! the same without a proxy. A case that ends worse through Leno than without is Leno's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::bed::{Bed, ONE, PAIR};
use super::ends;
use crate::bench::{Process, free_port};
use crate::peers;

/// `cargo xtask interop autobahn`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: super::Common,
    /// Only these cases, as the suite names them (`1.*`); all 517 if none is named.
    #[arg(long)]
    case: Vec<String>,
    /// Only ends of this side; both if none is named.
    #[arg(long, value_enum)]
    side: Option<Side>,
    /// One case of each chapter, through one proxy.
    #[arg(long)]
    short: bool,
}

/// Whose end the suite tests.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Side {
    /// A server, by the suite's client.
    Server,
    /// A client, by the suite's server.
    Client,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// What `--short` does of it: framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, sizes, compression.
const SHORT: [&str; 10] =
    ["1.1.6", "1.2.7", "2.10", "3.4", "4.2.3", "5.19", "6.4.1", "7.7.*", "9.1.2", "12.1.3"];

/// Cases by their names, and how each ended.
type Verdicts = BTreeMap<String, String>;

/// How many ways there are, and what they are called.
struct Way {
    name: &'static str,
    address: SocketAddr,
}

impl Args {
    /// What `make test` runs.
    pub(super) fn short(common: super::Common) -> Self {
        Self { common, case: Vec::new(), side: None, short: true }
    }
}

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let bed = Bed::make(root, &args.common)?;
    let cases = match args.case.as_slice() {
        [] if args.short => SHORT.map(str::to_owned).to_vec(),
        [] => vec!["*".to_owned()],
        some => some.to_vec(),
    };
    println!(
        "| side | through | cases | OK | NON-STRICT | INFORMATIONAL | UNIMPLEMENTED | FAILED |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let (mut worse, mut anyway) = (Vec::new(), Vec::new());
    for side in [Side::Server, Side::Client] {
        if args.side.is_some_and(|only| only != side) {
            continue;
        }
        let found = match side {
            Side::Server => test_servers(&bed, &cases, args.short)?,
            Side::Client => test_clients(&bed, &cases, args.short)?,
        };
        let side = side.name();
        let (_, direct) = found.first().context("a run without a proxy")?;
        ensure!(!direct.is_empty(), "the suite did no case");
        let fails = direct.iter().filter(|(_, verdict)| rank(verdict) > 1);
        anyway.extend(fails.map(|(case, verdict)| format!("{side} {case}: {verdict}")));
        for (way, verdicts) in &found {
            println!("| {side} | {way} | {} |", row(verdicts));
            worse.extend(compare(direct, verdicts).map(|case| format!("{side}, {way}: {case}")));
        }
    }
    println!("\nfailed without a proxy: {}", anyway.len());
    for case in &anyway {
        println!("- {case}");
    }
    println!("worse than without a proxy: {}", worse.len());
    for case in &worse {
        println!("- {case}");
    }
    Ok(if worse.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Its client: servers of the package `ws`, one behind each way.
fn test_servers(
    bed: &Bed<'_>,
    cases: &[String],
    short: bool,
) -> Result<Vec<(&'static str, Verdicts)>> {
    let mut command = ends::node(bed.root(), "websocket.cjs")?;
    command.args(["server", "http1"]);
    let server = ends::serve(command)?;
    let (ways, _running) = ways(bed, server.addresses[0], short)?;
    let outdir = bed.folder().join("servers");
    let servers: Vec<_> = ways
        .iter()
        .map(|way| json!({"agent": way.name, "url": format!("ws://{}", way.address)}))
        .collect();
    let spec = json!({"outdir": outdir, "servers": servers, "cases": cases});
    let mut suite = suite("fuzzingclient", &bed.folder().join("client.json"), &spec)?;
    let status = suite.stdout(Stdio::null()).status().context("run wstest")?;
    ensure!(status.success(), "wstest: {status}");
    read(&outdir, &ways)
}

/// Its server: the client of the package `ws`, before each way.
fn test_clients(
    bed: &Bed<'_>,
    cases: &[String],
    short: bool,
) -> Result<Vec<(&'static str, Verdicts)>> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let outdir = bed.folder().join("clients");
    let spec = json!({"outdir": outdir, "url": format!("ws://{address}"), "cases": cases});
    let mut server = suite("fuzzingserver", &bed.folder().join("server.json"), &spec)?;
    // Without its page for browsers.
    server.args(["-u", "0"]);
    let mut process = Process::start(server)?;
    process.wait_for(address).context("start wstest")?;
    let (ways, _running) = ways(bed, address, short)?;
    for way in &ways {
        let mut client = ends::node(bed.root(), "websocket.cjs")?;
        client.args(["cases", &format!("ws://{}", way.address), way.name, &address.to_string()]);
        ends::said(&client, 3600).with_context(|| format!("the client {}", way.name))?;
    }
    read(&outdir, &ways)
}

/// Without a proxy, through one, and through two with HTTP/2 and mutual TLS between them.
fn ways(
    bed: &Bed<'_>,
    behind: SocketAddr,
    short: bool,
) -> Result<(Vec<Way>, Vec<crate::bench::Running>)> {
    let mut ways = vec![Way { name: "direct", address: behind }];
    let mut running = Vec::new();
    for (name, wires) in [("leno", ONE), ("leno-pair", PAIR)] {
        if short && name != "leno" {
            continue;
        }
        let started = bed.leno(wires, behind)?;
        ways.push(Way { name, address: started.address });
        running.push(started);
    }
    Ok((ways, running))
}

fn suite(mode: &str, file: &Path, spec: &Value) -> Result<Command> {
    std::fs::write(file, spec.to_string())?;
    let program = peers::path("wstest")?;
    let base = program.parent().and_then(Path::parent).context("a folder of wstest")?;
    let mut command = Command::new(&program);
    command.env("PYTHONUSERBASE", base).args(["-m", mode, "-s"]).arg(file);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}

fn read(outdir: &Path, ways: &[Way]) -> Result<Vec<(&'static str, Verdicts)>> {
    let path: PathBuf = outdir.join("index.json");
    let text = std::fs::read_to_string(&path).context("read what wstest found")?;
    let index: Value = serde_json::from_str(&text)?;
    let verdicts = |way: &Way| {
        let cases = index[way.name].as_object().with_context(|| format!("no {}", way.name))?;
        let verdict = |(case, of): (&String, &Value)| {
            (case.clone(), of["behavior"].as_str().unwrap_or("?").to_owned())
        };
        Ok((way.name, cases.iter().map(verdict).collect()))
    };
    ways.iter().map(verdicts).collect()
}

fn row(verdicts: &Verdicts) -> String {
    let count = |what: &str| verdicts.values().filter(|verdict| *verdict == what).count();
    let kinds = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"].map(count);
    let failed = verdicts.len() - kinds.iter().sum::<usize>();
    let figures: Vec<_> = kinds.iter().chain([&failed]).map(ToString::to_string).collect();
    format!("{} | {}", verdicts.len(), figures.join(" | "))
}

/// Cases that ended worse than without a proxy, or not at all.
fn compare<'a>(direct: &'a Verdicts, through: &'a Verdicts) -> impl Iterator<Item = String> + 'a {
    direct.iter().filter_map(|(case, expected)| {
        let found = through.get(case).map_or("MISSING", String::as_str);
        (rank(found) > rank(expected)).then(|| format!("{case}: {expected} became {found}"))
    })
}

fn rank(verdict: &str) -> u8 {
    match verdict {
        "OK" => 0,
        "NON-STRICT" | "INFORMATIONAL" | "UNIMPLEMENTED" => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdicts, compare, row};

    fn verdicts(cases: &[(&str, &str)]) -> Verdicts {
        cases.iter().map(|(case, verdict)| ((*case).to_owned(), (*verdict).to_owned())).collect()
    }

    #[test]
    fn a_case_that_ends_worse_is_named() {
        let direct = verdicts(&[("1", "OK"), ("2", "NON-STRICT"), ("3", "FAILED"), ("4", "OK")]);
        let through = verdicts(&[("1", "NON-STRICT"), ("2", "OK"), ("3", "FAILED")]);
        let worse: Vec<_> = compare(&direct, &through).collect();
        assert_eq!(worse, ["1: OK became NON-STRICT", "4: OK became MISSING"]);
        assert_eq!(row(&direct), "4 | 2 | 1 | 0 | 0 | 1");
    }
}
