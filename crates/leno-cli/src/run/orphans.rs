//! Processes that came to us because their parents ended: what the program left behind, and the socket supply.
//!
//! While the run lives they are reaped as they end; at its end those that still run are killed, as a container's
//! are: without the sidecar they could reach nobody.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// What killing takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes notice of those that have ended, other than `ours`, whose ends are waited for elsewhere.
pub(super) fn reap(ours: &[Option<Pid>]) {
    for child in children().into_iter().filter(|child| !ours.contains(&Some(*child))) {
        let _ = waitpid(Some(child), WaitOptions::NOHANG);
    }
}

/// Ends and reaps every child there is.
pub(super) fn end_all() {
    let began = Instant::now();
    loop {
        let left = children();
        if left.is_empty() || began.elapsed() > PATIENCE {
            return;
        }
        for child in left {
            // Not reaped yet, so the id is still this child's.
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The children of every thread of this process, ended ones included.
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let listed =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let all: Vec<String> = listed.collect();
    let ids = all.iter().flat_map(|line| line.split_whitespace()).filter_map(|id| id.parse().ok());
    ids.filter_map(Pid::from_raw).collect()
}
