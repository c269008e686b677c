//! The data plane process: I/O around `leno-http` (the wire) and `leno-core` (the rules).

pub mod buffers;
pub mod dns;
pub mod limits;
pub mod listener;
pub mod tcp;
pub mod tls;
pub mod wire;
