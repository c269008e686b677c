//! `leno proxy` as a child process: its command line, the descriptors it inherits and where its output goes.

use std::fs::File;
use std::io::{PipeReader, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use leno_proxy::Seal;
use leno_sys::capture::SocketSupply;
use leno_sys::process::prepare_child;
use tokio::process::Child;

use super::{ADMIN_PORT, DRAIN, Passed, Settings, meeting};
use crate::run::directory::Directory;

const METRICS_PORT: u16 = 15020;
const PROXY_METRICS_PORT: u16 = 15090;

/// Starts `program` as a sidecar on the sockets that are passed.
pub(super) fn spawn(
    program: &Path,
    directory: &Directory,
    settings: &Settings,
    passed: &Passed,
) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg("proxy").args(["--control", &settings.control]);
    for (flag, name) in [("--token-file", "token"), ("--node", "node.json"), ("--data", "proxy")] {
        command.arg(flag).arg(directory.file(name));
    }
    command.arg("--handover").arg(meeting(directory).unwrap_or_else(|| "none".into()));
    let at = |port: u16| SocketAddr::new(settings.address, port).to_string();
    command.args(["--admin", &at(ADMIN_PORT)]);
    command.args(["--metrics", &at(METRICS_PORT), "--metrics", &at(PROXY_METRICS_PORT)]);
    if let Some(program) = settings.program {
        command.args(["--workload", &program.to_string()]);
    }
    // The program is gone when the sidecar is told to end: nobody is to look elsewhere first.
    command.args(["--lame-duck-seconds", "0", "--drain-seconds", &DRAIN.as_secs().to_string()]);

    let mut descriptors: Vec<BorrowedFd<'_>> = Vec::new();
    let mut pass = |flag: &str, name: &str, descriptor: BorrowedFd<'_>| {
        command.arg(flag).arg(format!("{name}{}", descriptor.as_raw_fd()));
    };
    for listener in &passed.captured.outbound {
        pass("--listen-fd", "virtualOutbound=", listener.as_fd());
    }
    for listener in &passed.inbound {
        pass("--listen-fd", "virtualInbound=", listener.as_fd());
    }
    if let Some(listener) = &passed.http_proxy {
        pass("--listen-fd", "http_proxy=", listener.as_fd());
    }
    for socket in &passed.captured.dns_udp {
        pass("--dns-udp-fd", "", socket.as_fd());
    }
    for listener in &passed.captured.dns_tcp {
        pass("--dns-tcp-fd", "", listener.as_fd());
    }
    // A line of its own for each sidecar: a predecessor may have died in the middle of an exchange.
    let supply = passed.supply.as_ref().map(SocketSupply::open_another).transpose();
    let supply = supply.context("reaching into the program's namespace")?;
    if let Some(supply) = &supply {
        pass("--supply-fd", "", supply.as_fd());
    }
    let key = key_line(&settings.seal_key).context("handing over the key")?;
    pass("--seal-fd", "", key.as_fd());
    descriptors.push(key.as_fd());
    descriptors.extend(passed.captured.outbound.iter().map(AsFd::as_fd));
    descriptors.extend(passed.inbound.iter().map(AsFd::as_fd));
    descriptors.extend(passed.http_proxy.iter().map(AsFd::as_fd));
    descriptors.extend(passed.captured.dns_udp.iter().map(AsFd::as_fd));
    descriptors.extend(passed.captured.dns_tcp.iter().map(AsFd::as_fd));
    descriptors.extend(supply.iter().map(AsFd::as_fd));

    // Access records go to standard output, everything else to standard error.
    let records = appended(&access_log(directory.path(), settings))?;
    let log = appended(&directory.file("proxy.log"))?;
    command.stdin(Stdio::null()).stdout(records).stderr(log);
    // Out of the terminal's foreground group: an interrupt is for the program.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    prepare_child(&mut command, &descriptors);
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {}", program.display()))
}

/// A pipe that holds the key and nothing after it: it is read once, by the child.
fn key_line(key: &[u8; Seal::KEY_BYTES]) -> std::io::Result<PipeReader> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(key)?;
    Ok(reader)
}

fn appended(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("opening {}", path.display()))
}

fn access_log(directory: &Path, settings: &Settings) -> PathBuf {
    settings.access_log.clone().unwrap_or_else(|| directory.join("access.log"))
}
