//! Who may use whom: the table of `ARCHITECTURE.md`, compared with what the manifests say; and the crates that
//! must never come in.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Finding;

/// Our crates and what of ours each may use outside tests.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("leno-core", &[]),
    ("leno-http", &[]),
    ("leno-sys", &[]),
    ("leno-xds", &["leno-core"]),
    ("leno-identity", &["leno-core"]),
    ("leno-telemetry", &["leno-core"]),
    ("leno-api", &["leno-core"]),
    (
        "leno-proxy",
        &["leno-xds", "leno-http", "leno-identity", "leno-telemetry", "leno-core", "leno-sys"],
    ),
    (
        "leno-control",
        &["leno-api", "leno-xds", "leno-http", "leno-identity", "leno-telemetry", "leno-core"],
    ),
    ("leno-cli", &["leno-control", "leno-proxy", "leno-api", "leno-sys"]),
    ("leno-testkit", &["leno-core", "leno-http", "leno-telemetry", "leno-xds"]),
    ("xtask", &[]),
];

/// Third-party crates that a crate of ours may not use directly: its ban, as architecture.md section 3 words it.
const MAY_NOT_USE: [(&str, &[&str]); 2] = [
    ("leno-http", &["tokio", "rustls", "socket2", "rand", "tokio-rustls"]),
    ("leno-core", &["tokio", "prost", "tonic", "rustls", "socket2", "hyper"]),
];

/// Crates that may use `anyhow`: programs, never libraries.
const PROGRAMS: [&str; 3] = ["leno-cli", "leno-testkit", "xtask"];

/// Never in the build, whoever pulls them.
const BANNED: [&str; 3] = ["ring", "openssl-sys", "native-tls"];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = metadata(root)?;
    let mut findings = Vec::new();
    for (name, dependencies) in normal_dependencies(&metadata) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(ours, _)| *ours == name) else {
            findings
                .push(Finding::new(&name, "not in the import table of xtask/src/tidy/imports.rs"));
            continue;
        };
        for dependency in dependencies {
            if let Some(what) = refusal(&name, &dependency, allowed) {
                findings.push(Finding::new(format!("{name} -> {dependency}"), what));
            }
        }
    }
    findings.extend(banned(root)?);
    Ok(findings)
}

fn refusal(name: &str, dependency: &str, allowed: &[&str]) -> Option<&'static str> {
    let ours = dependency.starts_with("leno-");
    let banned = MAY_NOT_USE.iter().any(|(user, ban)| *user == name && ban.contains(&dependency));
    if ours && !allowed.contains(&dependency) {
        Some("not allowed by the import table (ARCHITECTURE.md)")
    } else if banned {
        Some("banned from this crate (ARCHITECTURE.md)")
    } else if dependency == "anyhow" && !PROGRAMS.contains(&name) {
        Some("anyhow is for programs; a library has an error enum")
    } else {
        None
    }
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("read cargo metadata")
}

fn normal_dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.map(|package| (text(&package["name"]), normal_of(package))).collect()
}

fn normal_of(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().into_iter().flatten();
    // `kind` is null for normal dependencies, "dev" and "build" for the others.
    all.filter(|dependency| dependency["kind"].is_null()).map(|d| text(&d["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn banned(root: &Path) -> Result<Vec<Finding>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--prefix", "none", "--format", "{p}", "--offline"])
        .args(["--edges", "normal,build,dev", "--locked"])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let found: std::collections::BTreeSet<&str> =
        names.filter(|name| BANNED.contains(name)).collect();
    Ok(found
        .into_iter()
        .map(|name| Finding::new(name, "must not be in the build (deny.toml)"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_import_table_refuses_what_it_does_not_list() {
        // (user, dependency, refused)
        let table = [
            ("leno-core", "serde", false),
            ("leno-core", "tokio", true),
            ("leno-core", "leno-http", true),
            ("leno-proxy", "leno-api", true),
            ("leno-proxy", "leno-core", false),
            ("leno-xds", "anyhow", true),
            ("leno-cli", "anyhow", false),
        ];
        for (user, dependency, refused) in table {
            let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == user).unwrap();
            assert_eq!(
                refusal(user, dependency, allowed).is_some(),
                refused,
                "{user} -> {dependency}"
            );
        }
    }
}
