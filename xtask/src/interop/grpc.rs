//! gRPC's interoperability cases: the clients of grpc-go, grpcio and grpc-js with the servers of all three, proxies between
//! them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::bed::Bed;
use super::ends;
use crate::bench::{Wire, serve_grpc};
use crate::peers;

/// `cargo xtask interop grpc`
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: super::Common,
    /// grpcio at both ends, through one proxy: what a machine without Go can do.
    #[arg(long)]
    short: bool,
}

/// The cases of gRPC's interop test descriptions that need neither credentials nor a resolver of their own.
const CASES: [&str; 15] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    PICK_FIRST,
];

/// A hundred calls that one server answers, which has to say who it is. grpc-go's server says nothing.
const PICK_FIRST: &str = "pick_first_unary";

const ONE: &[Wire] = &[Wire::Http2, Wire::Http2];
const TWO: &[Wire] = &[Wire::Http2, Wire::MutualHttp2, Wire::Http2];

const GO: &str = "grpc-go";
const PYTHON: &str = "grpcio";
const NODE: &str = "grpc-js";
const ALL: [&str; 3] = [GO, PYTHON, NODE];

/// How each case ended.
type Verdicts = BTreeMap<String, Verdict>;

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Passes,
    Fails(String),
    /// Not for this server.
    NotAsked,
}

impl Args {
    /// What `make test` runs.
    pub(super) fn short(common: super::Common) -> Self {
        Self { common, short: true }
    }
}

pub(super) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let bed = Bed::make(root, &args.common)?;
    let (mut heads, mut columns) = (Vec::new(), Vec::new());
    let ways = if args.short { &[(ONE, "")][..] } else { &[(ONE, ""), (TWO, " pair")] };
    let ends = if args.short { &[PYTHON][..] } else { &ALL };
    for server in ends {
        let (_running, behind) = serve(&bed, server)?;
        for (wires, suffix) in ways {
            for proxy in bed.start(wires, behind) {
                let name = proxy.contender.name;
                for client in ends {
                    // The others are there for comparison: one language is enough.
                    if name != "leno" && (*client, *server) != (GO, GO) {
                        continue;
                    }
                    heads.push(format!("{name}{suffix}: {client} to {server}"));
                    columns.push(all(&bed, client, server, proxy.address)?);
                }
            }
        }
    }
    ensure!(!columns.is_empty(), "no proxy could be started");
    println!("| case | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for case in CASES {
        let verdicts = columns.iter().map(|column| match &column[case] {
            Verdict::Passes => "ok",
            Verdict::Fails(_) => "FAILS",
            Verdict::NotAsked => "-",
        });
        println!("| {case} | {} |", verdicts.collect::<Vec<_>>().join(" | "));
    }
    let mut is_whole = true;
    for (head, column) in heads.iter().zip(&columns) {
        for (case, verdict) in column {
            let Verdict::Fails(why) = verdict else { continue };
            println!("- {head}: {case}: {why}");
            is_whole &= !head.starts_with("leno");
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What runs until dropped.
enum Running {
    Go { _process: crate::bench::Process },
    Script { _server: ends::Server },
}

fn serve(bed: &Bed<'_>, server: &str) -> Result<(Running, SocketAddr)> {
    if server == GO {
        let (process, address) = serve_grpc()?;
        return Ok((Running::Go { _process: process }, address));
    }
    let mut command = script(bed, server)?;
    command.arg("server");
    let server = ends::serve(command)?;
    let address = server.addresses[0];
    Ok((Running::Script { _server: server }, address))
}

/// The program that is both ends of a language but Go.
fn script(bed: &Bed<'_>, name: &str) -> Result<Command> {
    if name == NODE {
        ends::node(bed.root(), "grpc_ends.cjs")
    } else {
        ends::python(bed.root(), "grpc_ends.py")
    }
}

fn all(bed: &Bed<'_>, client: &str, server: &str, address: SocketAddr) -> Result<Verdicts> {
    let mut verdicts =
        if client == GO { by_go(address)? } else { by_script(bed, client, address)? };
    if server == GO {
        verdicts.insert(PICK_FIRST.to_owned(), Verdict::NotAsked);
    }
    Ok(verdicts)
}

fn by_go(address: SocketAddr) -> Result<Verdicts> {
    let client = peers::path("grpc-client")?;
    let verdict = |case: &str| -> Result<Verdict> {
        // A case that hangs is a case that fails.
        let mut command = Command::new("timeout");
        command.arg("20").arg(&client).args(["-server_host", "127.0.0.1", "-test_case", case]);
        command.args(["-server_port", &address.port().to_string()]);
        let output = command.stdin(Stdio::null()).output().context("run grpc-go's client")?;
        if output.status.success() {
            return Ok(Verdict::Passes);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().next_back().unwrap_or_default();
        Ok(Verdict::Fails(format!("{}: {last}", output.status)))
    };
    CASES.iter().map(|case| Ok(((*case).to_owned(), verdict(case)?))).collect()
}

/// One process does them all.
fn by_script(bed: &Bed<'_>, client: &str, address: SocketAddr) -> Result<Verdicts> {
    let mut command = script(bed, client)?;
    command.args(["client", &address.to_string()]);
    let said = ends::said(&command, 120)?;
    Ok(read(&said))
}

/// `CASE TAB ok`, or what went wrong. A case without a line did not come to an end.
fn read(said: &str) -> Verdicts {
    let lines: BTreeMap<_, _> = said.lines().filter_map(|line| line.split_once('\t')).collect();
    let verdict = |case: &str| match lines.get(case) {
        Some(&"ok") => Verdict::Passes,
        Some(why) => Verdict::Fails((*why).to_owned()),
        None => Verdict::Fails("no word of it".to_owned()),
    };
    CASES.iter().map(|case| ((*case).to_owned(), verdict(case))).collect()
}

#[cfg(test)]
mod tests {
    use super::{CASES, Verdict, read};

    #[test]
    fn what_a_client_says_is_read_by_case() {
        let verdicts = read("empty_unary\tok\nping_pong\t1 instead of 2\n");
        assert_eq!(verdicts.len(), CASES.len());
        assert_eq!(verdicts["empty_unary"], Verdict::Passes);
        assert_eq!(verdicts["ping_pong"], Verdict::Fails("1 instead of 2".to_owned()));
        assert_eq!(verdicts["large_unary"], Verdict::Fails("no word of it".to_owned()));
    }
}
