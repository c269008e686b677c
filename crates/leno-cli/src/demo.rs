//! `leno demo`: a control plane, Bookinfo in the mesh, a gentle load; with `--check`, the tour.
//!
//! Everything is a child process that dies with this one, whatever way this one ends; Ctrl-C stops them in order and
//! removes what was made. Nothing here is special to the demo's mesh: its workloads are started by `leno run`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leno_sys::signals::Signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::exit::{Code, WithCode as _};
use crate::output::show;
use crate::run::Capture;
use crate::tour;

mod child;
mod control;
mod folder;
mod get;
mod mesh;
mod prometheus;
mod suggestions;
mod workloads;

use child::Kept;
use control::ControlPlane;
use folder::Folder;
use prometheus::Prometheus;
use workloads::Workloads;

/// The page's own address on this host, when the port is free.
const PAGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);
/// A machine that builds something else beside it is slow, not broken.
const READY: Duration = Duration::from_secs(60);
/// Between two looks at the children.
const BEAT: Duration = Duration::from_millis(500);
/// Page views a second.
const LOAD_RATE: &str = "4";

/// `leno demo`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the mesh keeps its files; removed at the end if the demo made it [default: a temporary folder].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the addresses as one JSON object into this file when all is ready.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Take the tour instead of waiting: exit code 1 if any of its promises does not hold.
    #[arg(long)]
    check: bool,
    /// With --check: only these steps.
    #[arg(long, value_name = "N", requires = "check", value_delimiter = ',')]
    only: Vec<usize>,
    /// How the workloads' traffic is taken.
    #[arg(long, value_enum, default_value = "auto")]
    capture: Capture,
    /// Where the front door listens; another port is taken if this one is not free.
    #[arg(long, default_value = "127.0.0.1:15080")]
    front_door: SocketAddr,
}

/// Everything that runs.
struct Demo {
    folder: Folder,
    bookinfo: PathBuf,
    control: ControlPlane,
    workloads: Workloads,
    prometheus: Option<Prometheus>,
    load: Option<Kept>,
    page: SocketAddr,
}

/// Runs the demo until a signal, or the tour to its end.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let signals = Signals::block(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
    let began = Instant::now();
    let mut demo = Demo::start(args)?;
    let outcome = demo.follow(args, &signals, began);
    demo.stop();
    if let Some(path) = &args.ready_file {
        // What it says is no longer so.
        let _ = std::fs::remove_file(path);
    }
    outcome
}

