//! The frequencies of a periodic layer: boxes of a finite grid (T1, T16).

use crate::bound::search::cover::Cover;
use crate::error::Error;
use crate::estimate::ascent::{self, Peak};
use crate::rounding::{
    add_up, cos_turns_down, div_up, mul_down, mul_up, sin_turns_up, sqrt_up, sub_down,
};
use crate::symbol::autocorrelation::{Autocorrelation, Frequency};
use crate::symbol::fold::Fold;

/// Points beyond which a grid is refused.
const MAX_POINTS: i128 = 1 << 50;

/// The grid 2πj/N per axis, N = `size`, for a kernel with extents `k`.
pub(crate) struct Grid {
    size: [i64; 3],
    k: Vec<usize>,
    /// M ≥ S(K), proved.
    ceiling: f64,
}

impl Grid {
    pub(crate) fn new(k: &[usize], size: [i64; 3], ceiling: f64) -> Self {
        Self {
            size,
            k: k.to_vec(),
            ceiling,
        }
    }

    /// Refuses a grid whose products of sizes do not fit into 64 bits.
    pub(crate) fn check(size: &[i64; 3]) -> Result<(), Error> {
        let points = size.iter().map(|&n| i128::from(n)).product::<i128>();
        if points < MAX_POINTS {
            return Ok(());
        }
        Err(Error::too_large(
            format!(
                "the grid of {} × {} × {} frequencies of this input size",
                size[0], size[1], size[2]
            ),
            "2^50",
        ))
    }

    /// The sizes of the grid that the frequencies of a folded kernel range over, where θ ranges over
    /// the grid with the given `size`; `None` where that is no such grid (T19a).
    pub(crate) fn folded(fold: &Fold, size: &[i64; 3]) -> Option<[i64; 3]> {
        let mut sizes = [1i64; 3];
        for (folded, step) in sizes.iter_mut().zip(&fold.basis) {
            for a in 0..3 {
                if step[a] != 0 {
                    // e^{i·step·θ_a} is a root of unity of that order, and together they generate
                    // those of the least common multiple.
                    let order = size[a] / gcd(size[a], step[a].abs());
                    *folded = (*folded / gcd(*folded, order)).checked_mul(order)?;
                }
            }
        }
        let alone = (0..3).all(|a| fold.basis.iter().filter(|step| step[a] != 0).count() <= 1);
        alone.then_some(sizes)
    }

    fn frequency(&self, index: [i64; 3]) -> Frequency {
        Frequency {
            numerator: index,
            denominator: self.size.map(|n| n as u64),
        }
    }

    /// U·cos r − √(M² − U²)·sin r, where that is positive (T14).
    fn by_cosine(&self, cell: &IndexBox, target: f64) -> Option<f64> {
        let (numerator, denominator) = cell.radius(self);
        if 4 * numerator >= i128::from(denominator) {
            return None;
        }
        // Below a quarter of the denominator, which is below 2⁵¹.
        let numerator = i64::try_from(numerator).ok()?;
        let cos = cos_turns_down(numerator, denominator);
        let sin = sin_turns_up(numerator, denominator);
        let gap = sqrt_up(mul_up(
            add_up(self.ceiling, -target),
            add_up(self.ceiling, target),
        ));
        let tau = sub_down(mul_down(target, cos), mul_up(gap, sin));
        (tau > 0.0).then(|| mul_down(tau, tau))
    }
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A box of grid indices, `low ≤ index < high`.
#[derive(Clone, Copy)]
pub(crate) struct IndexBox {
    low: [i64; 3],
    high: [i64; 3],
}

impl IndexBox {
    fn centre(&self) -> [i64; 3] {
        std::array::from_fn(|a| (self.low[a] + self.high[a] - 1) / 2)
    }

    fn is_point(&self) -> bool {
        (0..3).all(|a| self.high[a] - self.low[a] == 1)
    }

    /// Distance from the centre to the farthest point along an axis.
    fn reach(&self, a: usize) -> i64 {
        let centre = self.centre()[a];
        (self.high[a] - 1 - centre).max(centre - self.low[a])
    }

