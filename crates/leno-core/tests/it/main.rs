//! The public API: resources in, decisions out.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod bookinfo;
mod cve;
mod hostile;
mod requests;
