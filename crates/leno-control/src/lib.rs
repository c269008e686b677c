//! The control plane process.

pub mod identity;
mod management;
mod portal;
pub mod push;
mod telemetry;
pub mod world;