    /// Σ d_a|Δθ_a| from the centre to the farthest point, as a fraction of a turn.
    fn radius(&self, grid: &Grid) -> (i128, u64) {
        let denominator: i64 = grid.size.iter().product();
        let numerator = grid
            .k
            .iter()
            .enumerate()
            .map(|(a, &k)| {
                (k as i128 - 1) * i128::from(self.reach(a)) * i128::from(denominator / grid.size[a])
            })
            .sum();
        (numerator, 2 * denominator as u64)
    }

    /// The largest |⟨s, θ − c⟩| in the box, as a fraction of a turn, rounded up.
    fn turns(&self, grid: &Grid, s: &[i64; 3]) -> f64 {
        (0..grid.k.len()).fold(0.0, |sum, a| {
            let along = mul_up(s[a].abs() as f64, self.reach(a) as f64);
            add_up(sum, div_up(along, grid.size[a] as f64))
        })
    }

    /// Halves along the axis that contributes most to the radius.
    fn halves(&self, grid: &Grid) -> [Self; 2] {
        let extent = |a: usize| {
            let degree = grid.k.get(a).map_or(0, |&k| k - 1);
            let length = self.high[a] - self.low[a];
            if length > 1 {
                degree as f64 * (length - 1) as f64 / grid.size[a] as f64
            } else {
                -1.0
            }
        };
        let mut axis = 0;
        for a in 1..3 {
            if extent(a) > extent(axis) {
                axis = a;
            }
        }
        let middle = (self.low[axis] + self.high[axis]) / 2;
        let (mut first, mut second) = (*self, *self);
        first.high[axis] = middle;
        second.low[axis] = middle;
        [first, second]
    }
}

impl Cover for Grid {
    type Cell = IndexBox;

    /// About as many as the first cells of the torus, of which a box of the grid takes the place, and
    /// no more than there are points.
    fn count(&self) -> f64 {
        (0..self.k.len())
            .map(|a| (4.0 * self.k.len() as f64 * self.k[a] as f64).min(self.size[a] as f64))
            .product()
    }

    /// Boxes of a radius of at most an eighth of a turn, or points.
    fn first(&self) -> Vec<IndexBox> {
        let mut high = self.size;
        // θ → −θ leaves ‖F‖ as it is: half the first axis is enough.
        high[0] = high[0] / 2 + 1;
        let mut open = vec![IndexBox { low: [0; 3], high }];
        let mut first = Vec::new();
        while let Some(cell) = open.pop() {
            let (numerator, denominator) = cell.radius(self);
            if cell.is_point() || 8 * numerator <= i128::from(denominator) {
                first.push(cell);
            } else {
                open.extend(cell.halves(self));
            }
        }
        first
    }

    fn split(&self, cell: &IndexBox) -> Vec<IndexBox> {
        if cell.is_point() {
            Vec::new()
        } else {
            cell.halves(self).to_vec()
        }
    }

    fn centre(&self, cell: &IndexBox) -> Frequency {
        self.frequency(cell.centre())
    }

    /// τ² with τ = U·cos r − √(M² − U²)·sin r (T14), or U² less the most that the Gram matrix can
    /// change (T20); U² itself for a single point.
    fn threshold(&mut self, of: &Autocorrelation, cell: &IndexBox, target: f64) -> f64 {
        let square = mul_down(target, target);
        // From U ≥ M on there is nothing to prove.
        if cell.is_point() || target >= self.ceiling {
            return square;
        }
        let by_drift = sub_down(square, of.drift(|s| cell.turns(self, s)));
        self.by_cosine(cell, target).unwrap_or(0.0).max(by_drift)
    }

    /// Moves to better neighbours on the grid.
    fn ascend(&self, of: &Autocorrelation, from: Peak, gain: f64) -> Peak {
        const ROUNDS: usize = 200;
        let mut peak = from;
        for _ in 0..ROUNDS {
            let form = of.quadratic_form(&peak.vector);
            let index = peak.at.numerator;
            let mut best = (form.at(of, &peak.at), index);
            for a in 0..self.k.len() {
                for stride in [1, 2, 4, 8, 16, 32] {
                    for by in [-stride, stride] {
                        let mut next = index;
                        next[a] = (next[a] + by).rem_euclid(self.size[a]);
                        let value = form.at(of, &self.frequency(next));
                        if value > best.0 {
                            best = (value, next);
                        }
                    }
                }
            }
            let at = self.frequency(best.1);
            let next = ascent::top(of, at, Some(&peak.vector), 40, 0.05 * gain);
            let rise = next.value - peak.value;
            let stays = best.1 == index;
            if next.value > peak.value {
                peak = next;
            }
            if stays || !(rise > 1e-13 * peak.value) {
                break;
            }
        }
        peak
    }

