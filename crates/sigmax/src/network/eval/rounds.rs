//! [`Rounds`]: how rounding errors arise in a node and pass through it (T27, T29).

use crate::conv::{Conv, PaddingMode};
use crate::kernel::Kernel;
use crate::network::graph::Network;
use crate::network::op::Op;
use crate::rounding::{add_up, div_up, gamma, mul_up, scale_up, sqrt_int_up, sqrt_up};
use crate::verify::magnitude;

/// Unit roundoff of float32, 2⁻²⁴.
pub(crate) const U32: f64 = 1.0 / (1u64 << 24) as f64;
/// Relative error that is assumed of a float32 function that needs an exponential, 2⁻²⁰.
pub(crate) const SINGLE_FUNCTION: f64 = 1.0 / (1u64 << 20) as f64;
/// Roundings that a float32 runtime may add to those of the plain formula: weights, scales and
/// shifts rounded to float32, BatchNorm folded into a neighbour.
const SINGLE_EXTRA: usize = 12;

/// Results below 2⁻¹²⁶ may be flushed to zero; this is a little more.
pub(crate) const SINGLE_TINY: f64 = 1.2e-38;

/// Magnitudes up to which a float32 execution does not overflow, 2¹²⁶: with its rounding, what it adds
/// up stays below 2¹²⁷.
pub(crate) const SINGLE_MOST: f64 = (1u128 << 126) as f64;

/// What float32 leaves out of the weights that are below its normal range, as a norm: Σ_t ‖E_t‖_F
/// from above. ∞ where a weight may be beyond its range.
pub(crate) fn single_loss(kernel: &Kernel) -> f64 {
    if kernel.exponent() >= 128 {
        return f64::INFINITY;
    }
    mul_up(kernel.scaled().len() as f64, SINGLE_TINY)
}

/// The same for factors of magnitude up to `largest`.
fn single_factor(largest: f64) -> f64 {
    if largest >= SINGLE_MOST {
        return f64::INFINITY;
    }
    SINGLE_TINY
}

/// γ_k for float32 with the extra roundings, from above.
pub(crate) fn single_gamma(k: usize) -> f64 {
    let ku = mul_up((k + SINGLE_EXTRA) as f64, U32);
    if ku < 0.5 {
        div_up(ku, 1.0 - ku)
    } else {
        f64::INFINITY
    }
}

/// A bound `at + per·ε` for an input up to ε away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Linear {
    pub(crate) at: f64,
    pub(crate) per: f64,
}

impl Linear {
    pub(crate) fn new(at: f64, per: f64) -> Self {
        Self { at, per }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self::new(add_up(self.at, other.at), add_up(self.per, other.per))
    }

    /// A bound of the larger of both.
    pub(crate) fn max(self, other: Self) -> Self {
        Self::new(self.at.max(other.at), self.per.max(other.per))
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self::new(mul_up(self.at, factor), mul_up(self.per, factor))
    }
}

/// How errors combine where a node has several inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combine {
    Sum,
    RootSumSquare,
}

/// What a node does to errors.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    /// Its Lipschitz constant (1 where several inputs are combined).
    own: f64,
    combine: Combine,
    /// Roundings on the way to one entry; 0: it computes nothing.
    terms: usize,
    /// The same in the transpose, from above.
    reverse_terms: usize,
    /// More of them in a float32 execution; `None` where they are not bounded.
    single_terms: Option<usize>,
    /// An upper bound of the norm of the entrywise absolute value of its linear part.
    magnitude: f64,
    /// The norm of the error with which that linear part is known, from above, beyond the roundings.
    unknown: f64,
    /// By how much what is lost to underflow may grow within the node.
    growth: f64,
    /// The norm of what float32 leaves out of weights below its normal range, from above; ∞ where
    /// weights may be beyond that range.
    flushed: f64,
    /// ‖bias‖₂ over all entries, from above.
    constant: f64,
    /// Number of entries of its value.
    entries: usize,
    /// Number of entries of what it reads.
    inputs: usize,
    function: Function,
}

/// Whether a node evaluates a function entry by entry, whose error in f64 is bounded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    No,
    /// In float32 it takes the counted roundings.
    Counted,
    /// Its error in float32 is only assumed.
    Assumed,
    /// Nothing is assumed of its error in float32: runtimes compute a variance in several ways, some
    /// of which cancel, and sums of squares or exponentials that may leave the range.
    Unknown,
}

