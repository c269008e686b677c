//! The sockets: one task per datagram socket and per listener, one per query
//! that has to wait for a resolver of the host.
//!
//! Runs on the admin thread; nothing here is on the path of a request. What a
//! hostile app can make us hold is bounded by the constants below.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Decision, Transport, decide, failure};
use super::forward::{forward, read_message, write_message};
use super::{SharedTable, Sockets};

/// Queries that wait for a resolver at one time; one more fails at once.
const FORWARDED_MAX: usize = 512;
/// Connections at one time; one more waits in the backlog.
const CONNECTIONS_MAX: usize = 64;
/// A connection without a query for this long is closed (RFC 7766 §6.2.3).
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const DATAGRAM_BYTES_MAX: usize = 4096;

struct Server {
    table: SharedTable,
    servers: Vec<SocketAddr>,
    forwarded: Semaphore,
    connections: Arc<Semaphore>,
}

/// Answers on `sockets` until dropped. Fails at once when a socket is not
/// usable, later never.
///
/// # Errors
/// When a socket cannot be registered with the reactor.
pub fn serve(
    sockets: Sockets,
    table: SharedTable,
    servers: Vec<SocketAddr>,
) -> io::Result<impl Future<Output = ()> + Send> {
    let server = Arc::new(Server {
        table,
        servers,
        forwarded: Semaphore::new(FORWARDED_MAX),
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
    });
    let mut tasks = JoinSet::new();
    for socket in sockets.udp {
        socket.set_nonblocking(true)?;
        tasks.spawn(datagrams(server.clone(), Arc::new(UdpSocket::from_std(socket)?)));
    }
    for listener in sockets.tcp {
        listener.set_nonblocking(true)?;
        tasks.spawn(connections(server.clone(), TcpListener::from_std(listener)?));
    }
    Ok(async move { while tasks.join_next().await.is_some() {} })
}

impl Server {
    /// The answer to one query; `None` sends nothing.
    async fn answer(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let decision = decide(query, &self.table.load(), transport);
        match decision {
            Decision::Answer(answer) => Some(answer),
            Decision::Drop => None,
            Decision::Forward => {
                let forwarded = match self.forwarded.try_acquire() {
                    Ok(_permit) => forward(query, &self.servers, transport).await,
                    Err(_) => None,
                };
                forwarded.or_else(|| failure(query, transport))
            }
        }
    }
}

async fn datagrams(server: Arc<Server>, socket: Arc<UdpSocket>) {
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        while waiting.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // An earlier answer could not be delivered; the socket is fine.
            tokio::task::yield_now().await;
            continue;
        };
        let query = &buffer[..length];
        match decide(query, &server.table.load(), Transport::Datagram) {
            Decision::Answer(answer) => {
                let _ = socket.send_to(&answer, from).await;
            }
            Decision::Drop => {}
            Decision::Forward => {
                let (server, socket, query) = (server.clone(), socket.clone(), query.to_vec());
                waiting.spawn(async move {
                    if let Some(answer) = server.answer(&query, Transport::Datagram).await {
                        let _ = socket.send_to(&answer, from).await;
                    }
                });
            }
        }
    }
}

async fn connections(server: Arc<Server>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let permit = server.connections.clone().acquire_owned().await;
        let Ok(permit) = permit else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let server = server.clone();
                open.spawn(async move {
                    // The asker's side ends it, or its silence does.
                    let _ = connection(&server, stream).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(server: &Server, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let query = timeout(IDLE_TIMEOUT, read_message(&mut stream)).await??;
        let Some(answer) = server.answer(&query, Transport::Stream).await else {
            return Ok(());
        };
        timeout(IDLE_TIMEOUT, write_message(&mut stream, &answer)).await??;
    }
}

#[cfg(test)]
mod tests;
