//! The workloads and the client, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod bookinfo;
