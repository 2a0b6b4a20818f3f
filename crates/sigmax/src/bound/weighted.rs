//! The weighted four: T9 with a weight on every tap, optimised.

use std::time::Instant;

use crate::bound::four::{ReshapeNorm, ReshapeNorms, layer_upper, root_of_taps};
use crate::claim::Upper;
use crate::conv::Conv;
use crate::deadline::is_past;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::krylov::{self, MAX_PAIRS};
use crate::linalg::{self, Mat};
use crate::reshape::{self, Reshape};
use crate::rounding::{add_up, div_up, gamma, larger, mul_up, sqrt_up};
use crate::symbol::Lattice;
use crate::verify::{self, CheapNorms};

/// The smallest weighted bound found, never above the smallest of the four.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedFour {
    pub(crate) upper: Upper,
    weights: Vec<GroupWeights>,
}

impl WeightedFour {
    /// The bound of the layer's norm.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.upper
    }

    /// The weights behind it, for every group whose weights were optimised; the other groups are
    /// bounded well enough by the four.
    #[must_use]
    pub fn weights(&self) -> &[GroupWeights] {
        &self.weights
    }
}

/// Weights of one group: `S(K) ≤ √(Σα⁻²)·√(Σβ⁻²)·‖D_α M_A D_β‖₂`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GroupWeights {
    /// Group.
    pub group: usize,
    /// The reshape A, of the polyphase kernel (of the adjoint layer, if transposed).
    pub reshape: Reshape,
    /// α: one weight per tap of the axes in A, row-major.
    pub alpha: Vec<f64>,
    /// β: one weight per tap of the other axes, row-major.
    pub beta: Vec<f64>,
}

/// Bounds the norm of a layer from above by weighted reshapes:
/// `‖layer‖₂ ≤ ‖P‖₂ · √(Σα⁻²)·√(Σβ⁻²)·‖D_α M_A D_β‖₂`, minimised over A, α, β.
///
/// # Guarantee
/// Proved for the weights found, rounding included, whatever the optimisation did; never above
/// [`FourBounds::min`](crate::bound::FourBounds::min).
///
/// # Cost
/// About 150 products of the kernel with a vector and one Gram matrix and Cholesky factorisation.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Source
/// T12. The four bounds are α = β = 1.
///
/// # Example
/// ```
/// use sigmax::bound::{four_bounds, weighted_four};
/// use sigmax::{Conv, Kernel};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let weighted = weighted_four(&kernel, &Conv::new(1))?;
/// // The norm is 4 = Σ|K|, which weights reach: α_t⁻² proportional to |K_t|.
/// assert!((4.0..4.0001).contains(&weighted.upper().get()));
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn weighted_four(kernel: &Kernel, conv: &Conv) -> Result<WeightedFour, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    let four = ReshapeNorms::compute(&lattice);
    Ok(Weighted::compute(&lattice, &four).claim(&lattice, conv))
}

/// In scaled lattice units.
pub(crate) struct Weighted {
    /// Proved bound per group, never above the four.
    pub(crate) groups: Vec<f64>,
    weights: Vec<GroupWeights>,
}

impl Weighted {
    pub(crate) fn compute(lattice: &Lattice<'_>, four: &ReshapeNorms) -> Self {
        Self::until(lattice, four, None)
    }

    /// The same, with weights 1 where time is over before others are looked for.
    pub(crate) fn until(
        lattice: &Lattice<'_>,
        four: &ReshapeNorms,
        deadline: Option<Instant>,
    ) -> Self {
        let root = root_of_taps(lattice.taps());
        let mut groups: Vec<f64> = (0..lattice.groups)
            .map(|g| mul_up(root, four.group_min(g)))
            .collect();
        let mut weights = Vec::new();
        if lattice.taps() > 1 {
            let mut order: Vec<usize> = (0..lattice.groups).collect();
            order.sort_by(|&a, &b| groups[b].total_cmp(&groups[a]).then(a.cmp(&b)));
            let mut largest = 0.0;
            for g in order {
                // The bounds descend: no later group can exceed what is reached.
                if groups[g] <= largest || is_past(deadline) {
                    break;
                }
                if let Some((bound, found)) = best_weights(lattice, four, g)
                    && bound < groups[g]
                {
                    groups[g] = bound;
                    weights.push(found);
                }
                largest = groups[g].max(largest);
            }
        }
        Self { groups, weights }
    }

