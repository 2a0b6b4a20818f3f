//! Krylov and subspace methods, and the vectors they work on. What comes out of this file is an
//! approximation, never a claim.

use crate::linalg::{self, Mat};

/// Most pairs of a subspace iteration.
pub(crate) const MAX_PAIRS: usize = 8;

/// A square matrix of an order up to [`MAX_PAIRS`], which is passed beside it.
type Small = [[f64; MAX_PAIRS]; MAX_PAIRS];

/// One step of subspace iteration for the top singular pairs, at most [`MAX_PAIRS`], of the map
/// B = `forward` with adjoint `backward`: the left vectors, orthonormal, and the squared singular
/// values, largest first. `v` holds the right vectors (not normalised) for the next step. `None` where
/// nothing is left of them.
///
/// With U = BV and Z = BᵀU, the Ritz values of BBᵀ on the span of U solve ZᵀZ·x = λ·UᵀU·x, a problem of
/// the order of the number of pairs.
pub(crate) fn subspace_step(
    v: &mut Mat<f64>,
    forward: impl FnOnce(&mut Mat<f64>) -> Mat<f64>,
    backward: impl FnOnce(&Mat<f64>) -> Mat<f64>,
) -> Option<(Mat<f64>, Vec<f64>)> {
    for j in 0..v.ncols() {
        normalise(v.col_as_slice_mut(j));
    }
    let mut u = forward(v);
    let n = u.ncols();
    for j in 0..n {
        normalise(u.col_as_slice_mut(j));
    }
    let lower = cholesky(&products(&u), n).unwrap_or_else(|| {
        orthonormalise(&mut u);
        identity()
    });
    let z = backward(&u);
    // L⁻¹·ZᵀZ·L⁻ᵀ; rows of the symmetric matrix are its columns.
    let mut ritz = products(&z);
    solve_rows(&lower, &mut ritz, n);
    ritz = transposed(&ritz);
    solve_rows(&lower, &mut ritz, n);
    let (values, mut vectors) = symmetric_eigen(ritz, n);
    // L⁻ᵀ times the eigenvectors.
    for x in &mut vectors {
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| lower[k][i] * x[k]).sum();
            x[i] = (x[i] - known) / lower[i][i];
        }
    }
    let rotation = Mat::from_fn(n, n, |i, j| vectors[j][i]);
    let mut left = Mat::zeros(u.nrows(), n);
    linalg::product(left.as_mut(), u.as_ref(), rotation.as_ref());
    let mut right = Mat::zeros(z.nrows(), n);
    linalg::product(right.as_mut(), z.as_ref(), rotation.as_ref());
    *v = right;
    (values[0] > 0.0 && values[0].is_finite()).then_some((left, values))
}

fn identity() -> Small {
    std::array::from_fn(|i| std::array::from_fn(|j| f64::from(i == j)))
}

