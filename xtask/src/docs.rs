//! Runs what the documentation shows: every block marked `sh run`, in order, against a running demo.
//!
//! A page that lies fails the build. `bin/leno` and `kubectl` must be there; the demo is stopped at the end.

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How long the demo may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A block of shell from a page.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// `docs/traffic.md:12`
    at: String,
    script: String,
}

pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let blocks = blocks(root)?;
    let folder = std::env::temp_dir().join(format!("leno-docs-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = with_demo(root, &folder, |kubeconfig| {
        let outcomes = blocks.iter().map(|block| run_block(root, block, kubeconfig));
        Ok(outcomes.filter(|passed| !passed).count())
    });
    std::fs::remove_dir_all(&folder)?;
    let failed = outcome?;
    println!("docs: {} passed, {failed} failed", blocks.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn blocks(root: &Path) -> Result<Vec<Block>> {
    let mut pages: Vec<_> = std::fs::read_dir(root.join("docs"))?.collect::<Result<_, _>>()?;
    pages.sort_by_key(std::fs::DirEntry::path);
    let mut blocks = Vec::new();
    for page in pages.iter().filter(|page| page.path().extension().is_some_and(|end| end == "md")) {
        let name = format!("docs/{}", page.file_name().to_string_lossy());
        blocks.extend(blocks_of(&name, &std::fs::read_to_string(page.path())?));
    }
    ensure!(!blocks.is_empty(), "no block marked `sh run` in docs/");
    Ok(blocks)
}

fn blocks_of(name: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        if inside && line == "```" {
            inside = false;
        } else if line == "```sh run" {
            inside = true;
            blocks.push(Block { at: format!("{name}:{}", number + 2), script: String::new() });
        } else if let (true, Some(block)) = (inside, blocks.last_mut()) {
            block.script.push_str(line);
            block.script.push('\n');
        }
    }
    blocks
}

fn with_demo<T>(root: &Path, folder: &Path, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let ready = folder.join("ready.json");
    let mut demo = Command::new(root.join("bin/leno"))
        .arg("demo")
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--ready-file")
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("start bin/leno demo (make build)")?;
    let outcome = wait_ready(&mut demo, &ready).and_then(|kubeconfig| work(&kubeconfig));
    crate::interrupt(&demo)?;
    demo.wait()?;
    outcome
}

fn wait_ready(demo: &mut Child, ready: &Path) -> Result<String> {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read(ready) {
            let urls: Value = serde_json::from_slice(&text).context("read the ready file")?;
            return Ok(urls["kubeconfig"]
                .as_str()
                .context("no kubeconfig in the ready file")?
                .to_owned());
        }
        if let Some(status) = demo.try_wait()? {
            bail!("bin/leno demo ended before it was ready: {status}");
        }
        ensure!(started.elapsed() < PATIENCE, "bin/leno demo was not ready within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn run_block(root: &Path, block: &Block, kubeconfig: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &block.script])
        .env("KUBECONFIG", kubeconfig)
        .env("PATH", format!("{}:{path}", root.join("bin").display()))
        .current_dir(root)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            println!("{:<32} ok", block.at);
            true
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("{:<32} {}\n{}{}", block.at, output.status, block.script, said);
            false
        }
        Err(error) => {
            println!("{:<32} {error}", block.at);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_blocks_are_run() {
        let text = "```sh\nno\n```\n\n```sh run\nyes\nagain\n```\n```sh run\nmore\n```\n";
        let blocks = blocks_of("docs/a.md", text);
        assert_eq!(
            blocks,
            [
                Block { at: "docs/a.md:6".into(), script: "yes\nagain\n".into() },
                Block { at: "docs/a.md:10".into(), script: "more\n".into() },
            ]
        );
    }
}
