//! "‖A‖₂ ≤ τ is proved": the floating-point Cholesky test (T17) and its cheap companions.
//!
//! Everything here rests on one assumption about the dense library, stated in docs/theory.md: each
//! entry of a product or a Cholesky factor is computed by conventional sums of products, in any
//! order, with or without fused multiply-add, and pivots are real numbers. No value it returns is
//! believed beyond that.

use std::time::Instant;

use crate::deadline::is_past;
use crate::kernel::Kernel;
use crate::krylov;
use crate::linalg::{self, Cholesky, Mat, MatMut, MatRef, c64};
use crate::rounding::{
    add_up, div_down, gamma, larger, mul_down, mul_up, sqrt_down, sqrt_up, sub_down,
};
use crate::side_by_side;

/// Relative distance at which a proof is first tried above the approximate norm, squared norm
/// units. The norm itself is then proved to half of it.
const MARGIN: f64 = 2e-7;

/// What must be subtracted from the diagonal of t·I − Ĝ so that a completed Cholesky factorisation
/// proves t·I − G ⪰ 0, where ‖G − Ĝ‖₂ ≤ `error`, G ⪰ 0 and A = fl((t − shift)·I − Ĝ).
///
/// Completion gives A + ΔA = LL* ⪰ 0 with |ΔA_ij| ≤ γ·√(a_ii a_jj)/(1 − γ), hence
/// ‖ΔA‖₂ ≤ γ/(1 − γ)·tr A (Demmel; Rump 2006). A complex entry is 2n real products in each part and
/// one division: γ = √2·γ_{2n+c} with c ≤ 6, or c ≤ 20 where blocks are solved for (n > 64), and
/// γ_{4n+16} also covers 1/(1 − γ). G ⪰ 0 gives Ĝ_ii ≥ −error, so tr A ≤ n·(t + error). Two subtractions on the diagonal
/// cost 4u·(t + error). The last term covers underflow: entries are of size one.
pub(crate) fn cholesky_shift(n: usize, t: f64, error: f64) -> f64 {
    banded_shift(n, n, t, error)
}

/// The same where an entry of the factor is a sum of at most `inner` products that are not 0: b + 1 of
/// them for a matrix of half-bandwidth b (T32).
pub(crate) fn banded_shift(n: usize, inner: usize, t: f64, error: f64) -> f64 {
    let size = add_up(t, error);
    let factor = add_up(mul_up(gamma(4 * inner + 16), n as f64), gamma(4));
    add_up(add_up(error, mul_up(factor, size)), 1e-200)
}

/// t less the shift, where that is positive and finite.
fn shifted(n: usize, t: f64, error: f64) -> Option<f64> {
    let diagonal = sub_down(t, cholesky_shift(n, t, error));
    (diagonal > 0.0 && diagonal.is_finite()).then_some(diagonal)
}

/// Proves λ_max(G) ≤ t for a real Gram matrix with ‖G − Ĝ‖₂ ≤ `error`; false means "not proved".
pub(crate) fn gram_at_most(gram: MatRef<'_, f64>, error: f64, t: f64) -> bool {
    let n = gram.nrows();
    let Some(diagonal) = shifted(n, t, error) else {
        return false;
    };
    let mut a = Mat::from_fn(n, n, |i, j| {
        if i == j {
            diagonal - gram[(i, i)]
        } else {
            -gram[(i, j)]
        }
    });
    Cholesky::new::<f64>(n).completes(a.as_mut())
}

/// The same for a Hermitian Gram matrix. On entry the strict lower triangle of `a` holds −Ĝ and
/// its real diagonal −Ĝ_ii; on exit it is overwritten.
pub(crate) fn hermitian_at_most(
    mut a: MatMut<'_, c64>,
    error: f64,
    t: f64,
    workspace: &mut Cholesky,
) -> bool {
    let n = a.nrows();
    let Some(diagonal) = shifted(n, t, error) else {
        return false;
    };
    for i in 0..n {
        a[(i, i)] = c64::new(diagonal + a[(i, i)].re, 0.0);
    }
    workspace.completes_hermitian(a)
}

/// The same for several matrices at once, each with a `square` of its own in place of t: `re` and `im` have a row for
/// each, with the lower triangle of −Ĝ packed by rows, and may have more rows.
pub(crate) fn hermitians_at_most(
    n: usize,
    re: MatRef<'_, f64>,
    im: MatRef<'_, f64>,
    error: f64,
    squares: &[f64],
) -> Vec<bool> {
    let mut diagonals = vec![f64::NAN; re.nrows()];
    for (diagonal, &t) in diagonals.iter_mut().zip(squares) {
        // NaN is no pivot.
        *diagonal = shifted(n, t, error).unwrap_or(f64::NAN);
    }
    let mut proved = side_by_side::complete(n, re, im, &diagonals);
    proved.truncate(squares.len());
    proved
}

