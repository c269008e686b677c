//! What every suite stands on: a folder of its own, certificates, and proxies in front of a server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::Common;
use crate::bench::{
    Contender, Program, Running, Setting, Wire, make_certificates, program_version, write_files,
};

/// The proxies in the order of a table.
pub(super) const PROXIES: [(&str, Program, &str); 4] = [
    ("leno", Program::Leno, "plain.yaml"),
    ("haproxy", Program::Haproxy, "haproxy.cfg"),
    ("envoy", Program::Envoy, "plain.yaml"),
    ("nginx", Program::Nginx, "nginx.conf"),
];

/// One proxy between HTTP/1 and HTTP/1.
pub(super) const ONE: &[Wire] = &[Wire::Http1, Wire::Http1];
/// Two with HTTP/2 and mutual TLS between them, as the mesh has it.
pub(super) const PAIR: &[Wire] = &[Wire::Http1, Wire::MutualHttp2, Wire::Http1];

/// What is spoken from a client to a server through one proxy, or through two with HTTP/2 and mutual TLS between them.
pub(super) fn wires(client: Wire, server: Wire, is_pair: bool) -> Result<&'static [Wire]> {
    const M: Wire = Wire::MutualHttp2;
    Ok(match (client, server, is_pair) {
        (Wire::Http1, Wire::Http1, false) => ONE,
        (Wire::Http1, Wire::Http1, true) => PAIR,
        (Wire::Http1, Wire::Http2, false) => &[Wire::Http1, Wire::Http2],
        (Wire::Http1, Wire::Http2, true) => &[Wire::Http1, M, Wire::Http2],
        (Wire::Http2, Wire::Http1, false) => &[Wire::Http2, Wire::Http1],
        (Wire::Http2, Wire::Http1, true) => &[Wire::Http2, M, Wire::Http1],
        (Wire::Http2, Wire::Http2, false) => &[Wire::Http2, Wire::Http2],
        (Wire::Http2, Wire::Http2, true) => &[Wire::Http2, M, Wire::Http2],
        (Wire::TlsHttp2, Wire::Http1, false) => &[Wire::TlsHttp2, Wire::Http1],
        (Wire::TlsHttp2, Wire::Http1, true) => &[Wire::TlsHttp2, M, Wire::Http1],
        (Wire::TlsHttp2, Wire::Http2, false) => &[Wire::TlsHttp2, Wire::Http2],
        (Wire::TlsHttp2, Wire::Http2, true) => &[Wire::TlsHttp2, M, Wire::Http2],
        _ => bail!("no chain from {client:?} to {server:?}"),
    })
}

/// A place for configurations, certificates and bodies; goes with the value.
pub(crate) struct Bed<'a> {
    root: &'a Path,
    leno: PathBuf,
    only: &'a [String],
    folder: PathBuf,
}

impl<'a> Bed<'a> {
    pub(super) fn make(root: &'a Path, common: &'a Common) -> Result<Self> {
        Self::new(root, &common.leno, &common.only)
    }

    pub(crate) fn new(root: &'a Path, leno: &Path, only: &'a [String]) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("leno-interop-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let bed = Self { root, leno: root.join(leno), only, folder };
        make_certificates(&bed.folder).context("make certificates")?;
        write_files(&bed.folder)?;
        Ok(bed)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The wanted proxies, and what each says of its version.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let is_wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|n| n == name);
        let wanted = PROXIES.iter().filter(|(name, ..)| is_wanted(name));
        let found = wanted.filter_map(|(name, program, _)| {
            let path = program.path(&self.leno).ok()?;
            Some(((*name).to_owned(), program_version(&path)))
        });
        found.collect()
    }

    /// Starts each wanted proxy in front of `behind`; one that cannot be had is said and left out.
    pub(crate) fn start(&self, wires: &'static [Wire], behind: SocketAddr) -> Vec<Running> {
        let setting = Setting {
            root: self.root,
            leno: &self.leno,
            folder: &self.folder,
            backend: behind,
            collector: None,
        };
        let is_wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|n| n == name);
        let mut running = Vec::new();
        for (name, program, template) in PROXIES {
            // nginx asks its servers over HTTP/1 only.
            let speaks = program != Program::Nginx || wires.iter().all(|w| *w == Wire::Http1);
            if !is_wanted(name) || !speaks {
                continue;
            }
            match Contender::new(name, program, template, wires).start(&setting) {
                Ok(started) => running.push(started),
                Err(error) => eprintln!("interop: {name} is left out: {error:#}"),
            }
        }
        running
    }
}

impl Bed<'_> {
    /// Leno as the mesh configures it, alone or as a pair.
    pub(super) fn leno(&self, wires: &'static [Wire], behind: SocketAddr) -> Result<Running> {
        self.transparent(Program::Leno, wires, behind)
    }

    /// Leno or Envoy as a mesh configures them.
    pub(super) fn transparent(
        &self,
        program: Program,
        wires: &'static [Wire],
        behind: SocketAddr,
    ) -> Result<Running> {
        let setting = Setting {
            root: self.root,
            leno: &self.leno,
            folder: &self.folder,
            backend: behind,
            collector: None,
        };
        let name = if program == Program::Envoy { "envoy" } else { "leno" };
        Contender::new(name, program, "transparent.yaml", wires).start(&setting)
    }

    /// Whether `--only` leaves it.
    pub(super) fn is_wanted(&self, program: Program) -> bool {
        let named = PROXIES.iter().find(|(_, each, _)| *each == program);
        self.only.is_empty() || named.is_some_and(|(name, ..)| self.only.iter().any(|n| n == name))
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        // A folder of temporary files that stays is no failure of a suite.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
