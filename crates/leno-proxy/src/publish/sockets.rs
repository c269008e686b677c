//! One listener's sockets: each worker's handles, and one of each kept for a process that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use leno_core::config::ListenerAddress;

use super::Given;
use crate::handover::{Entry, Role};
use crate::listener::socket::{self, Listening};

/// One listener's sockets, each for one worker to take.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Where it listens, if that is no path.
    pub(crate) address: Option<SocketAddr>,
    /// What the address was bound for; a listener that moves gets other sockets.
    pub(super) wanted: ListenerAddress,
    per_worker: Vec<Mutex<Vec<Listening>>>,
    /// One handle of each socket. A queue lives as long as any handle does.
    kept: Mutex<Vec<Group>>,
}

/// Sockets with one origin.
#[derive(Debug)]
struct Group {
    role: Role,
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

impl Sockets {
    /// Those that others made for the listener, or one for each worker, bound at the address. A former process's sockets
    /// are taken rather than bound again: clients wait in their queues.
    pub(super) fn open(
        given: &Given,
        name: &str,
        address: &ListenerAddress,
        workers: usize,
    ) -> io::Result<Self> {
        match address {
            ListenerAddress::Socket(address) => Self::open_at(given, name, *address, workers),
            ListenerAddress::Pipe { path, mode } => {
                let socket = socket::bind_path(Path::new(path), *mode)?;
                let shared = (0..workers)
                    .map(|_| Ok(Mutex::new(vec![Listening::Unix(socket.try_clone()?)])));
                Ok(Self {
                    address: None,
                    wanted: address.clone(),
                    per_worker: shared.collect::<io::Result<_>>()?,
                    // Whoever takes over makes its own, in place of this one.
                    kept: Mutex::default(),
                })
            }
            ListenerAddress::Internal => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn open_at(given: &Given, name: &str, address: SocketAddr, workers: usize) -> io::Result<Self> {
        let mut groups = Vec::new();
        let inherited = given.inherited.iter().filter(|inherited| inherited.listener == name);
        let mut inherited: Vec<_> =
            inherited.map(socket::Inherited::duplicate).collect::<io::Result<_>>()?;
        if inherited.is_empty() {
            inherited = given.handed.inherited(name)?;
        }
        if !inherited.is_empty() {
            groups.push(Group { role: Role::Inherited, address, sockets: inherited });
        }
        if name == "virtualInbound" {
            for address in &given.inbound_addresses {
                let handed = given.handed.inbound(*address)?;
                groups.push(Group::open(Role::Inbound, *address, handed, workers)?);
            }
        }
        // Sockets that others made, or addresses of its own, take the place of the configured address.
        if groups.is_empty() {
            let handed = given.handed.configured(name, address)?;
            groups.push(Group::open(Role::Configured, address, handed, workers)?);
        }
        Self::new(address, groups, workers)
    }

    fn new(wanted: SocketAddr, groups: Vec<Group>, workers: usize) -> io::Result<Self> {
        let first = groups.iter().flat_map(|group| &group.sockets).next();
        let address = first.map_or(Ok(wanted), TcpListener::local_addr)?;
        let mut per_worker: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
        for group in &groups {
            let shared = socket::share_out(&group.sockets, workers)?;
            for (worker, handles) in per_worker.iter_mut().zip(shared) {
                worker.extend(handles.into_iter().map(Listening::Tcp));
            }
        }
        let per_worker = per_worker.into_iter().map(Mutex::new).collect();
        let (address, wanted) = (Some(address), wanted.into());
        Ok(Self { address, wanted, per_worker, kept: Mutex::new(groups) })
    }

    /// The sockets of one worker, once.
    pub(crate) fn take(&self, worker: usize) -> Vec<Listening> {
        let Some(sockets) = self.per_worker.get(worker) else { return Vec::new() };
        std::mem::take(&mut sockets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another handle of each socket, with what it is for.
    pub(super) fn copies(&self, listener: &str) -> io::Result<Vec<(Entry, OwnedFd)>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copies = Vec::new();
        for group in kept.iter() {
            for socket in &group.sockets {
                let listener = listener.to_owned();
                let entry = Entry { role: group.role, listener, address: Some(group.address) };
                copies.push((entry, socket.try_clone()?.into()));
            }
        }
        Ok(copies)
    }

    /// Closes every handle that no worker has taken.
    pub(super) fn let_go(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for worker in &self.per_worker {
            worker.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Group {
    fn open(
        role: Role,
        address: SocketAddr,
        handed: Vec<TcpListener>,
        workers: usize,
    ) -> io::Result<Self> {
        let sockets = if handed.is_empty() { socket::bind(address, workers)? } else { handed };
        Ok(Self { role, address, sockets })
    }
}
