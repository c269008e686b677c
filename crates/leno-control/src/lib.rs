//! The control plane process.

mod management;
mod portal;
pub mod push;
mod telemetry;
pub mod world;
