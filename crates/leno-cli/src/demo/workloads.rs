//! Bookinfo's six workloads, each a `leno run` of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;
use clap::builder::PossibleValue;
use serde::Deserialize;

use super::child::Kept;
use super::folder::Folder;
use crate::run::Capture;

const PORT: u16 = 9080;
const METRICS_PORT: u16 = 15020;

/// (service, version)
const ALL: [(&str, &str); 6] = [
    ("details", "v1"),
    ("ratings", "v1"),
    ("reviews", "v1"),
    ("reviews", "v2"),
    ("reviews", "v3"),
    ("productpage", "v1"),
];

/// What a run says about itself in its folder, beside its other files.
#[derive(Debug, Deserialize)]
struct Report {
    workload: String,
    address: IpAddr,
    proxy_pid: u32,
}

/// All of them.
pub(super) struct Workloads {
    runs: Vec<Kept>,
    reports: PathBuf,
    page: Option<SocketAddr>,
}

impl Workloads {
    /// Starts them at the same time. `page` is where productpage is open on the host too.
    pub(super) fn start(
        folder: &Folder,
        bookinfo: &Path,
        kubeconfig: &Path,
        (page, capture): (Option<SocketAddr>, Capture),
    ) -> Result<Self> {
        let mut runs = Vec::new();
        for (service, version) in ALL {
            let name = format!("{service}-{version}");
            let mut command = run(folder, kubeconfig, &name, service)?;
            command.args(["--version", version, "--port", &PORT.to_string()]);
            let capture = capture.to_possible_value();
            command.arg("--capture").args(capture.iter().map(PossibleValue::get_name));
            if let Some(page) = page.filter(|_| service == "productpage") {
                command.args(["--expose", &page.ip().to_string()]);
            }
            command.arg("--").arg(bookinfo).arg(service);
            if service == "reviews" {
                command.args(["--version", version]);
            }
            runs.push(Kept::spawn(&name, command, &folder.log(&name))?);
        }
        Ok(Self { runs, reports: folder.path().join("run"), page })
    }

    /// An end nobody asked for is an error.
    pub(super) fn check(&mut self) -> Result<()> {
        for run in &mut self.runs {
            if let Some(status) = run.ended()? {
                bail!("{} ended: {status}\n{}", run.name, run.last_words());
            }
        }
        Ok(())
    }

    /// Whether each has reported.
    pub(super) fn all_run(&self) -> bool {
        let reports = self.reports();
        self.runs.iter().all(|run| reports.contains_key(&run.name))
    }

    /// Why their traffic is not captured in namespaces, if it is not.
    pub(super) fn uncaptured(&self) -> Option<String> {
        self.runs.iter().find_map(|run| run.line_with("capture=env, since"))
    }

    pub(super) fn last_words(&self) -> String {
        self.runs.iter().map(Kept::last_words).collect()
    }

    /// Where productpage answers on this host.
    pub(super) fn page(&self) -> Result<SocketAddr> {
        match self.page {
            Some(page) => Ok(page),
            None => self.address("productpage-v1"),
        }
    }

    /// Where a workload takes its service's requests.
    pub(super) fn address(&self, name: &str) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.report(name)?.address, PORT))
    }

    /// The present sidecar of a workload.
    pub(super) fn proxy_pid(&self, name: &str) -> Result<u32> {
        Ok(self.report(name)?.proxy_pid)
    }

    /// Where Prometheus finds the workloads' metrics, by name.
    pub(super) fn metrics_addresses(&self) -> Vec<(String, SocketAddr)> {
        let at = |report: &Report| SocketAddr::new(report.address, METRICS_PORT);
        self.reports().into_iter().map(|(name, report)| (name, at(&report))).collect()
    }

    /// All at once, then each to its end.
    pub(super) fn stop(self) {
        for run in &self.runs {
            run.terminate();
        }
        for run in self.runs {
            run.stop();
        }
    }

    /// A workload by its name, or by its service's when that has one version.
    fn report(&self, name: &str) -> Result<Report> {
        let mut reports = self.reports();
        let found = reports.remove(name).or_else(|| reports.remove(&format!("{name}-v1")));
        found.with_context(|| format!("{name} does not run"))
    }

    fn reports(&self) -> BTreeMap<String, Report> {
        let folders = std::fs::read_dir(&self.reports).into_iter().flatten().flatten();
        let read = |folder: std::fs::DirEntry| {
            let text = std::fs::read(folder.path().join("run.json")).ok()?;
            serde_json::from_slice::<Report>(&text).ok()
        };
        folders.filter_map(read).map(|report| (report.workload.clone(), report)).collect()
    }
}

/// `leno run` for the workload `name` of `service`, without the program.
pub(super) fn run(
    folder: &Folder,
    kubeconfig: &Path,
    name: &str,
    service: &str,
) -> Result<Command> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(program);
    command.args(["run", "--quiet", "--service", service, "--namespace", "default"]);
    command.arg("--kubeconfig").arg(kubeconfig);
    command.arg("--data").arg(folder.path().join("run"));
    command.arg("--access-log").arg(folder.access_log(name));
    Ok(command)
}
