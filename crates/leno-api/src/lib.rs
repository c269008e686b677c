//! The documents users write: kinds, schemas, defaulting, validation; typed client.
//!
//! A kind is one module under [`kind`] and one line in its registry; everything that serves, prints, explains or
//! refuses documents reads the registry.

pub mod client;
pub mod code;
pub mod field;
pub mod kind;
pub mod problem;
pub mod schema;
pub mod spec;

pub use kind::{Kind, kind_of, kinds};
pub use problem::{Cause, Problem, Warning};
