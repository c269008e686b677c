//! What the pusher asks of translation.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
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
    pub by_type: ByType<Arc<BTreeMap<Arc<str>, Encoded>>>,
}

/// One resource as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Differs when the bytes differ; a hash of them is fine.
    pub version: Arc<str>,
    /// What `leno_xds::encode_*` returned.
    pub bytes: Bytes,
}

impl Encoded {
    /// Names the version after the bytes (FNV-1a, 64 bits): the same bytes are the same version on every replica.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { version: format!("{hash:016x}").into(), bytes }
    }
}
