//! The four bounds of Singla & Feizi (2^m for m spatial axes) and their gradient.

use std::time::Instant;

use rayon::prelude::*;

use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::krylov;
use crate::linalg;
use crate::reshape::{self, Reshape, TapSplit};
use crate::rounding::{self, mul_up, scale_up, sqrt_int_up, sqrt_up};
use crate::symbol::Lattice;
use crate::verify::{self, CheapNorms, MatrixNorm};

/// The four bounds of one layer: each bounds its norm from above.
///
/// In two dimensions they are √(hw) times the norms of the reshapes R, S, T and U of the
/// (polyphase) kernel; in one dimension there are two, in three eight; a dense layer has one, T.
///
/// ```compile_fail,E0616
/// use sigmax::bound::four_bounds;
/// use sigmax::{Conv, Kernel};
/// let kernel = |value| Kernel::new(&[1, 1], vec![value]);
/// let mut four = four_bounds(&kernel(9.0)?, &Conv::new(0))?;
/// four.min = four_bounds(&kernel(1.0)?, &Conv::new(0))?.min(); // this does not compile
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FourBounds {
    pub(crate) bounds: Vec<(Reshape, Upper)>,
    pub(crate) min: Upper,
    pub(crate) winner: Reshape,
}

impl FourBounds {
    /// Every bound, by reshape.
    #[must_use]
    pub fn bounds(&self) -> &[(Reshape, Upper)] {
        &self.bounds
    }

    /// The smallest.
    #[must_use]
    pub fn min(&self) -> Upper {
        self.min
    }

    /// Which reshape gives the smallest (the first one, where several do).
    #[must_use]
    pub fn winner(&self) -> Reshape {
        self.winner
    }

    /// The bound with the given name (`"R"`, `"S"`, `"T"`, `"U"`, …; see [`Reshape::name`]).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Upper> {
        self.bounds
            .iter()
            .find(|(reshape, _)| reshape.name() == name)
            .map(|&(_, upper)| upper)
    }
}

/// A proved bound and its derivative with respect to every kernel entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Differential {
    upper: Upper,
    gradient: Vec<f64>,
}

impl Differential {
    /// The bound.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.upper
    }

    /// ∂/∂K, row-major, of the kernel's shape; approximate (nothing is proved about a gradient).
    #[must_use]
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }
}

/// Bounds the norm of a layer from above by each of its reshapes:
/// `‖layer‖₂ ≤ ‖P‖₂ · √(Πk) · ‖M_A‖₂` for every subset A of the spatial axes.
///
/// # Guarantee
/// Every bound is proved, rounding included, and within 1e-6 relative of √(Πk)·‖M_A‖₂.
///
/// # Cost
/// One Gram matrix and one Cholesky factorisation per reshape.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Source
/// T9 with T3, T5, T6, T7; proofs by T17. Singla & Feizi, ICLR 2021, theorem 1; theirs is for stride 1,
/// circular padding and 2D, computed by power iteration (from below).
///
/// # Example
/// ```
/// use sigmax::bound::four_bounds;
/// use sigmax::{Conv, Kernel};
/// // The second difference 1, −2, 1 has norm 4; its reshapes have norm √6.
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let four = four_bounds(&kernel, &Conv::new(1))?;
/// assert!((four.min().get() - 18f64.sqrt()).abs() < 1e-6);
/// assert!(four.min().get() >= 18f64.sqrt());
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn four_bounds(kernel: &Kernel, conv: &Conv) -> Result<FourBounds, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    let norms = ReshapeNorms::compute(&lattice);
    Ok(norms.bounds(&lattice, conv))
}

/// The smallest of the four bounds and its gradient `‖P‖₂·√(Πk) · fold(u vᵀ)`, with (u, v) the top
/// singular pair of the winning reshape.
///
/// Where the winner or its top pair is not unique, this is the gradient of one of them: a valid
/// subgradient of the winner's bound.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Source
/// T11.
pub fn four_gradient(kernel: &Kernel, conv: &Conv) -> Result<Differential, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    let norms = ReshapeNorms::compute(&lattice);
    let bounds = norms.bounds(&lattice, conv);
    let mut gradient = vec![0.0; lattice.original_len()];
    if !kernel.is_zero() {
        let best = norms.best();
        let matrix = reshape::matrix(&lattice, best.group, &best.split);
        let (u, v) = top_pair(&matrix, &best.vector);
        let factor = conv.padding_factor() * (lattice.taps() as f64).sqrt();
        let taps = best.split.places.len();
        for row in 0..lattice.rows {
            for col in 0..lattice.cols {
                for (tap, &(held, free)) in best.split.places.iter().enumerate() {
                    let value =
                        factor * u[row * best.split.held + held] * v[col * best.split.free + free];
                    let entry = (row * lattice.cols + col) * taps + tap;
                    lattice.scatter(best.group, entry, value, &mut gradient);
                }
            }
        }
    }
    Ok(Differential {
        upper: bounds.min,
        gradient,
    })
}

