//! Proved bounds on the norms of convolution layers.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod claim;
mod conv;
mod error;
mod kernel;
mod rounding;

pub use claim::{Bracket, Estimate, Lower, Upper};
pub use conv::{Conv, PaddingMode};
pub use error::Error;
pub use kernel::{Kernel, MAX_AXES};
