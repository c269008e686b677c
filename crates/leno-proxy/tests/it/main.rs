//! The proxy from outside: real sockets on both sides, wire bytes where they matter.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod basic;
mod config;
mod origin;
