//! The private door to faer. What comes out of this file is an approximation, never a claim.
//!
//! faer runs sequentially here: parallelism is over layers and frequencies, where it pays, and over the columns of
//! large Gram matrices.

use std::time::Instant;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor;
use faer::linalg::matmul::triangular::BlockStructure;
use faer::linalg::matmul::{matmul, triangular};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::traits::ComplexField;
use faer::{Accum, Auto, Par, Spec};
use rayon::prelude::*;

use crate::deadline::is_past;

pub(crate) use faer::{Mat, MatMut, MatRef, c64};

/// `dst = lhs · rhs`.
pub(crate) fn product(dst: MatMut<'_, f64>, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    matmul(dst, Accum::Replace, lhs, rhs, 1.0, Par::Seq);
}

/// `dst += lhs · rhs`.
pub(crate) fn add_product(dst: MatMut<'_, f64>, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    matmul(dst, Accum::Add, lhs, rhs, 1.0, Par::Seq);
}

/// `dst -= lhs · rhsᵀ`.
pub(crate) fn subtract_outer(dst: MatMut<'_, f64>, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    matmul(dst, Accum::Add, lhs, rhs.transpose(), -1.0, Par::Seq);
}

/// `a := a · L⁻ᵀ` for the lower triangle L of `lower`, whose upper triangle is not read.
pub(crate) fn divide_by_factor(a: MatMut<'_, f64>, lower: MatRef<'_, f64>) {
    solve_lower_triangular_in_place(lower, a.transpose_mut(), Par::Seq);
}

/// `dst = lhs · rhs` for complex matrices.
pub(crate) fn complex_product(dst: MatMut<'_, c64>, lhs: MatRef<'_, c64>, rhs: MatRef<'_, c64>) {
    matmul(dst, Accum::Replace, lhs, rhs, c64::new(1.0, 0.0), Par::Seq);
}

/// The square of a Hermitian matrix, made Hermitian exactly.
pub(crate) fn hermitian_square(a: &Mat<c64>) -> Mat<c64> {
    let n = a.nrows();
    let mut square = Mat::zeros(n, n);
    complex_product(square.as_mut(), a.as_ref(), a.as_ref());
    for j in 0..n {
        square[(j, j)].im = 0.0;
        for i in j + 1..n {
            square[(j, i)] = square[(i, j)].conj();
        }
    }
    square
}

/// A vector as a one-column matrix.
pub(crate) fn column(values: &[f64]) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(values, values.len(), 1)
}

/// A vector as a one-column matrix.
pub(crate) fn column_mut(values: &mut [f64]) -> MatMut<'_, f64> {
    let n = values.len();
    MatMut::from_column_major_slice_mut(values, n, 1)
}

