//! The crate as its users see it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod client;
mod rules;