impl Rounds {
    pub(crate) fn new(network: &Network, index: usize, own: f64) -> Self {
        let node = &network.nodes[index];
        let mut rounds = Self {
            own,
            combine: Combine::RootSumSquare,
            terms: 0,
            reverse_terms: 0,
            single_terms: Some(0),
            magnitude: own,
            unknown: 0.0,
            growth: 1.0,
            flushed: 0.0,
            constant: 0.0,
            entries: node.len(),
            inputs: node.inputs.iter().map(|&id| network.node(id).len()).sum(),
            function: Function::No,
        };
        match &node.op {
            Op::Conv { kernel, conv, bias } => {
                let taps: usize = kernel.spatial().iter().product();
                let channels = if conv.transposed {
                    kernel.shape()[0] / conv.groups
                } else {
                    kernel.shape()[1]
                };
                rounds.terms = channels * taps + 2;
                rounds.reverse_terms = conv_terms(kernel, conv);
                let size = scale_up(magnitude(kernel), kernel.exponent());
                rounds.magnitude = mul_up(size, conv.padding_factor());
                let lost = scale_up(kernel.lost(), kernel.exponent());
                let lost = add_up(lost, node.inexact);
                rounds.unknown = mul_up(lost, conv.padding_factor());
                let pixels: usize = node.shape[1..].iter().product();
                rounds.constant = bias_size(bias.as_ref(), pixels);
                rounds.flushed = mul_up(single_loss(kernel), conv.padding_factor());
            }
            Op::Dense { kernel, bias } => {
                rounds.terms = kernel.shape()[1] + 2;
                rounds.reverse_terms = kernel.shape()[0] + 2;
                rounds.magnitude = scale_up(magnitude(kernel), kernel.exponent());
                let lost = scale_up(kernel.lost(), kernel.exponent());
                rounds.unknown = add_up(lost, node.inexact);
                let rows = node.len() / kernel.shape()[0];
                rounds.constant = bias_size(bias.as_ref(), rows);
                rounds.flushed = single_loss(kernel);
            }
            Op::Affine(affine) => {
                rounds.terms = affine.roundings + 3;
                rounds.reverse_terms = rounds.terms;
                rounds.flushed = single_factor(own);
                rounds.constant = norm_up(&affine.size.expanded(&node.shape));
            }
            Op::Separable(separable) => {
                rounds.terms = separable.terms() + 2;
                rounds.reverse_terms = separable.reverse_terms() + 2;
                rounds.single_terms = separable.single_terms();
                rounds.magnitude = separable.magnitude();
                rounds.unknown = separable.error();
                rounds.growth = separable.growth();
            }
            Op::PRelu(_) => {
                rounds.terms = 1;
                rounds.flushed = single_factor(own);
            }
            Op::Pick(pick) => {
                // A constant is copied; in float32 it may have to be rounded first.
                let (fill, count) = pick.constant();
                // Copies of an entry are added: as many as the square of the norm.
                rounds.reverse_terms = (own * own).ceil() as usize;
                rounds.constant = mul_up(fill.abs(), sqrt_int_up(count));
                if fill.abs() > 0.0 {
                    rounds.single_terms = Some(1);
                }
            }
            Op::Add => {
                rounds.own = 1.0;
                rounds.combine = Combine::Sum;
                rounds.terms = node.inputs.len();
                rounds.magnitude = 1.0;
            }
            Op::Activation(activation) => {
                // |σ(x)| ≤ |σ(0)| + slope·|x|.
                let at_zero = activation.value(0.0).0.abs();
                let (function, size) = match activation.float32_roundings() {
                    Some(roundings) => {
                        rounds.terms = roundings as usize;
                        (Function::Counted, at_zero)
                    }
                    None => (Function::Assumed, add_up(at_zero, 1.0)),
                };
                rounds.function = function;
                rounds.constant = mul_up(size, sqrt_int_up(node.len()));
            }
            Op::Softmax { .. } | Op::LogSoftmax { .. } => {
                rounds.function = Function::Assumed;
                rounds.constant = add_up(node.len() as f64, sqrt_int_up(node.len()));
            }
            Op::Normalisation(_) | Op::Fold(_) => rounds.function = Function::Unknown,
            Op::Input
            | Op::Sort { .. }
            | Op::MaxPool(_)
            | Op::Max
            | Op::Min
            | Op::Concat { .. } => {
                // Several inputs are combined by the root of squares, with factor 1.
                if node.inputs.len() > 1 {
                    rounds.own = 1.0;
                }
            }
        }
        rounds
    }

    /// Errors of the inputs behind the node.
    pub(crate) fn carried(&self, errors: &[f64]) -> f64 {
        let combined = match (self.combine, errors) {
            (_, &[only]) => only,
            (Combine::Sum, errors) => errors.iter().fold(0.0, |sum, &e| add_up(sum, e)),
            (Combine::RootSumSquare, errors) => sqrt_up(
                errors
                    .iter()
                    .fold(0.0, |sum, &e| add_up(sum, add_up(mul_up(e, e), 1e-300))),
            ),
        };
        mul_up(self.own, combined)
    }

    /// The same for linear functions of ε; a root of squares is at most the sum.
    pub(crate) fn carried_single(&self, errors: &[Linear]) -> Linear {
        let sum = errors
            .iter()
            .fold(Linear::new(0.0, 0.0), |sum, &e| sum.plus(e));
        sum.times(self.own)
    }

