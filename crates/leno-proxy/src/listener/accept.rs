//! Taking connections from one listening socket, within the worker's limit.
//!
//! One task per socket and worker. Who is beyond a limit of its own is closed at once. At the process' limit, and while another process may take the sockets over, the kernel's queue
//! is left to fill: every client understands that.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use leno_telemetry::{LimitReached, ProcessStat};
use tokio::net::{TcpListener, TcpStream};

use super::active::ActiveListener;
use super::admission::{Admitted, Refusal};
use super::connection;
use crate::budget::{Account, Grade};
use crate::limits;
use crate::worker::{ConnectionSlot, Worker};

/// Accepts until the listener is closed; what the kernel had accepted by then is still served.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    active: &Rc<ActiveListener>,
    socket: std::net::TcpListener,
) -> io::Result<()> {
    let socket = TcpListener::from_std(socket)?;
    let stop = active.stop();
    let mut stopped = std::pin::pin!(stop.notified());
    let mut accepting = worker.process.accepting.subscribe();
    while !active.is_closed() {
        if !*accepting.borrow_and_update() {
            tokio::select! {
                _ = accepting.changed() => continue,
                () = &mut stopped => return Ok(()),
            }
        }
        for _ in 0..limits::ACCEPTS_PER_TURN {
            tokio::select! {
                biased;
                accepted = accept(&socket, worker) => serve(worker, active, accepted?),
                () = &mut stopped => return Ok(()),
                _ = accepting.changed() => break,
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn serve(worker: &Rc<Worker>, active: &Rc<ActiveListener>, accepted: Option<Taken>) {
    let Some((stream, peer, mut slot)) = accepted else { return };
    let admitted = match admit(worker, active, peer.ip()) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(worker, active, peer.ip(), refusal),
    };
    let account = slot.take(worker, admitted);
    let (worker, active) = (Rc::clone(worker), Rc::clone(active));
    tokio::task::spawn_local(async move {
        connection::serve(worker, active, Accepted { stream, peer, account }).await;
        drop(slot);
    });
}

/// One connection that is taken.
pub(crate) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// What it makes us hold.
    pub(super) account: Account,
}

fn admit(worker: &Worker, active: &ActiveListener, peer: IpAddr) -> Result<Admitted, Refusal> {
    if worker.budget.grade() == Grade::Shed {
        return Err(Refusal::Memory);
    }
    worker.process.admission.admit(active.connections(), peer)
}

/// Counts and tells a connection that is closed with this.
fn refuse(worker: &Worker, active: &ActiveListener, peer: IpAddr, refusal: Refusal) {
    worker.process.metrics.add(ProcessStat::DownstreamRefused, 1);
    worker.process.metrics.reached(refusal.limit());
    worker.process.admission.tell(refusal, active.listener().name(), peer);
}

type Taken = (TcpStream, SocketAddr, ConnectionSlot);

/// One connection, or `None` when it was gone again or nothing could be accepted just now.
async fn accept(socket: &TcpListener, worker: &Worker) -> io::Result<Option<Taken>> {
    let Some(slot) = worker.admit() else {
        worker.process.metrics.reached(LimitReached::ProcessConnections);
        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
        return Ok(None);
    };
    match socket.accept().await {
        Ok((stream, peer)) => Ok(Some((stream, peer, slot))),
        Err(error) => match pause_after(&error) {
            Some(pause) => {
                if !pause.is_zero() {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(pause).await;
                }
                Ok(None)
            }
            None => Err(error),
        },
    }
}

/// How long to wait after a failed `accept(2)`; `None` when the socket itself is broken.
fn pause_after(error: &io::Error) -> Option<Duration> {
    const EBADF: i32 = 9;
    const ENOMEM: i32 = 12;
    const EINVAL: i32 = 22;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOTSOCK: i32 = 88;
    const ENOBUFS: i32 = 105;
    match error.raw_os_error() {
        Some(EBADF | EINVAL | ENOTSOCK) => None,
        Some(ENOMEM | ENFILE | EMFILE | ENOBUFS) => Some(limits::ACCEPT_PAUSE),
        // The connection's own error (accept(2), "Error handling"): take the next.
        _ => Some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::pause_after;
    use crate::limits::ACCEPT_PAUSE;

    #[test]
    fn a_lack_of_descriptors_pauses_and_a_lost_connection_does_not() {
        let pause = |errno| pause_after(&io::Error::from_raw_os_error(errno));
        assert_eq!(pause(24), Some(ACCEPT_PAUSE));
        assert_eq!(pause(103), Some(std::time::Duration::ZERO));
        assert_eq!(pause(9), None);
    }
}
