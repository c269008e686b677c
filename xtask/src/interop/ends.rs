//! Programs of other people's languages and libraries at either end of the proxies: how each is found, built, started and
//! heard. Their sources are in `xtask/interop/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::bed::Bed;
use crate::bench::Process;
use crate::peers;

/// Where the sources are.
const SOURCES: &str = "xtask/interop";

/// A server that runs until dropped.
pub(super) struct Server {
    _process: Process,
    /// In the order it printed them.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Starts a server that prints its ports in one line.
pub(super) fn serve(mut command: Command) -> Result<Server> {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let what = format!("{command:?}");
    let (process, line) = Process::start_and_read(command)?;
    let ports: Result<Vec<u16>, _> = line.split_whitespace().map(str::parse).collect();
    let ports = ports.ok().filter(|ports| !ports.is_empty());
    let ports = ports.with_context(|| format!("{what} printed no port, but {line:?}"))?;
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Ok(Server { _process: process, addresses: ports.into_iter().map(address).collect() })
}

/// What a client printed, within its time; its words if it failed.
pub(super) fn said(command: &Command, seconds: u32) -> Result<String> {
    let mut bounded = Command::new("timeout");
    bounded.arg(seconds.to_string()).arg(command.get_program()).args(command.get_args());
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    bounded.envs(set).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    let output = bounded.output().with_context(|| format!("run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().next_back().unwrap_or_default();
    ensure!(output.status.success(), "{}: {last}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A script for Node, which finds the pinned packages.
pub(super) fn node(root: &Path, script: &str) -> Result<Command> {
    let mut command = Command::new(peers::path("node")?);
    command.env("NODE_PATH", peers::path("node-packages")?);
    command.arg(root.join(SOURCES).join(script));
    Ok(command)
}

/// A script for the Python of the pinned packages.
pub(super) fn python(root: &Path, script: &str) -> Result<Command> {
    let mut command = Command::new(peers::path("python")?);
    // Nothing is left beside the sources.
    command.arg("-B").arg(root.join(SOURCES).join(script));
    Ok(command)
}

/// The program that a folder of Go files is, built for this run.
pub(super) fn go(bed: &Bed<'_>, folder: &str) -> Result<PathBuf> {
    let program = bed.folder().join(folder);
    if !program.exists() {
        let mut build = Command::new(peers::path("go")?);
        build
            .current_dir(bed.root().join(SOURCES).join(folder))
            .args(["build", "-o"])
            .arg(&program);
        let output = build.stdin(Stdio::null()).output().context("run go")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(program)
}

/// A Java program of one file, compiled for this run.
pub(super) fn java(bed: &Bed<'_>, class: &str) -> Result<Command> {
    let java = peers::path("java")?;
    if !bed.folder().join(format!("{class}.class")).exists() {
        let mut build = Command::new(peers::path("javac")?);
        build.arg("-d").arg(bed.folder());
        build.arg(bed.root().join(SOURCES).join(format!("{class}.java")));
        let output = build.stdin(Stdio::null()).output().context("run javac")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut command = Command::new(java);
    // Starting quickly matters more here than running fast.
    command.args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp"]).arg(bed.folder()).arg(class);
    Ok(command)
}
