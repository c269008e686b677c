//! The life of a run, top to bottom: register, sidecar, program, until the program ends.
//!
//! One loop waits for everything that can happen; whatever ends it, the workload leaves the mesh.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use leno_proxy::Seal;
use leno_sys::capture::{SocketSupply, Waiting};
use leno_sys::signals::{Caught, Sender, Signals};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::app::{self, Running, Started, Uncaptured};
use super::directory::Directory;
use super::door::{Door, Visitor};
use super::events::{self, Event};
use super::probe::{self, Side};
use super::registration::{RENEW_EVERY, Registration};
use super::sidecar::{Ended, HTTP_PROXY_PORT, Passed, Settings, Sidecar};
use super::workload::Workload;
use super::{Args, INBOUND_PORT, OUTBOUND_PORT, Prepared, address, orphans};
use crate::exit::{Code, WithCode as _};
use crate::output::say;

/// A sidecar with a reachable control plane is ready in a fraction of a second.
const READY: Duration = Duration::from_secs(20);
/// After this long without somebody listening the user is told, and the wait goes on.
const LISTEN_HINT: Duration = Duration::from_secs(10);
/// After a failed renewal of the token.
const TOKEN_RETRY: Duration = Duration::from_secs(5);

pub(super) async fn supervise(
    args: &Args,
    workload: Workload,
    prepared: Prepared,
    signals: Signals,
) -> Result<ExitCode> {
    let address = address::allocate()?;
    let is_captured = prepared.supply.is_some();
    let workload = if is_captured { workload } else { workload.beside_its_sidecar() };
    let kubeconfig = args.connection.path();
    let mut registration = Registration::new(&kubeconfig, workload.clone(), address.ip)?;
    // Also for a workload that only calls: its sidecar must not take the port on every address of the host.
    let mut inbound = vec![address::listen(address.ip, INBOUND_PORT)?];
    let own = workload.listened.map(|port| (address.ip, port));
    let exposed = args.expose.zip(workload.port);
    for (ip, port) in own.into_iter().chain(exposed) {
        inbound.push(address::listen(ip, port)?);
    }
    let http_proxy =
        (!is_captured).then(|| address::listen(address.ip, HTTP_PROXY_PORT)).transpose()?;
    let control = registration.discovery().await?;
    let directory =
        Directory::make(&super::data(args.data.as_deref(), &kubeconfig), &workload.pod)?;
    let events = events::watch(signals, prepared.waiting.pid())?;

    registration.register().await?;
    let settings = Settings {
        control,
        address: address.ip,
        namespace: registration.namespace.clone(),
        access_log: args.access_log.clone(),
        program: (!is_captured).then(|| address.of_program()),
        seal_key: Seal::new_key().context("a key for what the sidecar keeps")?,
    };
    let Prepared { waiting, sockets: mut captured, supply } = prepared;
    if !is_captured {
        captured.outbound.push(address::listen(address.ip, OUTBOUND_PORT)?);
    }
    let passed = Passed { captured, inbound, http_proxy, supply };
    let mut run = Run { args, workload, directory: &directory, events };
    let outcome = run.live(&mut registration, waiting, passed, settings).await;
    if let Err(error) = registration.deregister().await {
        say(format_args!("{error:#}; the control plane removes it when its lease ends"));
    }
    outcome
}

struct Run<'a> {
    args: &'a Args,
    workload: Workload,
    directory: &'a Directory,
    events: mpsc::Receiver<Event>,
}

