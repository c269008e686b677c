//! What the pusher asks of translation.

use std::sync::Arc;

use leno_xds::server::Wanted;
use leno_xds::{ByType, Node};
use tokio::sync::watch;

/// Answers what a proxy shall have. Translation implements it.
pub trait Resources: Send + Sync + 'static {
    /// Everything the proxy shall have now. Called after each change for each connected proxy, so it must be cheap
    /// when nothing changed for that proxy: a map that is the same `Arc` as last time is not looked into.
    fn current(&self, node: &Node) -> Arc<ResourceSet>;

    /// Holds the store's revision up to which [`Resources::current`] answers; moves whenever any answer may differ.
    fn revision(&self) -> watch::Receiver<u64>;
}

/// Everything one proxy shall have.
#[derive(Debug, Default)]
pub struct ResourceSet {
    /// The store's revision it was made from; acknowledgements are told in it.
    pub revision: u64,
    /// Resources by name for each type. Endpoints are listed for every EDS cluster, empty ones included.
    pub by_type: ByType<Arc<Wanted>>,
}
