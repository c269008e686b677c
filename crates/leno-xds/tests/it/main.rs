//! The crate from outside: what is written is read back, and bad input is named.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod generate;
mod round_trip;
mod static_files;
mod unsupported;
