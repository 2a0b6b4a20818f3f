//! [`NotCovered`]: what is well-formed, and beyond what is bounded.

use std::fmt;

/// A combination that sigmax does not cover.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCovered {
    /// The exact norm of a layer that is not periodic at its input size.
    #[error(
        "the exact circular norm needs circular padding, a known input size that the stride \
         divides, and as many outputs as the periodic layer has"
    )]
    CircularNorm,
    /// A transposed convolution whose padding is not zeros.
    #[error("{mode} padding on a transposed convolution")]
    TransposedPadding {
        /// The padding mode.
        mode: &'static str,
    },
    /// A factor of a weight with an entry that is NaN or infinite.
    #[error("{what} has an entry {value}; every entry must be finite")]
    NotFinite {
        /// The factor.
        what: &'static str,
        /// The entry.
        value: f64,
    },
    /// A factor of a weight of the wrong length.
    #[error("{what} has {got} entries; expected {expected}")]
    Entries {
        /// The factor.
        what: &'static str,
        /// How many it has.
        got: usize,
        /// How many the others need.
        expected: Expected,
    },
    /// A low-rank update with a number that is NaN or infinite.
    #[error("α/r, A or B has an entry that is not finite")]
    UpdateNotFinite,
    /// Vectors of a spectral norm that fit no axis of the kernel.
    #[error("u and v have {u} and {v} entries, which fit no axis of the shape {shape:?}")]
    NoAxis {
        /// Entries of u.
        u: usize,
        /// Entries of v.
        v: usize,
        /// The shape of the kernel.
        shape: Vec<usize>,
    },
    /// Vectors of a spectral norm that fit several axes of the kernel.
    #[error(
        "u and v fit several axes of the kernel and belong clearly to none of them, so the file \
         does not say by which number the weight is divided"
    )]
    SeveralAxes,
    /// A spectral norm that may be 0.
    #[error("uᵀMv is not bounded away from 0, and the weight is divided by it")]
    ZeroSigma,
    /// A vector of a power step so short that its normalisation is another than it seems.
    #[error(
        "‖{vector}‖ is not proved to be above {least}, where what is added to it before the \
         division matters"
    )]
    Short {
        /// The vector.
        vector: &'static str,
        /// The length above which that does not matter.
        least: f64,
    },
    /// A weight norm with a slice of length 0.
    #[error("v is 0 in a slice, and the weight is divided by its length")]
    ZeroSlice,
    /// A weight norm with slices of too different lengths.
    #[error("a slice of v is 2⁹⁰⁰ times smaller than the largest one")]
    SmallSlice,
}

/// How many entries a factor of a weight needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// So many.
    Count(usize),
    /// Those of a matrix.
    Matrix {
        /// Its rows.
        rows: usize,
        /// Its columns.
        cols: usize,
    },
    /// One per row of the weight as a matrix.
    Rows(usize),
    /// One per slice of the weight.
    Slices {
        /// The axis that counts the slices.
        axis: usize,
        /// The shape of the weight.
        shape: Vec<usize>,
    },
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Matrix { rows, cols } => write!(f, "{rows}×{cols}"),
            Self::Rows(rows) => write!(f, "{rows}, one per row"),
            Self::Slices { axis, shape } => {
                write!(f, "one per slice along axis {axis} of {shape:?}")
            }
        }
    }
}
