//! The exact norm of a layer with circular padding at a given input size (T1), between two proved
//! ends: branch and bound over the finite grid of frequencies.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bound::bracket::{self, Outcome, symbol_norm_lower};
use crate::bound::cell::{self, Claim};
use crate::bound::four::{ReshapeNorms, root_of_taps};
use crate::bound::norm::{NormBracket, Quantity, lower_claim};
use crate::bound::options::{Options, Stop};
use crate::claim::{Bracket, Upper};
use crate::conv::{Conv, PaddingMode};
use crate::error::Error;
use crate::estimate::ascent::{self, Peak};
use crate::kernel::Kernel;
use crate::layout::effective_stride;
use crate::rounding::{
    add_up, cos_turns_down, div_up, mul_down, mul_up, scale_up, sin_turns_up, sqrt_up, sub_down,
};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency};

/// Brackets the norm of a layer with circular padding at its input size.
///
/// The layer's singular values are those of the symbol at the frequencies 2πj/n (T1), so the norm
/// is a maximum over a finite grid, at most S(K).
///
/// # Guarantee
/// Both ends are proved; upper ≤ (1 + tolerance)·lower unless the budget runs out.
///
/// # Assumes
/// The output is as large as the periodic operator's: stride divides the input size and
/// the padding adds up to dilation·(k − 1) (less any remainder the stride drops). Other paddings
/// are refused: [`norm_bracket`](crate::norm_bracket) bounds them.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, the padding is not circular, the input size is
/// missing, or the layer is not periodic.
///
/// # Source
/// T1 with T3 to T5; the step from a centre to its cell is T14 with a bound M ≥ S in place of S.
pub fn circular_norm(
    kernel: &Kernel,
    conv: &Conv,
    options: &Options,
) -> Result<NormBracket, Error> {
    options.check()?;
    let lattice = Lattice::new(kernel, conv)?;
    if !is_periodic(kernel, conv) {
        return Err(Error::NotCovered(
            "the exact circular norm needs circular padding, a known input size that the stride \
             divides, and as many outputs as the periodic layer has"
                .into(),
        ));
    }
    let four = ReshapeNorms::compute(&lattice);
    circular_bracket(&lattice, conv, &four, options)
}

/// The same where the layer is periodic, otherwise `None`.
pub(crate) fn circular_norm_if_periodic(
    kernel: &Kernel,
    conv: &Conv,
    options: &Options,
) -> Result<Option<NormBracket>, Error> {
    if is_periodic(kernel, conv) {
        circular_norm(kernel, conv, options).map(Some)
    } else {
        Ok(None)
    }
}

/// Whether the layer is exactly the periodic operator at its input size.
pub(crate) fn is_periodic(kernel: &Kernel, conv: &Conv) -> bool {
    let Some(size) = &conv.input_size else {
        return false;
    };
    conv.padding_mode == PaddingMode::Circular
        && (0..conv.axes()).all(|axis| {
            let (n, s) = (size[axis], conv.stride[axis]);
            n % s == 0 && conv.output_size(axis, n, kernel.spatial()[axis]) == Some(n / s)
        })
}

/// The same for a lattice kernel whose reshapes have been bounded.
pub(crate) fn circular_bracket(
    lattice: &Lattice<'_>,
    conv: &Conv,
    four: &ReshapeNorms,
    options: &Options,
) -> Result<NormBracket, Error> {
    let grid = Grid::new(lattice, conv)?;
    let outcome = search(lattice, &grid, four, options);
    let upper = Upper::claim(scale_up(outcome.upper, lattice.exponent));
    Ok(NormBracket {
        bracket: Bracket::claim(lower_claim(outcome.lower, lattice), upper),
        quantity: Quantity::Circular,
        stop: outcome.stop,
        tests: outcome.tests,
    })
}

/// Frequencies of the periodic operator, for the axes with more than one tap.
struct Grid {
    size: [i64; 3],
    k: Vec<usize>,
}

impl Grid {
    /// With stride s and dilation d on n pixels the polyphase kernel sees d'·2πj/(n/s), where
    /// d' = d/gcd(s, d) (T3, T4): a grid of (n/s)/gcd(n/s, d') points.
    fn new(lattice: &Lattice<'_>, conv: &Conv) -> Result<Self, Error> {
        let mut size = [1; 3];
        let mut k = Vec::new();
        for (axis, n) in conv.input_size.iter().flatten().enumerate() {
            if lattice.k[axis] > 1 {
                let (s, d) = (conv.stride[axis], conv.dilation[axis]);
                let d = d / (s / effective_stride(s, d));
                // effective_stride(n, d) is n / gcd(n, d).
                size[k.len()] = effective_stride(n / s, d) as i64;
                k.push(lattice.k[axis]);
            }
        }
        let points = size.iter().map(|&n| i128::from(n)).product::<i128>();
        if points >= 1 << 50 {
            return Err(Error::TooLarge(
                "the grid of frequencies of this input size".into(),
            ));
        }
        Ok(Self { size, k })
    }

    fn frequency(&self, index: [i64; 3]) -> Frequency {
        Frequency {
            numerator: index,
            denominator: self.size.map(|n| n as u64),
        }
    }
}

