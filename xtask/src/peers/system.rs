//! Peers that the system's package manager installs, or that are there already.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An ordinary user's PATH leaves out where Debian puts daemons.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

pub(super) fn install(package: &str) -> Result<()> {
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