/// Upper bounds of ‖A‖_F² and of ‖A‖₁·‖A‖_∞, both ≥ ‖A‖₂² (and the latter ≥ ‖ |A| ‖₂²).
pub(crate) struct CheapNorms {
    pub(crate) frobenius_squared: f64,
    pub(crate) one_times_infinity: f64,
}

impl CheapNorms {
    pub(crate) fn of(a: MatRef<'_, f64>) -> Self {
        // Both bounds are those of the transpose: along what is contiguous.
        let a = if a.row_stride() == 1 {
            a
        } else {
            a.transpose()
        };
        let (m, n) = (a.nrows(), a.ncols());
        let mut row_sums = vec![0.0; m];
        let (mut squares, mut largest_column) = (0.0, 0.0f64);
        let mut sizes = vec![0.0; m];
        let ones = vec![1.0; m];
        for j in 0..n {
            for ((size, x), row) in sizes.iter_mut().zip(a.col(j).iter()).zip(&mut row_sums) {
                *size = x.abs();
                *row += *size;
            }
            let sum = krylov::dot(&sizes, &ones);
            squares += krylov::dot(&sizes, &sizes);
            largest_column = larger(largest_column, sum);
        }
        let largest_row = row_sums.into_iter().fold(0.0, larger);
        // Sums of non-negative terms: at most m + n (+1 for the square) roundings each. Squares
        // may underflow: 2⁻¹⁰⁷⁴ each.
        let up = |sum: f64| add_up(mul_up(sum, add_up(1.0, gamma(m + n + 4))), 1e-290);
        Self {
            frobenius_squared: up(squares),
            one_times_infinity: mul_up(up(largest_column), up(largest_row)),
        }
    }

    /// The smaller bound of ‖A‖₂².
    pub(crate) fn smaller(&self) -> f64 {
        self.frobenius_squared.min(self.one_times_infinity)
    }
}

/// √(‖B‖₁‖B‖_∞) for B = Σ_t |K_t| in units of 2^e, from above: ‖B‖₂ ≥ S(|K|) ≥ S(K).
pub(crate) fn magnitude(kernel: &Kernel) -> f64 {
    let (rows, cols) = (kernel.shape()[0], kernel.shape()[1]);
    let taps: usize = kernel.spatial().iter().product();
    let values = kernel.scaled();
    let b = Mat::from_fn(rows, cols, |r, c| {
        let taps_of = &values[(r * cols + c) * taps..][..taps];
        taps_of.iter().map(|v| v.abs()).sum::<f64>()
    });
    let bound = CheapNorms::of(b.as_ref()).smaller();
    mul_up(sqrt_up(bound), 1.0 + 2.0 * gamma(taps + 2))
}

/// The norm of a real matrix with its proof.
pub(crate) struct MatrixNorm {
    /// Proved ‖A‖₂ ≤ `upper`.
    pub(crate) upper: f64,
    /// Approximate top singular vector on the side with fewer rows or columns (rows if equal).
    pub(crate) vector: Vec<f64>,
}

/// ‖A‖₂ from above, to about 1e-7 relative (T17 on the Gram matrix of the smaller side).
///
/// Entries should be of size about one: squares must neither overflow nor vanish.
pub(crate) fn matrix_norm(a: MatRef<'_, f64>) -> MatrixNorm {
    matrix_norm_until(a, None)
}

/// The same, or the smaller one of √(‖A‖₁‖A‖_∞) and ‖A‖_F where time is over before.
pub(crate) fn matrix_norm_until(a: MatRef<'_, f64>, deadline: Option<Instant>) -> MatrixNorm {
    let a = if a.nrows() <= a.ncols() {
        a
    } else {
        a.transpose()
    };
    let (n, inner) = (a.nrows(), a.ncols());
    let cheap = CheapNorms::of(a);
    if n == 1 || cheap.smaller() <= 1e-280 {
        let mut vector = vec![0.0; n];
        vector[0] = 1.0;
        let zero = (0..inner).all(|j| a.col(j).iter().all(|x| x.abs() <= 0.0));
        return MatrixNorm {
            upper: if zero { 0.0 } else { sqrt_up(cheap.smaller()) },
            vector,
        };
    }
    // |Ĝ − G| ≤ γ·|A||A|ᵀ entrywise, and ‖|A|‖₂² is at most either cheap bound.
    let error = mul_up(gamma(inner + 2), cheap.smaller());
    let Some(gram) = linalg::gram_until(a, deadline) else {
        return MatrixNorm {
            upper: sqrt_up(cheap.smaller()),
            vector: power_steps(a),
        };
    };
    let (value, vector) = top_of_gram(gram.as_ref());
    let upper = prove_gram(gram.as_ref(), error, value, deadline).min(cheap.smaller());
    MatrixNorm {
        upper: sqrt_up(upper),
        vector,
    }
}

