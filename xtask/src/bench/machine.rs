//! What a reader needs to judge figures: machine and versions, without saying whose machine it was.

use std::path::Path;
use std::process::{Command, Stdio};

/// Processor, cores, kernel, and how its TCP controls congestion.
pub(crate) fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let congestion = read("/proc/sys/net/ipv4/tcp_congestion_control");
    format!("{model}, {cores} cores, Linux {}, TCP {}", kernel.trim(), congestion.trim())
}

/// What a program says of its version; programs disagree on flag, stream and exit code.
pub(crate) fn version(program: &Path) -> String {
    let flag = match program.file_name().and_then(std::ffi::OsStr::to_str) {
        Some("haproxy" | "nginx" | "wrk") => "-v",
        _ => "--version",
    };
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let Ok(output) = output else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.chars().any(|letter| letter.is_ascii_digit()));
    // Envoy and others print their own path first.
    let words = line.unwrap_or("unknown").split_whitespace().filter(|word| !word.contains("bin/"));
    words.collect::<Vec<_>>().join(" ").chars().take(80).collect()
}
