//! The control plane process.
