//! The HTTP/2 machine, both roles.

mod exchange;
mod heads;
pub(crate) mod pair;
mod rules;
mod simulation;
mod spelling;
mod splits;
pub(crate) mod wire;
