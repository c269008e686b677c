//! The sockets of one address of a listener: each worker's handles, and one of each kept for a process that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use leno_core::config::ListenerAddress;
use tokio::sync::watch;

use super::Given;
use crate::handover::{Entry, Role};
use crate::listener::socket::{self, Listening, Place};

/// The sockets of one address of a listener, each for one worker to take.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Where it listens, if that is no path.
    pub(crate) address: Option<SocketAddr>,
    /// What the address was bound for; a listener that moves gets other sockets.
    pub(super) wanted: ListenerAddress,
    per_worker: Vec<Mutex<Vec<Listening>>>,
    /// One handle of each socket. A queue lives as long as any handle does.
    kept: Mutex<Vec<Group>>,
    /// False once the listener is not here any more, though it may go on elsewhere.
    is_open: watch::Sender<bool>,
}

/// Sockets with one origin.
#[derive(Debug)]
struct Group {
    role: Role,
    address: SocketAddr,
    sockets: Vec<TcpListener>,
}

/// An address of a listener that sockets are wanted for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) listener: &'a str,
    pub(super) address: &'a ListenerAddress,
    /// Whether the port is ours already, at another address or for another listener.
    pub(super) is_ours: bool,
    pub(super) workers: usize,
}

impl Sockets {
    /// Those that others made for the listener, or one for each worker, bound at the address. A former process's sockets
    /// are taken rather than bound again: clients wait in their queues.
    pub(super) fn open(given: &Given, wanted: Wanted<'_>) -> io::Result<Self> {
        let (is_dual_stack, is_ours) = (false, wanted.is_ours);
        match wanted.address {
            ListenerAddress::Socket(address) => {
                Self::open_at(given, wanted, Place { address: *address, is_dual_stack, is_ours })
            }
            ListenerAddress::DualStack { dual_stack } => {
                let place = Place { address: (*dual_stack).into(), is_dual_stack: true, is_ours };
                Self::open_at(given, wanted, place)
            }
            ListenerAddress::Pipe { path, mode } => {
                let socket = socket::bind_path(Path::new(path), *mode)?;
                let shared = (0..wanted.workers)
                    .map(|_| Ok(Mutex::new(vec![Listening::Unix(socket.try_clone()?)])));
                Ok(Self {
                    address: None,
                    wanted: wanted.address.clone(),
                    per_worker: shared.collect::<io::Result<_>>()?,
                    // Whoever takes over makes its own, in place of this one.
                    kept: Mutex::default(),
                    is_open: watch::Sender::new(true),
                })
            }
            ListenerAddress::Internal => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn open_at(given: &Given, wanted: Wanted<'_>, place: Place) -> io::Result<Self> {
        let Wanted { listener: name, workers, .. } = wanted;
        let address = place.address;
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
        for address in given.inbound_addresses_of(name) {
            let handed = given.handed.inbound(*address)?;
            groups.push(Group::open(Role::Inbound, Place::at(*address), handed, workers)?);
        }
        // Sockets that others made, or addresses of its own, take the place of the configured address.
        if groups.is_empty() {
            let mut handed = given.handed.configured(name, address)?;
            handed.retain(|socket| place.fits(socket));
            groups.push(Group::open(Role::Configured, place, handed, workers)?);
        }
        Self::new(wanted, address, groups)
    }

    fn new(wanted: Wanted<'_>, address: SocketAddr, groups: Vec<Group>) -> io::Result<Self> {
        let workers = wanted.workers;
        let first = groups.iter().flat_map(|group| &group.sockets).next();
        let address = first.map_or(Ok(address), TcpListener::local_addr)?;
        let mut per_worker: Vec<Vec<Listening>> = (0..workers).map(|_| Vec::new()).collect();
        for group in &groups {
            let shared = socket::share_out(&group.sockets, workers)?;
            for (worker, handles) in per_worker.iter_mut().zip(shared) {
                worker.extend(handles.into_iter().map(Listening::Tcp));
            }
        }
        let per_worker = per_worker.into_iter().map(Mutex::new).collect();
        Ok(Self {
            address: Some(address),
            wanted: wanted.address.clone(),
            per_worker,
            kept: Mutex::new(groups),
            is_open: watch::Sender::new(true),
        })
    }

    /// Turns false when nobody shall accept here any more.
    pub(crate) fn is_open(&self) -> watch::Receiver<bool> {
        self.is_open.subscribe()
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

    /// Closes every handle that no worker has taken, and has the workers close theirs.
    pub(super) fn let_go(&self) {
        self.is_open.send_replace(false);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for worker in &self.per_worker {
            worker.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl Group {
    fn open(
        role: Role,
        place: Place,
        handed: Vec<TcpListener>,
        workers: usize,
    ) -> io::Result<Self> {
        let sockets = if handed.is_empty() { socket::bind(place, workers)? } else { handed };
        Ok(Self { role, address: place.address, sockets })
    }
}