/// A box of grid indices, `low ≤ index < high`.
#[derive(Clone, Copy)]
struct IndexBox {
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

    /// Σ d_a|Δθ_a| from the centre to the farthest point, as a fraction of a turn.
    fn radius(&self, grid: &Grid) -> (i128, u64) {
        let denominator: i64 = grid.size.iter().product();
        let centre = self.centre();
        let numerator = grid
            .k
            .iter()
            .enumerate()
            .map(|(a, &k)| {
                let reach = (self.high[a] - 1 - centre[a]).max(centre[a] - self.low[a]);
                (k as i128 - 1) * i128::from(reach) * i128::from(denominator / grid.size[a])
            })
            .sum();
        (numerator, 2 * denominator as u64)
    }

    /// The largest |⟨s, θ − c⟩| in the box, as a fraction of a turn, rounded up.
    fn turns(&self, grid: &Grid, s: &[i64; 3]) -> f64 {
        let centre = self.centre();
        (0..grid.k.len()).fold(0.0, |sum, a| {
            let reach = (self.high[a] - 1 - centre[a]).max(centre[a] - self.low[a]);
            let turns = div_up((s[a].abs() * reach) as f64, grid.size[a] as f64);
            add_up(sum, turns)
        })
    }

    /// Halves along the axis that contributes most to the radius.
    fn split(&self, grid: &Grid) -> [Self; 2] {
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

fn search(lattice: &Lattice<'_>, grid: &Grid, four: &ReshapeNorms, options: &Options) -> Outcome {
    let started = Instant::now();
    let whole = bracket::bracket(lattice, four, options);
    // M ≥ S(K) ≥ ‖F(θ)‖ for every θ.
    let ceiling = whole.upper;
    if grid.k.is_empty() || whole.upper <= 0.0 {
        return whole;
    }
    let root = root_of_taps(lattice.taps());
    let mut order: Vec<(f64, usize)> = (0..lattice.groups)
        .map(|g| (mul_up(root, four.group_min(g)), g))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut walk = Walk {
        grid,
        ceiling,
        options,
        started,
        best: 0.0,
        lower: 0.0,
        tests: whole.tests,
    };
    let mut stop = Stop::Tolerance;
    for (bound, g) in order {
        if bound <= walk.target() {
            break;
        }
        let of = Autocorrelation::new(&lattice.tap_matrices(g));
        if let Err(reason) = walk.close(&of) {
            stop = reason;
            break;
        }
    }
    let upper = if stop == Stop::Tolerance {
        walk.target().min(ceiling)
    } else {
        ceiling
    };
    let reached = upper <= mul_up(walk.lower, 1.0 + options.tolerance);
    Outcome {
        lower: walk.lower.min(upper),
        upper,
        stop: match (reached, stop) {
            (true, _) => Stop::Tolerance,
            (false, Stop::Tolerance) => Stop::Precision,
            (false, reason) => reason,
        },
        tests: walk.tests,
    }
}

struct Walk<'a> {
    grid: &'a Grid,
    ceiling: f64,
    options: &'a Options,
    started: Instant,
    best: f64,
    lower: f64,
    tests: u64,
}

/// Boxes examined between two updates of the target.
const BATCH: usize = 64;

impl Walk<'_> {
    fn target(&self) -> f64 {
        self.best * (1.0 + 0.998 * self.options.tolerance)
    }

    /// Closes every box of the grid for one group.
    fn close(&mut self, of: &Autocorrelation) -> Result<(), Stop> {
        let mut high = self.grid.size;
        // θ → −θ leaves ‖F‖ as it is: half the first axis is enough.
        high[0] = high[0] / 2 + 1;
        let all = IndexBox { low: [0; 3], high };
        let mut top = self.climb(of, all.centre(), None);
        let mut open = VecDeque::from([all]);
        // Failed proofs at single points, each of which must have raised `best`.
        let mut repeats = 0;
        while !open.is_empty() {
            self.options.budget.check(self.tests, self.started)?;
            let mut boxes = Vec::new();
            let mut claims = Vec::new();
            while boxes.len() < BATCH {
                let Some(cell) = bracket::next(&mut open) else {
                    break;
                };
                match self.threshold(of, &cell) {
                    Some(square) => {
                        boxes.push(cell);
                        claims.push(Claim {
                            at: self.grid.frequency(cell.centre()),
                            square,
                        });
                    }
                    None => open.extend(cell.split(self.grid)),
                }
            }
            let proved = cell::prove(of, &claims);
            self.tests += claims.len() as u64;
            for ((cell, claim), proved) in boxes.into_iter().zip(claims).zip(proved) {
                if proved {
                    continue;
                }
                if claim.square > self.best * self.best {
                    top = self.climb(of, cell.centre(), Some(&top));
                }
                if cell.is_point() {
                    repeats += 1;
                    if repeats > 1000 {
                        return Err(Stop::Precision);
                    }
                    open.push_back(cell);
                } else {
                    open.extend(cell.split(self.grid));
                }
            }
        }
        Ok(())
    }

