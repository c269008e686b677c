//! A control plane on free ports in a directory of its own, and kubectl beside it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use leno_api::client::Client;
use leno_control::{Options, Running};
use leno_testkit::peers::Peer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Mesh {
    pub(crate) running: Running,
    directory: TempDir,
    kubectl: PathBuf,
}

/// Every kubectl there is: `$KUBECTL` alone where it is set, else the one on the path and the pinned later one that
/// `cargo xtask peers kubectl-1.37` leaves in the cache.
pub(crate) fn kubectls() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("KUBECTL") {
        return vec![named.into()];
    }
    std::iter::once(PathBuf::from("kubectl")).chain(Peer::Kubectl.program()).collect()
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A kubectl that goes on.
pub(crate) struct Followed {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Followed {
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line());
        line.await.expect("a line comes").unwrap().expect("it goes on")
    }
}

impl Mesh {
    /// With the kubectl that is first.
    pub(crate) async fn start() -> Self {
        Self::start_with(kubectls().swap_remove(0)).await
    }

    /// With that kubectl.
    pub(crate) async fn start_with(kubectl: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = Options::on_free_ports(directory.path().join("data"));
        let running = Running::start(&options).await.unwrap();
        Self { running, directory, kubectl }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.running.kubeconfig().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", self.kubeconfig());
        command.env("HOME", self.directory.path()).env("KUBE_EDITOR", "sed -i s/before/after/");
        command
    }

    /// Starts a kubectl that goes on; it ends with what is returned. Its lines, each within a test's patience.
    pub(crate) fn follow(&self, line: &str) -> Followed {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("kubectl is installed");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Followed { _child: child, lines }
    }

    /// Runs kubectl with `stdin`.
    pub(crate) async fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("kubectl is installed");
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
        let output = output.await.expect("kubectl ends").unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs kubectl.
    pub(crate) async fn kubectl(&self, line: &str) -> Said {
        let arguments: Vec<&str> = line.split(' ').collect();
        self.kubectl_with(&arguments, "").await
    }

    /// Runs kubectl, which must succeed; its output.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let said = self.kubectl(line).await;
        assert_eq!(said.code, 0, "kubectl {line}: {}{}", said.out, said.err);
        said.out
    }

    /// Applies a document, which must succeed; what kubectl printed.
    pub(crate) async fn apply(&self, options: &str, document: &str) -> String {
        let mut arguments = vec!["apply", "-f", "-"];
        arguments.extend(options.split(' ').filter(|option| !option.is_empty()));
        let said = self.kubectl_with(&arguments, document).await;
        assert_eq!(said.code, 0, "apply {options}: {}{}", said.out, said.err);
        said.out + &said.err
    }

    /// A document as stored; `what` is a path of the API.
    pub(crate) async fn get(&self, what: &str) -> Value {
        let text = self.ok(&format!("get --raw {what}")).await;
        serde_json::from_str(&text).unwrap()
    }

    /// The typed client.
    pub(crate) fn client(&self) -> Client {
        Client::from_kubeconfig(&self.kubeconfig()).unwrap()
    }

    /// Asks until the field has something in it, and for no longer than a test may take.
    pub(crate) async fn until(&self, what: &str, path: &str) {
        let asking = async { while self.field(what, path).await.is_empty() {} };
        tokio::time::timeout(PATIENCE, asking).await.expect("it comes");
    }

    /// One field by its path.
    pub(crate) async fn field(&self, what: &str, path: &str) -> String {
        self.ok(&format!("get {what} -o jsonpath={{{path}}}")).await
    }

    /// Asks until it is not there any more, and for no longer than a test may take.
    pub(crate) async fn until_gone(&self, what: &str) {
        let line = format!("get {what} --ignore-not-found -o name");
        let asking = async { while !self.ok(&line).await.is_empty() {} };
        tokio::time::timeout(PATIENCE, asking).await.expect("it goes");
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }
}
