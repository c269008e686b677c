//! `leno demo --check`: ten promises of the mesh, seen to hold on a running Bookinfo, one line each.
//!
//! Everything goes through the front door with real `kubectl` and ordinary HTTP clients; nothing here looks into the
//! mesh by a way of its own. A step cleans up after itself, so that any can be run alone.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use leno_sys::signals::Signals;

use crate::output::show;

mod faults;
mod identity;
mod poison;
mod resilience;
mod routing;
mod stage;
mod survival;
mod wire;

pub(crate) use stage::Mesh;
use stage::Stage;

/// A promise: what it is called, and what was measured or why it does not hold.
type Step = (&'static str, fn(&mut Stage<'_>) -> Result<String>);

const STEPS: [Step; 10] = [
    ("per-request balancing", routing::balancing),
    ("99 to 1 by weight", routing::weights),
    ("matches", routing::matches),
    ("delay and abort", faults::delay_and_abort),
    ("mirror", faults::mirror),
    ("circuit breaker and ejection", resilience::circuit),
    ("timeout, retries, budget", resilience::timeout_and_retries),
    ("mutual TLS", identity::mutual_tls),
    ("kill -9", survival::kill),
    ("poisoned configuration", poison::refused),
];

/// Runs every step whose number is in `only` (all if it is empty), in order. Exit code 1 if any misses; 130 when a
/// signal came, which ends the tour with the step it is at.
pub(crate) fn run(mesh: &mut dyn Mesh, only: &[usize], signals: &Signals) -> Result<ExitCode> {
    let mut stage = Stage::open(mesh, signals)?;
    let (mut taken, mut missed) = (0, 0);
    for (index, (name, step)) in STEPS.iter().enumerate() {
        let number = index + 1;
        if !only.is_empty() && !only.contains(&number) {
            continue;
        }
        taken += 1;
        let started = Instant::now();
        let outcome = stage.clean().and_then(|()| step(&mut stage));
        let seconds = started.elapsed().as_secs_f64();
        if signals.next_caught()?.is_some() {
            return Ok(ExitCode::from(130));
        }
        match outcome {
            Ok(measured) => {
                show(format_args!("{number:>2}  ok    {name}: {measured} ({seconds:.1} s)"));
            }
            Err(error) => {
                missed += 1;
                show(format_args!("{number:>2}  MISS  {name}: {error:#} ({seconds:.1} s)"));
            }
        }
    }
    stage.clean()?;
    show(format_args!("tour: {} of {taken} hold", taken - missed));
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A miss that chance, or a pause of a busy machine, can bring about once in a while.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unlikely(String);

/// Refuses a count that is further than three standard deviations from what chance gives.
fn within_three_sigma(what: &str, hits: u64, trials: u64, share: f64) -> Result<String> {
    let expected = trials as f64 * share;
    let sigma = (trials as f64 * share * (1.0 - share)).sqrt();
    let sigmas = (hits as f64 - expected).abs() / sigma;
    let bound = 3.0 * sigma;
    let said = format!("{what}: {hits} of {trials}, expected {expected:.0} ± {bound:.0} (3 σ)");
    anyhow::ensure!(sigmas <= 4.5, said);
    if sigmas > 3.0 {
        return Err(Unlikely(said).into());
    }
    Ok(format!("{what} {hits} of {trials} ({sigmas:.1} σ)"))
}

/// Draws; an unlikely miss is drawn once more with fresh requests. A count that is off by 3 to 4.5 σ, as a true one is
/// once in 370 times, is so twice by chance once in 137,000 tours.
fn drawn(stage: &mut Stage<'_>, draw: fn(&mut Stage<'_>) -> Result<String>) -> Result<String> {
    match draw(stage) {
        Err(error) if error.is::<Unlikely>() => draw(stage),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_sigma_is_a_bound_on_both_sides() {
        // 600 trials at a third: 200 ± 34.6.
        for (hits, holds) in [(200, true), (234, true), (235, false), (166, true), (165, false)] {
            assert_eq!(within_three_sigma("x", hits, 600, 1.0 / 3.0).is_ok(), holds, "{hits}");
        }
    }
}