/// `y = A·x`, without a copy of A where its rows or its columns lie one after the other.
fn apply(y: &mut [f64], a: MatRef<'_, f64>, x: &[f64]) {
    if a.col_stride() == 1 {
        for (i, y) in y.iter_mut().enumerate() {
            let row = a.row(i).transpose();
            *y = match row.try_as_col_major() {
                Some(row) => krylov::dot(row.as_slice(), x),
                None => row.iter().zip(x).map(|(a, x)| a * x).sum(),
            };
        }
        return;
    }
    y.fill(0.0);
    for (j, &x) in x.iter().enumerate() {
        match a.col(j).try_as_col_major() {
            Some(column) => krylov::axpy(x, column.as_slice(), y),
            None => y
                .iter_mut()
                .zip(a.col(j).iter())
                .for_each(|(y, a)| *y += x * a),
        }
    }
}

/// What two steps of power iteration make of a vector on the side of the rows.
fn power_steps(a: MatRef<'_, f64>) -> Vec<f64> {
    let mut vector = krylov::quasi_random(a.nrows(), 7);
    let mut other = vec![0.0; a.ncols()];
    for _ in 0..2 {
        apply(&mut other, a.transpose(), &vector);
        apply(&mut vector, a, &other);
        krylov::normalise(&mut vector);
    }
    vector
}

/// An approximate top eigenpair of a symmetric positive semidefinite matrix.
pub(crate) fn top_of_gram(gram: MatRef<'_, f64>) -> (f64, Vec<f64>) {
    let n = gram.nrows();
    let start = krylov::quasi_random(n, 7);
    let ritz = krylov::lanczos(&start, 120, 1e-10, |x, y| {
        linalg::product(linalg::column_mut(y), gram, linalg::column(x));
    });
    (ritz.value.max(0.0), ritz.vector)
}

/// The smallest t found with λ_max(G) ≤ t proved; starts just above `guess` and falls back to a
/// full decomposition, then to widening steps. +∞ if nothing can be proved.
fn prove_gram(gram: MatRef<'_, f64>, error: f64, guess: f64, deadline: Option<Instant>) -> f64 {
    let shift = cholesky_shift(gram.nrows(), guess, error);
    let above = |value: f64| add_up(mul_up(value, 1.0 + MARGIN), 2.0 * shift);
    let first = above(guess);
    if gram_at_most(gram, error, first) {
        return first;
    }
    if is_past(deadline) {
        return f64::INFINITY;
    }
    let mut t = linalg::symmetric_top(gram).map_or(first, |(value, _)| above(value.max(guess)));
    let mut step = MARGIN;
    for _ in 0..60 {
        if gram_at_most(gram, error, t) {
            return t;
        }
        t = add_up(mul_up(t, 1.0 + step), shift);
        step *= 2.0;
    }
    f64::INFINITY
}

/// A proved lower bound of ‖A‖₂ from any vector v on the column side: ‖Av‖/‖v‖ (T13 without a
/// frequency), rounding included.
pub(crate) fn matrix_norm_lower(a: MatRef<'_, f64>, v: &[f64]) -> f64 {
    let mut image = vec![0.0; a.nrows()];
    apply(&mut image, a, v);
    // ‖fl(Av) − Av‖ ≤ γ·‖|A|‖₂·‖v‖, and both squared lengths are sums of squares.
    let slack = mul_up(gamma(a.ncols() + 2), sqrt_up(CheapNorms::of(a).smaller()));
    let roundings = gamma(a.nrows() + a.ncols() + 8);
    let numerator = mul_down(krylov::dot(&image, &image), 1.0 - 2.0 * roundings);
    let denominator = mul_up(krylov::dot(v, v), 1.0 + 2.0 * roundings);
    if !(denominator > 1e-250) {
        return 0.0;
    }
    sub_down(sqrt_down(div_down(numerator, denominator)), slack).max(0.0)
}
