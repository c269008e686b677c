//! The rules of the mesh as pure functions over an immutable snapshot: matching, balancing, retry, outlier ejection,
//! fault, explanation.
//!
//! No I/O, no tokio, no protobuf, no clock, no randomness, no threads: time and random numbers are arguments.

pub mod config;
