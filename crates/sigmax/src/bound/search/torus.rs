//! All frequencies: cells of the torus (T16).

use crate::bound::search::cover::Cover;
use crate::estimate::ascent::{self, Peak};
use crate::rounding::{cos_turns_down, mul_down, sub_down};
use crate::symbol::autocorrelation::{Autocorrelation, Frequency, TURN};

/// A cell of the torus, in units of 1/[`TURN`] of a turn: the interval |Δ₁| ≤ w₁ in one dimension,
/// the diamond |Δ₁|/w₁ + |Δ₂|/w₂ ≤ 1 in two, diamond × interval in three.
///
/// On a diamond the sum in the cosine of T14 is at most max(d₁w₁, d₂w₂), where a rectangle with
/// the same half-widths would have d₁w₁ + d₂w₂ and only twice the area: diamonds need half as
/// many cells.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(super) centre: [i64; 3],
    pub(super) half: [i64; 3],
}

/// The torus of a kernel with extents k, up to the symmetry θ → −θ.
pub(crate) struct Torus {
    k: Vec<usize>,
    /// Half-widths of the first cells.
    half: [i64; 3],
    /// [`Torus::drift`] by the half-widths of a cell.
    drifts: Vec<([i64; 3], f64)>,
}

impl Torus {
    pub(crate) fn new(k: &[usize]) -> Self {
        let mut half = [0i64; 3];
        for (a, &k) in k.iter().enumerate() {
            // d·w ≤ 1/8 of a turn with d = (k − 1)/2, and w ≤ 1/4, so that an even number of cells
            // goes round the torus. A kernel in memory has k < 2³⁸: w ≥ 1.
            let most = (TURN / 4 / (k as u64 - 1).max(1)).max(1);
            half[a] = 1 << most.ilog2();
        }
        Self {
            k: k.to_vec(),
            half,
            drifts: Vec::new(),
        }
    }

    /// Distance of the centres of neighbouring first cells along an axis.
    fn step(&self, a: usize) -> i64 {
        let axes = self.k.len();
        if axes != 2 && a + 1 == axes || a == 2 {
            2 * self.half[a]
        } else {
            self.half[a]
        }
    }

    fn count(&self, a: usize) -> i64 {
        if a < self.k.len() {
            TURN as i64 / self.step(a)
        } else {
            1
        }
    }

    pub(super) fn axes(&self) -> usize {
        self.k.len()
    }

    /// Half-widths of the first cells.
    pub(super) fn half(&self) -> [i64; 3] {
        self.half
    }

    /// How many places the first cells have along each axis, half of them on the first.
    pub(super) fn places(&self) -> [f64; 3] {
        [
            self.slabs() as f64,
            self.count(1) as f64,
            self.count(2) as f64,
        ]
    }

    /// Slabs that the first cells come in: one for each place on the first axis that symmetry
    /// leaves.
    pub(super) fn slabs(&self) -> i64 {
        self.count(0) / 2 + 1
    }

    /// The first cells of one slab.
    pub(super) fn slab(&self, i: i64) -> Vec<Cell> {
        let axes = self.k.len();
        let mut cells = Vec::new();
        for j in 0..self.count(1) {
            if axes >= 2 && (i + j) % 2 == 1 {
                continue;
            }
            for l in 0..self.count(2) {
                let index = [i, j, l];
                let mirrored: [i64; 3] =
                    std::array::from_fn(|a| (self.count(a) - index[a]) % self.count(a));
                if index <= mirrored {
                    let mut centre = [0; 3];
                    for a in 0..axes {
                        centre[a] = index[a] * self.step(a);
                    }
                    cells.push(Cell {
                        centre,
                        half: self.half,
                    });
                }
            }
        }
        cells
    }

    /// A lower bound of cos r, r = 2π·max over the cell of Σ d_a|Δ_a| (T14).
    pub(super) fn cosine(&self, half: &[i64; 3]) -> f64 {
        let reach = |a: usize| (self.k[a] as i64 - 1) * half[a];
        let numerator = match self.k.len() {
            0 => return 1.0,
            1 => reach(0),
            2 => reach(0).max(reach(1)),
            _ => reach(0).max(reach(1)) + reach(2),
        };
        // d = (k − 1)/2: twice the denominator. T14 holds up to a quarter of a turn.
        if 4 * numerator as u64 > 2 * TURN {
            return 0.0;
        }
        cos_turns_down(numerator, 2 * TURN).max(0.0)
    }

