//! The control plane process.

mod management;
mod portal;
mod telemetry;