fn transposed(a: &Small) -> Small {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// AᵀA.
fn products(a: &Mat<f64>) -> Small {
    let mut square = Mat::zeros(a.ncols(), a.ncols());
    linalg::product(square.as_mut(), a.transpose(), a.as_ref());
    let mut small = identity();
    for j in 0..a.ncols() {
        small[j][..a.ncols()].copy_from_slice(square.col_as_slice(j));
    }
    small
}

/// The factor L of A = LLᵀ with a diagonal of ones or zeros; `None` unless it is well conditioned.
fn cholesky(a: &Small, n: usize) -> Option<Small> {
    let mut l = identity();
    for j in 0..n {
        for i in j..n {
            let sum = a[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            if i > j {
                l[i][j] = sum / l[j][j];
            } else if sum > 1e-8 {
                l[j][j] = sum.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(l)
}

/// A := L⁻¹A.
fn solve_rows(l: &Small, a: &mut Small, n: usize) {
    for i in 0..n {
        for k in 0..i {
            let earlier = a[k];
            for (x, y) in a[i].iter_mut().zip(earlier) {
                *x -= l[i][k] * y;
            }
        }
        for x in &mut a[i] {
            *x /= l[i][i];
        }
    }
}

/// Eigenvalues, largest first, and the eigenvectors, one a row, of a symmetric matrix by Jacobi's
/// method (Golub & Van Loan, section 8.5): eigenvalues to rounding, eigenvectors, which are orthonormal to rounding, to
/// about 1e-7 of what the values are apart.
fn symmetric_eigen(mut a: Small, n: usize) -> (Vec<f64>, Vec<[f64; MAX_PAIRS]>) {
    const SWEEPS: usize = 12;
    let mut v = identity();
    for _ in 0..SWEEPS {
        let square = |i: usize, j: usize| a[i][j] * a[i][j];
        let diagonal: f64 = (0..n).map(|i| square(i, i)).sum();
        let off: f64 = (0..n)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .map(|(i, j)| square(i, j))
            .sum();
        if !(off > 1e-15 * diagonal) {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apart = a[p][q];
                if apart * apart <= 1e-18 * diagonal {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * apart);
                let tan = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let cos = 1.0 / (1.0 + tan * tan).sqrt();
                let sin = tan * cos;
                let (first, second) = (a[p][p] - tan * apart, a[q][q] + tan * apart);
                for rows in [&mut a, &mut v] {
                    let (x, y) = (rows[p], rows[q]);
                    rows[p] = std::array::from_fn(|k| cos * x[k] - sin * y[k]);
                    rows[q] = std::array::from_fn(|k| sin * x[k] + cos * y[k]);
                }
                (a[p][p], a[p][q], a[q][p], a[q][q]) = (first, 0.0, 0.0, second);
                for k in (0..n).filter(|&k| k != p && k != q) {
                    (a[k][p], a[k][q]) = (a[p][k], a[q][k]);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    let values = order.iter().map(|&i| a[i][i]).collect();
    (values, order.iter().map(|&i| v[i]).collect())
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
    let (mut value, mut above) = (f64::NEG_INFINITY, f64::INFINITY);
    let mut w = vec![0.0; n];
    let steps = max_steps.min(n).max(1);
    for step in 0..steps {
        apply(&basis[step], &mut w);
        alpha.push(dot(&basis[step], &w));
        axpy(-alpha[step], &basis[step], &mut w);
        if step > 0 {
            axpy(-beta[step - 1], &basis[step - 1], &mut w);
        }
        let mut length = dot(&w, &w).sqrt();
        // A second time where the first took much away (Daniel, Gragg, Kaufman and Stewart 1976).
        for _ in 0..2 {
            let before = length;
            for q in &basis {
                let overlap = dot(q, &w);
                axpy(-overlap, q, &mut w);
            }
            length = dot(&w, &w).sqrt();
            if length > 0.7 * before {
                break;
            }
        }
        let exhausted = !(length > 1e-14 * alpha[0].abs().max(value)) || step + 1 == steps;
        if exhausted || (step + 1) % CHECK_EVERY == 0 {
            let new = tridiagonal_top(&alpha, &beta, value, (1e-3 * tolerance).max(1e-13));
            let settled = new.0 - value <= tolerance * new.0.abs();
            (value, above) = new;
            if exhausted || settled {
                break;
            }
        }
        beta.push(length);
        let inverse = 1.0 / length;
        basis.push(w.iter().map(|x| x * inverse).collect());
    }
    let weights = tridiagonal_vector(&alpha, &beta, above);
    let mut vector = vec![0.0; n];
    for (weight, q) in weights.iter().zip(&basis) {
        axpy(*weight, q, &mut vector);
    }
    if !normalise(&mut vector) {
        vector.clone_from(&basis[0]);
    }
    Ritz { value, vector }
}

/// The largest eigenvalue of the symmetric tridiagonal matrix from below and from above, by bisection
/// (Sturm count) to a relative `width`; it is at least `known`.
fn tridiagonal_top(alpha: &[f64], beta: &[f64], known: f64, width: f64) -> (f64, f64) {
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
    while high - low > width * high.abs() {
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
    (low, high)
}

/// The eigenvector of the tridiagonal matrix for its largest eigenvalue, by inverse iteration with
/// the pivots of θI − T, all positive for θ above the eigenvalue.
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
    let inverse = 1.0 / length;
    if usable && inverse.is_normal() {
        v.iter_mut().for_each(|x| *x *= inverse);
    } else if usable {
        v.iter_mut().for_each(|x| *x /= length);
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

    #[test]
    fn subspace_iteration_finds_the_top_singular_values() {
        for (rows, cols, pairs) in [(12, 9, 4), (5, 20, 5), (3, 3, 3), (8, 1, 1)] {
            let values = quasi_random(rows * cols, 4);
            let b = Mat::from_fn(rows, cols, |i, j| values[i * cols + j]);
            let start = quasi_random(cols * pairs, 5);
            let mut v = Mat::from_fn(cols, pairs, |i, j| start[j * cols + i]);
            let mut found = Vec::new();
            for _ in 0..200 {
                let (left, squares) =
                    subspace_step(&mut v, |v| &b * &*v, |u| b.transpose() * u).unwrap();
                let gap =
                    (left.transpose() * &left - Mat::<f64>::identity(pairs, pairs)).norm_max();
                assert!(gap < 1e-9, "{gap}");
                found = squares;
            }
            let (_, truth, _) = linalg::svd(b.as_ref()).unwrap();
            for (found, truth) in found.iter().zip(&truth).take(2) {
                assert!((found.sqrt() - truth).abs() < 1e-6 * truth);
            }
        }
    }

    /// All right vectors are one: what is left of the others is 0, and the first pair is right.
    #[test]
    fn a_subspace_that_collapses_keeps_its_first_pair() {
        let b = Mat::from_fn(4, 4, |i, j| if i == j { 1.0 + i as f64 } else { 0.0 });
        let mut v = Mat::from_fn(4, 3, |i, _| 1.0 + i as f64);
        let (_, squares) = subspace_step(&mut v, |v| &b * &*v, |u| b.transpose() * u).unwrap();
        assert!(squares[0] > 10.0 && squares[0] <= 16.0 && squares[1].abs() < 1e-9);
    }
}
