//! The proxy from outside: real sockets on both sides, wire bytes where they matter.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod abort;
mod addresses;
mod admin;
mod ads;
mod basic;
mod bodies;
mod config;
mod connect;
mod connections;
mod cve;
mod failures;
mod grpc;
mod h2;
mod handover;
mod http2;
mod keep_alive;
mod lifecycle;
mod limits;
mod listeners;
mod log_formats;
mod operators;
mod origin;
mod policies;
mod proxy_protocol;
mod records;
mod server_first;
mod spans;
mod stalls;
mod tcp;
mod tls_routing;
mod tunnels;
