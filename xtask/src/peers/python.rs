//! Peers written in Python: one package alone, a virtual environment of many, and what only Python 2.7 runs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{folder, make, pinned_by, succeed, system};

const QUIET: [&str; 5] = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];

/// One package without what it depends on.
pub(super) fn install_alone(package: &str, version: &str) -> Result<()> {
    make(&folder(package, version), |partial| {
        let mut pip = Command::new("python3");
        pip.args(QUIET).args(["--no-deps", "--target"]).arg(partial);
        succeed(pip.arg(format!("{package}=={version}")))
    })
}

/// Where the virtual environment is kept.
pub(super) fn environment() -> Result<PathBuf> {
    Ok(folder("python", &pinned_by("python/requirements.txt")?.1))
}

/// The virtual environment. It knows its own path, so it is made in place and marked by what is installed last.
pub(super) fn install_environment() -> Result<()> {
    let (requirements, _) = pinned_by("python/requirements.txt")?;
    let folder = environment()?;
    super::remove(&folder)?;
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let python = folder.join("bin/python3");
    let outcome = succeed(Command::new(&python).args(QUIET).arg("-r").arg(requirements));
    if outcome.is_err() {
        super::remove(&folder)?;
    }
    outcome
}

/// A package that runs under Python 2.7 only; its programs want `PYTHONUSERBASE` to be this folder.
pub(super) fn install_old(package: &str, version: &str) -> Result<()> {
    let python = python2().context("needs Python 2.7, which is not on this machine")?;
    let folder = folder(package, version);
    super::remove(&folder)?;
    let mut pip = Command::new(python);
    pip.args(QUIET).arg("--user").env("PYTHONUSERBASE", &folder);
    let outcome =
        succeed(pip.arg("--no-warn-script-location").arg(format!("{package}=={version}")));
    if outcome.is_err() {
        super::remove(&folder)?;
    }
    outcome
}

/// Python 2.7: on the path, or among pyenv's versions, whose shims answer for versions that are not chosen.
fn python2() -> Option<PathBuf> {
    let home = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = home.and_then(|home| std::fs::read_dir(home.join("versions")).ok());
    let found = versions.into_iter().flatten().flatten().map(|entry| entry.path());
    let mut candidates = found.map(|version| version.join("bin/python2.7"));
    candidates.find(|python| python.is_file()).or_else(|| system::on_path("python2.7"))
}
