//! Kernels whose symbol depends on fewer frequencies than they have axes, or on multiples of them (T19a).
//!
//! Singular values of F do not see a translation of all taps of one input channel. What is left are
//! differences of taps that share an input channel. They span a lattice, and in coordinates of that
//! lattice the kernel has no more axes than the lattice has dimensions, and no gaps.

use std::collections::BTreeSet;

use crate::layout::multi_index;
use crate::linalg::Mat;
use crate::symbol::TapMatrices;

/// A kernel in the coordinates of its lattice of differences: tap t of input channel c is tap
/// q of the folded kernel, t = o_c + Σ_a q_a·basis_a.
pub(crate) struct Fold {
    pub(crate) taps: TapMatrices,
    /// One vector per axis of the folded kernel.
    pub(crate) basis: Vec<[i64; 3]>,
}

/// Whether the coordinates may be sheared to make the kernel smaller. The frequencies of a sheared
/// kernel are still those of a torus, but no longer those of a grid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shear {
    Allowed,
    Avoided,
}

impl Fold {
    pub(crate) fn new(group: TapMatrices, shear: Shear) -> Self {
        let columns = columns(&group);
        let mut basis = Basis::default();
        for taps in &columns {
            for t in taps {
                basis.insert(difference(t, &taps[0]));
            }
        }
        // Taps of every channel in the coordinates of the lattice.
        let mut places: Vec<Vec<[i64; 3]>> = columns
            .iter()
            .map(|taps| {
                taps.iter()
                    .map(|t| basis.coordinates(difference(t, &taps[0])))
                    .collect()
            })
            .collect();
        if shear == Shear::Allowed {
            basis.shear(&mut places);
        }
        for taps in &mut places {
            let low = range(taps).0;
            for t in taps {
                *t = difference(t, &low);
            }
        }
        let mut k = vec![1; basis.vectors.len()];
        for taps in &places {
            let high = range(taps).1;
            for (a, k) in k.iter_mut().enumerate() {
                *k = (high[a] as usize + 1).max(*k);
            }
        }
        if k.iter().product::<usize>() >= group.matrices.len() {
            return Self::none(group);
        }
        Self {
            taps: moved(&group, &columns, &places, k),
            basis: basis.vectors,
        }
    }

    /// The kernel as it is.
    pub(crate) fn none(group: TapMatrices) -> Self {
        let basis = (0..group.k.len())
            .map(|a| std::array::from_fn(|b| i64::from(a == b)))
            .collect();
        Self { taps: group, basis }
    }
}

/// Per input channel, the taps at which it is not exactly zero.
fn columns(group: &TapMatrices) -> Vec<Vec<[i64; 3]>> {
    let mut columns = vec![Vec::new(); group.matrices[0].ncols()];
    for (tap, matrix) in group.matrices.iter().enumerate() {
        let t = multi_index(tap, &group.k).map(|x| x as i64);
        for (c, taps) in columns.iter_mut().enumerate() {
            // Not `== 0.0`, of which a NaN is no part.
            if !matrix.col_as_slice(c).iter().all(|x| x.abs() <= 0.0) {
                taps.push(t);
            }
        }
    }
    columns
}

/// The folded kernel, of extents `k`.
fn moved(
    group: &TapMatrices,
    columns: &[Vec<[i64; 3]>],
    places: &[Vec<[i64; 3]>],
    k: Vec<usize>,
) -> TapMatrices {
    let flat = |t: &[i64; 3], k: &[usize]| {
        (0..k.len()).fold(0, |flat, a| flat * k[a] + t[a].unsigned_abs() as usize)
    };
    let (rows, cols) = (group.matrices[0].nrows(), group.matrices[0].ncols());
    let count = k.iter().product();
    let mut matrices = vec![Mat::zeros(rows, cols); count];
    for (c, (from, to)) in columns.iter().zip(places).enumerate() {
        for (t, q) in from.iter().zip(to) {
            let source = group.matrices[flat(t, &group.k)].col_as_slice(c);
            matrices[flat(q, &k)]
                .col_as_slice_mut(c)
                .copy_from_slice(source);
        }
    }
    TapMatrices { k, matrices }
}

fn difference(a: &[i64; 3], b: &[i64; 3]) -> [i64; 3] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// The least and the largest coordinate per axis; 0 where there is no tap.
fn range(taps: &[[i64; 3]]) -> ([i64; 3], [i64; 3]) {
    let mut low = taps.first().copied().unwrap_or_default();
    let mut high = low;
    for t in taps {
        for a in 0..3 {
            low[a] = low[a].min(t[a]);
            high[a] = high[a].max(t[a]);
        }
    }
    (low, high)
}

