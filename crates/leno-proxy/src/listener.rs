//! Where connections come in: sockets, accepting, inspecting, and the choice of a filter chain.

pub mod sniff;
pub mod socket;
