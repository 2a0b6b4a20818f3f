//! Cholesky factorisations of several Hermitian matrices at once, one in each lane of the vector unit.
//!
//! A factorisation of an order below a hundred is too small to keep vectors full by itself; the frequencies of a
//! search come in dozens. Every lane computes what a factorisation of its matrix alone would, by conventional sums of
//! products, with real pivots (T17).

use pulp::{Arch, Simd, WithSimd};

use crate::linalg::MatRef;

/// Largest order: the matrices of all lanes should stay in the second cache.
pub(crate) const MAX_ORDER: usize = 128;
/// The number of matrices is a multiple of this, which every vector unit's number of lanes divides.
pub(crate) const MULTIPLE: usize = 4;

/// For each of several Hermitian matrices, whether its factorisation runs to completion with positive, finite pivots.
///
/// `re` and `im` have a row for each matrix, with its lower triangle packed by rows; `diagonal` is added to the real
/// part of that matrix's diagonal, whose imaginary part is not read.
pub(crate) fn complete(
    n: usize,
    re: MatRef<'_, f64>,
    im: MatRef<'_, f64>,
    diagonal: &[f64],
) -> Vec<bool> {
    assert!(diagonal.len().is_multiple_of(MULTIPLE) && re.nrows() == diagonal.len());
    Arch::new().dispatch(Complete {
        n,
        re,
        im,
        diagonal,
    })
}

/// First entry of row i in a lower triangle that is packed by rows.
const fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

struct Complete<'a> {
    n: usize,
    re: MatRef<'a, f64>,
    im: MatRef<'a, f64>,
    diagonal: &'a [f64],
}

impl WithSimd for Complete<'_> {
    type Output = Vec<bool>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<bool> {
        let (n, lanes) = (self.n, S::F64_LANES);
        // An odd order gets a row of the identity, so that rows come in pairs.
        let mut values = vec![0.0; 2 * start(n.next_multiple_of(2)) * lanes];
        let mut complete = Vec::with_capacity(self.diagonal.len());
        for first in (0..self.diagonal.len()).step_by(lanes) {
            let (own, added) = values.split_at_mut(2 * start(n) * lanes);
            for (p, entry) in own.chunks_exact_mut(2 * lanes).enumerate() {
                let (re, im) = entry.split_at_mut(lanes);
                re.copy_from_slice(&column(self.re, p)[first..first + lanes]);
                im.copy_from_slice(&column(self.im, p)[first..first + lanes]);
            }
            let diagonal = &self.diagonal[first..first + lanes];
            for i in 0..n {
                let at = 2 * lanes * (start(i) + i);
                for (x, d) in own[at..at + lanes].iter_mut().zip(diagonal) {
                    *x += d;
                }
            }
            added.fill(0.0);
            if let Some(end) = added.len().checked_sub(2 * lanes) {
                added[end..end + lanes].fill(1.0);
            }
            factor(simd, S::as_mut_simd_f64s(&mut values).0);
            complete.extend((0..lanes).map(|lane| {
                (0..n).all(|i| {
                    let pivot = values[2 * lanes * (start(i) + i) + lane];
                    pivot > 0.0 && pivot.is_finite()
                })
            }));
        }
        complete
    }
}

/// A column, whose entries lie one after the other.
#[inline(always)]
fn column(a: MatRef<'_, f64>, p: usize) -> &[f64] {
    a.col(p).try_as_col_major().map_or(&[], |c| c.as_slice())
}

