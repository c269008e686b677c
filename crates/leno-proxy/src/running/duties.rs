//! What the admin thread does: admin pages, configuration, identity, DNS, signals, and the way out.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::side::SideSockets;
use crate::admin;
use crate::dns;
use crate::handover::Offer;
use crate::identity::Identity;
use crate::mesh;
use crate::options::Mesh;
use crate::process::{Process, Shutdown, Then};
use crate::upstream::resolve;

/// Whether the process's signals end the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signals {
    Obey,
    Ignore,
}

/// What the admin thread is started with.
pub(super) struct Duties {
    pub(super) process: Arc<Process>,
    pub(super) side: SideSockets,
    /// Where the next process will come.
    pub(super) handover: Option<PathBuf>,
    pub(super) mesh: Option<Mesh>,
    pub(super) identity: Option<Identity>,
    pub(super) signals: Signals,
}

impl Duties {
    /// Returns when the process ends.
    pub(super) fn run(self) -> std::io::Result<()> {
        let Self { process, side, handover, mesh, identity, signals } = self;
        let SideSockets { admin, dns, kept, meeting } = side;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        runtime.block_on(async {
            if let (Some(path), Some(meeting)) = (handover, meeting) {
                tokio::spawn(Offer::new(&process, path, meeting, kept)?.run());
            }
            for (socket, pages) in admin {
                tokio::spawn(serve_admin(Arc::clone(&process), socket, pages));
            }
            tokio::spawn(Arc::clone(&process).watch_lame_duck());
            tokio::spawn(resolve::run(Arc::clone(&process.publisher)));
            // The next process follows the control plane itself, and writes to the same files.
            if let Some(mesh) = mesh {
                let follow = mesh::follow(Arc::clone(&process), mesh);
                tokio::spawn(Arc::clone(&process).until_handed_over(follow));
            }
            if let Some(identity) = identity {
                tokio::spawn(Arc::clone(&process).until_handed_over(identity.run()));
            }
            if !dns.udp.is_empty() || !dns.tcp.is_empty() {
                tokio::spawn(answer_names(Arc::clone(&process), dns));
            }
            if signals == Signals::Obey {
                obey_signals(&process)?;
            }
            ended(process.shutdown.subscribe()).await;
            Ok(())
        })
    }
}

/// The admin endpoint answers until the very end, so that a drain can be watched; unless the next process answers there.
async fn serve_admin(process: Arc<Process>, socket: std::net::TcpListener, pages: admin::Pages) {
    process.serves().await;
    let until = Arc::clone(&process).until_handed_over(ended(process.shutdown.subscribe()));
    if let Err(error) = admin::serve(process, socket, pages, until).await {
        tracing::error!(%error, "the admin endpoint ended");
    }
}

async fn answer_names(process: Arc<Process>, sockets: dns::Sockets) {
    process.serves().await;
    match dns::serve(sockets, process.dns.clone(), dns::Resolvers::of_host().servers) {
        Ok(answering) => process.until_handed_over(answering).await,
        Err(error) => tracing::error!(%error, "DNS"),
    }
}

/// The first signal drains, the second ends.
fn obey_signals(process: &Arc<Process>) -> std::io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let process = Arc::clone(process);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if process.is_ending() {
                    process.shut_down(Shutdown::Now);
                } else {
                    process.leave(Then::End);
                }
            }
        });
    }
    Ok(())
}

/// Ready when the process ends for good.
async fn ended(mut shutdown: watch::Receiver<Shutdown>) {
    // The sender lives as long as the process: there is no other end.
    let _ = shutdown.wait_for(|now| *now == Shutdown::Now).await;
}
