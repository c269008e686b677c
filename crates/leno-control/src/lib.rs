//! The control plane process.

pub mod identity;
mod lease;
mod management;
mod portal;
pub mod push;
pub mod scope;
pub mod store;
mod telemetry;
pub mod translate;
pub mod world;
