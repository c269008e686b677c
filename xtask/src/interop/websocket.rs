//! WebSocket between ends of two languages, over HTTP/1 and over HTTP/2 (RFC 8441), through one proxy and through two: what
//! a client gets back must be what it gets without a proxy.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use super::bed::{Bed, wires};
use super::ends;
use crate::bench::Wire;

const SECONDS: u32 = 20;

/// A name, what is spoken, and how the program is told.
type End = (&'static str, Wire, &'static [&'static str]);

/// `websockets` speaks HTTP/1 alone.
const ENDS: [End; 3] = [
    ("ws", Wire::Http1, &["http1"]),
    ("ws over HTTP/2", Wire::Http2, &["http2"]),
    ("websockets", Wire::Http1, &[]),
];

pub(super) fn run(root: &Path, common: &super::Common) -> Result<ExitCode> {
    let bed = Bed::make(root, common)?;
    let mut failures = Vec::new();
    let heads: Vec<_> = ENDS
        .iter()
        .flat_map(|(name, ..)| [format!("{name}, one"), format!("{name}, pair")])
        .collect();
    println!("| client | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    let mut servers = Vec::new();
    for (name, wire, arguments) in &ENDS {
        let mut command = program(root, name)?;
        command.arg("server").args(*arguments);
        servers.push((*name, *wire, ends::serve(command)?));
    }
    for client in &ENDS {
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

fn program(root: &Path, name: &str) -> Result<Command> {
    if name == "websockets" {
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
