//! What all threads of one proxy share, and the order in which they start and stop.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use leno_telemetry::{AccessLogs, Metrics, SeriesLimits};
use tokio::sync::watch;

use crate::admin::LogLevel;
use crate::budget::MemoryBudget;
use crate::dns;
use crate::handover::{Handed, HandoverError};
use crate::listener::admission::Admission;
use crate::listener::learned::Learned;
use crate::options::{Node, Options};
use crate::publish::{Given, Publisher};
use crate::tls::{KeyLog, Secrets, Tls};
use crate::worker;

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Serving.
    No,
    /// Not ready any more, so that balancers look elsewhere; still accepting, and asking clients to come back later.
    LameDuck,
    /// Taking no new connections, finishing what there is, and staying.
    Quiet,
    /// The same, and then ending.
    Drain,
    /// Ending now.
    Now,
}

/// What follows a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The process stays, for whoever looks at it.
    Stay,
    /// The process ends.
    End,
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) logs: Arc<AccessLogs>,
    pub(crate) publisher: Arc<Publisher>,
    /// What connections may make it hold.
    pub(crate) budget: Arc<MemoryBudget>,
    /// Who may connect.
    pub(crate) admission: Arc<Admission>,
    pub(crate) drain: Duration,
    pub(crate) lame_duck: Duration,
    ends: AtomicBool,
    /// Whether connections are taken from the listening sockets; what comes meanwhile waits in their queues.
    pub(crate) accepting: watch::Sender<bool>,
    handed_over: watch::Sender<bool>,
    pub(crate) started: SystemTime,
    pub(crate) workers: NonZeroUsize,
    pub(crate) shutdown: watch::Sender<Shutdown>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) node: Option<Node>,
    /// What destinations speak.
    pub(crate) learned: Learned,
    /// What the DNS sockets answer.
    pub(crate) dns: dns::SharedTable,
    pub(crate) log_level: Option<LogLevel>,
    /// What we tell peers of our workload (`x-envoy-peer-metadata`), encoded; empty without one.
    pub(crate) peer_metadata: PeerMetadata,
}

/// The headers by which proxies tell each other whom they stand for.
#[derive(Debug, Default)]
pub(crate) struct PeerMetadata {
    pub(crate) workload: String,
    pub(crate) id: String,
}

