//! Envoy's v3 wire format to and from the configuration model of `leno-core`; ADS machines.
//!
//! Bytes and text come in, values of [`leno_core::config`] come out, and the other way round. No socket, no clock and
//! no decision is in here; what a field means for a request is decided by `leno-core`.

pub mod client;
#[cfg(feature = "grpc")]
mod codec;
pub mod discovery;
mod kind;
pub mod name_table;
mod node;
mod problem;
mod read;
mod resource;
pub mod server;
pub mod static_file;
mod tree;
mod wire;

#[cfg(feature = "grpc")]
pub use codec::BytesCodec;
pub use kind::{ByType, ResourceType};
pub use node::{Node, TAKES_PARTS};
pub use problem::{Decoded, Place, Problem};
pub use resource::{
    decode_cluster, decode_endpoints, decode_listener, decode_route, encode_cluster,
    encode_endpoints, encode_listener, encode_route,
};
