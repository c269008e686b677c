//! Taking connections from one listening socket, within the worker's limit.
//!
//! One task per socket and worker. Who is beyond a limit of its own is closed at once. At the process' limit, and while
//! another process may take the sockets over, the kernel's queue is left to fill: every client understands that.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use leno_telemetry::{LimitReached, ProcessStat};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

use super::active::ActiveListener;
use super::admission::{Admitted, Refusal};
use super::connection;
use super::socket::Listening;
use crate::budget::{Account, Grade};
use crate::limits;
use crate::wire::unpaced;
use crate::worker::{ConnectionSlot, Worker};

/// Stands for the ends of a connection at a Unix socket.
pub(crate) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Accepts until the listener is closed or the socket is not its own any more; what the kernel had accepted by then is
/// still served.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    active: &Rc<ActiveListener>,
    socket: Listening,
    mut is_open: watch::Receiver<bool>,
) -> io::Result<()> {
    let socket = Acceptor::new(socket)?;
    let stop = active.stop();
    // Whoever could tell being gone is the same as being told.
    let closed = async { drop(is_open.wait_for(|is_open| !is_open).await) };
    let stopping = stop.notified();
    let mut stopped = std::pin::pin!(async {
        tokio::select! {
            () = stopping => {}
            () = closed => {}
        }
    });
    let mut accepting = worker.process.accepting.subscribe();
    'open: while !active.is_closed() {
        if !*accepting.borrow_and_update() {
            tokio::select! {
                _ = accepting.changed() => continue,
                () = &mut stopped => return Ok(()),
            }
        }
        for _ in 0..limits::ACCEPTS_PER_TURN {
            tokio::select! {
                biased;
                accepted = socket.accept(worker) => {
                    if let Some(taken) = accepted? {
                        serve(worker, active, taken);
                    }
                }
                () = &mut stopped => break 'open,
                _ = accepting.changed() => break,
            }
        }
        tokio::task::yield_now().await;
    }
    for stream in socket.into_queue() {
        let Some(slot) = worker.admit() else { break };
        serve(worker, active, (stream, slot));
    }
    Ok(())
}

fn serve(worker: &Rc<Worker>, active: &Rc<ActiveListener>, (stream, mut slot): Taken) {
    let peer = match &stream {
        Stream::Tcp(_, peer) => peer.ip(),
        Stream::Unix(_) => NO_ADDRESS.ip(),
    };
    let admitted = match admit(worker, active, peer) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(worker, active, peer, refusal),
    };
    let account = slot.take(worker, admitted);
    let (worker, active) = (Rc::clone(worker), Rc::clone(active));
    let accepted = Accepted { stream, account, slot };
    tokio::task::spawn_local(connection::serve(worker, active, accepted));
}

/// One connection that is taken.
pub(crate) struct Accepted {
    pub(super) stream: Stream,
    /// What it makes us hold.
    pub(super) account: Account,
    /// Its place in the counts.
    pub(super) slot: ConnectionSlot,
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

type Taken = (Stream, ConnectionSlot);

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(socket: Listening) -> io::Result<Self> {
        Ok(match socket {
            Listening::Tcp(socket) => {
                // What it accepts inherits all of this. A kernel that does not know the first takes more, as it always did.
                let options = socket2::SockRef::from(&socket);
                let _ = options.set_tcp_notsent_lowat(limits::UNSENT_BYTES);
                let _ = options.set_tcp_nodelay(true);
                if let Ok(address) = socket.local_addr() {
                    unpaced(&socket, address.ip());
                }
                Self::Tcp(TcpListener::from_std(socket)?)
            }
            Listening::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    /// One connection, or `None` when it was gone again or nothing could be accepted just now.
    async fn accept(&self, worker: &Worker) -> io::Result<Option<Taken>> {
        let Some(slot) = worker.admit() else {
            worker.process.metrics.reached(LimitReached::ProcessConnections);
            tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            return Ok(None);
        };
        let accepted = match self {
            Self::Tcp(socket) => {
                let accepted = socket.accept().await;
                accepted.map(|(stream, peer)| Stream::Tcp(stream, canonical(peer)))
            }
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        };
        match accepted {
            Ok(stream) => Ok(Some((stream, slot))),
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

    /// Closes the socket, and gives what its queue held, also what the runtime was not told of yet: the kernel would reset it.
    fn into_queue(self) -> Vec<Stream> {
        match self {
            Self::Tcp(socket) => {
                let take = |socket: &std::net::TcpListener| {
                    let (stream, peer) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Stream::Tcp(TcpStream::from_std(stream)?, canonical(peer)))
                };
                queue(socket.into_std(), take)
            }
            Self::Unix(socket) => {
                let take = |socket: &std::os::unix::net::UnixListener| {
                    let (stream, _) = socket.accept()?;
                    stream.set_nonblocking(true)?;
                    Ok(Stream::Unix(UnixStream::from_std(stream)?))
                };
                queue(socket.into_std(), take)
            }
        }
    }
}

/// All that can be taken at once; nothing of a socket that is broken.
fn queue<S>(socket: io::Result<S>, take: impl Fn(&S) -> io::Result<Stream>) -> Vec<Stream> {
    let Ok(socket) = socket else { return Vec::new() };
    std::iter::from_fn(|| take(&socket).ok()).collect()
}

/// An address of IPv4 as such, where a socket of IPv6 took its connection.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(mapped) => match mapped.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), mapped.port()),
            None => address,
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

    use tokio::net::TcpStream;

    use super::{Acceptor, Stream, pause_after};
    use crate::limits::{ACCEPT_PAUSE, UNSENT_BYTES};
    use crate::listener::socket::Listening;

    #[tokio::test]
    async fn what_is_accepted_inherits_how_much_the_kernel_takes_and_that_it_sends_at_once() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let Acceptor::Tcp(socket) = Acceptor::new(Listening::Tcp(socket)).unwrap() else {
            panic!("it was one of TCP")
        };
        let _client = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = socket.accept().await.unwrap();
        let inherited = socket2::SockRef::from(&accepted).tcp_notsent_lowat().unwrap();
        assert_eq!(inherited, UNSENT_BYTES);
        assert!(accepted.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_socket_that_is_closed_leaves_nobody_in_its_queue() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = Acceptor::new(Listening::Tcp(socket)).unwrap();
        // The runtime has no turn between these and the end.
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        let mut peers = socket.into_queue().into_iter().map(|stream| match stream {
            Stream::Tcp(_, peer) => peer,
            Stream::Unix(_) => panic!("it was one of TCP"),
        });
        assert!(peers.by_ref().eq(clients.each_ref().map(|client| client.local_addr().unwrap())));
    }

    #[test]
    fn a_lack_of_descriptors_pauses_and_a_lost_connection_does_not() {
        let pause = |errno| pause_after(&io::Error::from_raw_os_error(errno));
        assert_eq!(pause(24), Some(ACCEPT_PAUSE));
        assert_eq!(pause(103), Some(std::time::Duration::ZERO));
        assert_eq!(pause(9), None);
    }
}
