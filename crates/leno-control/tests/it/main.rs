//! The control plane as its users meet it: real kubectl, raw requests, and a process that is killed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod apply;
mod crash;
mod mesh;
mod start;
mod verbs;
mod watch;
