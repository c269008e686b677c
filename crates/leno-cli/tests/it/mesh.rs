//! A control plane as a process of its own, on free ports.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program itself.
pub(crate) const LENO: &str = env!("CARGO_BIN_EXE_leno");
/// A test that waits longer than this has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The flags of every port.
pub(crate) const PORTS: [&str; 4] = ["--front-door", "--xds", "--xds-tls", "--metrics"];

/// A control plane of its own for one test.
pub(crate) struct Mesh {
    pub(crate) folder: tempfile::TempDir,
    control: Child,
}

impl Mesh {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(LENO);
        command.arg("up").arg("--data").arg(folder.path());
        for flag in PORTS {
            command.args([flag, "127.0.0.1:0"]);
        }
        let control = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut mesh = Self { folder, control };
        let mut line = String::new();
        BufReader::new(mesh.control.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("export KUBECONFIG="), "{line}");
        mesh
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn leno(&self, words: &[&str]) -> Command {
        let mut command = Command::new(LENO);
        command.args(words).env("KUBECONFIG", self.kubeconfig());
        command.env_remove("HTTP_PROXY").env_remove("http_proxy");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Ends the control plane without a word.
    pub(crate) fn kill_control(&mut self) {
        self.control.kill().unwrap();
        self.control.wait().unwrap();
    }

    /// Asks until it is so: what other processes do is announced by nothing.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.control.kill();
        let _ = self.control.wait();
    }
}