impl Demo {
    fn start(args: &Args) -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let bookinfo = program.with_file_name("bookinfo");
        if !bookinfo.is_file() {
            let error = anyhow::anyhow!("{} is missing: run make build", bookinfo.display());
            return Err(error).code(Code::Usage);
        }
        let folder = Folder::open(args.data.as_deref())?;
        let control = ControlPlane::start(&folder, args.front_door)?;
        let page = free(PAGE);
        let workloads =
            Workloads::start(&folder, &bookinfo, &control.kubeconfig(), (page, args.capture))?;
        let page = page.unwrap_or(PAGE);
        Ok(Self { folder, bookinfo, control, workloads, prometheus: None, load: None, page })
    }

    fn follow(&mut self, args: &Args, signals: &Signals, began: Instant) -> Result<ExitCode> {
        if !self.until_meshed(signals)? {
            return Ok(ExitCode::from(130));
        }
        let first = began.elapsed();
        let targets = self.workloads.metrics_addresses();
        self.prometheus = Some(Prometheus::start(&self.folder, &targets)?);
        if args.check {
            return tour::run(self, &args.only, signals);
        }
        self.load = Some(self.start_load()?);
        self.print(first);
        self.write_ready(args)?;
        self.watch(signals)
    }

    /// Until the page is made by all of its services. `false` when a signal came first.
    fn until_meshed(&mut self, signals: &Signals) -> Result<bool> {
        let began = Instant::now();
        loop {
            self.workloads.check()?;
            self.control.check()?;
            if self.workloads.all_run() {
                self.page = self.workloads.page()?;
                let reviews = get::status(self.page, "/api/v1/products/0/reviews");
                let details = get::status(self.page, "/api/v1/products/0");
                if reviews == Some(200) && details == Some(200) {
                    return Ok(true);
                }
            }
            if began.elapsed() > READY {
                let said = self.workloads.last_words();
                return Err(anyhow::anyhow!("Bookinfo is not up after {READY:?}\n{said}"))
                    .code(Code::Unreachable);
            }
            if caught(signals, Duration::from_millis(50))? {
                return Ok(false);
            }
        }
    }

    fn start_load(&self) -> Result<Kept> {
        let mut command = Command::new(&self.bookinfo);
        command.args(["client", "-n", "0", "-c", "2", "--rate", LOAD_RATE, "--quiet"]);
        command.arg(self.url()).env_remove("HTTP_PROXY");
        Kept::spawn("load", command, &self.folder.log("load"))
    }

    fn url(&self) -> String {
        format!("http://{}/productpage", self.page)
    }

    fn prometheus_url(&self) -> String {
        self.prometheus.as_ref().map_or_else(String::new, Prometheus::url)
    }

    fn print(&self, first: Duration) {
        let seconds = first.as_secs_f64();
        let (page, portal, prometheus) = (self.url(), self.control.portal(), self.prometheus_url());
        if let Some(line) = self.workloads.uncaptured() {
            show(line);
        }
        let suggestions = suggestions::text(&self.folder, &self.control.kubeconfig());
        show(format_args!(
            "Bookinfo is in the mesh: six workloads, the first page after {seconds:.1} s.\n\n  \
             page        {page}\n  portal      {portal}\n  prometheus  {prometheus}\n\n{suggestions}\n\
             Ctrl-C stops everything and leaves nothing behind."
        ));
    }

    fn write_ready(&self, args: &Args) -> Result<()> {
        let Some(path) = &args.ready_file else { return Ok(()) };
        let document = json!({
            "productpage": self.url(),
            "portal": self.control.portal(),
            "prometheus": self.prometheus_url(),
            "kubeconfig": self.control.kubeconfig(),
        });
        // Whole or not at all: others wait for the file to exist.
        let draft = path.with_extension("new");
        let write = || {
            std::fs::write(&draft, format!("{document}\n"))?;
            std::fs::rename(&draft, path)
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    fn watch(&mut self, signals: &Signals) -> Result<ExitCode> {
        while !caught(signals, BEAT)? {
            self.workloads.check()?;
            self.control.check()?;
        }
        show("\nstopping");
        Ok(ExitCode::SUCCESS)
    }

    /// The load first, so that it sees no error; the control plane last, so that workloads can leave.
    fn stop(self) {
        let Self { load, prometheus, workloads, control, folder, .. } = self;
        if let Some(load) = load {
            load.stop();
        }
        if let Some(prometheus) = prometheus {
            prometheus.stop();
        }
        workloads.stop();
        control.stop();
        drop(folder);
    }
}

/// Waits for a signal that ends the demo.
fn caught(signals: &Signals, at_most: Duration) -> Result<bool> {
    let limit = Timespec {
        tv_sec: at_most.as_secs().cast_signed(),
        tv_nsec: i64::from(at_most.subsec_nanos()),
    };
    let mut polled = [PollFd::new(signals, PollFlags::IN)];
    match poll(&mut polled, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(signals.next_caught()?.is_some()),
        Err(error) => Err(error).context("waiting for a signal"),
    }
}

/// The address, if nobody listens there.
fn free(address: SocketAddr) -> Option<SocketAddr> {
    TcpListener::bind(address).is_ok().then_some(address)
}

/// The address, or another port of the same host.
fn free_or_other(address: SocketAddr) -> Result<SocketAddr> {
    if address.port() != 0 && free(address).is_some() {
        return Ok(address);
    }
    let any = SocketAddr::new(address.ip(), 0);
    let probe = TcpListener::bind(any).with_context(|| format!("a free port on {}", any.ip()))?;
    Ok(probe.local_addr()?)
}

/// Waits until `is_so`, at most `at_most`.
fn until(what: &str, at_most: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        ensure!(began.elapsed() < at_most, "{what}: not after {at_most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
