//! Two proxies behind a balancer that believes their readiness, restarted in turn: drain, end, start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

use super::load::{self, Target};
use super::process::Place;
use super::tally::Report;
use super::{Plan, origin};

const CLIENTS: load::Clients = [6, 4, 4, 3, 3];
/// How often the balancer asks; much less than the lame duck's second.
const CHECK: Duration = Duration::from_millis(50);

pub(super) fn restart(plan: &Plan<'_>) -> Result<Report> {
    let origin = origin::start()?;
    let mut places = Vec::new();
    let mut proxies = Vec::new();
    for name in ["rolling-a", "rolling-b"] {
        let place = Place::new(plan.folder, name, origin)?;
        let mut proxy = place.start(&plan.leno, 2, None)?;
        proxy.wait_ready(&place)?;
        places.push(place);
        proxies.push(proxy);
    }
    let targets: Vec<Target> = places.iter().map(|place| place.target(true)).collect();
    let targets = Arc::new(targets);
    let load = load::start(&targets, CLIENTS);
    let stop = Arc::new(AtomicBool::new(false));
    let balancer = {
        let (targets, places, stop) = (Arc::clone(&targets), places.clone(), Arc::clone(&stop));
        std::thread::spawn(move || balance(&targets, &places, &stop))
    };
    let mut times = 0;
    // Each round is two restarts.
    while times < plan.times / 2 || load.tally.exchanges() < plan.exchanges {
        for (place, proxy) in places.iter().zip(&mut proxies) {
            proxy.terminate()?;
            proxy.wait_end()?;
            *proxy = place.start(&plan.leno, 2, None)?;
            proxy.wait_ready(place)?;
            // The balancer has to see it before the other one goes.
            std::thread::sleep(CHECK * 4);
        }
        times += 1;
    }
    let tally = load.finish();
    stop.store(true, Ordering::Relaxed);
    // It returns when it is told; a panic in it would have shown as failures.
    let _ = balancer.join();
    Ok(tally.report(format!("{times} x 2 restarts")))
}

/// Asks each proxy again and again whether it is ready.
fn balance(targets: &[Target], places: &[Place], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (target, place) in targets.iter().zip(places) {
            target.is_ready.store(place.is_ready(), Ordering::Relaxed);
        }
        std::thread::sleep(CHECK);
    }
}
