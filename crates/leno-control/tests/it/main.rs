//! The control plane as its users meet it: real kubectl, real Envoy, raw requests, and a process that is killed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod access;
mod addresses;
mod apply;
mod crash;
mod cve;
mod envoy;
mod envoy_as_sidecar;
mod envoy_takes_everything;
mod limits;
mod mesh;
mod served;
mod start;
mod verbs;
mod watch;
