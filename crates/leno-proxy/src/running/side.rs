//! The sockets beside the listeners: admin, metrics, DNS. Served on from the start to the end, and handed over with the
//! listeners' own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use leno_sys::meeting;

use crate::admin::{self, Pages};
use crate::dns;
use crate::handover::{Entry, Handed, Role};
use crate::options::Options;
use crate::process::Error;

/// Everything bound before the first configuration.
#[derive(Debug)]
pub(super) struct SideSockets {
    pub(super) admin: Vec<(TcpListener, Pages)>,
    pub(super) dns: dns::Sockets,
    /// Another handle of each, for the next process.
    pub(super) kept: Vec<(Entry, OwnedFd)>,
    /// Where the next process will come.
    pub(super) meeting: Option<OwnedFd>,
}

impl SideSockets {
    /// Binds what no former process hands over.
    pub(super) fn open(
        admin: Option<SocketAddr>,
        options: &mut Options,
        handed: Option<&Handed>,
    ) -> Result<Self, Error> {
        let mut side = Self {
            admin: Vec::new(),
            dns: std::mem::take(&mut options.dns),
            kept: Vec::new(),
            meeting: None,
        };
        let pages = admin.map(|address| ("the admin endpoint", address, Pages::All));
        let metrics = options.metrics.iter().map(|address| ("metrics", *address, Pages::Metrics));
        for (what, address, pages) in pages.into_iter().chain(metrics) {
            let bound = side.bind_admin(address, pages, handed);
            bound.map_err(|source| Error::Bind { what, address, source })?;
        }
        let kept = side.keep_dns(handed);
        kept.map_err(|source| Error::Start { what: "the handed sockets", source })?;
        if let Some(path) = &options.handover {
            let former = handed.map(Handed::meeting).transpose();
            let meeting = former.and_then(|former| match former.flatten() {
                Some(meeting) => Ok(meeting),
                None => meeting::wait_at(path),
            });
            let source = |error: io::Error| Error::Handover { source: error.into() };
            side.meeting = Some(meeting.map_err(source)?);
        }
        Ok(side)
    }

    fn bind_admin(
        &mut self,
        address: SocketAddr,
        pages: Pages,
        handed: Option<&Handed>,
    ) -> io::Result<()> {
        let former = handed.map(|handed| handed.admin(address)).transpose()?.flatten();
        let socket = former.map_or_else(|| admin::bind(address), Ok)?;
        self.keep(Role::Admin, Some(address), socket.try_clone()?.into());
        self.admin.push((socket, pages));
        Ok(())
    }

    fn keep_dns(&mut self, handed: Option<&Handed>) -> io::Result<()> {
        if let Some(handed) = handed
            && self.dns.udp.is_empty()
            && self.dns.tcp.is_empty()
        {
            self.dns = handed.dns()?;
        }
        for at in 0..self.dns.udp.len() {
            let copy = self.dns.udp[at].try_clone()?;
            self.keep(Role::DnsUdp, None, copy.into());
        }
        for at in 0..self.dns.tcp.len() {
            let copy = self.dns.tcp[at].try_clone()?;
            self.keep(Role::DnsTcp, None, copy.into());
        }
        Ok(())
    }

    fn keep(&mut self, role: Role, address: Option<SocketAddr>, copy: OwnedFd) {
        self.kept.push((Entry { role, listener: String::new(), address }, copy));
    }
}
