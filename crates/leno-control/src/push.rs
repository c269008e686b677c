//! Pushes resources to proxies over ADS, and knows which proxy has what.
//!
//! Translation answers [`Resources`]; one [`ProxyTable`] collects what every proxy acknowledged or refused, and status
//! is written from it. Nothing here decides what a proxy shall have.

mod admission;
mod admitted;
mod resources;
mod serve;
mod service;
mod stream;
mod table;

pub use admission::Admission;
pub use leno_xds::server::Encoded;
pub use resources::{ResourceSet, Resources};
pub(crate) use serve::{Security, serve};
pub use service::{DiscoveryService, Push};
pub use table::{ProxyEntry, ProxyTable, Refusal, TypeProgress};

#[cfg(test)]
mod tests;
