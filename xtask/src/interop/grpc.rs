//! grpc-go's interoperability client and server with proxies between them.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Result, ensure};

use super::Common;
use super::bed::Bed;
use crate::bench::{Running, Wire, serve_grpc};
use crate::peers;

/// The cases of gRPC's interop test descriptions that need neither credentials nor a resolver of their own.
const CASES: [&str; 14] = [
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
];

const ONE: &[Wire] = &[Wire::Http2, Wire::Http2];
const TWO: &[Wire] = &[Wire::Http2, Wire::MutualHttp2, Wire::Http2];

pub(super) fn run(root: &Path, common: &Common) -> Result<ExitCode> {
    let bed = Bed::make(root, common)?;
    let (_server, behind) = serve_grpc()?;
    let client = peers::path("grpc-client")?;
    let (mut heads, mut columns) = (Vec::new(), Vec::new());
    for (wires, suffix) in [(ONE, ""), (TWO, " pair")] {
        for proxy in bed.start(wires, behind) {
            heads.push(format!("{}{suffix}", proxy.contender.name));
            columns.push(CASES.map(|case| passes(&client, &proxy, case)));
        }
    }
    ensure!(!columns.is_empty(), "no proxy could be started");
    println!("| case | {} |\n|---|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for (row, case) in CASES.iter().enumerate() {
        let verdicts = columns.iter().map(|column| if column[row] { "ok" } else { "FAILS" });
        println!("| {case} | {} |", verdicts.collect::<Vec<_>>().join(" | "));
    }
    let is_ours = |head: &String| head.starts_with("leno");
    let is_whole = heads.iter().zip(&columns).all(|(h, c)| !is_ours(h) || c.iter().all(|ok| *ok));
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn passes(client: &Path, proxy: &Running, case: &str) -> bool {
    // A case that hangs is a case that fails.
    let mut command = Command::new("timeout");
    command.arg("20").arg(client).args(["-server_host", "127.0.0.1", "-test_case", case]);
    command.args(["-server_port", &proxy.address.port().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
