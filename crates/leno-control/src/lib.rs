//! The control plane process.

mod telemetry;
