//! Connections of clusters to listeners of this proxy (`envoy_internal_address`).
//!
//! Where such a listener does nothing but send bytes through a tunnel over HTTP/2, as HBONE's `connect_originate` does,
//! the connection is the tunnel itself: nothing is copied in between, and who was proved to be at the tunnel's end is at
//! the connection's.

use std::rc::Rc;
use std::sync::Arc;

use leno_core::config::UpstreamProtocol;
use leno_core::filter_chain::{NetworkFilter, TcpProxy};

use super::connect::{ConnectError, Ends};
use super::dial::DialError;
use super::tunnel::Caller;
use crate::http2::Peerage;
use crate::listener::active::ActiveListener;
use crate::listener::internal;
use crate::tcp::open::open;
use crate::wire::Wire;
use crate::worker::Worker;

/// Connects to the listener of this name, which finds the connection's ends as given.
pub(crate) async fn dial(
    worker: &Rc<Worker>,
    name: &str,
    ends: Ends,
) -> Result<(Wire, Peerage), ConnectError> {
    let active = internal::find(worker, name);
    let active = active.ok_or_else(|| DialError::NoListener(name.to_owned()))?;
    let Some(filter) = tunnels(worker, &active, ends) else {
        let wire = internal::connect(worker, active, ends).map_err(DialError::Connect)?;
        return Ok((wire, Peerage::default()));
    };
    let opened = open(worker, &filter, &Caller::at(ends)).await;
    let opened = opened.map_err(|unopened| {
        let reason = unopened.reason.unwrap_or_else(|| unopened.failure.reaction().detail.into());
        ConnectError::Tunnel(reason)
    })?;
    Ok((opened.wire, Peerage { proof: opened.proof, local: opened.local }))
}

/// The filter that sends the bytes through tunnels which share connections.
fn tunnels(worker: &Worker, active: &ActiveListener, ends: Ends) -> Option<Arc<TcpProxy>> {
    let chain = internal::chain_for(active, ends)?;
    let NetworkFilter::Tcp(filter) = &chain.filter else { return None };
    filter.tunneling.as_ref()?;
    if !chain.authorization.is_empty() {
        return None;
    }
    let view = worker.view();
    let mut clusters =
        filter.clusters.targets().iter().map(|target| view.cluster(worker, &target.cluster));
    let is_shared = clusters.all(|cluster| {
        cluster.is_some_and(|cluster| {
            cluster.settings().source().http.protocol == UpstreamProtocol::Http2
        })
    });
    is_shared.then(|| Arc::clone(filter))
}
