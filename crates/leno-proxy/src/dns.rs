//! DNS for a captured app: names of services are answered here, all others by
//! the resolvers of the host.
//!
//! [`serve`] owns the sockets that were made inside the app's namespace; the
//! redirect there brings every query, whichever resolver it was sent to.
//! [`answer`] is the rule (pure), [`Table`] what it knows, [`forward`] the way out.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;

mod answer;
mod forward;
mod resolvers;
mod serve;
mod table;

pub use answer::{Decision, Transport, decide};
pub use resolvers::Resolvers;
pub use serve::serve;
pub use table::{Entry, Table};

/// Sockets that receive an app's queries.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Datagrams.
    pub udp: Vec<UdpSocket>,
    /// Connections.
    pub tcp: Vec<TcpListener>,
}

/// The table in force; replaced whole when the control plane sends a new one.
pub type SharedTable = Arc<ArcSwap<Table>>;
