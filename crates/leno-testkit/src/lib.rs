//! Real workloads, fault servers and runners for tests and for the demo.
//!
//! Nothing here is part of a mesh: these are the programs a mesh is put around.

pub mod bookinfo;
pub mod ca;
pub mod client;
pub mod load;
pub mod peers;
pub mod restless;
