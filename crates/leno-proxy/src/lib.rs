//! The data plane process: I/O around `leno-http` (the wire) and `leno-core` (the rules).
//!
//! [`run`] is the whole of it. One thread per worker carries traffic, each with a runtime, sockets and pools of its own;
//! one more thread does everything else: admin, configuration, identity.

mod access_log;
mod admin;
pub mod ads;
mod bootstrap;
mod budget;
pub mod buffers;
mod deadline;
pub mod dns;
mod handover;
mod http;
mod http2;
pub mod identity;
mod ids;
mod lane;
mod lifecycle;
pub mod limits;
pub mod listener;
mod mesh;
pub mod options;
mod process;
pub mod publish;
mod running;
mod surroundings;
mod tcp;
mod telemetry;
pub mod tls;
pub mod upstream;
pub mod wire;
mod worker;

pub use admin::{ChangeLevel, LogLevel};
pub use handover::HandoverError;
pub use leno_identity::{Seal, SealError};
pub use leno_xds::discovery::Variant;
pub use options::{Admin, ConfigSource, Mesh, Node, Options};
pub use process::Error;
pub use running::{Running, run, start};
