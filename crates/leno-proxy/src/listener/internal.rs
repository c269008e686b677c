//! Listeners without a socket (`internal_listener`): connections that this proxy makes to itself.
//!
//! A tunnel that ends at one is served as it is, its bytes are not copied on the way; other connections come through a
//! pair of sockets. Whoever serves one may come to serve another within it, so the future has no name.

use std::io;
use std::pin::Pin;
use std::rc::Rc;

use leno_core::config::{ListenerAddress, TransportProtocol};
use leno_core::filter_chain::{ConnectionFacts, FilterChain, NetworkFilter};
use tokio::net::UnixStream;

use super::active::ActiveListener;
use super::connection::{self, Carried, Incoming};
use crate::upstream::connect::Ends;
use crate::wire::Wire;
use crate::worker::Worker;

/// The listener of this name, if it has no socket.
pub(crate) fn find(worker: &Worker, name: &str) -> Option<Rc<ActiveListener>> {
    let active = worker.listener(name)?;
    let is_internal = active.listener().source().address == ListenerAddress::Internal;
    is_internal.then_some(active)
}

/// Serves a connection from its first byte to its last.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    active: Rc<ActiveListener>,
    incoming: Incoming,
) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(connection::serve_incoming(Rc::clone(worker), active, incoming))
}

/// Opens a connection, which a task of its own serves.
pub(crate) fn connect(
    worker: &Rc<Worker>,
    active: Rc<ActiveListener>,
    ends: Ends,
) -> io::Result<Wire> {
    let (near, far) = UnixStream::pair()?;
    let (wire, carried) = (Wire::Unix(far), Carried::default());
    let account = worker.budget.open();
    let incoming = Incoming { wire, ends, carried, ahead: None, account };
    tokio::task::spawn_local(serve(worker, active, incoming));
    Ok(Wire::Unix(near))
}

/// The chain that takes plaintext bytes to a destination, where that does not depend on the bytes.
pub(crate) fn chain_for(
    active: &ActiveListener,
    ends: Ends,
) -> Option<std::sync::Arc<FilterChain>> {
    use leno_core::config::ListenerFilter;
    let listener = active.listener();
    let looks = |filter: &ListenerFilter| match filter {
        ListenerFilter::OriginalDst => false,
        ListenerFilter::TlsInspector
        | ListenerFilter::HttpInspector
        | ListenerFilter::ProxyProtocol { .. } => true,
    };
    let source = listener.source();
    if source.use_original_dst || source.listener_filters.iter().any(looks) {
        return None;
    }
    let nothing = ConnectionFacts {
        destination: ends.destination,
        server_name: None,
        transport: TransportProtocol::RawBuffer,
        application_protocols: &[],
    };
    Some(active.choose(&nothing)?.chain)
        .filter(|chain| chain.tls.is_none() && matches!(chain.filter, NetworkFilter::Tcp(_)))
}
