//! A real Prometheus over the workloads' metrics, where one is installed; else the metrics of one of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::child::Kept;
use super::folder::Folder;
use super::free_or_other;

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
const PATH: &str = "/stats/prometheus";

/// Where metrics are to be seen.
pub(super) enum Prometheus {
    /// A server of its own.
    Server(SocketAddr, Kept),
    /// None is installed: one workload's own page.
    Page(SocketAddr),
}

impl Prometheus {
    /// Writes `prometheus.yml`, and starts the server if there is one.
    pub(super) fn start(folder: &Folder, targets: &[(String, SocketAddr)]) -> Result<Self> {
        let config = folder.write("prometheus/prometheus.yml", &config(targets))?;
        let installed = Command::new("prometheus").arg("--version").output();
        if !installed.is_ok_and(|output| output.status.success()) {
            let (_, first) = targets.first().context("no workload runs")?;
            return Ok(Self::Page(*first));
        }
        let address = free_or_other(ADDRESS)?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        let data = folder.path().join("prometheus/data");
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg(format!("--web.listen-address={address}"));
        let server = Kept::spawn("prometheus", command, &folder.log("prometheus"))?;
        Ok(Self::Server(address, server))
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Server(address, _) => format!("http://{address}/"),
            Self::Page(address) => format!("http://{address}{PATH}"),
        }
    }

    pub(super) fn stop(self) {
        if let Self::Server(_, server) = self {
            server.stop();
        }
    }
}

fn config(targets: &[(String, SocketAddr)]) -> String {
    let mut text = String::from("global:\n  scrape_interval: 5s\nscrape_configs:\n");
    text.push_str(&format!("- job_name: leno\n  metrics_path: {PATH}\n  static_configs:\n"));
    for (name, address) in targets {
        text.push_str(&format!("  - targets: ['{address}']\n    labels: {{pod: '{name}'}}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::config;

    #[test]
    fn every_workload_is_a_target() {
        let at = |last: u8| ([127, 64, 0, last], 15020).into();
        let text = config(&[("details-v1".into(), at(1)), ("ratings-v1".into(), at(2))]);
        let parsed: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let configs = &parsed["scrape_configs"][0]["static_configs"];
        assert_eq!(configs[1]["targets"][0], "127.64.0.2:15020");
        assert_eq!(configs[0]["labels"]["pod"], "details-v1");
    }
}
