//! The tests of the mathematics against the dense oracle, in one binary.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(
    clippy::print_stderr,
    reason = "the soak reports how far it is and what it covered"
)]

mod cases;
mod curvature;
mod curvature_laws;
mod errors;
mod golden;
mod graphs;
mod jet;
mod laws;
mod layering;
mod layout;
mod limits;
mod network_laws;
mod network_limits;
mod networks;
mod num;
mod residuals;
mod scaling;
mod shared;
mod sized;
mod soak;
mod traps;
mod weights;
