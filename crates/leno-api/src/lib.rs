//! The documents users write: kinds, schemas, defaulting, validation; typed client.

pub mod code;
