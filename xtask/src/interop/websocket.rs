//! WebSocket between ends of three languages, over HTTP/1 and over HTTP/2 (RFC 8441), through one proxy and through two: what
//! a client gets back must be what it gets without a proxy.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use super::bed::{Bed, wires};
use super::ends;
use crate::bench::Wire;
use crate::peers;

const SECONDS: u32 = 20;

/// A name, what is spoken, and how the program is told.
type End = (&'static str, Wire, &'static [&'static str]);

/// `websockets` speaks HTTP/1 alone.
const ENDS: [End; 5] = [
    ("ws", Wire::Http1, &["http1"]),
    ("ws over HTTP/2", Wire::Http2, &["http2"]),
    ("websockets", Wire::Http1, &[]),
    (TUNGSTENITE, Wire::Http1, &["http1"]),
    ("tungstenite over HTTP/2", Wire::Http2, &["http2"]),
];
const TUNGSTENITE: &str = "tungstenite";
/// The peer that speaks for it.
const TUNGSTENITE_ENDS: &str = "tungstenite-ends";

/// What can be had.
pub(super) fn run(root: &Path, common: &super::Common) -> Result<ExitCode> {
    all(root, common, |program| peers::path(program).map(drop))
}

/// The same without what would have to be built first, which takes minutes.
pub(super) fn short(root: &Path, common: &super::Common) -> Result<ExitCode> {
    all(root, common, |program| {
        peers::present(program)?.map(drop).with_context(|| format!("cargo xtask peers {program}"))
    })
}

fn all(
    root: &Path,
    common: &super::Common,
    ensure: impl Fn(&str) -> Result<()>,
) -> Result<ExitCode> {
    let bed = Bed::make(root, common)?;
    let mut failures = Vec::new();
    let ends: Vec<_> = ENDS.iter().filter(|(name, ..)| is_there(name, &ensure)).collect();
    let heads: Vec<_> = ends
        .iter()
        .flat_map(|(name, ..)| [format!("{name}, one"), format!("{name}, pair")])
        .collect();
    println!("| client | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    let mut servers = Vec::new();
    for (name, wire, arguments) in &ends {
        let mut command = program(root, name)?;
        command.arg("server").args(*arguments);
        servers.push((*name, *wire, ends::serve(command)?));
    }
    for client in ends {
        let mut row = Vec::new();
        // What the messages are does not depend on who echoes them.
        let same = servers.iter().find(|(_, wire, _)| *wire == client.1);
        let expected = match same {
            Some((.., server)) => echo(root, client, server.addresses[0])?,
            None => String::new(),
        };
        for (name, wire, server) in &servers {
            for is_pair in [false, true] {
                let proxy = bed.leno(wires(client.1, *wire, is_pair)?, server.addresses[0])?;
                let verdict = match echo(root, client, proxy.address) {
                    Ok(found) if found == expected => "ok".to_owned(),
                    Ok(found) => format!("OTHER: {found:?}"),
                    Err(error) => format!("FAILS: {error:#}"),
                };
                if verdict != "ok" {
                    failures.push(format!("{} to {name}: {verdict}", client.0));
                }
                row.push(if verdict == "ok" { "ok" } else { "FAILS" });
            }
        }
        println!("| {} | {} |", client.0, row.join(" | "));
    }
    for failure in &failures {
        println!("- {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the end can be had; one that cannot is said and left out.
fn is_there(name: &str, ensure: impl Fn(&str) -> Result<()>) -> bool {
    let found = if name.starts_with(TUNGSTENITE) { ensure(TUNGSTENITE_ENDS) } else { Ok(()) };
    if let Err(error) = &found {
        println!("no {name}: {error:#}");
    }
    found.is_ok()
}

fn program(root: &Path, name: &str) -> Result<Command> {
    if name.starts_with(TUNGSTENITE) {
        Ok(Command::new(peers::path(TUNGSTENITE_ENDS)?))
    } else if name == "websockets" {
        ends::python(root, "websocket.py")
    } else {
        ends::node(root, "websocket.cjs")
    }
}

fn echo(root: &Path, client: &End, address: std::net::SocketAddr) -> Result<String> {
    let mut command = program(root, client.0)?;
    command.arg("echo").args(client.2).arg(format!("ws://{address}/chat"));
    ends::said(&command, SECONDS)
}
