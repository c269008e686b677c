//! Load for benches: a server that answers at once, and a driver that measures.
//!
//! Both are one thread over epoll and share a core, so that what is measured is the proxy between them.

mod connection;
pub mod drive;
pub mod serve;
