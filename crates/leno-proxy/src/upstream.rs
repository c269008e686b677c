//! The upstream side: clusters' live state, pools of connections, dialling.

pub(crate) mod by_authority;
pub(crate) mod cluster;
pub(crate) mod connect;
pub(crate) mod connectors;
pub mod dial;
pub mod happy;
pub(crate) mod internal;
pub(crate) mod pool;
pub(crate) mod resolve;
pub(crate) mod shared;
pub(crate) mod tunnel;
