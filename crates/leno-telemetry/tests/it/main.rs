//! The public API against the tools that read what it writes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod promtool;