    pub(crate) fn claim(self, lattice: &Lattice<'_>, conv: &Conv) -> WeightedFour {
        let largest = self.groups.iter().copied().fold(0.0, larger);
        WeightedFour {
            upper: layer_upper(largest, lattice, conv),
            weights: self.weights,
        }
    }
}

/// Optimises the two reshapes with the smallest bounds of this group; the better outcome.
fn best_weights(
    lattice: &Lattice<'_>,
    four: &ReshapeNorms,
    group: usize,
) -> Option<(f64, GroupWeights)> {
    let mut candidates: Vec<&ReshapeNorm> = four.reshapes.iter().collect();
    candidates.sort_by(|a, b| a.groups[group].total_cmp(&b.groups[group]));
    candidates.truncate(2);
    let mut fits: Vec<Fit> = candidates
        .into_iter()
        .map(|r| Fit::new(lattice, r, group))
        .collect();
    for stage in &STAGES {
        let best = fits
            .iter()
            .map(|f| f.best.value)
            .fold(f64::INFINITY, f64::min);
        // The last stage gains a per cent at most, so that one further behind stays there.
        for fit in fits.iter_mut().filter(|f| f.best.value <= 1.02 * best) {
            fit.improve(stage);
        }
    }
    fits.sort_by(|a, b| a.best.value.total_cmp(&b.best.value));
    let fit = fits.into_iter().next()?;
    let (alpha, beta) = (weights(&fit.best.rows), weights(&fit.best.cols));
    Some((
        prove(&fit.matrix, &alpha, &beta),
        GroupWeights {
            group,
            reshape: fit.reshape,
            alpha,
            beta,
        },
    ))
}

/// A part of the iteration for weights.
struct Stage {
    /// p in (Σσ^(2p))^(1/2p), the smooth norm that is minimised.
    power: i32,
    /// Step in the logarithm of the shares.
    step: f64,
    rounds: usize,
}

const STAGES: [Stage; 2] = [
    Stage {
        power: 8,
        step: 0.5,
        rounds: 12,
    },
    Stage {
        power: 40,
        step: 0.25,
        rounds: 8,
    },
];

/// Shares a = α⁻²/Σα⁻² of the taps of A, and of the other taps.
#[derive(Clone)]
struct Shares {
    rows: Vec<f64>,
    cols: Vec<f64>,
    /// The bound these give, approximately.
    value: f64,
}

/// Weights in progress.
struct Fit {
    reshape: Reshape,
    matrix: Mat<f64>,
    shares: Shares,
    best: Shares,
    /// Approximate right singular vectors.
    v: Mat<f64>,
    round: usize,
}

impl Fit {
    fn new(lattice: &Lattice<'_>, norm: &ReshapeNorm, group: usize) -> Self {
        let matrix = reshape::matrix(lattice, group, &norm.split);
        let equal = |taps: usize| vec![1.0 / taps as f64; taps];
        let shares = Shares {
            rows: equal(norm.split.held),
            cols: equal(norm.split.free),
            value: f64::INFINITY,
        };
        let pairs = MAX_PAIRS.min(matrix.nrows()).min(matrix.ncols());
        let start = krylov::quasi_random(matrix.ncols() * pairs, 11);
        Self {
            reshape: norm.reshape,
            v: Mat::from_fn(matrix.ncols(), pairs, |i, j| start[j * matrix.ncols() + i]),
            matrix,
            best: shares.clone(),
            shares,
            round: 0,
        }
    }

    /// Fixed-point iteration for the weights. With a = α⁻²/Σα⁻² and the top pair (u, v) of
    /// D_α M_A D_β, the bound is stationary where a_t = ‖u_t‖² (and likewise β, v). At the optimum
    /// several singular values tend to meet, so the energies are averaged over the top few pairs,
    /// weighted by σ^(2p), which is the same condition for the smooth (Σσ^(2p))^(1/2p) in place of
    /// σ₁. One step of subspace iteration per round keeps the pairs up to date.
    fn improve(&mut self, stage: &Stage) {
        let matrix = &self.matrix;
        let pairs = self.v.ncols();
        // Small steps, and many of them, where they cost nothing.
        let more = ((1 << 13) / (matrix.nrows() * matrix.ncols())).clamp(1, 10);
        let step = stage.step / (more as f64).sqrt();
        for _ in 0..stage.rounds * more {
            let alpha = repeated(&self.shares.rows, matrix.nrows());
            let beta = repeated(&self.shares.cols, matrix.ncols());
            let mut top = None;
            for _ in 0..if self.round == 0 { 4 } else { 1 } {
                top = krylov::subspace_step(
                    &mut self.v,
                    |v| {
                        scale_rows(v, &beta);
                        let mut u = Mat::zeros(matrix.nrows(), pairs);
                        linalg::product(u.as_mut(), matrix.as_ref(), v.as_ref());
                        scale_rows(&mut u, &alpha);
                        u
                    },
                    |u| {
                        let mut lifted = u.clone();
                        scale_rows(&mut lifted, &alpha);
                        let mut z = Mat::zeros(matrix.ncols(), pairs);
                        linalg::product(z.as_mut(), matrix.transpose(), lifted.as_ref());
                        scale_rows(&mut z, &beta);
                        z
                    },
                );
            }
            let Some((u, squares)) = top else { break };
            self.shares.value = squares[0].max(0.0).sqrt();
            if self.round > 2 && self.shares.value < self.best.value {
                self.best = self.shares.clone();
            }
            self.round += 1;
            let importance: Vec<f64> = squares
                .iter()
                .map(|s| (s / squares[0]).clamp(0.0, 1.0).powi(stage.power))
                .collect();
            rebalance(&mut self.shares.rows, &u, &importance, step);
            rebalance(&mut self.shares.cols, &self.v, &importance, step);
        }
    }
}

