//! Real namespaces, as this user and, when that is root, as an ordinary one.
//!
//! Not libtest: a capture begins in a process with one thread, so each case
//! runs in a process of its own, and the binary is also the captured app.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs, io};

mod apps;
mod cases;

/// `nobody`, on every Linux.
const ORDINARY: &str = "65534";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["case", name] => run_case(name),
        ["app", rest @ ..] => apps::run(rest),
        ["--list", ..] => list(),
        words => run_all(&filters(words)),
    }
}

fn list() -> ExitCode {
    for (name, _) in cases::ALL {
        println!("{name}: test");
    }
    ExitCode::SUCCESS
}

fn run_case(name: &str) -> ExitCode {
    let (_, case) = cases::ALL.iter().find(|(known, _)| *known == name).expect("a known case");
    case();
    ExitCode::SUCCESS
}

/// Names among what libtest takes. The value of one of its options is no name, or nothing would be run.
fn filters<'a>(words: &[&'a str]) -> Vec<&'a str> {
    const WITH_VALUE: [&str; 5] = ["--test-threads", "--format", "--color", "--skip", "--logfile"];
    let mut filters = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(word) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(*word);
        }
    }
    filters
}

fn run_all(filters: &[&str]) -> ExitCode {
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f));
    let program = env::current_exe().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let mut failed = 0;
    for user in users() {
        let program = match user {
            User::Caller => program.clone(),
            User::Ordinary => readable_copy(&program, copies.path()).unwrap(),
        };
        if let Some(why) = forbidden(user, &program) {
            println!("SKIPPED as {user:?}: {why}");
            continue;
        }
        for (name, _) in cases::ALL.iter().filter(|(name, _)| chosen(name)) {
            let output = user.command(&program).args(["case", name]).output().unwrap();
            println!(
                "{name} as {user:?} ... {}",
                if output.status.success() { "ok" } else { "FAILED" }
            );
            if !output.status.success() {
                failed += 1;
                println!("{}", String::from_utf8_lossy(&output.stdout));
                println!("{}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Clone, Copy, Debug)]
enum User {
    Caller,
    Ordinary,
}

impl User {
    fn command(self, program: &Path) -> Command {
        match self {
            Self::Caller => Command::new(program),
            Self::Ordinary => {
                let mut command = Command::new("setpriv");
                let ids = [format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")];
                command.args(ids).args(["--clear-groups", "--inh-caps=-all", "--"]).arg(program);
                command
            }
        }
    }
}

fn users() -> Vec<User> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|me| {
        use std::os::unix::fs::MetadataExt;
        me.uid() == 0
    });
    if is_root { vec![User::Caller, User::Ordinary] } else { vec![User::Caller] }
}

/// Why this machine has no namespaces for `user`, if it has none.
fn forbidden(user: User, program: &Path) -> Option<String> {
    let probe = user.command(program).args(["app", "probe"]).output().ok()?;
    (!probe.status.success()).then(|| String::from_utf8_lossy(&probe.stderr).trim().to_owned())
}

/// The build directory may be closed to others.
fn readable_copy(program: &Path, into: &Path) -> io::Result<std::path::PathBuf> {
    fs::set_permissions(into, fs::Permissions::from_mode(0o755))?;
    let copy = into.join("it");
    if !copy.exists() {
        fs::copy(program, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    }
    Ok(copy)
}