    fn whole(&self) -> Option<&[usize]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::search::prove::{Claim, prove};
    use crate::krylov::quasi_random;
    use crate::linalg::Mat;
    use crate::symbol::TapMatrices;

    fn one_channel(k: &[usize], seed: u64) -> TapMatrices {
        let values = quasi_random(k.iter().product(), seed);
        TapMatrices {
            k: k.to_vec(),
            matrices: values
                .iter()
                .map(|&x| Mat::from_fn(1, 1, |_, _| x))
                .collect(),
        }
    }

    /// With one channel ‖F‖² is a number at every grid point: no box that is closed at a target may hold
    /// a point above it, whatever the target.
    #[test]
    fn no_closed_box_holds_a_point_above_the_target() {
        for (k, size) in [
            (vec![3], [7, 1, 1]),
            (vec![4], [12, 1, 1]),
            (vec![3, 3], [8, 9, 1]),
            (vec![2, 5], [6, 11, 1]),
            (vec![3, 2, 3], [4, 5, 6]),
        ] {
            for seed in 0..4 {
                let of = Autocorrelation::new(&one_channel(&k, seed)).expect("small");
                let form = of.quadratic_form(&[1.0, 0.0]);
                let value = |at: &Frequency| form.at(&of, at).sqrt();
                // A value above sup ‖F‖: the maximum of a fine grid, and 1 % for what it misses.
                let fine: Vec<usize> = (0..3).map(|a| if a < k.len() { 128 } else { 1 }).collect();
                let ceiling = 1.01
                    * (0..fine.iter().product())
                        .map(|flat| Frequency {
                            numerator: crate::layout::multi_index(flat, &fine).map(|j| j as i64),
                            denominator: [128; 3],
                        })
                        .step_by(if k.len() == 3 { 7 } else { 1 })
                        .map(|at| value(&at))
                        .fold(0.0, f64::max);
                let mut grid = Grid::new(&k, size, ceiling);
                for fraction in [0.5, 0.8, 0.95, 0.999] {
                    let target = fraction * ceiling;
                    let mut open = vec![IndexBox {
                        low: [0; 3],
                        high: size,
                    }];
                    let mut closed = 0;
                    while let Some(cell) = open.pop() {
                        let square = grid.threshold(&of, &cell, target);
                        let at = grid.centre(&cell);
                        if !(square > 0.0 && prove(&of, &[Claim { at, square }])[0]) {
                            open.extend(grid.split(&cell));
                            continue;
                        }
                        closed += 1;
                        for i in cell.low[0]..cell.high[0] {
                            for j in cell.low[1]..cell.high[1] {
                                for l in cell.low[2]..cell.high[2] {
                                    let reached = value(&grid.frequency([i, j, l]));
                                    assert!(reached <= target * (1.0 + 1e-12));
                                }
                            }
                        }
                    }
                    assert!(closed > 0);
                }
            }
        }
    }

    /// The first boxes hold every index up to the symmetry.
    #[test]
    fn the_first_boxes_cover_the_grid() {
        for (k, size) in [(vec![3, 5], [9i64, 14, 1]), (vec![2, 3, 2], [5, 8, 7])] {
            let first = Grid::new(&k, size, 1.0).first();
            let inside = |index: [i64; 3]| {
                first
                    .iter()
                    .any(|b| (0..3).all(|a| b.low[a] <= index[a] && index[a] < b.high[a]))
            };
            for i in 0..size[0] {
                for j in 0..size[1] {
                    for l in 0..size[2] {
                        let index = [i, j, l];
                        let mirrored = std::array::from_fn(|a| (size[a] - index[a]) % size[a]);
                        assert!(inside(index) || inside(mirrored));
                    }
                }
            }
        }
    }
}