    /// Rounding in f64 in the node itself, for inputs of this size.
    pub(crate) fn local(&self, size: f64) -> f64 {
        if self.terms == 0 || self.function != Function::No {
            return 0.0;
        }
        let spread = add_up(mul_up(self.magnitude, size), self.constant);
        // Products that underflow lose less than 2⁻¹⁰⁷⁴ each.
        let tiny = mul_up(self.terms as f64, self.entries as f64) * 1e-322;
        add_up(
            add_up(
                mul_up(gamma(self.terms), spread),
                mul_up(self.unknown, size),
            ),
            mul_up(tiny, self.growth),
        )
    }

    /// The error of the linear part of a node without its constants, for inputs of this size with
    /// these errors.
    pub(crate) fn linear(&self, errors: &[f64], size: f64) -> f64 {
        let terms = if self.terms == 0 {
            0.0
        } else {
            self.products(self.terms, self.entries, size)
        };
        add_up(self.carried(errors), terms)
    }

    /// The error behind the transpose of the linear part, for a vector of this size with this error.
    /// Where several inputs are combined, what each of them receives.
    pub(crate) fn reversed(&self, error: f64, size: f64) -> f64 {
        let carried = mul_up(self.own, error);
        if self.reverse_terms == 0 {
            return carried;
        }
        add_up(
            carried,
            self.products(self.reverse_terms, self.inputs, size),
        )
    }

    /// Of the transpose of the linear part of a node, entry by entry: the relative error of sums of the
    /// magnitudes of products, an error relative to the ℓ₂ size of what it is applied to, and an absolute
    /// one.
    pub(crate) fn reversed_entry(&self) -> (f64, f64, f64) {
        let terms = self.reverse_terms;
        let tiny = mul_up(terms as f64 * 1e-322, self.growth);
        (gamma(terms), self.unknown, tiny)
    }

    /// What rounding, and what is not known of the factors, leaves of products with the linear part.
    fn products(&self, terms: usize, entries: usize, size: f64) -> f64 {
        let tiny = mul_up(terms as f64, entries as f64) * 1e-322;
        let factor = add_up(mul_up(gamma(terms), self.magnitude), self.unknown);
        add_up(mul_up(factor, size), mul_up(tiny, self.growth))
    }

    /// What a float32 execution adds up on the way to its values, from above in magnitude.
    pub(crate) fn spread(&self, reach: Linear) -> Linear {
        reach
            .times(self.magnitude)
            .plus(Linear::new(self.constant, 0.0))
    }

    /// Rounding of a float32 execution in the node itself (T29).
    pub(crate) fn local_single(&self, reach: Linear) -> Linear {
        let spread = self.spread(reach);
        match self.function {
            Function::Assumed => return spread.times(SINGLE_FUNCTION),
            Function::Unknown => return Linear::new(f64::INFINITY, 0.0),
            Function::No | Function::Counted => {}
        }
        let Some(more) = self.single_terms else {
            return Linear::new(f64::INFINITY, 0.0);
        };
        let terms = self.terms + more;
        if terms == 0 {
            return Linear::new(0.0, 0.0);
        }
        let tiny = mul_up(mul_up(terms as f64, self.entries as f64), SINGLE_TINY);
        spread
            .times(single_gamma(terms))
            .plus(reach.times(self.flushed))
            .plus(Linear::new(tiny, 0.0))
    }
}

/// ‖x‖₂ from above. Squares that underflow lose less than 10⁻³⁰⁰ each.
pub(crate) fn norm_up(x: &[f64]) -> f64 {
    let mut sum = 0.0;
    for chunk in x.chunks(64) {
        sum += chunk.iter().map(|v| v * v).sum::<f64>();
    }
    let roundings = gamma(x.len().min(64) + x.len() / 64 + 4);
    sqrt_up(add_up(
        mul_up(sum, 1.0 + 2.0 * roundings),
        x.len() as f64 * 1e-300,
    ))
}

/// Roundings on the way to one entry of a convolution or of its transpose, from above: products over the
/// channels on one side, or these for one read of a pixel and then a sum over all of its reads. A pixel
/// is read by every tap of an axis once, and once more for each time that padding repeats it.
fn conv_terms(kernel: &Kernel, conv: &Conv) -> usize {
    let taps: usize = kernel.spatial().iter().product();
    let (rows, cols) = (kernel.shape()[0] / conv.groups, kernel.shape()[1]);
    let reads: usize = match conv.padding_mode {
        PaddingMode::Zeros => taps,
        _ => (0..conv.axes())
            .map(|axis| {
                let (before, after) = conv.padding[axis];
                kernel.spatial()[axis].saturating_mul(1 + before + after)
            })
            .fold(1, usize::saturating_mul),
    };
    rows.saturating_add(cols.saturating_mul(taps))
        .saturating_add(reads)
        .saturating_add(4)
}

/// ‖b‖₂·√n from above for a bias that is repeated n times.
fn bias_size(bias: Option<&Vec<f64>>, repeated: usize) -> f64 {
    bias.map_or(0.0, |bias| mul_up(norm_up(bias), sqrt_int_up(repeated)))
}
