//! Step 9: the control plane dies, then a proxy; callers do not notice.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::stage::Stage;

/// Under load: no request fails while the control plane is gone and while it comes back; when a proxy is killed only
/// what was in flight in it may fail, and it serves again while the control plane is still away.
pub(super) fn kill(stage: &mut Stage<'_>) -> Result<String> {
    let outcome = killed(stage);
    // What comes after needs one, however this went.
    stage.mesh.start_control()?;
    outcome
}

fn killed(stage: &mut Stage<'_>) -> Result<String> {
    let mut load = stage.second_client()?;
    let constant = ["-n", "3000", "-c", "8", "--rate", "500", "http://reviews:9080/reviews/0"];
    load.begin(&constant)?;
    std::thread::sleep(Duration::from_secs(1));
    stage.mesh.kill_control()?;
    let without = load.finish()?;
    ensure!(
        without.with_status(200) == 3000,
        "without a control plane: {:?} {:?}",
        without.status,
        without.errors
    );

    load.begin(&["-n", "3000", "-c", "8", "--rate", "500", "http://reviews:9080/reviews/0"])?;
    std::thread::sleep(Duration::from_secs(1));
    let old = stage.mesh.proxy_pid("reviews-v2")?;
    kill_process(old)?;
    let killed = load.finish()?;
    let failed = killed.failed();
    // Eight connections carry at most eight requests at once; those in the killed proxy may be lost.
    ensure!(failed <= 8, "{failed} requests failed: {:?} {:?}", killed.status, killed.errors);
    let new = stage.mesh.proxy_pid("reviews-v2")?;
    ensure!(new != old, "the killed proxy was not started again");
    let again =
        stage.call(&["-n", "60", "--count-field", "podname", "http://reviews:9080/reviews/0"])?;
    ensure!(again.with_status(200) == 60, "after the restart: {:?}", again.status);
    ensure!(
        again.by_field.keys().any(|pod| pod.contains("v2")),
        "v2 does not serve: {:?}",
        again.by_field
    );

    load.begin(&constant)?;
    stage.mesh.start_control()?;
    let back = load.finish()?;
    ensure!(
        back.with_status(200) == 3000,
        "while it came back: {:?} {:?}",
        back.status,
        back.errors
    );
    Ok(format!(
        "control plane gone: 0 of 3000 failed; proxy killed: {failed} of 3000; back: 0 of 3000"
    ))
}

fn kill_process(pid: u32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).context("no process id")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
}