    /// An upper bound of ‖G(θ) − G(c)‖₂ over the cell (T20).
    fn drift(&mut self, of: &Autocorrelation, half: [i64; 3]) -> f64 {
        if let Some(&(_, drift)) = self.drifts.iter().find(|(known, _)| *known == half) {
            return drift;
        }
        let drift = of.drift(|s| turns(s, &half));
        self.drifts.push((half, drift));
        drift
    }
}

/// The largest |⟨s, Δ⟩| in a cell, as a fraction of a turn. Below 2⁵³ units: exact.
pub(super) fn turns(s: &[i64; 3], half: &[i64; 3]) -> f64 {
    let reach = |a: usize| s[a].abs() * half[a];
    // Axes that the kernel does not have are 0 in every shift.
    (reach(0).max(reach(1)) + reach(2)) as f64 / TURN as f64
}

impl Cell {
    /// Covers the cell by 2, 4 or 8 cells of half its size; by none at the finest resolution.
    pub(super) fn split(&self, axes: usize) -> Vec<Self> {
        let mut half = self.half;
        if half[..axes].iter().any(|h| h % 2 != 0) {
            return Vec::new();
        }
        for h in &mut half[..axes] {
            *h /= 2;
        }
        let shifted = |centre: [i64; 3], a: usize| {
            [-half[a], half[a]].map(|by| {
                let mut moved = centre;
                moved[a] = (moved[a] + by).rem_euclid(TURN as i64);
                moved
            })
        };
        if axes == 0 {
            return Vec::new();
        }
        let mut centres = shifted(self.centre, 0).to_vec();
        if axes >= 2 {
            centres.extend(shifted(self.centre, 1));
        }
        if axes == 3 {
            centres = centres.iter().flat_map(|&c| shifted(c, 2)).collect();
        }
        centres
            .into_iter()
            .map(|centre| Self { centre, half })
            .collect()
    }

    pub(super) fn frequency(&self) -> Frequency {
        Frequency {
            numerator: self.centre,
            denominator: [TURN; 3],
        }
    }
}

impl Cover for Torus {
    type Cell = Cell;

    fn count(&self) -> f64 {
        let all = (0..3).map(|a| Self::count(self, a) as f64).product::<f64>();
        if self.k.len() >= 2 { all / 2.0 } else { all }
    }

    fn first(&self) -> Vec<Cell> {
        (0..self.slabs()).flat_map(|i| self.slab(i)).collect()
    }

    fn split(&self, cell: &Cell) -> Vec<Cell> {
        cell.split(self.k.len())
    }

    fn centre(&self, cell: &Cell) -> Frequency {
        cell.frequency()
    }

    /// U·cos r, squared (T14), or U² less the most that the Gram matrix can change (T20).
    fn threshold(&mut self, of: &Autocorrelation, cell: &Cell, target: f64) -> f64 {
        let tau = mul_down(target, self.cosine(&cell.half));
        let by_cosine = mul_down(tau, tau);
        let drift = self.drift(of, cell.half);
        by_cosine.max(sub_down(mul_down(target, target), drift))
    }

    fn ascend(&self, of: &Autocorrelation, from: Peak, gain: f64) -> Peak {
        ascent::ascend(of, from, gain)
    }

    fn whole(&self) -> Option<&[usize]> {
        Some(&self.k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// d·w has to stay within an eighth of a turn for any extent, without an overflow on the way.
    #[test]
    fn first_cells_of_very_long_kernels() {
        for k in [2, 3, 1 << 20, (1 << 25) + 2, (1 << 38) + 1] {
            let torus = Torus::new(&[k]);
            let reach = (k as u128 - 1) * torus.half[0] as u128;
            assert!(reach <= u128::from(TURN / 4), "{k}");
            assert!(torus.half[0] > TURN as i64 / 4 / k as i64 / 2, "{k}");
            assert!(torus.cosine(&torus.half) > 0.7, "{k}");
        }
    }
}
