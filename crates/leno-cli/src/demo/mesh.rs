//! The running demo as the tour acts on it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Demo, workloads};
use crate::tour::Mesh;

impl Mesh for Demo {
    fn kubeconfig(&self) -> PathBuf {
        self.control.kubeconfig()
    }

    fn inside(&self, service: &str) -> Command {
        let run = workloads::run(&self.folder, &self.kubeconfig(), service, service);
        // This program was found at the start of the demo.
        run.expect("the program that runs now exists")
    }

    fn bookinfo(&self) -> PathBuf {
        self.bookinfo.clone()
    }

    fn access_log(&self, workload: &str) -> PathBuf {
        self.folder.access_log(workload)
    }

    fn address(&self, workload: &str) -> Result<SocketAddr> {
        self.workloads.address(workload)
    }

    fn proxy_pid(&self, workload: &str) -> Result<u32> {
        self.workloads.proxy_pid(workload)
    }

    fn kill_control(&mut self) -> Result<()> {
        self.control.kill()
    }

    fn start_control(&mut self) -> Result<()> {
        self.control.launch()
    }
}
