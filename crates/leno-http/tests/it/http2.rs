//! The HTTP/2 machine, both roles.

mod exchange;
mod heads;
mod pair;
mod rules;
mod simulation;
mod splits;
mod wire;
