//! Opening a connection to an endpoint.
//!
//! Called when a pool has no kept connection. Where a socket comes from is pluggable: the host, or the network
//! namespace of the application (inbound to a captured workload).

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use leno_core::config::Address;
use leno_sys::capture::{Family, SocketSupply};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use super::happy;
use crate::wire::{Wire, unpaced};

/// How the workload beside this proxy is reached (process setting).
#[derive(Debug)]
pub enum InboundDialer {
    /// Over the host's loopback: the workload runs in our network namespace.
    Host,
    /// The same, but the workload was told to listen on this address, so that several can have one port. One that
    /// listens on the usual address all the same is found there.
    At(IpAddr),
    /// By sockets made inside the workload's network namespace.
    Supply(SocketSupply),
}

impl InboundDialer {
    /// One worker's own dialer.
    ///
    /// # Errors
    /// When the process inside the namespace does not answer.
    pub fn for_worker(&self) -> io::Result<Self> {
        match self {
            Self::Host => Ok(Self::Host),
            Self::At(address) => Ok(Self::At(*address)),
            Self::Supply(supply) => supply.open_another().map(Self::Supply),
        }
    }
}

/// Where one dial goes to. No source address is ever bound but in a workload's own namespace: the kernel chooses it.
#[derive(Clone, Copy, Debug)]
pub enum Route {
    /// Out of the host.
    Host,
    /// To the workload beside us. In its own namespace it sees the client's address, where that is of the same family;
    /// over the host's loopback it sees 127.0.0.1 (`::1`), as a program behind any proxy on its machine does.
    Inbound(Option<IpAddr>),
}

/// Why an endpoint could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The connect timeout passed.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The network or the endpoint refused.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// A name that was never resolved.
    #[error("{0} is a name, not an address")]
    Unresolved(String),
    /// An endpoint within this proxy that is not there.
    #[error("{0} is no listener without a socket")]
    NoListener(String),
}

/// One worker's way to open sockets.
#[derive(Debug)]
pub struct Dialer {
    inbound: RefCell<InboundDialer>,
}

impl Dialer {
    /// `inbound` is this worker's own.
    #[must_use]
    pub fn new(inbound: InboundDialer) -> Self {
        Self { inbound: RefCell::new(inbound) }
    }

    /// Connects in plaintext within `limit`, to `address` or the one of `more` that answers first.
    ///
    /// # Errors
    /// [`DialError`]; nothing was sent in any case.
    pub async fn dial(
        &self,
        address: &Address,
        more: &[SocketAddr],
        route: Route,
        limit: Duration,
    ) -> Result<Wire, DialError> {
        let connected = async {
            match address {
                Address::Socket(address) => {
                    let stream = match more {
                        [] => self.connect(*address, route).await?,
                        more => self.race(*address, more, route).await?,
                    };
                    // Small writes are whole messages: waiting for more would only add latency.
                    stream.set_nodelay(true)?;
                    Ok(Wire::Tcp(stream.into()))
                }
                Address::Pipe(path) => Ok(Wire::Unix(UnixStream::connect(path).await?)),
                Address::Host { name, .. } => Err(DialError::Unresolved(name.clone())),
                Address::Internal(to) => Err(DialError::NoListener(to.listener.clone())),
            }
        };
        timeout(limit, connected).await.map_err(|_| DialError::Timeout(limit))?
    }

    async fn race(
        &self,
        first: SocketAddr,
        more: &[SocketAddr],
        route: Route,
    ) -> io::Result<TcpStream> {
        let all: Vec<_> = [first].into_iter().chain(more.iter().copied()).collect();
        happy::race(&happy::interleave(&all), |address| self.connect(address, route)).await
    }

    async fn connect(&self, address: SocketAddr, route: Route) -> io::Result<TcpStream> {
        let told = match (route, &*self.inbound.borrow()) {
            (Route::Inbound(_), InboundDialer::At(ip)) => {
                Some(SocketAddr::new(*ip, address.port()))
            }
            _ => None,
        };
        if let Some(told) = told {
            match self.socket(told, route)?.connect(told).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                other => return other,
            }
        }
        self.socket(address, route)?.connect(address).await
    }

    fn socket(&self, address: SocketAddr, route: Route) -> io::Result<TcpSocket> {
        let (Route::Inbound(client), InboundDialer::Supply(supply)) =
            (route, &mut *self.inbound.borrow_mut())
        else {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            unpaced(&socket, address.ip());
            return Ok(socket);
        };
        let same_family = client.filter(|client| client.is_ipv4() == address.is_ipv4());
        let socket = match same_family {
            Some(client) => supply.take_as(client)?,
            None => supply.take(Family::of(address.ip()))?,
        };
        socket.set_nonblocking(true)?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    }
}
