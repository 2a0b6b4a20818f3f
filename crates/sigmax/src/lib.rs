//! Proved bounds on the norms of convolution layers.
//!
//! A layer is a [`Kernel`] with a geometry, [`Conv`]. Its norm, the largest factor by which it can
//! stretch a signal in ℓ₂, is between two proved ends after [`bound::norm_bracket`]; [`bound::four_bounds`]
//! are
//! the cheap upper bounds of Singla & Feizi (ICLR 2021), [`bound::weighted_four`] a tighter relative.
//! [`audit`] gives all of them. What is not proved is in [`estimate`] and has a type of its own.
//!
//! # What is proved, what is assumed
//!
//! An [`Upper`], a [`Lower`] and a [`Bracket`] are conclusions of theorems, rounding of this program
//! included, about the values as they are given (f16, bf16 and f32 widen exactly) and for real
//! arithmetic in the layer or network they speak of. Only this crate makes them, whatever holds one
//! gives it out to be read only, and an [`Estimate`] does not convert into one. Work that is cut
//! short by a [`Budget`] leaves a bracket wider, not less proved. Theorem numbers (T1 …) refer to
//! [`theory`].
//!
//! It is assumed that the processor's f64 arithmetic is that of IEEE 754, to nearest; that products of
//! matrices and Cholesky factors of the dense library are sums of products in some order (its
//! decompositions are not believed); and that compiler, library and hardware compute what they are
//! told. A certificate for float32 executions ([`network::Arithmetic::Float32`]) also assumes what T29
//! states of the program that runs the network.
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
mod banded;
pub mod bound;
mod claim;
mod conv;
mod deadline;
mod elementary;
pub mod enclosed;
pub mod error;
pub mod estimate;
mod kernel;
mod krylov;
pub mod layout;
mod linalg;
mod named;
pub mod network;
mod reads;
mod reshape;
mod rounding;
mod side_by_side;
mod sparse;
mod symbol;
mod verify;
pub mod weight;

pub use audit::{Audit, Timing, audit};
pub use bound::norm::{NormBracket, Quantity};
pub use bound::options::{Budget, Options, Stop};
pub use claim::{Bracket, Estimate, Lower, Upper};
pub use conv::{Conv, PaddingMode};
pub use error::Error;
pub use kernel::Kernel;

/// The theorems that the bounds follow from, with their proofs, rounding included.
#[allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "mathematics has brackets of its own"
)]
pub mod theory {
    #![doc = include_str!("../docs/theory.md")]
}