impl Run<'_> {
    /// From the first token to the program's end.
    async fn live(
        &mut self,
        registration: &mut Registration,
        waiting: Waiting,
        passed: Passed,
        settings: Settings,
    ) -> Result<ExitCode> {
        let probing = passed.supply.as_ref().map(SocketSupply::open_another).transpose()?;
        let token = registration.token().await?;
        self.directory.write("token", token.text.as_bytes())?;
        let namespace = settings.namespace.clone();
        let ip = settings.address;
        let uncaptured = settings.program.map(|program| Uncaptured {
            proxy: SocketAddr::new(ip, HTTP_PROXY_PORT),
            program,
            port: self.workload.port,
        });
        let mut sidecar = Sidecar::start(self.directory, &self.workload, settings, passed)?;
        if let Some(code) = self.until_ready(&mut sidecar).await? {
            return Ok(code);
        }

        let names = (self.workload.pod.as_str(), namespace.as_str());
        let environment = app::environment(names, ip, uncaptured.as_ref());
        let running = match self.start(waiting, &environment)? {
            Started::Runs(running) => running,
            Started::Refused(error, code) => {
                say(format_args!("{error:#}"));
                sidecar.stop().await;
                return Ok(code);
            }
        };
        self.say(&format!("{} is in the mesh at {ip}", self.workload.pod));
        let side = match (probing, uncaptured) {
            (Some(supply), _) => Side::Inside(supply),
            (None, Some(uncaptured)) => Side::Host(uncaptured.program),
            (None, None) => Side::Host(ip),
        };
        let watched = Watched { running, side, token_due: Instant::now() + token.renew_in };
        let code = self.watch(registration, &mut sidecar, watched).await;
        sidecar.stop().await;
        code
    }

    fn start(&self, waiting: Waiting, environment: &[(OsString, OsString)]) -> Result<Started> {
        let program = self.args.command.first().expect("clap: required = true");
        app::start(waiting, environment, program)
    }

    /// Waits for the sidecar's first readiness. A signal before that ends the run.
    async fn until_ready(&mut self, sidecar: &mut Sidecar<'_>) -> Result<Option<ExitCode>> {
        let admin: SocketAddr = sidecar.admin();
        tokio::select! {
            ready = timeout(READY, probe::is_ready(admin)) => match ready {
                Ok(()) => Ok(None),
                Err(_) => {
                    let words = sidecar.last_words();
                    Err(anyhow::anyhow!("the sidecar is not ready after {READY:?}\n{words}"))
                        .code(Code::Unreachable)
                }
            },
            ended = sidecar.ended() => {
                let ended = ended?;
                bail!("the sidecar ended at its start: {ended}\n{}", sidecar.last_words())
            }
            event = self.events.recv() => match event {
                Some(Event::Caught(caught)) => {
                    let number = u8::try_from(caught.number).unwrap_or_default();
                    Ok(Some(ExitCode::from(128 + number)))
                }
                Some(Event::Ended(_)) | None => bail!("the process that waits to be the program is gone"),
            },
        }
    }

    /// Everything that can happen while the program runs.
    async fn watch(
        &mut self,
        registration: &mut Registration,
        sidecar: &mut Sidecar<'_>,
        watched: Watched,
    ) -> Result<ExitCode> {
        let Watched { running, mut side, mut token_due } = watched;
        let mut renewals = interval(RENEW_EVERY);
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let port = self.workload.port;
        let pod = self.workload.pod.clone();
        let listening = until_listening(&pod, &mut side, port);
        let mut listening = std::pin::pin!(listening);
        let mut is_listening = false;
        let mut is_announced = false;
        let mut is_retired = false;
        // Without one the sidecar stays what it is.
        let door = Door::open(self.directory.path()).map_err(|error| self.tell(Err(error))).ok();
        let mut asking = None;
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(Event::Ended(code)) => return Ok(code),
                    Some(Event::Caught(caught)) => {
                        if forward(running, caught) && !is_retired {
                            is_retired = true;
                            registration.retire().await;
                        }
                    }
                    None => bail!("the program cannot be watched any longer"),
                },
                ended = sidecar.ended() => match ended? {
                    Ended::Alone(status) => self.restart(sidecar, status).await?,
                    Ended::Replaced(outcome) => {
                        if let Ok(done) = &outcome {
                            self.say(&format!("{pod}: {done}"));
                        }
                        if let Some(visitor) = Option::<Visitor>::take(&mut asking) {
                            visitor.answer(&outcome).await;
                        }
                    }
                },
                visitor = visitor(door.as_ref()) => match sidecar.replace(&visitor.program) {
                    Ok(()) => asking = Some(visitor),
                    Err(error) => visitor.answer(&Err(error)).await,
                },
                () = &mut listening, if !is_listening => {
                    is_listening = true;
                    is_announced = is_retired || self.announce(registration).await;
                }
                _ = renewals.tick() => {
                    let [now, next] = sidecar.pids();
                    orphans::reap(&[Some(running.pid()), now, next]);
                    let is_new = matches!(registration.renew().await, Ok(true));
                    if is_listening && !is_retired && (is_new || !is_announced) {
                        is_announced = self.announce(registration).await;
                    }
                }
                () = sleep_until(token_due) => {
                    token_due = Instant::now() + self.renew_token(registration).await;
                }
            }
        }
    }

    /// Puts the endpoint into the mesh; a failure is told, and tried again with the next renewal.
    async fn announce(&self, registration: &Registration) -> bool {
        let outcome = registration.set_ready().await;
        let is_done = outcome.is_ok();
        self.tell(outcome);
        is_done
    }

    async fn restart(
        &self,
        sidecar: &mut Sidecar<'_>,
        status: std::process::ExitStatus,
    ) -> Result<()> {
        let pause = sidecar.pause();
        let pod = &self.workload.pod;
        say(format_args!("the sidecar of {pod} ended: {status}; starting another"));
        let words = sidecar.last_words();
        if !words.is_empty() && !pause.is_zero() {
            say(&words);
        }
        sleep(pause).await;
        sidecar.restart()
    }

    /// How long until the next renewal. A control plane that is away is asked again soon; the certificate in use holds.
    async fn renew_token(&self, registration: &Registration) -> Duration {
        match registration.token().await {
            Ok(token) => {
                self.tell(self.directory.write("token", token.text.as_bytes()).map(drop));
                token.renew_in
            }
            Err(_) => TOKEN_RETRY,
        }
    }

    fn tell(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            say(format_args!("{}: {error:#}", self.workload.pod));
        }
    }

    fn say(&self, line: &str) {
        if !self.args.quiet {
            say(line);
        }
    }
}

struct Watched {
    running: Running,
    side: Side,
    token_due: Instant,
}

/// Passes a signal on, unless the program has it from the terminal already. Says whether it asks for the end.
fn forward(running: Running, caught: Caught) -> bool {
    if caught.sender == Sender::Process {
        running.signal(caught.number);
    }
    matches!(caught.number, libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT)
}

async fn visitor(door: Option<&Door>) -> Visitor {
    match door {
        Some(door) => door.visitor().await,
        None => std::future::pending().await,
    }
}

async fn until_listening(pod: &str, side: &mut Side, port: Option<u16>) {
    let Some(port) = port else { return };
    if timeout(LISTEN_HINT, probe::listens(side, port)).await.is_ok() {
        return;
    }
    say(format_args!("{pod} does not listen on port {port} yet"));
    probe::listens(side, port).await;
}