    /// The largest t found for which "‖F(c)‖² ≤ t" shows that no grid point of the box has
    /// ‖F‖ > U, U the target: t = τ² with τ = U·cos r − √(M² − U²)·sin r (T14), or U² less the most
    /// that the Gram matrix can change (T20). `None` where that is not positive.
    fn threshold(&self, of: &Autocorrelation, cell: &IndexBox) -> Option<f64> {
        let target = self.target();
        let square = mul_down(target, target);
        if cell.is_point() || target >= self.ceiling {
            return Some(square);
        }
        let by_drift = sub_down(square, of.drift(|s| cell.turns(self.grid, s)));
        let largest = self.by_cosine(cell, target).unwrap_or(0.0).max(by_drift);
        (largest > 0.0).then_some(largest)
    }

    fn by_cosine(&self, cell: &IndexBox, target: f64) -> Option<f64> {
        let (numerator, denominator) = cell.radius(self.grid);
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

    /// Moves to better neighbours from `index` and records the value reached.
    fn climb(&mut self, of: &Autocorrelation, index: [i64; 3], warm: Option<&Peak>) -> Peak {
        let start = warm.map(|peak| peak.vector.clone());
        let mut index = index;
        let mut peak = ascent::top(of, self.grid.frequency(index), start.as_deref(), 40, 1e-12);
        if start.is_some() && !(peak.value.max(0.0).sqrt() > self.best) {
            // The known vector may be orthogonal to what is here (channels that do not mix).
            peak = ascent::top(of, self.grid.frequency(index), None, 60, 1e-12);
        }
        for _ in 0..200 {
            let form = of.quadratic_form(&peak.vector);
            let mut best = (form.at(of, &peak.at), index);
            for a in 0..self.grid.k.len() {
                for stride in [1, 2, 4, 8, 16, 32] {
                    for by in [-stride, stride] {
                        let mut next = index;
                        next[a] = (next[a] + by).rem_euclid(self.grid.size[a]);
                        let value = form.at(of, &self.grid.frequency(next));
                        if value > best.0 {
                            best = (value, next);
                        }
                    }
                }
            }
            if best.1 == index {
                break;
            }
            index = best.1;
            let next = ascent::top(
                of,
                self.grid.frequency(index),
                Some(&peak.vector),
                40,
                1e-12,
            );
            if !(next.value > peak.value * (1.0 + 1e-13)) {
                break;
            }
            peak = next;
        }
        self.best = self.best.max(peak.value.max(0.0).sqrt());
        self.lower = self.lower.max(symbol_norm_lower(of, &peak));
        peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::quasi_random;

    /// With one channel ‖F‖² is a number at every grid point: no box that is closed at a target may hold
    /// a point above it, whatever the target.
    #[test]
    fn no_closed_box_holds_a_point_above_the_target() {
        for (k, size) in [
            (vec![3], vec![7]),
            (vec![4], vec![12]),
            (vec![3, 3], vec![8, 9]),
            (vec![2, 5], vec![6, 11]),
            (vec![3, 2, 3], vec![4, 5, 6]),
        ] {
            for seed in 0..4 {
                let mut shape = vec![1, 1];
                shape.extend(&k);
                let values = quasi_random(k.iter().product(), seed);
                let kernel = Kernel::new(&shape, values).expect("valid");
                let conv = Conv::new(k.len()).with_input_size(&size);
                let lattice = Lattice::new(&kernel, &conv).expect("valid");
                let grid = Grid::new(&lattice, &conv).expect("small");
                let of = Autocorrelation::new(&lattice.tap_matrices(0));
                let options = Options::default();
                let four = ReshapeNorms::compute(&lattice);
                let ceiling = bracket::bracket(&lattice, &four, &options).upper;
                let form = of.quadratic_form(&[1.0, 0.0]);
                let value = |index: [i64; 3]| form.at(&of, &grid.frequency(index)).sqrt();
                for fraction in [0.5, 0.8, 0.95, 0.999] {
                    let walk = Walk {
                        grid: &grid,
                        ceiling,
                        options: &options,
                        started: Instant::now(),
                        best: fraction * ceiling,
                        lower: 0.0,
                        tests: 0,
                    };
                    let mut open = vec![IndexBox {
                        low: [0; 3],
                        high: grid.size,
                    }];
                    let mut closed = 0;
                    while let Some(cell) = open.pop() {
                        let proved = walk.threshold(&of, &cell).is_some_and(|square| {
                            let at = grid.frequency(cell.centre());
                            cell::prove(&of, &[Claim { at, square }])[0]
                        });
                        if !proved {
                            if !cell.is_point() {
                                open.extend(cell.split(&grid));
                            }
                            continue;
                        }
                        closed += 1;
                        for i in cell.low[0]..cell.high[0] {
                            for j in cell.low[1]..cell.high[1] {
                                for l in cell.low[2]..cell.high[2] {
                                    let reached = value([i, j, l]);
                                    assert!(reached <= walk.target() * (1.0 + 1e-12));
                                }
                            }
                        }
                    }
                    assert!(closed > 0);
                }
            }
        }
    }
}
