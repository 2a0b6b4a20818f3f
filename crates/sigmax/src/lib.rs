//! Proved bounds on the norms of convolution layers.
//!
//! A layer is a [`Kernel`] with a geometry, [`Conv`]. Its norm, the largest factor by which it can
//! stretch a signal in ℓ₂, is between two proved ends after [`norm_bracket`]; [`four_bounds`] are
//! the cheap upper bounds of Singla & Feizi (ICLR 2021), [`weighted_four`] a tighter relative.
//! [`audit`] gives all of them. What is not proved is in [`estimate`] and has a type of its own.
//!
//! Theorem numbers (T1 …) refer to `docs/theory.md`.
//!
//! ```
//! use sigmax::{Conv, Kernel, Options, audit};
//! // A 3×3 box blur from 1 to 1 channel, stride 2.
//! let kernel = Kernel::new(&[1, 1, 3, 3], vec![1.0 / 9.0; 9])?;
//! let conv = Conv::new(2).with_stride(&[2, 2]).with_padding(&[(1, 1), (1, 1)]);
//! let audit = audit(&kernel, &conv, &Options::default())?;
//! let norm = audit.norm().bracket();
//! assert!(norm.contains(5.0 / 9.0)); // per axis the phases hold (1, 1) and 1: norm √5/3
//! assert!(audit.four().min().get() >= norm.lower().get());
//! # Ok::<(), sigmax::Error>(())
//! ```
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a panic is how a test fails")
)]
#![allow(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "!(x > 0) is also true of NaN, which is the point"
)]

mod audit;
mod bound;
mod claim;
mod conv;
mod elementary;
mod error;
pub mod estimate;
mod kernel;
pub mod layout;
mod linalg;
pub mod network;
mod reads;
mod reshape;
mod rounding;
mod symbol;
mod verify;

pub use audit::{Audit, Timing, audit};
pub use bound::circular::circular_norm;
pub use bound::dense::dense_norm;
pub use bound::four::{Differential, FourBounds, four_bounds, four_gradient};
pub use bound::gram::gram_iteration;
pub use bound::norm::{NormBracket, Quantity, norm_bracket};
pub use bound::options::{Budget, Options, Stop};
pub use bound::weighted::{GroupWeights, WeightedFour, weighted_four};
pub use claim::{Bracket, Estimate, Lower, Upper};
pub use conv::{Conv, PaddingMode};
pub use error::Error;
pub use kernel::{Kernel, MAX_AXES};
pub use reshape::Reshape;
