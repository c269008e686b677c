//! The public API, driven as the proxy drives it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod corpus;
mod cve;
mod exchange;
mod fields;
mod http2;
mod properties;
mod smuggling;
