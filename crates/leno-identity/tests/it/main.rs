//! The public API with certificates of every wrong kind.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod svids;
