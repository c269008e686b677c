//! The data plane process.
