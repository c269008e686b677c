//! Both planes in one test: the only crate that may link them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod identity;
mod run;
