//! The telemetry role: scrapes every proxy once a second and keeps who-calls-whom of the last seconds in memory.
//!
//! Works without any Prometheus; what a Prometheus would scrape is what is read here.

mod edges;
mod exposition;
mod scrape;
mod window;

pub(crate) use edges::{EdgeView, Picture, Sides};
pub(crate) use scrape::{Latest, Target, start};
