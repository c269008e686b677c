//! The program itself: its environment, its start, its end.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, anyhow};
use leno_sys::capture::{StartError, Waiting};
use rustix::process::{Pid, Signal, kill_process};

/// What a shell answers for a program that is not there, and for one that cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The command as it was written after `--`.
pub(super) fn command(words: &[OsString]) -> Command {
    // clap requires at least one word.
    let (program, arguments) = words.split_first().expect("clap: required = true");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// What the program finds in its environment, as in a Kubernetes pod with the downward API; for one that is not
/// captured also the way into the mesh.
pub(super) fn environment(
    (pod, namespace): (&str, &str),
    address: IpAddr,
    uncaptured: Option<&Uncaptured>,
) -> Vec<(OsString, OsString)> {
    let mut pairs = vec![
        ("POD_NAME", pod.to_owned()),
        ("POD_NAMESPACE", namespace.to_owned()),
        ("POD_IP", address.to_string()),
    ];
    if let Some(Uncaptured { proxy, program, port }) = uncaptured {
        let proxy = format!("http://{proxy}");
        // Lower case is what curl reads, upper case what most others do.
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            pairs.push((name, proxy.clone()));
        }
        pairs.push(("HOST", program.to_string()));
        pairs.extend(port.map(|port| ("PORT", port.to_string())));
    }
    pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// What a program needs to know that shares the host's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uncaptured {
    /// Where its sidecar takes absolute-form requests.
    pub(super) proxy: SocketAddr,
    /// Where it should listen.
    pub(super) program: IpAddr,
    /// The port it should listen on.
    pub(super) port: Option<u16>,
}

/// How starting it went.
pub(super) enum Started {
    Runs(Running),
    /// It could not be executed; the code a shell would end with.
    Refused(anyhow::Error, ExitCode),
}

/// Lets the waiting process become the program.
pub(super) fn start(
    waiting: Waiting,
    environment: &[(OsString, OsString)],
    program: &OsString,
) -> Result<Started> {
    match waiting.start(environment) {
        Ok(pid) => Ok(Started::Runs(Running { pid })),
        Err(StartError::Exec { source }) => {
            let is_missing = source.kind() == std::io::ErrorKind::NotFound;
            let code = if is_missing { NOT_FOUND } else { NOT_EXECUTABLE };
            let error = anyhow!(source).context(program.display().to_string());
            Ok(Started::Refused(error, ExitCode::from(code)))
        }
        Err(StartError::Lost(source)) => Err(source).context("the waiting process"),
    }
}

/// The running program.
#[derive(Clone, Copy)]
pub(super) struct Running {
    pid: Pid,
}

impl Running {
    pub(super) fn pid(self) -> Pid {
        self.pid
    }

    /// Sends it a signal; not after its end was told.
    pub(super) fn signal(self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = kill_process(self.pid, signal);
        }
    }
}
