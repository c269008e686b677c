//! The proxies that are compared, each started from its configuration in `bench/hop/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::process::{PROXY_CORE, Process, Usage, free_port, pinned};
use super::wire::Wire;
use crate::peers;

/// Which program, with which configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Leno,
    Haproxy,
    Nginx,
    Envoy,
}

/// A contender and the name its figures carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) template: &'static str,
    /// What is spoken before each hop and behind the last: two for one proxy, three for a pair.
    pub(crate) wires: &'static [Wire],
    /// What stands in its configuration in place of a mark: nothing, for most.
    pub(super) more: &'static [(&'static str, &'static str)],
}

impl Contender {
    /// One proxy that speaks the same on both sides.
    pub(crate) const fn new(
        name: &'static str,
        program: Program,
        template: &'static str,
        wires: &'static [Wire],
    ) -> Self {
        Self { name, program, template, wires, more: &[] }
    }

    /// The same with texts in place of marks of its template.
    pub(crate) const fn with(self, more: &'static [(&'static str, &'static str)]) -> Self {
        Self { more, ..self }
    }
}

/// How many hosts the mesh configuration chooses from.
const SERVICES: usize = 100;

/// A contender that accepts connections.
pub(crate) struct Running {
    pub(crate) contender: Contender,
    pub(crate) address: SocketAddr,
    /// In the order of the request.
    processes: Vec<Process>,
    pub(crate) idle_kib: u64,
}

impl Running {
    /// What all its processes used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.processes.iter().try_fold(Usage::default(), |sum, each| Ok(sum.and(each.usage()?)))
    }

    /// The ids of its processes.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Process::id)
    }

    /// Memory of all its processes, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        self.processes.iter().try_fold(0, |sum, each| Ok(sum + each.resident_kib()?))
    }
}

/// Where to find what a contender needs.
pub(crate) struct Setting<'a> {
    pub(crate) root: &'a Path,
    pub(crate) leno: &'a Path,
    /// For configurations made from templates, and certificates.
    pub(crate) folder: &'a Path,
    pub(crate) backend: SocketAddr,
    /// Where spans go, if there are any.
    pub(crate) collector: Option<SocketAddr>,
}

impl Program {
    /// The program itself.
    pub(crate) fn path(self, leno: &Path) -> Result<PathBuf> {
        match self {
            Self::Leno => {
                ensure!(leno.is_file(), "{} is not there: make dist", leno.display());
                Ok(leno.to_path_buf())
            }
            Self::Haproxy => peers::path("haproxy"),
            Self::Nginx => peers::path("nginx"),
            Self::Envoy => peers::path("envoy"),
        }
    }

    /// Starts it on the proxy's core.
    pub(crate) fn start(self, leno: &Path, config: &Path) -> Result<Process> {
        let mut command = pinned(PROXY_CORE, self.path(leno)?);
        match self {
            Self::Leno => command
                .args(["proxy", "--workers", "1", "--admin", "127.0.0.1:0", "--config"])
                .arg(config),
            Self::Haproxy => command.args(["-db", "-f"]).arg(config),
            Self::Nginx => command.arg("-c").arg(config),
            Self::Envoy => command
                .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error", "-c"])
                .arg(config),
        };
        Process::start(command)
    }
}

impl Contender {
    /// Whether it sends spans.
    pub(super) fn needs_collector(&self) -> bool {
        self.more.iter().any(|(_, text)| text.contains("{{COLLECTOR_PORT}}"))
    }

    /// Starts its processes and waits until they accept.
    pub(crate) fn start(&self, setting: &Setting<'_>) -> Result<Running> {
        let (mut processes, mut address, mut idle_kib) = (Vec::new(), setting.backend, 0);
        for hop in (0..self.wires.len() - 1).rev() {
            let behind = address;
            address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let config = self.configure(setting, hop, address, behind)?;
            let mut process = self.program.start(setting.leno, &config)?;
            process.wait_for(address).with_context(|| format!("start {}", self.name))?;
            idle_kib += process.resident_kib()?;
            processes.insert(0, process);
        }
        Ok(Running { contender: *self, address, processes, idle_kib })
    }

    fn configure(
        &self,
        setting: &Setting<'_>,
        hop: usize,
        address: SocketAddr,
        behind: SocketAddr,
    ) -> Result<PathBuf> {
        let source = setting.root.join("bench/hop").join(self.template);
        let template = std::fs::read_to_string(&source)
            .with_context(|| format!("read {}", source.display()))?;
        let front = self.wires[hop].front(self.program, setting.folder);
        let back = self.wires[hop + 1].back(self.program, setting.folder);
        let mut text = repeat_services(&template);
        for (mark, more) in self.more {
            ensure!(text.contains(mark), "{}: no {mark}", source.display());
            text = text.replace(mark, more);
        }
        let text = text
            .replace("# codec", self.wires[hop].codec())
            .replace("# front", &front)
            .replace("# back", &back)
            .replace("{{FRONT}}", &front)
            .replace("{{BACK}}", &back)
            .replace("{{PORT}}", &address.port().to_string())
            .replace("{{ADMIN}}", &free_port()?.to_string())
            .replace("{{COLLECTOR_PORT}}", &setting.collector.map_or(0, |at| at.port()).to_string())
            .replace("{{FOLDER}}", &setting.folder.display().to_string())
            .replace("{{BACKEND_HOST}}", &behind.ip().to_string())
            .replace("{{BACKEND_PORT}}", &behind.port().to_string())
            .replace("{{BACKEND}}", &behind.to_string());
        let config = setting.folder.join(format!("{}-{hop}-{}", self.name, self.template));
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