/// A Aᵀ, both triangles filled.
pub(crate) fn gram(a: MatRef<'_, f64>) -> Mat<f64> {
    let n = a.nrows();
    let mut g = Mat::zeros(n, n);
    triangular::matmul(
        g.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a,
        BlockStructure::Rectangular,
        a.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
    for j in 0..n {
        for i in j + 1..n {
            g[(j, i)] = g[(i, j)];
        }
    }
    g
}

/// Columns of a Gram matrix that are computed at a time.
const GRAM_COLUMNS: usize = 256;
/// Terms of their sums that are added at a time.
const GRAM_DEPTH: usize = 2048;

/// A Aᵀ, both triangles filled, in parallel where it is large; `None` where time was over before.
pub(crate) fn gram_until(a: MatRef<'_, f64>, deadline: Option<Instant>) -> Option<Mat<f64>> {
    let n = a.nrows();
    if n <= 2 * GRAM_COLUMNS {
        return (!is_past(deadline)).then(|| gram(a));
    }
    let starts: Vec<usize> = (0..n).step_by(GRAM_COLUMNS).collect();
    // Below the diagonal.
    let blocks: Vec<Option<Mat<f64>>> = starts
        .par_iter()
        .map(|&start| {
            if is_past(deadline) {
                return None;
            }
            let columns = GRAM_COLUMNS.min(n - start);
            let mut block = Mat::zeros(n - start, columns);
            // faer copies what it multiplies: a part at a time.
            for first in (0..a.ncols()).step_by(GRAM_DEPTH) {
                let part = a.subcols(first, GRAM_DEPTH.min(a.ncols() - first));
                let (rows, own) = (part.subrows(start, n - start), part.subrows(start, columns));
                add_product(block.as_mut(), rows, own.transpose());
            }
            Some(block)
        })
        .collect();
    let mut g = Mat::zeros(n, n);
    for (start, block) in starts.into_iter().zip(blocks) {
        let block = block?;
        for j in 0..block.ncols() {
            for i in j..block.nrows() {
                g[(start + i, start + j)] = block[(i, j)];
                g[(start + j, start + i)] = block[(i, j)];
            }
        }
    }
    Some(g)
}

/// Workspace for Cholesky factorisations of one size.
pub(crate) struct Cholesky {
    memory: MemBuffer,
}

impl Cholesky {
    pub(crate) fn new<T: ComplexField>(n: usize) -> Self {
        let request = factor::cholesky_in_place_scratch::<T>(n, Par::Seq, parameters());
        Self {
            memory: MemBuffer::new(request),
        }
    }

    /// Whether the factorisation of the lower triangle of the symmetric `a` ran to completion with
    /// positive, finite pivots. Overwrites the lower triangle by the factor.
    pub(crate) fn completes(&mut self, mut a: MatMut<'_, f64>) -> bool {
        self.factors(a.rb_mut()) && (0..a.nrows()).all(|i| a[(i, i)] > 0.0 && a[(i, i)].is_finite())
    }

    /// The same for a Hermitian matrix, **with real pivots**.
    ///
    /// A pivot is a real number in the theorem, but its updates l·l̄ leave a rounding residue in the
    /// imaginary part, by which a library that divides by the stored pivot shortens later rows: an
    /// indefinite matrix can then pass. faer does so beyond one block. Here the blocks are split
    /// above faer, and imaginary parts are cleared before anything is divided.
    pub(crate) fn completes_hermitian(&mut self, mut a: MatMut<'_, c64>) -> bool {
        let n = a.nrows();
        if n <= REAL_PIVOTS {
            if !self.factors(a.rb_mut()) {
                return false;
            }
            return (0..n).all(|i| {
                let pivot = a[(i, i)].re;
                a[(i, i)] = c64::new(pivot, 0.0);
                pivot > 0.0 && pivot.is_finite()
            });
        }
        let half = (n / 2).next_multiple_of(REAL_PIVOTS).min(n - 1);
        let (mut first, _, mut below, mut rest) = a.split_at_mut(half, half);
        if !self.completes_hermitian(first.rb_mut()) {
            return false;
        }
        solve_lower_triangular_in_place(
            first.rb().conjugate(),
            below.rb_mut().transpose_mut(),
            Par::Seq,
        );
        triangular::matmul(
            rest.rb_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            below.rb(),
            BlockStructure::Rectangular,
            below.rb().adjoint(),
            BlockStructure::Rectangular,
            c64::new(-1.0, 0.0),
            Par::Seq,
        );
        self.completes_hermitian(rest)
    }

    fn factors<T: ComplexField>(&mut self, a: MatMut<'_, T>) -> bool {
        factor::cholesky_in_place(
            a,
            Default::default(),
            Par::Seq,
            MemStack::new(&mut self.memory),
            parameters(),
        )
        .is_ok()
    }
}

/// Largest order up to which faer's Cholesky takes the real part of every pivot itself: with
/// [`parameters`], it solves no triangular system up to there.
const REAL_PIVOTS: usize = 64;

/// The sizes at which faer splits a factorisation, stated because T17 relies on them.
fn parameters<T: ComplexField>() -> Spec<factor::LltParams, T> {
    let mut parameters = <factor::LltParams as Auto<T>>::auto();
    parameters.recursion_threshold = REAL_PIVOTS;
    parameters.block_size = 2 * REAL_PIVOTS;
    parameters.into()
}

/// All singular values of a real matrix with both sets of vectors: `a ≈ U diag(s) Vᵀ`.
/// `None` where the iteration did not converge.
pub(crate) fn svd(a: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let svd = a.thin_svd().ok()?;
    let s = svd.S().column_vector().iter().copied().collect();
    Some((svd.U().to_owned(), s, svd.V().to_owned()))
}

/// The largest eigenvalue and its vector of a symmetric matrix by a full decomposition.
pub(crate) fn symmetric_top(a: MatRef<'_, f64>) -> Option<(f64, Vec<f64>)> {
    let n = a.nrows();
    let decomposition = a.self_adjoint_eigen(faer::Side::Lower).ok()?;
    let top = decomposition.S().column_vector()[n - 1];
    let vector = decomposition.U().col(n - 1).iter().copied().collect();
    Some((top, vector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::krylov::quasi_random;

    /// The imaginary residue of the second pivot is as large as the pivot itself.
    #[test]
    fn a_pivot_with_an_imaginary_residue_proves_nothing() {
        for n in [3, 64, 65, 100, 130, 200] {
            let mut a = Mat::<c64>::identity(n, n);
            a[(1, 0)] = c64::new(1.295_749_294_000_456, 0.941_753_289_933_835_4);
            a[(1, 1)] = c64::new(2.565_865_492_003_883, 0.0);
            a[(n - 1, 1)] = c64::new(0.18, 0.0);
            let least = a
                .self_adjoint_eigenvalues(faer::Side::Lower)
                .expect("converges")[0];
            assert!(least < -8e-3, "the matrix is indefinite: {least}");
            let passes = Cholesky::new::<c64>(n).completes_hermitian(a.as_mut());
            assert!(!passes, "an indefinite matrix of order {n} passed");
        }
    }

    #[test]
    fn the_blocked_factor_gives_back_the_matrix() {
        for n in [1, 63, 64, 65, 129, 200] {
            let (x, y) = (quasi_random(n * n, 1), quasi_random(n * n, 2));
            let b = Mat::from_fn(n, n, |i, j| c64::new(x[i * n + j], y[i * n + j]));
            let a = &b * b.adjoint() + Mat::<c64>::identity(n, n);
            let mut l = a.clone();
            assert!(Cholesky::new::<c64>(n).completes_hermitian(l.as_mut()));
            let l = Mat::from_fn(n, n, |i, j| if i < j { c64::ZERO } else { l[(i, j)] });
            let gap = (&l * l.adjoint() - &a).norm_max();
            assert!(gap < 1e-15 * (n * n + 4) as f64, "{n}: {gap}");
        }
    }
}
