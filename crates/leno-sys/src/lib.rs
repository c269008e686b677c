//! The kernel's edges that need `unsafe`: namespaces, netlink, descriptors
//! passed between processes, original destinations, signals, memory.
//!
//! No decisions live here: what to capture and what to do with it belongs to
//! the callers (`leno-proxy`, `leno-cli`). Whatever a safe crate (`rustix`,
//! `socket2`) already does is called through that crate; every `unsafe` block
//! that is left says why it is sound.

#[cfg(target_os = "linux")]
pub mod capture;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
pub mod meeting;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod nftables;
#[cfg(target_os = "linux")]
pub mod original;
#[cfg(target_os = "linux")]
pub mod passing;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod signals;
#[cfg(target_os = "linux")]
pub mod tcp;