/// Overwrites packed lower triangles of even order, real and imaginary part of an entry one after the other, by their
/// factors. Where a pivot is not positive it, or a later one, ends as 0, ∞ or NaN.
///
/// Row after row: l_ij = (a_ij − Σ_{k<j} l_ik·conj(l_jk))/l_jj, two rows and two columns at a time.
#[inline(always)]
fn factor<S: Simd>(simd: S, values: &mut [S::f64s]) {
    let mut inverses = Vec::new();
    let mut i = 0;
    while 2 * start(i) < values.len() {
        let (done, rest) = values.split_at_mut(2 * start(i));
        let (one, two) = rest[..2 * (start(i + 2) - start(i))].split_at_mut(2 * (i + 1));
        for j in (0..i).step_by(2) {
            let upper = &done[2 * start(j)..2 * start(j + 1)];
            let lower = &done[2 * start(j + 1)..2 * start(j + 2)];
            let sums = products(
                simd,
                [&one[..2 * j], &two[..2 * j]],
                [&upper[..2 * j], &lower[..2 * j]],
            );
            for (own, sums) in [&mut *one, &mut *two].into_iter().zip(sums) {
                let x = Entry::at(own, j)
                    .less(simd, sums[0])
                    .times(simd, inverses[j]);
                let y = Entry::at(own, j + 1)
                    .less(simd, sums[1])
                    .less_product(simd, x, Entry::at(lower, j))
                    .times(simd, inverses[j + 1]);
                x.put(own, j);
                y.put(own, j + 1);
            }
        }
        let rows = [&one[..2 * i], &two[..2 * i]];
        let sums = products(simd, rows, rows);
        one[2 * i] = simd.sub_f64s(one[2 * i], sums[0][0].re);
        inverses.push(pivot(simd, &mut one[2 * i]));
        let x = Entry::at(two, i)
            .less(simd, sums[1][0])
            .times(simd, inverses[i]);
        x.put(two, i);
        let last = Entry::at(two, i + 1)
            .less(simd, sums[1][1])
            .less_product(simd, x, x);
        two[2 * i + 2] = last.re;
        inverses.push(pivot(simd, &mut two[2 * i + 2]));
        i += 2;
    }
}

/// Turns d into √d; the reciprocal of that.
#[inline(always)]
fn pivot<S: Simd>(simd: S, d: &mut S::f64s) -> S::f64s {
    *d = simd.sqrt_f64s(*d);
    simd.div_f64s(simd.splat_f64s(1.0), *d)
}

/// Entries of the matrices of all lanes.
#[derive(Clone, Copy)]
struct Entry<V> {
    re: V,
    im: V,
}

impl<V: Copy> Entry<V> {
    #[inline(always)]
    fn at(row: &[V], j: usize) -> Self {
        Self {
            re: row[2 * j],
            im: row[2 * j + 1],
        }
    }

    #[inline(always)]
    fn put(self, row: &mut [V], j: usize) {
        (row[2 * j], row[2 * j + 1]) = (self.re, self.im);
    }

    #[inline(always)]
    fn less<S: Simd<f64s = V>>(self, simd: S, other: Self) -> Self {
        Self {
            re: simd.sub_f64s(self.re, other.re),
            im: simd.sub_f64s(self.im, other.im),
        }
    }

    /// Real factors.
    #[inline(always)]
    fn times<S: Simd<f64s = V>>(self, simd: S, factor: V) -> Self {
        Self {
            re: simd.mul_f64s(self.re, factor),
            im: simd.mul_f64s(self.im, factor),
        }
    }

    /// Plus a·conj(b).
    #[inline(always)]
    fn plus_product<S: Simd<f64s = V>>(self, simd: S, a: Self, b: Self) -> Self {
        let re = simd.mul_add_e_f64s(a.re, b.re, self.re);
        let im = simd.mul_add_e_f64s(a.im, b.re, self.im);
        Self {
            re: simd.mul_add_e_f64s(a.im, b.im, re),
            im: simd.negate_mul_add_e_f64s(a.re, b.im, im),
        }
    }

    /// Less a·conj(b).
    #[inline(always)]
    fn less_product<S: Simd<f64s = V>>(self, simd: S, a: Self, b: Self) -> Self {
        let negative = Self {
            re: simd.neg_f64s(a.re),
            im: simd.neg_f64s(a.im),
        };
        self.plus_product(simd, negative, b)
    }
}