/// A basis of a lattice in ℤ³, in echelon form until it is sheared: the first entry that is not 0
/// moves to the right from vector to vector.
#[derive(Default)]
struct Basis {
    vectors: Vec<[i64; 3]>,
}

/// Place of the first entry that is not 0.
fn pivot(v: &[i64; 3]) -> Option<usize> {
    v.iter().position(|&x| x != 0)
}

/// `a − factor·b`.
fn minus(a: &[i64; 3], factor: i64, b: &[i64; 3]) -> [i64; 3] {
    std::array::from_fn(|i| a[i] - factor * b[i])
}

impl Basis {
    /// Makes `v` a member of the lattice.
    ///
    /// Entries stay small: beside a pivot of a vector, an entry above another pivot is reduced modulo it,
    /// and one above none is a fixed rational combination of those above pivots.
    fn insert(&mut self, mut v: [i64; 3]) {
        while let Some(at) = pivot(&v) {
            let Some(known) = self.vectors.iter().position(|b| pivot(b) == Some(at)) else {
                self.vectors.push(v);
                self.vectors.sort_by_key(pivot);
                break;
            };
            // Euclid's algorithm on the two vectors.
            let mut b = self.vectors[known];
            while v[at] != 0 {
                (b, v) = (v, minus(&b, b[at] / v[at], &v));
            }
            self.vectors[known] = b;
        }
        for low in 1..self.vectors.len() {
            let below = self.vectors[low];
            if let Some(at) = pivot(&below) {
                for above in &mut self.vectors[..low] {
                    *above = minus(above, above[at].div_euclid(below[at]), &below);
                }
            }
        }
    }

    /// The coordinates of a member.
    fn coordinates(&self, mut v: [i64; 3]) -> [i64; 3] {
        let mut q = [0; 3];
        for (slot, b) in q.iter_mut().zip(&self.vectors) {
            if let Some(at) = pivot(b) {
                *slot = v[at] / b[at];
                v = minus(&v, *slot, b);
            }
        }
        debug_assert_eq!(v, [0; 3], "every difference was inserted");
        q
    }

    /// Replaces coordinates q_a by q_a + j·q_b while that makes the box around the taps smaller.
    fn shear(&mut self, places: &mut [Vec<[i64; 3]>]) {
        const MOST: i64 = 3;
        const ROUNDS: usize = 64;
        /// Taps beyond which nothing is tried: the kernel is hardly sparse.
        const MAX_TAPS: usize = 1 << 14;
        let axes = self.vectors.len();
        // Sets that fill their boxes cannot be made smaller. What is alike needs one look.
        let mut sets: BTreeSet<Vec<[i64; 3]>> = BTreeSet::new();
        for taps in places.iter() {
            let low = range(taps).0;
            sets.insert(taps.iter().map(|t| difference(t, &low)).collect());
        }
        let size: usize = sets.iter().map(Vec::len).sum();
        let extents = |sets: &BTreeSet<Vec<[i64; 3]>>, a: usize, j: i64, b: usize| -> f64 {
            let mut largest = [0i64; 3];
            for taps in sets {
                let sheared: Vec<_> = taps.iter().map(|t| sheared(t, a, j, b)).collect();
                let (low, high) = range(&sheared);
                for i in 0..axes {
                    largest[i] = largest[i].max(high[i] - low[i] + 1);
                }
            }
            largest[..axes].iter().map(|&e| e as f64).product()
        };
        let full = |taps: &Vec<[i64; 3]>| {
            let high = range(taps).1;
            let volume: i64 = high.iter().map(|h| h + 1).product();
            volume == taps.len() as i64
        };
        if axes < 2 || size > MAX_TAPS || sets.iter().all(full) {
            return;
        }
        let mut volume = extents(&sets, 0, 0, 1);
        for _ in 0..ROUNDS {
            let mut best = None;
            for a in 0..axes {
                for b in (0..axes).filter(|&b| b != a) {
                    for j in (-MOST..=MOST).filter(|&j| j != 0) {
                        let smaller = extents(&sets, a, j, b);
                        if smaller < volume {
                            (volume, best) = (smaller, Some((a, j, b)));
                        }
                    }
                }
            }
            let Some((a, j, b)) = best else { break };
            sets = sets
                .iter()
                .map(|taps| taps.iter().map(|t| sheared(t, a, j, b)).collect())
                .collect();
            for t in places.iter_mut().flatten() {
                *t = sheared(t, a, j, b);
            }
            // Σ q_i·basis_i stays the same.
            self.vectors[b] = minus(&self.vectors[b], j, &self.vectors[a]);
        }
    }
}

