//! The program as its users meet it, and both planes in one test: the only crate that may link them.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod codes;
mod errors;
mod full_disk;
mod identity;
mod mesh;
mod run;
