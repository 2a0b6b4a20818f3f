//! [`Stored`]: a layer's weight is a tensor, or computed from factors.

use sigmax::Kernel;
use sigmax::weight::{Updates, Weight};

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::tensor::Tensor;

/// Where a weight comes from.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    /// It is a tensor.
    Whole(Tensor),
    /// It is computed (T30).
    Factors(Box<Recipe>),
    /// A program holds it.
    Held(Box<Weight>),
}

/// How a weight is computed from tensors of the file.
#[derive(Clone, Debug)]
pub(crate) enum Recipe {
    /// W/(uᵀMv).
    SpectralNorm {
        weight: Tensor,
        u: Tensor,
        v: Tensor,
        updates: Updates,
    },
    /// W/σ with σ from one power step from u.
    PowerStep { weight: Tensor, u: Tensor },
    /// g·v/‖v‖ per slice along an axis, or in whole.
    WeightNorm {
        g: Tensor,
        v: Tensor,
        axis: Option<usize>,
    },
    /// W∘mask.
    Masked { weight: Tensor, mask: Tensor },
    /// W + (α/r)·B·A.
    LowRank {
        weight: Tensor,
        a: Tensor,
        b: Tensor,
        alpha: Alpha,
    },
}

/// α of a low-rank update.
#[derive(Clone, Debug)]
pub(crate) enum Alpha {
    /// The metadata of the file state it.
    Stated(f64),
    /// A tensor with one entry.
    Tensor(Tensor),
}

impl Recipe {
    /// The shape of the weight.
    pub(crate) fn shape(&self) -> &[usize] {
        self.main().shape()
    }

    /// The factor that has the shape of the weight.
    pub(crate) fn main(&self) -> &Tensor {
        match self {
            Self::SpectralNorm { weight, .. }
            | Self::PowerStep { weight, .. }
            | Self::Masked { weight, .. }
            | Self::LowRank { weight, .. } => weight,
            Self::WeightNorm { v, .. } => v,
        }
    }

    /// One sentence for the reader of an audit.
    pub(crate) fn note(&self) -> String {
        match self {
            Self::SpectralNorm {
                weight,
                u,
                v,
                updates: Updates::Every,
            } => format!(
                "The weight is {}/σ, σ being found by power steps from {} and {} at every evaluation: \
                 the two ends hold after any number of them, in real arithmetic.",
                weight.name, u.name, v.name
            ),
            Self::SpectralNorm { weight, u, v, .. } => format!(
                "The weight is {}/(uᵀMv), with u = {}, v = {} and M the first as a matrix, as PyTorch \
                 evaluates spectral_norm, in real arithmetic.",
                weight.name, u.name, v.name
            ),
            Self::PowerStep { weight, u } => format!(
                "The weight is {}/σ, σ being that of one power step from {}, as BigGAN evaluates it, in \
                 real arithmetic.",
                weight.name, u.name
            ),
            Self::WeightNorm { g, v, axis } => format!(
                "The weight is g·v/‖v‖{}, with g = {} and v = {}, as PyTorch evaluates weight_norm, in \
                 real arithmetic.",
                match axis {
                    Some(axis) => format!(" per slice along axis {axis}"),
                    None => String::new(),
                },
                g.name,
                v.name
            ),
            Self::Masked { weight, mask } => format!(
                "The weight is {} times {}, entry by entry.",
                weight.name, mask.name
            ),
            Self::LowRank { weight, a, b, .. } => format!(
                "The weight is W + (α/r)·B·A, with W = {}, A = {} and B = {}, in real arithmetic.",
                weight.name, a.name, b.name
            ),
        }
    }

    /// Reads the factors and computes the weight.
    ///
    /// `Ok(Err(…))` is what the core has against them.
    pub(crate) fn read(&self, source: &Source) -> Result<Result<Weight, sigmax::Error>, Error> {
        let main = self.main();
        let kernel = match Kernel::new(main.shape(), main.read(source)?) {
            Ok(kernel) => kernel,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match self {
            Self::SpectralNorm { u, v, updates, .. } => {
                Weight::spectral_norm(&kernel, &u.read(source)?, &v.read(source)?, *updates)
            }
            Self::PowerStep { u, .. } => Weight::power_step(&kernel, &u.read(source)?),
            Self::WeightNorm { g, axis, .. } => {
                Weight::weight_norm(&kernel, &g.read(source)?, *axis)
            }
            Self::Masked { mask, .. } => Weight::masked(&kernel, &mask.read(source)?),
            Self::LowRank { a, b, alpha, .. } => {
                let alpha = match alpha {
                    Alpha::Stated(alpha) => *alpha,
                    Alpha::Tensor(tensor) => {
                        tensor.read(source)?.first().copied().unwrap_or(f64::NAN)
                    }
                };
                let rank = a.shape().first().copied().unwrap_or(0);
                Weight::low_rank_update(&kernel, &a.read(source)?, &b.read(source)?, rank, alpha)
            }
        })
    }
}
