//! The proxies that are compared, each started from its configuration in `bench/http1/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::process::{PROXY_CORE, Process, free_port, pinned};
use crate::peers;

/// Which program, with which configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Leno,
    Haproxy,
    Nginx,
    Envoy,
}

/// A contender and the name its figures carry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) program: Program,
    template: &'static str,
}

pub(super) const CONTENDERS: [Contender; 6] = [
    Contender { name: "leno", program: Program::Leno, template: "plain.yaml" },
    Contender { name: "haproxy", program: Program::Haproxy, template: "haproxy.cfg" },
    Contender { name: "nginx", program: Program::Nginx, template: "nginx.conf" },
    Contender { name: "envoy", program: Program::Envoy, template: "plain.yaml" },
    Contender { name: "leno-mesh", program: Program::Leno, template: "mesh.yaml" },
    Contender { name: "envoy-mesh", program: Program::Envoy, template: "mesh.yaml" },
];

/// How many hosts the mesh configuration chooses from.
const SERVICES: usize = 100;

/// A contender that accepts connections.
pub(super) struct Running {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    pub(super) idle_kib: u64,
}

/// Where to find what a contender needs.
pub(super) struct Setting<'a> {
    pub(super) root: &'a Path,
    pub(super) leno: &'a Path,
    /// For configurations made from templates.
    pub(super) folder: &'a Path,
    pub(super) backend: SocketAddr,
}

impl Contender {
    /// The program itself.
    pub(super) fn path(&self, leno: &Path) -> Result<PathBuf> {
        match self.program {
            Program::Leno => {
                ensure!(leno.is_file(), "{} is not there: make build", leno.display());
                Ok(leno.to_path_buf())
            }
            Program::Haproxy => peers::path("haproxy"),
            Program::Nginx => peers::path("nginx"),
            Program::Envoy => peers::path("envoy"),
        }
    }

    /// Starts it on the proxy's core and waits until it accepts.
    pub(super) fn start(&self, setting: &Setting<'_>) -> Result<Running> {
        let program = self.path(setting.leno)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let config = self.configure(setting, address)?;
        let mut command = pinned(PROXY_CORE, &program);
        match self.program {
            Program::Leno => command
                .args(["proxy", "--workers", "1", "--admin", "127.0.0.1:0", "--config"])
                .arg(&config),
            Program::Haproxy => command.args(["-db", "-f"]).arg(&config),
            Program::Nginx => command.arg("-c").arg(&config),
            Program::Envoy => command
                .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"])
                .arg(&config),
        };
        let mut process = Process::start(command)?;
        process.wait_for(address).with_context(|| format!("start {}", self.name))?;
        let idle_kib = process.resident_kib()?;
        Ok(Running { name: self.name, address, process, idle_kib })
    }

    fn configure(&self, setting: &Setting<'_>, address: SocketAddr) -> Result<PathBuf> {
        let source = setting.root.join("bench/http1").join(self.template);
        let template = std::fs::read_to_string(&source)
            .with_context(|| format!("read {}", source.display()))?;
        let text = repeat_services(&template)
            .replace("{{PORT}}", &address.port().to_string())
            .replace("{{ADMIN}}", &free_port()?.to_string())
            .replace("{{FOLDER}}", &setting.folder.display().to_string())
            .replace("{{BACKEND_HOST}}", &setting.backend.ip().to_string())
            .replace("{{BACKEND_PORT}}", &setting.backend.port().to_string())
            .replace("{{BACKEND}}", &setting.backend.to_string());
        let config = setting.folder.join(format!("{}-{}", self.name, self.template));
        std::fs::write(&config, text)?;
        Ok(config)
    }
}

/// Repeats what is between `# for each service` and `# end` with `{{N}}` counted up.
fn repeat_services(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut block: Option<String> = None;
    for line in template.lines() {
        match (line.trim(), &mut block) {
            ("# for each service", _) => block = Some(String::new()),
            ("# end", Some(lines)) => {
                for service in 0..SERVICES {
                    text.push_str(&lines.replace("{{N}}", &service.to_string()));
                }
                block = None;
            }
            (_, Some(lines)) => {
                lines.push_str(line);
                lines.push('\n');
            }
            (_, None) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{SERVICES, repeat_services};

    #[test]
    fn a_block_is_repeated_for_each_service() {
        let text = repeat_services("a\n  # for each service\n  - svc{{N}}\n  # end\nb\n");
        assert!(text.starts_with("a\n  - svc0\n  - svc1\n"));
        assert!(text.ends_with("  - svc99\nb\n"));
        assert_eq!(text.lines().count(), SERVICES + 2);
    }
}
