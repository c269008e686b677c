//! The thread of a worker: its runtime, its standing tasks, and what it does between connections.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Seed, Worker};
use crate::lane::Spent;
use crate::limits;
use crate::process::Shutdown;
use crate::publish::InForce;

/// The body of a worker's thread: returns when the process has drained.
pub(crate) fn run(
    seed: Seed,
    mut in_force: watch::Receiver<Arc<InForce>>,
    mut shutdown: watch::Receiver<Shutdown>,
) -> std::io::Result<()> {
    let spent = Spent::default();
    let hook = spent.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_unpark(move || hook.forget())
        .build_local(tokio::runtime::LocalOptions::default())?;
    runtime.block_on(async {
        let drain = seed.process.drain;
        let first = Arc::clone(&in_force.borrow_and_update());
        let worker = Rc::new(Worker::new(seed, Arc::clone(&first), spent));
        worker.adopt(first);
        let writer = Rc::clone(&worker);
        tokio::task::spawn_local(async move { writer.flusher.run().await });
        let caller = Rc::clone(&worker);
        tokio::task::spawn_local(async move { caller.lane.run().await });
        let mut sweep = tokio::time::interval(limits::SWEEP);
        let mut flush = tokio::time::interval(limits::RECORDS_FLUSH);
        loop {
            tokio::select! {
                changed = in_force.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let next = Arc::clone(&in_force.borrow_and_update());
                    worker.adopt(next);
                    worker.follow(*shutdown.borrow());
                }
                // The sender lives as long as the process.
                _ = shutdown.changed() => {
                    let now = *shutdown.borrow_and_update();
                    if matches!(now, Shutdown::Drain | Shutdown::Now) {
                        break;
                    }
                    worker.follow(now);
                }
                _ = sweep.tick() => worker.sweep(),
                _ = flush.tick() => worker.telemetry.flush(),
            }
        }
        worker.finish(drain, &mut shutdown).await;
        worker.exporters.finish(&worker).await;
    });
    Ok(())
}
