//! The control plane process.

mod portal;
mod telemetry;