/// q with q_a + j·q_b in place of q_a.
fn sheared(q: &[i64; 3], a: usize, j: i64, b: usize) -> [i64; 3] {
    let mut q = *q;
    q[a] += j * q[b];
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One channel with taps at the given places of a kernel of extents `k`.
    fn sparse(k: &[usize], taps: &[[usize; 3]]) -> TapMatrices {
        let count: usize = k.iter().product();
        let mut matrices = vec![Mat::zeros(1, 1); count];
        for (i, t) in taps.iter().enumerate() {
            let flat = (0..k.len()).fold(0, |flat, a| flat * k[a] + t[a]);
            matrices[flat][(0, 0)] = 1.0 + i as f64;
        }
        TapMatrices {
            k: k.to_vec(),
            matrices,
        }
    }

    fn folded(k: &[usize], taps: &[[usize; 3]]) -> (Vec<usize>, Vec<[i64; 3]>) {
        let fold = Fold::new(sparse(k, taps), Shear::Allowed);
        (fold.taps.k, fold.basis)
    }

    #[test]
    fn opposite_corners_are_one_frequency() {
        let (k, basis) = folded(&[5, 5, 5], &[[0, 0, 0], [4, 4, 4]]);
        assert_eq!((k, basis), (vec![2], vec![[4, 4, 4]]));
        let (k, basis) = folded(&[15, 15], &[[0, 14, 0], [14, 0, 0]]);
        assert_eq!((k, basis), (vec![2], vec![[14, -14, 0]]));
    }

    #[test]
    fn one_tap_per_channel_is_no_frequency() {
        assert_eq!(folded(&[4, 4], &[[2, 3, 0]]), (vec![], vec![]));
    }

    #[test]
    fn gaps_are_closed() {
        // Taps 1, 4, 10: differences 3 and 9.
        assert_eq!(
            folded(&[11], &[[1, 0, 0], [4, 0, 0], [10, 0, 0]]),
            (vec![4], vec![[3, 0, 0]])
        );
        let corners = [[0, 0, 0], [0, 0, 6], [0, 6, 0], [6, 0, 0]];
        let (k, basis) = folded(&[7, 7, 7], &corners);
        assert_eq!(k, [2, 2, 2]);
        assert_eq!(basis, [[6, 0, 0], [0, 6, 0], [0, 0, 6]]);
    }

    #[test]
    fn a_band_is_sheared_straight() {
        let band: Vec<[usize; 3]> = (0..8).flat_map(|i| [[i, i, 0], [i, i + 1, 0]]).collect();
        let (k, _) = folded(&[9, 9], &band);
        assert_eq!(k.iter().product::<usize>(), 16);
    }

    #[test]
    fn a_full_kernel_stays_as_it_is() {
        let all: Vec<[usize; 3]> = (0..9).map(|i| [i / 3, i % 3, 0]).collect();
        let (k, basis) = folded(&[3, 3], &all);
        assert_eq!((k, basis), (vec![3, 3], vec![[1, 0, 0], [0, 1, 0]]));
    }

    /// e^{i⟨o,θ⟩}·F_folded(Bᵀθ) = F(θ): the phases of the taps, exactly, in turns.
    #[test]
    fn taps_keep_their_places_in_the_lattice() {
        let taps = [[0, 0, 0], [2, 4, 1], [4, 2, 3], [6, 6, 4], [1, 5, 0]];
        for shear in [Shear::Allowed, Shear::Avoided] {
            let group = sparse(&[7, 7, 5], &taps);
            let fold = Fold::new(group, shear);
            let mut origins = BTreeSet::new();
            let mut seen = 0;
            for (flat, matrix) in fold.taps.matrices.iter().enumerate() {
                let value = matrix[(0, 0)];
                if value > 0.0 {
                    seen += 1;
                    let q = multi_index(flat, &fold.taps.k);
                    let t = taps[value as usize - 1].map(|x| x as i64);
                    let place = fold
                        .basis
                        .iter()
                        .zip(q)
                        .fold([0; 3], |sum, (b, q)| minus(&sum, -(q as i64), b));
                    origins.insert(difference(&t, &place));
                }
            }
            assert_eq!((seen, origins.len()), (taps.len(), 1));
        }
    }
}
