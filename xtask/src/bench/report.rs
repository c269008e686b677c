//! Figures of a bench: as one JSON document, as a table, and as files in `bench/results/`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

/// What one contender did under one load: medians of the rounds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Processor time per request.
    pub(super) cpu_us: f64,
    /// Its part in user mode.
    pub(super) user_us: f64,
    pub(super) rps: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Memory after the rounds.
    pub(super) rss_kib: f64,
}

/// The document every bench prints with `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) bench: String,
    pub(super) peers: BTreeMap<String, Figures>,
    /// Medians of the ratios of processor time within each round.
    pub(super) ratios: BTreeMap<String, f64>,
    /// First and third quartile of the same.
    pub(super) spread: BTreeMap<String, [f64; 2]>,
}

/// Figures of every round, by contender and load.
pub(super) type Rounds = BTreeMap<String, Vec<Figures>>;

/// A bar: one contender's processor time may be at most this part of another's.
pub(super) struct Bar {
    pub(super) ours: &'static str,
    pub(super) theirs: &'static str,
    pub(super) at_most: f64,
}

/// How the figures were obtained.
pub(super) struct Circumstances {
    pub(super) command: String,
    pub(super) machine: String,
    /// Program and what it says of its version.
    pub(super) versions: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
}

impl Document {
    /// Medians of every contender's rounds.
    pub(super) fn of_rounds(bench: &str, rounds: &Rounds) -> Self {
        let peers = rounds.iter().map(|(name, rounds)| {
            let of = |figure: fn(&Figures) -> f64, digits| {
                round(median(rounds.iter().map(figure)), digits)
            };
            let figures = Figures {
                cpu_us: of(|f| f.cpu_us, 2),
                user_us: of(|f| f.user_us, 2),
                rps: of(|f| f.rps, 0),
                p50_us: of(|f| f.p50_us, 0),
                p99_us: of(|f| f.p99_us, 0),
                rss_kib: of(|f| f.rss_kib, 0),
            };
            (name.clone(), figures)
        });
        let (ratios, spread) = (BTreeMap::new(), BTreeMap::new());
        Self { bench: bench.to_owned(), peers: peers.collect(), ratios, spread }
    }

    /// Adds the ratio of two contenders' processor time, if both were measured: the median of what each round says, as
    /// the two were measured next to each other in it.
    pub(super) fn compare(&mut self, rounds: &Rounds, ours: &str, theirs: &str) {
        let (Some(us), Some(them)) = (rounds.get(ours), rounds.get(theirs)) else { return };
        let mut ratios: Vec<f64> =
            us.iter().zip(them).map(|(us, them)| us.cpu_us / them.cpu_us).collect();
        ratios.sort_by(f64::total_cmp);
        let name = format!("{ours}/{theirs}");
        let quartile = |part: usize| round(ratios[(ratios.len() - 1) * part / 4], 3);
        if !ratios.is_empty() {
            self.spread.insert(name.clone(), [quartile(1), quartile(3)]);
            self.ratios.insert(name, round(median(ratios), 3));
        }
    }

    /// The table and what it says about the bars.
    pub(super) fn table(&self, bars: &[Bar]) -> String {
        let mut text = String::from(
            "| contender | cpu µs | user µs | req/s | p50 µs | p99 µs | RSS MiB |\n|---|---|---|---|---|---|---|\n",
        );
        for (name, figures) in &self.peers {
            let Figures { cpu_us, user_us, rps, p50_us, p99_us, rss_kib } = figures;
            let rss = rss_kib / 1024.0;
            // A generator without percentiles leaves them at nothing.
            let time = |us: f64| if us > 0.0 { format!("{us:.0}") } else { "-".to_owned() };
            let (p50, p99) = (time(*p50_us), time(*p99_us));
            text.push_str(&format!(
                "| {name} | {cpu_us:.1} | {user_us:.1} | {rps:.0} | {p50} | {p99} | {rss:.1} |\n"
            ));
        }
        text.push('\n');
        for Bar { ours, theirs, at_most } in bars {
            let name = format!("{ours}/{theirs}");
            let verdict = match (self.ratios.get(&name), self.spread.get(&name)) {
                (Some(ratio), Some([low, high])) => {
                    let judged = if ratio <= at_most { "met" } else { "missed" };
                    format!("{ratio:.2} ({low:.2} to {high:.2}), {judged}")
                }
                _ => "not measured".to_owned(),
            };
            text.push_str(&format!("- {ours} ≤ {at_most} × {theirs}: {verdict}\n"));
        }
        text
    }

    /// Writes `NAME.json` and `NAME.md`.
    pub(super) fn write(
        &self,
        folder: &Path,
        name: &str,
        circumstances: &Circumstances,
        table: &str,
    ) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        let json = format!("{}\n", serde_json::to_string_pretty(self)?);
        std::fs::write(folder.join(format!("{name}.json")), json)?;
        let Circumstances { command, machine, versions, notes } = circumstances;
        let mut text = format!("# {}\n\n`{command}` on {machine}.\n\n{table}\n", self.bench);
        for note in notes {
            text.push_str(&format!("{note}\n"));
        }
        text.push_str("\nVersions: ");
        let versions = versions.iter().map(|(name, version)| format!("{name} ({version})"));
        text.push_str(&format!("{}.\n", versions.collect::<Vec<_>>().join(", ")));
        Ok(std::fs::write(folder.join(format!("{name}.md")), text)?)
    }
}

/// The middle value; of an even number, the lower of the two, which is one that was measured.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// Rounds to so many digits behind the point.
pub(super) fn round(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::{Bar, Document, Figures, Rounds, median, round};

    #[test]
    fn medians_are_measured_values() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.0);
        assert_eq!(median([]), 0.0);
        assert_eq!(round(1.23456, 2), 1.23);
    }

    #[test]
    fn bars_are_judged_by_the_ratios_within_rounds() {
        let figures = |cpu_us: f64| Figures { cpu_us, ..Figures::default() };
        // The machine is twice as slow in the second round, for both.
        let rounds = Rounds::from([
            ("a".to_owned(), vec![figures(8.0), figures(16.0), figures(8.0)]),
            ("b".to_owned(), vec![figures(10.0), figures(20.0), figures(10.0)]),
        ]);
        let mut document = Document::of_rounds("x", &rounds);
        document.compare(&rounds, "a", "b");
        document.compare(&rounds, "a", "absent");
        let bar = |theirs, at_most| Bar { ours: "a", theirs, at_most };
        let table = document.table(&[bar("b", 0.9), bar("b", 0.7), bar("absent", 1.0)]);
        assert!(table.contains("a ≤ 0.9 × b: 0.80 (0.80 to 0.80), met"), "{table}");
        assert!(table.contains("a ≤ 0.7 × b: 0.80 (0.80 to 0.80), missed"));
        assert!(table.contains("a ≤ 1 × absent: not measured"));
    }
}
