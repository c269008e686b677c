//! The table of an attack run, and its files.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::harm::{Harm, median};
use super::send::Attack;
use crate::bench::describe_machine;

#[derive(Serialize)]
struct Line {
    attack: &'static str,
    #[serde(skip)]
    is_http2: bool,
    proxy: &'static str,
    #[serde(flatten)]
    harm: Option<Harm>,
    /// Why there are no figures.
    error: Option<String>,
}

/// Every attack on every proxy.
pub(super) struct Results {
    time: Duration,
    lines: Vec<Line>,
}

const NOTES: &str = "\
`processor` is the proxy's time on a core for each byte that the attacker puts on the wire (payload, 52 bytes of headers for each \
packet, three packets for a connection), in multiples of what a byte of an ordinary client costs the same proxy (one request after \
the other on one connection); 1 is a client that could as well have asked politely. `÷ attacker` is the same time over the \
attacker's own, which says what a loop over a buffer costs, not what the attack does. `held` is resident memory beyond that before, \
at the worst moment; `memory` is that over what the attacker sends plus 4 KiB for each connection it keeps open. The good client \
asks every 2 ms on a new connection, in turns for a second without the attacker and for as long as an attack takes with it, three \
times; the slowest of a hundred is that of each turn, and the medians are shown. `÷ calm` is the time under attack over the median \
of all turns without an attacker of the same proxy and version of HTTP, since three turns alone vary more than many attacks add; \
`nothing` and `nothing-http2`, where nobody attacks, say what is left of that. What the good client costs the proxy is not counted \
as the attack's. The proxy has core 0. The good client, the origin and the attacker share core 1, and there the attacker, and what \
the origin sends to slow readers, run only while the others do not want to (`SCHED_IDLE`): what is left of their delay is the \
proxy's and the kernel's.";

impl Results {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, lines: Vec::new() }
    }

    pub(super) fn add(&mut self, attack: Attack, proxy: &'static str, harm: Result<Harm>) {
        let (harm, error) = match harm {
            Ok(harm) => (Some(harm), None),
            Err(error) => (None, Some(format!("{error:#}"))),
        };
        let (attack, is_http2) = (attack.name(), attack.is_http2());
        self.lines.push(Line { attack, is_http2, proxy, harm, error });
    }

    /// What a good client of one proxy and one version of HTTP meets while nobody attacks: the median of all that was watched
    /// between the attacks.
    fn calm_us(&self, proxy: &str, is_http2: bool) -> f64 {
        let of = |line: &&Line| line.proxy == proxy && line.is_http2 == is_http2;
        let harms = self.lines.iter().filter(of).filter_map(|line| line.harm.as_ref());
        median(&harms.flat_map(|harm| harm.calm_us.iter().copied()).collect::<Vec<_>>())
    }

    pub(super) fn table(&self) -> String {
        let mut table = "| attack | proxy | processor | ÷ attacker | held MiB | memory | good client's p99 µs, calm → attacked | ÷ calm | unanswered |\n\
                         |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        for Line { attack, is_http2, proxy, harm, error } in &self.lines {
            let Some(harm) = harm else {
                let why = error.as_deref().unwrap_or_default();
                let _ = writeln!(table, "| {attack} | {proxy} | {why} | | | | | | |");
                continue;
            };
            let Harm { raw, processor, held_kib, memory, .. } = harm;
            let (calm, attacked) = harm.p99_us();
            let held = *held_kib as f64 / 1024.0;
            let times = attacked / self.calm_us(proxy, *is_http2);
            let _ = writeln!(
                table,
                "| {attack} | {proxy} | {processor:.2} | {raw:.1} | {held:.1} | {memory:.2} | \
                 {calm:.0} → {attacked:.0} | {times:.1} | {} |",
                harm.unanswered
            );
        }
        table
    }

    /// The figures as `attack.json` and `attack.md`.
    pub(super) fn write(&self, folder: &Path, versions: &[(String, String)]) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let json = format!("{}\n", serde_json::to_string_pretty(&self.lines)?);
        std::fs::write(folder.join("attack.json"), json)?;
        let seconds = self.time.as_secs();
        let versions: Vec<_> =
            versions.iter().map(|(name, said)| format!("{name} ({said})")).collect();
        let text = format!(
            "# attack\n\n`cargo xtask attack --seconds {seconds}` on {}.\n\n{}\n{NOTES}\n\nVersions: {}.\n",
            describe_machine(),
            self.table(),
            versions.join(", "),
        );
        Ok(std::fs::write(folder.join("attack.md"), text)?)
    }
}