/// Σ a_k·conj(b_k) for each of two rows a and each of two rows b of one length.
#[inline(always)]
fn products<S: Simd>(simd: S, a: [&[S::f64s]; 2], b: [&[S::f64s]; 2]) -> [[Entry<S::f64s>; 2]; 2] {
    let zero = Entry {
        re: simd.splat_f64s(0.0),
        im: simd.splat_f64s(0.0),
    };
    let mut sums = [[zero; 2]; 2];
    let (a, b) = (
        a.map(|a| a.as_chunks::<2>().0),
        b.map(|b| b.as_chunks::<2>().0),
    );
    let entry = |x: &[S::f64s; 2]| Entry { re: x[0], im: x[1] };
    for (((a0, a1), b0), b1) in a[0].iter().zip(a[1]).zip(b[0]).zip(b[1]) {
        let (a0, a1, b0, b1) = (entry(a0), entry(a1), entry(b0), entry(b1));
        sums[0][0] = sums[0][0].plus_product(simd, a0, b0);
        sums[0][1] = sums[0][1].plus_product(simd, a0, b1);
        sums[1][0] = sums[1][0].plus_product(simd, a1, b0);
        sums[1][1] = sums[1][1].plus_product(simd, a1, b1);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::krylov::quasi_random;
    use crate::linalg::{Mat, c64};

    /// `a` + `diagonal` of each of several matrices.
    fn completes(matrices: &[Mat<c64>], diagonal: &[f64]) -> Vec<bool> {
        let n = matrices[0].nrows();
        let places: Vec<(usize, usize)> =
            (0..n).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
        let re = Mat::from_fn(matrices.len(), places.len(), |m, p| {
            matrices[m][places[p]].re
        });
        let im = Mat::from_fn(matrices.len(), places.len(), |m, p| {
            matrices[m][places[p]].im
        });
        let outcome = complete(n, re.as_ref(), im.as_ref(), diagonal);
        // What a machine without vectors computes.
        let one = pulp::Scalar.vectorize(Complete {
            n,
            re: re.as_ref(),
            im: im.as_ref(),
            diagonal,
        });
        assert_eq!(outcome, one, "order {n}");
        outcome
    }

    fn random(n: usize, seed: u64) -> Mat<c64> {
        let (x, y) = (quasi_random(n * n, seed), quasi_random(n * n, seed + 1));
        let b = Mat::from_fn(n, n, |i, j| c64::new(x[i * n + j], y[i * n + j]));
        &b + b.adjoint()
    }

    /// A completes where its least eigenvalue is positive beyond rounding, and does not where it is negative.
    #[test]
    fn every_lane_is_the_factorisation_of_its_matrix() {
        for n in (1..20).chain([31, 32, 63, 64, 65, 100, 127, 128]) {
            let matrices: Vec<Mat<c64>> = (0..8).map(|m| random(n, 7 * n as u64 + 2 * m)).collect();
            for step in [1e-11, 1e-6, 0.1] {
                let mut diagonal = Vec::new();
                let mut wanted = Vec::new();
                for (m, a) in matrices.iter().enumerate() {
                    let values = a.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
                    let positive = m % 3 != 1;
                    let by = step * n as f64;
                    diagonal.push(if positive { by } else { -by } - values[0]);
                    wanted.push(positive);
                }
                assert_eq!(completes(&matrices, &diagonal), wanted, "order {n}, {step}");
            }
        }
    }

    /// What is no number, or no pivot, stays in its lane.
    #[test]
    fn a_lane_that_fails_leaves_the_others_alone() {
        for n in [1, 2, 5, 8, 33] {
            let mut matrices = vec![Mat::<c64>::identity(n, n); 8];
            for (m, bad) in [(1, f64::NAN), (2, f64::INFINITY), (4, -1.0), (7, 0.0)] {
                matrices[m][(n - 1, n - 1)] = c64::new(bad, 0.0);
            }
            if n > 1 {
                matrices[6][(n - 1, 0)] = c64::new(f64::INFINITY, 0.0);
            }
            let wanted = [true, false, false, true, false, true, n == 1, false];
            assert_eq!(completes(&matrices, &[0.0; 8]), wanted, "order {n}");
        }
    }

    /// The imaginary residue of the second pivot is as large as the pivot itself (as in linalg.rs), and an imaginary part
    /// of the diagonal is not read.
    #[test]
    fn pivots_are_real() {
        for n in [3, 4, 64, 65, 100] {
            let mut a = Mat::<c64>::identity(n, n);
            a[(1, 0)] = c64::new(1.295_749_294_000_456, 0.941_753_289_933_835_4);
            a[(1, 1)] = c64::new(2.565_865_492_003_883, 0.0);
            a[(n - 1, 1)] = c64::new(0.18, 0.0);
            let mut b = Mat::<c64>::identity(n, n);
            b[(0, 0)] = c64::new(1.0, 100.0);
            let outcome = completes(&[a.clone(), b.clone(), a, b], &[0.0; 4]);
            assert_eq!(outcome, [false, true, false, true], "order {n}");
        }
    }
}