/// Sharpens an approximate top singular vector of the shorter side and completes the pair.
fn top_pair(matrix: &linalg::Mat<f64>, vector: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let wide = matrix.nrows() <= matrix.ncols();
    let short = if wide {
        matrix.as_ref()
    } else {
        matrix.transpose()
    };
    let mut middle = vec![0.0; short.ncols()];
    let ritz = krylov::lanczos(vector, 200, 0.0, |x, y| {
        linalg::product(
            linalg::column_mut(&mut middle),
            short.transpose(),
            linalg::column(x),
        );
        linalg::product(linalg::column_mut(y), short, linalg::column(&middle));
    });
    let mut other = vec![0.0; short.ncols()];
    linalg::product(
        linalg::column_mut(&mut other),
        short.transpose(),
        linalg::column(&ritz.vector),
    );
    krylov::normalise(&mut other);
    if wide {
        (ritz.vector, other)
    } else {
        (other, ritz.vector)
    }
}

/// ‖M_A‖ from above for every reshape and group of a lattice kernel (in its scaled units, without
/// √(Πk)).
pub(crate) struct ReshapeNorms {
    pub(crate) reshapes: Vec<ReshapeNorm>,
}

/// One reshape.
pub(crate) struct ReshapeNorm {
    pub(crate) reshape: Reshape,
    pub(crate) split: TapSplit,
    /// Proved bound per group.
    pub(crate) groups: Vec<f64>,
    /// The group with the largest, and an approximate top singular vector of its shorter side.
    pub(crate) group: usize,
    pub(crate) vector: Vec<f64>,
}

impl ReshapeNorms {
    pub(crate) fn compute(lattice: &Lattice<'_>) -> Self {
        Self::until(lattice, None)
    }

    /// The same to about 1e-7, or by cheaper norms of the reshapes that were not reached until a deadline.
    pub(crate) fn until(lattice: &Lattice<'_>, deadline: Option<Instant>) -> Self {
        let reshapes = Reshape::all(lattice.k.len())
            .into_par_iter()
            .map(|reshape| ReshapeNorm::until(lattice, reshape, deadline))
            .collect();
        Self { reshapes }
    }

    /// The reshape with the smallest bound.
    pub(crate) fn best(&self) -> &ReshapeNorm {
        let mut best = &self.reshapes[0];
        for candidate in &self.reshapes[1..] {
            if candidate.max() < best.max() {
                best = candidate;
            }
        }
        best
    }

    /// For one group, the smallest bound over the reshapes.
    pub(crate) fn group_min(&self, group: usize) -> f64 {
        self.reshapes
            .iter()
            .map(|r| r.groups[group])
            .fold(f64::INFINITY, f64::min)
    }

    /// The bounds of the layer: √(Πk), padding and scale included.
    pub(crate) fn bounds(&self, lattice: &Lattice<'_>, conv: &Conv) -> FourBounds {
        let claim = |norm: f64| {
            let bound = mul_up(norm, root_of_taps(lattice.taps()));
            layer_upper(bound, lattice, conv)
        };
        // The reshape of the adjoint kernel with A on its rows is, transposed, the reshape of the
        // layer with the complement of A on its rows.
        let named = |r: &ReshapeNorm| {
            if lattice.adjoint {
                r.reshape.complement()
            } else {
                r.reshape
            }
        };
        let mut bounds: Vec<(Reshape, Upper)> = self
            .reshapes
            .iter()
            .map(|r| (named(r), claim(r.max())))
            .collect();
        if lattice.adjoint {
            bounds.reverse();
        }
        let best = self.best();
        FourBounds {
            min: claim(best.max()),
            winner: named(best),
            bounds,
        }
    }
}

/// √(number of taps) from above; exact for 1, 4, 9, 25, …
pub(crate) fn root_of_taps(taps: usize) -> f64 {
    sqrt_int_up(taps)
}

/// Turns a bound in scaled lattice units into a bound of the layer: padding factor (T7) and scale.
pub(crate) fn layer_upper(bound: f64, lattice: &Lattice<'_>, conv: &Conv) -> Upper {
    let factor = conv.padding_factor();
    let padded = if factor > 1.0 {
        mul_up(bound, factor)
    } else {
        bound
    };
    Upper::claim(scale_up(padded, lattice.exponent))
}

impl ReshapeNorm {
    fn until(lattice: &Lattice<'_>, reshape: Reshape, deadline: Option<Instant>) -> Self {
        rounding::assert_ieee();
        let split = reshape.split(&lattice.k);
        let cheap: Vec<f64> = (0..lattice.groups)
            .map(|g| {
                let values = lattice.group(g);
                let (rows, cols) = (lattice.rows, values.len() / lattice.rows);
                let matrix = linalg::MatRef::from_row_major_slice(values, rows, cols);
                sqrt_up(CheapNorms::of(matrix).frobenius_squared)
            })
            .collect();
        let mut order: Vec<usize> = (0..lattice.groups).collect();
        order.sort_by(|&a, &b| cheap[b].total_cmp(&cheap[a]).then(a.cmp(&b)));
        let mut groups = cheap.clone();
        let (mut largest, mut group, mut vector) = (-1.0, order[0], Vec::new());
        for g in order {
            if cheap[g] <= largest {
                break;
            }
            let norm = |matrix| verify::matrix_norm_until(matrix, deadline);
            let MatrixNorm { upper, vector: top } = match lattice.only_tap(g) {
                Some(matrix) => norm(matrix),
                None => norm(reshape::matrix(lattice, g, &split).as_ref()),
            };
            groups[g] = upper;
            if upper > largest {
                (largest, group, vector) = (upper, g, top);
            }
        }
        Self {
            reshape,
            split,
            groups,
            group,
            vector,
        }
    }

    /// The bound over all groups (T5): the largest.
    pub(crate) fn max(&self) -> f64 {
        self.groups[self.group]
    }
}
