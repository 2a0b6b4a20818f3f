//! The private door to faer. What comes out of this file is an approximation, never a claim.
//!
//! faer runs sequentially here: parallelism is over layers and frequencies, where it pays.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor;
use faer::linalg::matmul::triangular::BlockStructure;
use faer::linalg::matmul::{matmul, triangular};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::traits::ComplexField;
use faer::{Accum, Auto, Par, Spec};

pub(crate) use faer::{Mat, MatMut, MatRef, c64};

/// `dst = lhs · rhs`.
pub(crate) fn product(dst: MatMut<'_, f64>, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    matmul(dst, Accum::Replace, lhs, rhs, 1.0, Par::Seq);
}

/// `dst += lhs · rhs`.
pub(crate) fn add_product(dst: MatMut<'_, f64>, lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) {
    matmul(dst, Accum::Add, lhs, rhs, 1.0, Par::Seq);
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

/// One step of subspace iteration for the top singular pairs of the map `forward` with adjoint
/// `backward`: the left vectors, orthonormal, and the squared singular values, largest first. `v`
/// holds the right vectors (not normalised) for the next step. `None` where nothing is left of them.
pub(crate) fn subspace_step(
    v: &mut Mat<f64>,
    forward: impl FnOnce(&mut Mat<f64>) -> Mat<f64>,
    backward: impl FnOnce(&Mat<f64>) -> Mat<f64>,
) -> Option<(Mat<f64>, Vec<f64>)> {
    for j in 0..v.ncols() {
        normalise(v.col_as_slice_mut(j));
    }
    let mut u = forward(v);
    orthonormalise(&mut u);
    let z = backward(&u);
    let pairs = z.ncols();
    let mut square = Mat::zeros(pairs, pairs);
    product(square.as_mut(), z.transpose(), z.as_ref());
    let decomposition = square.self_adjoint_eigen(faer::Side::Lower).ok()?;
    let values: Vec<f64> = decomposition.S().column_vector().iter().copied().collect();
    let rotation = Mat::from_fn(pairs, pairs, |i, j| decomposition.U()[(i, pairs - 1 - j)]);
    let mut left = Mat::zeros(u.nrows(), pairs);
    product(left.as_mut(), u.as_ref(), rotation.as_ref());
    let mut right = Mat::zeros(z.nrows(), pairs);
    product(right.as_mut(), z.as_ref(), rotation.as_ref());
    *v = right;
    let values: Vec<f64> = values.into_iter().rev().collect();
    (values[0] > 0.0 && values[0].is_finite()).then_some((left, values))
}

/// Gram and Schmidt, twice; a column that is in the span of those before becomes 0.
fn orthonormalise(u: &mut Mat<f64>) {
    for j in 0..u.ncols() {
        let before = dot(u.col_as_slice(j), u.col_as_slice(j)).sqrt();
        for _ in 0..2 {
            for i in 0..j {
                let (earlier, column) = (u.col_as_slice(i).to_vec(), u.col_as_slice_mut(j));
                let overlap = dot(&earlier, column);
                axpy(-overlap, &earlier, column);
            }
        }
        let column = u.col_as_slice_mut(j);
        if !(dot(column, column).sqrt() > 1e-12 * before && normalise(column)) {
            column.fill(0.0);
        }
    }
}

/// x^e for x ≥ 0 and 0 ≤ e ≤ 1, to about six digits: e in binary, square roots of x.
pub(crate) fn power(x: f64, e: f64) -> f64 {
    let (mut root, mut left, mut result) = (x, e, 1.0);
    for _ in 0..24 {
        root = root.sqrt();
        left *= 2.0;
        if left >= 1.0 {
            result *= root;
            left -= 1.0;
        }
    }
    result
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

/// An approximate largest eigenvalue (from below, in exact arithmetic) and its vector.
pub(crate) struct Ritz {
    pub(crate) value: f64,
    pub(crate) vector: Vec<f64>,
}

/// Lanczos with full reorthogonalisation for the largest eigenvalue of a symmetric operator
/// (Golub & Van Loan, section 10.1). Stops after `max_steps` products, or once four further steps
/// raise the Ritz value by less than `tolerance` relative.
pub(crate) fn lanczos(
    start: &[f64],
    max_steps: usize,
    tolerance: f64,
    mut apply: impl FnMut(&[f64], &mut [f64]),
) -> Ritz {
    const CHECK_EVERY: usize = 4;
    let n = start.len();
    let mut first = start.to_vec();
    if !normalise(&mut first) {
        first = quasi_random(n, 1);
        normalise(&mut first);
    }
    let mut basis = vec![first];
    let (mut alpha, mut beta) = (Vec::new(), Vec::<f64>::new());
    let mut value = f64::NEG_INFINITY;
    let mut w = vec![0.0; n];
    let steps = max_steps.min(n).max(1);
    for step in 0..steps {
        apply(&basis[step], &mut w);
        alpha.push(dot(&basis[step], &w));
        for _ in 0..2 {
            for q in &basis {
                let overlap = dot(q, &w);
                axpy(-overlap, q, &mut w);
            }
        }
        let length = dot(&w, &w).sqrt();
        let exhausted = !(length > 1e-14 * alpha[0].abs().max(value)) || step + 1 == steps;
        if exhausted || (step + 1) % CHECK_EVERY == 0 {
            let new = tridiagonal_top(&alpha, &beta, value);
            let settled = new - value <= tolerance * new.abs();
            value = new;
            if exhausted || settled {
                break;
            }
        }
        beta.push(length);
        basis.push(w.iter().map(|x| x / length).collect());
    }
    let weights = tridiagonal_vector(&alpha, &beta, value);
    let mut vector = vec![0.0; n];
    for (weight, q) in weights.iter().zip(&basis) {
        axpy(*weight, q, &mut vector);
    }
    if !normalise(&mut vector) {
        vector.clone_from(&basis[0]);
    }
    Ritz { value, vector }
}

/// Largest eigenvalue of the symmetric tridiagonal matrix by bisection (Sturm count), at least
/// `known`, a lower bound of it.
fn tridiagonal_top(alpha: &[f64], beta: &[f64], known: f64) -> f64 {
    let k = alpha.len();
    let off = |i: usize| beta.get(i).map_or(0.0, |b| b.abs());
    let mut high = f64::NEG_INFINITY;
    let mut low = known;
    for i in 0..k {
        let left = if i == 0 { 0.0 } else { off(i - 1) };
        let right = if i + 1 < k { off(i) } else { 0.0 };
        high = high.max(alpha[i] + left + right);
        low = low.max(alpha[i]);
    }
    let above = |x: f64| {
        let mut d = 1.0;
        for i in 0..k {
            let b = if i == 0 { 0.0 } else { beta[i - 1] };
            d = x - alpha[i] - b * b / d;
            if d <= 0.0 {
                return false;
            }
        }
        true
    };
    while high - low > 1e-13 * high.abs() {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if above(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

/// The eigenvector of the tridiagonal matrix for its largest eigenvalue, by one pass of inverse
/// iteration with the pivots of θI − T (all positive just above the eigenvalue).
fn tridiagonal_vector(alpha: &[f64], beta: &[f64], theta: f64) -> Vec<f64> {
    let k = alpha.len();
    let shift = theta + 1e-12 * theta.abs() + f64::MIN_POSITIVE;
    let mut pivot = vec![0.0; k];
    for i in 0..k {
        let b = if i == 0 { 0.0 } else { beta[i - 1] };
        let previous = if i == 0 { 1.0 } else { pivot[i - 1] };
        pivot[i] = (shift - alpha[i] - b * b / previous).max(1e-300);
    }
    let mut x = vec![1.0; k];
    for _ in 0..3 {
        for i in 1..k {
            x[i] += beta[i - 1] / pivot[i - 1] * x[i - 1];
        }
        for i in 0..k {
            x[i] /= pivot[i];
        }
        for i in (0..k.saturating_sub(1)).rev() {
            x[i] += beta[i] / pivot[i] * x[i + 1];
        }
        let largest = x.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for v in &mut x {
            *v /= largest;
        }
    }
    x
}

/// Σ aᵢbᵢ with eight partial sums.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// y += factor · x.
pub(crate) fn axpy(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// Scales to length 1; false for a vector of length 0 or not finite.
pub(crate) fn normalise(v: &mut [f64]) -> bool {
    let length = dot(v, v).sqrt();
    let usable = length > 0.0 && length.is_finite();
    if usable {
        for x in v {
            *x /= length;
        }
    }
    usable
}

/// A fixed vector without structure, entries in [−1, 1) (splitmix64).
pub(crate) fn quasi_random(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..n)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
