//! Bookinfo, the application every mesh is shown with: four services that call
//! each other by name over HTTP.
//!
//! Paths, JSON and behaviour are the original's (deliberate flaws included);
//! [`serve`] runs one role. Beyond the original each role takes faults at
//! `/_fault` and reports what it received at `/_seen`, both answered before
//! anything else so that a fault cannot lock its own switch.

use std::net::SocketAddr;

use serde::Serialize;

mod details;
mod fault;
mod forward;
mod page;
mod productpage;
mod ratings;
mod reviews;
mod seen;
mod server;
mod session;
mod upstream;

pub use fault::Fault;
pub use server::serve;
pub use upstream::Upstreams;

/// Which of the services a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The page people see, and the JSON API behind it.
    Productpage,
    /// Facts about a book.
    Details,
    /// What readers wrote, with stars from ratings unless version 1.
    Reviews(ReviewsVersion),
    /// The stars.
    Ratings,
}

/// The three generations of reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewsVersion {
    /// No stars; never calls ratings.
    V1,
    /// Black stars.
    V2,
    /// Red stars.
    V3,
}

/// Everything one process needs to know.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is.
    pub role: Role,
    /// Where it listens; port 0 picks one.
    pub listen: SocketAddr,
    /// How it names itself in its answers (`podname` in the original).
    pub pod: String,
    /// Where it finds the others.
    pub upstreams: Upstreams,
    /// What it does wrong from the start.
    pub fault: Fault,
}
