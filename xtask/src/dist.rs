//! `cargo xtask dist`: `bin/dist/leno`, what packages ship and benches measure: optimised across crates, and laid out by
//! a profile of its own.
//!
//! The profile is that of the short soak (every protocol, mutual TLS, drains, pushes), not of a bench: what it makes
//! faster is faster for traffic that nobody measured. It wants `llvm-profdata`, which rustup adds (component `llvm-tools`).

use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

/// `cargo xtask dist`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Without a profile: built in half the time, and 5 to 10 % dearer per request.
    #[arg(long)]
    no_profile: bool,
}

pub(crate) fn run(root: &Path, args: &Args) -> Result<ExitCode> {
    let host = said("rustc", &["--print", "host-tuple"])?;
    let built = if args.no_profile {
        build(root, &host, &target_dir(root), "")?
    } else {
        let profile = train(root, &host)?;
        let flags = format!("-Cprofile-use={}", profile.display());
        build(root, &host, &target_dir(root), &flags)?
    };
    let folder = root.join("bin/dist");
    std::fs::create_dir_all(&folder)?;
    // Not over a file that may be running.
    let fresh = folder.join(".leno");
    std::fs::copy(&built, &fresh).with_context(|| format!("copy {}", built.display()))?;
    std::fs::rename(&fresh, folder.join("leno"))?;
    println!("bin/dist/leno");
    Ok(ExitCode::SUCCESS)
}

/// Builds a leno that counts, soaks it, and merges what its processes counted; kept until a source changes.
fn train(root: &Path, host: &str) -> Result<PathBuf> {
    let merge = profdata(host)?;
    let folder = target_dir(root).join("profile");
    let counting = build(root, host, &folder, "-Cprofile-generate")?;
    // Named by what counted, as cargo builds again only when a flag changes.
    let profile = folder.join(format!("{:016x}.profdata", fingerprint(&counting)?));
    if profile.is_file() {
        return Ok(profile);
    }
    let counts = folder.join("counts");
    if counts.exists() {
        std::fs::remove_dir_all(&counts)?;
    }
    let status = Command::new(std::env::current_exe()?)
        .args(["soak", "lifecycle", "--short", "--leno"])
        .arg(&counting)
        .env("LLVM_PROFILE_FILE", counts.join("%m-%p.profraw"))
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "the soak that is counted failed: {status}");
    let mut command = Command::new(&merge);
    command.args(["merge", "--sparse", "--output"]).arg(&profile).arg(&counts);
    let status = command.status().with_context(|| format!("run {}", merge.display()))?;
    ensure!(status.success(), "{} failed: {status}", merge.display());
    Ok(profile)
}

/// Builds leno for `host`; with a target named, flags are not those of build scripts and procedural macros.
fn build(root: &Path, host: &str, folder: &Path, flags: &str) -> Result<PathBuf> {
    let before = std::env::var("RUSTFLAGS").unwrap_or_default();
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--profile", "dist", "-p", "leno-cli", "--target", host])
        .env("CARGO_TARGET_DIR", folder)
        .env("RUSTFLAGS", format!("{before} {flags}").trim())
        .current_dir(root)
        .status()?;
    ensure!(status.success(), "cargo build failed: {status}");
    Ok(folder.join(host).join("dist/leno"))
}

/// The compiler's own `llvm-profdata`: another version's may not read what it wrote.
fn profdata(host: &str) -> Result<PathBuf> {
    let sysroot = PathBuf::from(said("rustc", &["--print", "sysroot"])?);
    let program = sysroot.join("lib/rustlib").join(host).join("bin/llvm-profdata");
    ensure!(
        program.is_file(),
        "llvm-profdata is missing: `rustup component add llvm-tools` adds it, `cargo xtask dist --no-profile` does without"
    );
    Ok(program)
}

fn fingerprint(file: &Path) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&std::fs::read(file)?);
    Ok(hasher.finish())
}

fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    ensure!(output.status.success(), "{program} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
