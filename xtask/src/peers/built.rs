//! Peers from Go modules and npm packages, each at the version that a lock file in `xtask/peers/` says, and from crates.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{folder, make, pinned_by, succeed};

/// Builds one program of the Go module that pins them all.
pub(super) fn install_go(name: &str, package: &str, version: &str) -> Result<()> {
    make(&folder(name, version), |partial| {
        let mut go = Command::new("go");
        go.current_dir(crate::root().join("xtask/peers/go"));
        go.args(["build", "-trimpath", "-o"]).arg(partial.join(name));
        succeed(go.arg(package))
    })
}

/// Builds the program that a Go module of its own is, and has it say its version.
pub(super) fn install_go_program(name: &str, version: &str) -> Result<()> {
    let mut parts = version.split('.');
    let mut part = || parts.next().unwrap_or_default();
    let (major, minor) = (part(), part());
    let stamp = "-X k8s.io/component-base/version.git";
    let flags = format!(
        "-s -w {stamp}Version=v{version} {stamp}Major={major} {stamp}Minor={minor} {stamp}TreeState=clean"
    );
    make(&folder(name, version), |partial| {
        let mut go = Command::new("go");
        go.current_dir(crate::root().join("xtask/peers").join(name)).env("CGO_ENABLED", "0");
        go.args(["build", "-trimpath", "-ldflags", &flags, "-o"]).arg(partial.join(name));
        succeed(go.arg("."))
    })
}

/// Builds one crate's program. What it is built of stays out of this workspace's target folder.
pub(super) fn install_crate(name: &str, version: &str) -> Result<()> {
    make(&folder(name, version), |partial| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["install", "--quiet", "--locked", "--version", version, "--root"]);
        cargo.arg(partial).arg(name).env("CARGO_TARGET_DIR", partial.join("build"));
        succeed(&mut cargo)?;
        Ok(std::fs::remove_dir_all(partial.join("build"))?)
    })
}

/// Where the program of a Cargo package of ours is kept.
pub(super) fn package_folder(name: &str, package: &str) -> Result<PathBuf> {
    // What it does is in its source, what it does it with in its lock file.
    let (_, source) = pinned_by(&format!("{package}/src/main.rs"))?;
    let (_, lock) = pinned_by(&format!("{package}/Cargo.lock"))?;
    Ok(folder(name, &format!("{source}-{lock}")))
}

/// Builds it, out of this workspace's target folder.
pub(super) fn install_package(name: &str, package: &str) -> Result<()> {
    let manifest = crate::root().join("xtask/peers").join(package).join("Cargo.toml");
    make(&package_folder(name, package)?, |partial| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--release", "--manifest-path"]);
        cargo.arg(&manifest).env("CARGO_TARGET_DIR", partial.join("build"));
        succeed(&mut cargo)?;
        std::fs::copy(partial.join("build/release").join(name), partial.join(name))?;
        Ok(std::fs::remove_dir_all(partial.join("build"))?)
    })
}

/// Where the npm packages are kept: the folder that `require` starts from.
pub(super) fn npm_folder() -> Result<PathBuf> {
    Ok(folder("node", &pinned_by("node/package-lock.json")?.1))
}

/// Installs exactly what the lock file says, running no package's scripts.
pub(super) fn install_npm() -> Result<()> {
    let (lock, _) = pinned_by("node/package-lock.json")?;
    make(&npm_folder()?, |partial| {
        std::fs::copy(&lock, partial.join("package-lock.json"))?;
        std::fs::copy(lock.with_file_name("package.json"), partial.join("package.json"))?;
        let mut npm = Command::new("npm");
        npm.current_dir(partial).args(["ci", "--silent", "--ignore-scripts", "--no-audit"]);
        succeed(npm.arg("--no-fund"))
    })
}
