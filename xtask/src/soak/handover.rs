//! One proxy takes over from another under load, and one that dies in the middle of that.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::load::{self, Load};
use super::process::{Place, Proxy};
use super::tally::Report;
use super::{Plan, origin};

const CLIENTS: load::Clients = [6, 4, 4, 3, 3];
/// Workers of each process in turn: more and fewer than before.
const WORKERS: [u32; 4] = [2, 3, 1, 2];

/// Processes follow one another; each former one ends by itself.
pub(super) fn completed(plan: &Plan<'_>) -> Result<Report> {
    let (place, mut running, load) = begin(plan, "handover")?;
    let mut times = 0;
    while times < plan.times || load.tally.exchanges() < plan.exchanges {
        let workers = WORKERS[times as usize % WORKERS.len()];
        let mut next = place.start(&plan.leno, workers, None)?;
        running.wait_end()?;
        next.wait_ready(&place)?;
        running = next;
        times += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(load.finish().report(format!("{times} handovers")))
}

/// New processes take the sockets and are killed before they could serve: their configuration never comes.
pub(super) fn killed(plan: &Plan<'_>) -> Result<Report> {
    let (place, _running, load) = begin(plan, "killed")?;
    let pipe = plan.folder.join("never.json");
    let made = Command::new("mkfifo").arg(&pipe).status()?;
    ensure!(made.success(), "mkfifo: {made}");
    let mut times = 0;
    while times < plan.times || load.tally.exchanges() < plan.exchanges {
        let mut next = place.start(&plan.leno, 2, Some(&pipe))?;
        wait_for_sockets(&next)?;
        next.kill()?;
        times += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(place.is_ready(), "the running proxy does not serve any more");
    Ok(load.finish().report(format!("{times} kill -9 in the middle")))
}

fn begin(plan: &Plan<'_>, name: &str) -> Result<(Place, Proxy, Load)> {
    let place = Place::new(plan.folder, name, origin::start()?)?;
    let mut running = place.start(&plan.leno, 2, None)?;
    running.wait_ready(&place)?;
    let load = load::start(&place.targets(), CLIENTS);
    let begun = Instant::now();
    while !load.tally.is_under_way(CLIENTS) {
        ensure!(begun.elapsed() < Duration::from_secs(10), "the load does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((place, running, load))
}

/// Waits until the process holds sockets of the running one: the line itself, two listeners of two workers, admin.
fn wait_for_sockets(proxy: &Proxy) -> Result<()> {
    let begun = Instant::now();
    loop {
        let held = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid()))?
            .flatten()
            .filter_map(|entry| std::fs::read_link(entry.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count();
        if held >= 6 {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(10), "the sockets did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
