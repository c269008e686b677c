//! The rules of the mesh as pure functions over an immutable snapshot: matching, balancing, retry, outlier ejection,
//! authorization, fault, explanation.
//!
//! No I/O, no tokio, no protobuf, no clock, no randomness, no threads: time and random numbers are arguments.
//!
//! The way in: [`snapshot::Resources`] compile to a [`snapshot::Snapshot`], or to every [`problem::Problem`] they have.
//! A connection asks [`snapshot::Snapshot::listener_for`] and [`filter_chain::Listener::choose`]; a request asks
//! [`route_table::RouteTable::route`], then [`balance::Balancer::pick`]; a failure asks [`reply::Failure::reaction`] and
//! [`retry::RetryPolicy::may_retry`].

pub mod authorization;
pub mod balance;
pub mod budget;
pub mod circuit;
pub mod cluster;
pub mod config;
pub mod endpoint;
pub mod explain;
pub mod fault;
pub mod filter_chain;
pub mod format;
mod frozen_index;
pub mod grpc;
pub mod header_edit;
mod header_match;
pub mod http_filter;
pub mod keep_alive;
pub mod name;
pub mod outlier;
pub mod path;
pub mod problem;
pub mod random;
pub mod reply;
pub mod request;
pub mod retry;
pub mod route_table;
#[cfg(test)]
mod samples;
pub mod snapshot;
pub mod string_match;
