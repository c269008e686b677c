//! The control plane process.
//!
//! [`Running`] puts the roles together; each role is a module: `store` keeps documents, `apiserver` is how people and
//! tools read and write them, `world` is what they mean, `push` is who is told.

mod apiserver;
mod front_door;
mod guard;
pub mod identity;
mod lease;
pub mod limits;
mod management;
mod options;
mod portal;
pub mod push;
mod running;
pub mod scope;
pub mod status;
pub mod store;
mod telemetry;
pub mod translate;
pub mod world;

pub use options::{Options, Ports};
pub use running::{Running, StartError};
