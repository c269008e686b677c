//! A disk without room: a small file system of its own, in a mount namespace of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::mesh::{LENO, PORTS};

/// Mounts `$1` bytes at `$2`, then runs control planes there, each after the end of the one before.
const SCRIPT: &str = r#"
mount -t tmpfs -o "size=$1" none "$2" || exit 99
data=$2; shift 2
while :; do "$@" --data "$data/data"; code=$?; [ $code -ge 128 ] || exit $code; done
"#;

fn on_a_disk_of(size: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh", size]);
    command.arg(folder).args([LENO, "up"]);
    for flag in PORTS {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn can_mount() -> bool {
    let mounted = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    mounted.is_ok_and(|output| output.status.success())
}

/// A control plane on a small disk, seen from outside.
struct Small {
    shell: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    disk: PathBuf,
}

impl Small {
    fn start(size: &str, folder: &Path) -> Self {
        let mut shell = on_a_disk_of(size, folder).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        // A link, since what is the root there is another directory here.
        let disk = format!("/proc/{}/root{}", shell.id(), folder.display());
        let mut small = Self { shell, lines, disk: disk.into() };
        small.until_ready();
        small
    }

    fn until_ready(&mut self) {
        let line = self.lines.next().expect("it starts").unwrap();
        assert!(line.starts_with("export KUBECONFIG="), "{line}");
    }

    fn control(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.disk.join("data/lock")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    fn kubectl(&self, words: &[&str]) -> Output {
        let mut command = Command::new("kubectl");
        command.args(words).env("KUBECONFIG", self.disk.join("data/kubeconfig"));
        command.output().expect("kubectl is installed by scripts/setup")
    }

    fn names(&self) -> Vec<String> {
        let output = self.kubectl(&["get", "configmaps", "-o", "name"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let control = self.control();
        // First the loop, so that it starts no other one.
        let _ = self.shell.kill();
        if let Some(pid) = control {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.shell.wait();
    }
}

#[test]
fn a_full_disk_costs_what_is_refused_and_nothing_else() {
    if !can_mount() {
        return println!("no mount namespace to be had here");
    }
    let folder = tempfile::tempdir().unwrap();
    let mut small = Small::start("6m", folder.path());
    let ballast = small.disk.join("ballast");
    fs::write(&ballast, vec![7; 1 << 20]).unwrap();
    let blob = folder.path().with_extension("blob");
    fs::write(&blob, "x".repeat(200_000)).unwrap();
    let content = format!("--from-file=blob={}", blob.display());
    let mut taken = Vec::new();
    let refused = loop {
        let name = format!("c{:03}", taken.len());
        let output = small.kubectl(&["create", "configmap", &name, &content]);
        if !output.status.success() {
            break String::from_utf8(output.stderr).unwrap();
        }
        taken.push(format!("configmap/{name}"));
        assert!(taken.len() < 100, "the disk never fills up");
    };
    assert!(refused.contains("no space is left for the store at "), "{refused}");
    assert!(refused.contains("(LN0005)"), "{refused}");
    assert!(!taken.is_empty());
    assert_eq!(small.names(), taken);

    fs::remove_file(&ballast).unwrap();
    let output = small.kubectl(&["create", "configmap", "z", "--from-literal=a=b"]);
    assert!(output.status.success(), "{output:?}");
    taken.push("configmap/z".to_owned());
    kill_process(small.control().unwrap(), Signal::KILL).unwrap();
    small.until_ready();
    assert_eq!(small.names(), taken);
    fs::remove_file(blob).unwrap();
}

#[test]
fn a_start_on_a_full_disk_says_so_and_leaves_no_half_made_secret() {
    if !can_mount() {
        return println!("no mount namespace to be had here");
    }
    // From nothing at all to all but the last file.
    for size in ["4k", "8k", "12k", "16k", "24k", "128k"] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let output = on_a_disk_of(size, folder.path()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{size}: {said}");
        let named = format!("no space is left in {}/data; ", folder.path().display());
        assert!(said.contains(&named) && said.contains("(LN0005)"), "{size}: {said}");
        assert_eq!(said.lines().count(), 1, "{size}: {said}");
    }
}