/// √(Σα⁻²)·√(Σβ⁻²)·‖D_α M_A D_β‖₂ from above.
fn prove(matrix: &Mat<f64>, alpha: &[f64], beta: &[f64]) -> f64 {
    let (held, free) = (alpha.len(), beta.len());
    let scaled = Mat::from_fn(matrix.nrows(), matrix.ncols(), |r, c| {
        alpha[r % held] * beta[c % free] * matrix[(r, c)]
    });
    // Two roundings per entry: |Δ| ≤ γ₂|entry| (and underflow far below), so
    // ‖Δ‖₂ ≤ γ₃·‖scaled‖_F.
    let frobenius = sqrt_up(CheapNorms::of(scaled.as_ref()).frobenius_squared);
    let norm = add_up(
        verify::matrix_norm(scaled.as_ref()).upper,
        add_up(mul_up(gamma(3), frobenius), 1e-200),
    );
    mul_up(
        norm,
        mul_up(sum_of_inverse_squares(alpha), sum_of_inverse_squares(beta)),
    )
}

/// √(Σw⁻²) from above.
fn sum_of_inverse_squares(weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    for &w in weights {
        let inverse = div_up(1.0, w);
        sum = add_up(sum, mul_up(inverse, inverse));
    }
    sqrt_up(sum)
}

/// The weights α_t = 1/√a_t of shares a.
fn weights(shares: &[f64]) -> Vec<f64> {
    shares.iter().map(|a| 1.0 / a.sqrt()).collect()
}

/// The same for all rows (channel, tap).
fn repeated(shares: &[f64], rows: usize) -> Vec<f64> {
    weights(shares).into_iter().cycle().take(rows).collect()
}

/// Multiplies every row by its weight.
fn scale_rows(m: &mut Mat<f64>, weights: &[f64]) {
    for j in 0..m.ncols() {
        for (x, w) in m.col_as_slice_mut(j).iter_mut().zip(weights) {
            *x *= w;
        }
    }
}

/// Moves the shares (geometrically, by `step`) to the energy of the columns on each tap.
fn rebalance(shares: &mut [f64], columns: &Mat<f64>, importance: &[f64], step: f64) {
    let taps = shares.len();
    if taps == 1 {
        return;
    }
    // Several channels side by side.
    const CHANNELS: usize = 8;
    let mut energies = vec![0.0; CHANNELS * taps];
    for (j, weight) in importance.iter().enumerate() {
        let column = columns.col_as_slice(j);
        let scale = weight / krylov::dot(column, column).max(f64::MIN_POSITIVE);
        for channels in column.chunks(CHANNELS * taps) {
            for (e, x) in energies.iter_mut().zip(channels) {
                *e += scale * x * x;
            }
        }
    }
    let mut energy = vec![0.0; taps];
    for channel in energies.chunks_exact(taps) {
        for (e, x) in energy.iter_mut().zip(channel) {
            *e += x;
        }
    }
    let total: f64 = energy.iter().sum();
    if !(total > 0.0) {
        return;
    }
    let least = 1e-6 / taps as f64;
    for (share, e) in shares.iter_mut().zip(&energy) {
        // The logarithm moves by `step`: ratio^step by repeated halving.
        *share = (*share * krylov::power(e / total / *share, step)).max(least);
    }
    let total: f64 = shares.iter().sum();
    for share in shares {
        *share /= total;
    }
}
