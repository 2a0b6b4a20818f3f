//! Numbers about which nothing is proved: every public function returns
//! [`Estimate`](crate::Estimate)s, or a plain linear map.

pub(crate) mod ascent;
mod gram;
pub(crate) mod operator;
mod power;
mod spectrum;

pub use gram::{EstimateDifferential, gram_iteration_gradient};
pub use operator::Operator;
pub use power::{four_by_power_iteration, norm_by_lanczos, norm_by_power_iteration, reshape_norm};
pub use spectrum::spectrum;