/// Why a proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A thread or runtime could not be made.
    #[error("starting {what}")]
    Start {
        /// Which part.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The running proxy could not be taken over from, or the next one cannot be waited for.
    #[error("handover")]
    Handover {
        /// Why not.
        source: HandoverError,
    },
    /// The configuration file cannot be used.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An address cannot be bound.
    #[error("{what} {address}: {source}")]
    Bind {
        /// What it is for.
        what: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Process {
    /// With what a former process handed over nothing is accepted before that one stopped.
    pub(crate) fn new(
        options: &mut Options,
        handed: Option<Handed>,
        node: Option<Node>,
        key_log: Option<Arc<KeyLog>>,
    ) -> Self {
        let is_first = handed.is_none();
        let given = Given {
            inherited: std::mem::take(&mut options.inherited),
            inbound_addresses: std::mem::take(&mut options.inbound_addresses),
            handed: handed.unwrap_or_default(),
        };
        let publisher = Publisher::new(options.workers.get(), given);
        let local = node.as_ref().map(Node::party).unwrap_or_default();
        let peer_metadata = node.as_ref().map(|node| PeerMetadata {
            workload: leno_telemetry::peer::encode(&local.workload),
            id: node.id.clone(),
        });
        Self {
            metrics: Metrics::new(local, "proxy", SeriesLimits::SIDECAR),
            tls: Tls::with_key_log(Secrets::new(), key_log),
            node,
            dns: Arc::default(),
            learned: Learned::default(),
            log_level: options.log_level.take(),
            peer_metadata: peer_metadata.unwrap_or_default(),
            logs: Arc::default(),
            publisher: Arc::new(publisher),
            budget: Arc::new(MemoryBudget::new(options.limits.memory_bytes, options.workers.get())),
            admission: Arc::new(Admission::new(&options.limits)),
            drain: options.drain,
            lame_duck: options.lame_duck,
            ends: AtomicBool::new(false),
            accepting: watch::Sender::new(is_first),
            handed_over: watch::Sender::new(false),
            started: SystemTime::now(),
            workers: options.workers,
            shutdown: watch::Sender::new(Shutdown::No),
        }
    }

    /// Whether a configuration is in force, and the identity it needs.
    pub(crate) fn is_ready(&self) -> bool {
        let in_force = self.publisher.in_force();
        in_force.revision > 0 && (self.tls.secrets().svid().is_some() || !in_force.needs_identity())
    }

    /// Begins to leave: readiness goes at once, accepting ends after the lame duck, then connections finish.
    pub(crate) fn leave(&self, then: Then) {
        if then == Then::End {
            self.ends.store(true, Ordering::Relaxed);
        }
        self.shutdown.send_if_modified(|now| {
            let next = match *now {
                Shutdown::No if !self.lame_duck.is_zero() => Shutdown::LameDuck,
                Shutdown::No | Shutdown::Quiet => self.after_lame_duck(),
                Shutdown::LameDuck | Shutdown::Drain | Shutdown::Now => return false,
            };
            std::mem::replace(now, next) != next
        });
    }

    /// Whether it was told to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Leaves at once: another process has the sockets and serves.
    pub(crate) fn hand_over(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.handed_over.send_replace(true);
        self.shut_down(Shutdown::Drain);
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        *self.handed_over.borrow()
    }

    /// Runs `work` until another process does it.
    pub(crate) async fn until_handed_over(self: Arc<Self>, work: impl Future<Output = ()>) {
        let mut handed_over = self.handed_over.subscribe();
        tokio::select! {
            () = work => {}
            // The sender lives as long as the process.
            _ = handed_over.wait_for(|handed_over| *handed_over) => {}
        }
    }

    /// Ready when this process is the one that serves.
    pub(crate) async fn serves(&self) {
        let _ = self.accepting.subscribe().wait_for(|accepting| *accepting).await;
    }

    fn after_lame_duck(&self) -> Shutdown {
        if self.is_ending() { Shutdown::Drain } else { Shutdown::Quiet }
    }

    /// Ends the lame duck when its time has come. Runs on the admin thread.
    pub(crate) async fn watch_lame_duck(self: Arc<Self>) {
        let mut shutdown = self.shutdown.subscribe();
        // The sender lives as long as the process.
        let _ = shutdown.wait_for(|now| *now != Shutdown::No).await;
        tokio::time::sleep(self.lame_duck).await;
        self.shutdown.send_if_modified(|now| {
            let is_over = *now == Shutdown::LameDuck;
            if is_over {
                *now = self.after_lame_duck();
            }
            is_over
        });
    }

    /// Moves on towards the end; never back.
    pub(crate) fn shut_down(&self, to: Shutdown) {
        self.shutdown.send_if_modified(|now| {
            let moves = (*now as u8) < (to as u8);
            if moves {
                *now = to;
            }
            moves
        });
    }
}

/// Starts the worker threads.
pub(crate) fn start_workers(
    process: &Arc<Process>,
    options: &Options,
) -> Result<Vec<JoinHandle<std::io::Result<()>>>, Error> {
    let at = |what| move |source| Error::Start { what, source };
    let connections_max = options.limits.connections_per_worker(process.workers.get());
    let mut threads = Vec::new();
    for id in 0..process.workers.get() {
        let seed = worker::Seed {
            id,
            process: Arc::clone(process),
            random: rand::random(),
            dialer: options.inbound_dialer.for_worker().map_err(at("the inbound dialer"))?,
            connections_max,
        };
        let (in_force, shutdown) = (process.publisher.subscribe(), process.shutdown.subscribe());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{id}"))
            .spawn(move || worker::run(seed, in_force, shutdown))
            .map_err(at("a worker thread"))?;
        threads.push(thread);
    }
    Ok(threads)
}

/// Waits for all threads, at most `limit`; whether they all ended.
pub(crate) fn join_all(threads: Vec<JoinHandle<std::io::Result<()>>>, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    for thread in threads {
        while !thread.is_finished() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "worker"),
            Err(_) => tracing::error!("a worker panicked"),
        }
    }
    true
}
