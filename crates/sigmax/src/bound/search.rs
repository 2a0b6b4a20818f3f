//! A norm between two proved ends, by branch and bound over frequencies (T13, T14, T16, T17).
//!
//! One number U is the whole claim: a cell with centre c is *closed at U* once it is proved that
//! ‖F(c)‖² is at most a threshold that shows that ‖F‖ exceeds U nowhere in the cell. When closed cells
//! cover all frequencies, the norm is at most U. A cell closed at U is closed at any larger U, so cells
//! never have to be revisited when a better lower bound raises the target.
//!
//! What the frequencies are, and the threshold, is a [`Cover`](cover::Cover): all of the torus, or the grid of a
//! periodic layer.

mod cover;
pub(crate) mod grid;
pub(crate) mod prove;
mod row;
mod spent;
mod torus;

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::bound::four::{ReshapeNorm, ReshapeNorms, root_of_taps};
use crate::bound::options::{Options, Stop};
use crate::bound::search::cover::Cover;
use crate::bound::search::grid::Grid;
use crate::bound::search::prove::{Claim, prove};
use crate::bound::search::row::{MANY_TAPS, Row};
use crate::bound::search::spent::Spent;
use crate::bound::search::torus::Torus;
use crate::estimate::ascent::{self, Peak};
use crate::krylov;
use crate::linalg::MatRef;
use crate::rounding::{
    add_up, div_down, gamma, larger, mul_down, mul_up, sqrt_down, sqrt_int_up, sub_down,
};
use crate::symbol::autocorrelation::{self, Autocorrelation, Frequency, QuadraticForm};
use crate::symbol::fold::{Fold, Shear};
use crate::symbol::{Lattice, TapMatrices};
use crate::{reshape, verify};

/// The outcome in scaled lattice units (no padding factor, no scale).
pub(crate) struct Outcome {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) stop: Stop,
    /// Frequencies tested.
    pub(crate) tests: u64,
}

/// First cells of a group.
const MAX_CELLS: f64 = (1u64 << 21) as f64;

/// Brackets S of a lattice kernel to `options.tolerance`, or as far as the budget goes.
pub(crate) fn supremum(lattice: &Lattice<'_>, four: &ReshapeNorms, options: &Options) -> Outcome {
    all_frequencies(lattice, four, &mut Spent::new(options))
}

/// Brackets the largest ‖F(θ)‖ over the grid θ_a ∈ (2π/size_a)ℤ.
pub(crate) fn maximum(
    lattice: &Lattice<'_>,
    four: &ReshapeNorms,
    size: [i64; 3],
    options: &Options,
) -> Outcome {
    let mut spent = Spent::new(options);
    let whole = all_frequencies(lattice, four, &mut spent);
    if lattice.taps() == 1 || whole.upper <= 0.0 {
        return whole;
    }
    // M ≥ S(K) ≥ ‖F(θ)‖ for every θ.
    let ceiling = whole.upper;
    let uppers = reshape_uppers(lattice, four);
    let mut search = Search {
        best: 0.0,
        lower: 0.0,
        uppers: uppers.into_iter().map(|upper| upper.min(ceiling)).collect(),
        spent: &mut spent,
    };
    search.run(lattice, |taps| {
        let plain = taps.clone();
        let fold = Fold::new(taps, Shear::Avoided);
        match Grid::folded(&fold, &size) {
            Some(sizes) => {
                let grid = Grid::new(&fold.taps.k, sizes, ceiling);
                (fold.taps, grid)
            }
            None => {
                let grid = Grid::new(&plain.k, size, ceiling);
                (plain, grid)
            }
        }
    })
}

fn all_frequencies(lattice: &Lattice<'_>, four: &ReshapeNorms, spent: &mut Spent<'_>) -> Outcome {
    let uppers = reshape_uppers(lattice, four);
    let largest = uppers.iter().copied().fold(0.0, larger);
    if largest <= 0.0 {
        return Outcome {
            lower: 0.0,
            upper: 0.0,
            stop: Stop::Tolerance,
            tests: 0,
        };
    }
    if lattice.taps() == 1 {
        return one_frequency(lattice, four, largest, spent.options);
    }
    // T10, so that a search cut short has a lower end too.
    let lower = reshape_lower(lattice, &four.reshapes[0]).min(largest);
    let mut search = Search {
        best: lower,
        lower,
        uppers,
        spent,
    };
    search.run(lattice, |taps| {
        let fold = Fold::new(taps, Shear::Allowed);
        let torus = Torus::new(&fold.taps.k);
        (fold.taps, torus)
    })
}

/// T9, per group.
fn reshape_uppers(lattice: &Lattice<'_>, four: &ReshapeNorms) -> Vec<f64> {
    let root = root_of_taps(lattice.taps());
    (0..lattice.groups)
        .map(|g| mul_up(root, four.group_min(g)))
        .collect()
}

/// A kernel with one tap: F does not depend on θ, and T alone is the norm.
fn one_frequency(
    lattice: &Lattice<'_>,
    four: &ReshapeNorms,
    upper: f64,
    options: &Options,
) -> Outcome {
    let lower = reshape_lower(lattice, four.best()).min(upper);
    let reached = upper <= mul_down(lower, 1.0 + options.tolerance);
    Outcome {
        lower,
        upper,
        stop: match options.budget.time {
            _ if reached => Stop::Tolerance,
            Some(_) => Stop::Time,
            None => Stop::Precision,
        },
        tests: 1,
    }
}

/// A lower bound of the norm of a reshape, from its approximate top vector.
fn reshape_lower(lattice: &Lattice<'_>, norm: &ReshapeNorm) -> f64 {
    let lower = |matrix: MatRef<'_, f64>| {
        let tall = if matrix.nrows() <= matrix.ncols() {
            matrix.transpose()
        } else {
            matrix
        };
        verify::matrix_norm_lower(tall, &norm.vector)
    };
    match lattice.only_tap(norm.group) {
        Some(matrix) => lower(matrix),
        None => lower(reshape::matrix(lattice, norm.group, &norm.split).as_ref()),
    }
}

/// One group in progress.
struct Group<C: Cover> {
    of: Autocorrelation,
    cover: C,
    /// Cells that cover all frequencies.
    cells: Vec<C::Cell>,
    /// v*Gv of good vectors: a cell where one of them exceeds the target need not be tested.
    witnesses: Vec<QuadraticForm>,
    peak: Option<Peak>,
}

struct Search<'a, 'o> {
    spent: &'a mut Spent<'o>,
    /// Largest ‖F(θ)v‖/‖v‖ seen, approximately. Steers the search; claims nothing.
    best: f64,
    /// Proved lower bound of the norm.
    lower: f64,
    /// Proved upper bound of every group.
    uppers: Vec<f64>,
}

/// Cells examined between two updates of the target.
const BATCH: usize = 64;
/// Open cells up to which the search goes breadth first, which finds better lower bounds early;
/// beyond it goes depth first, which bounds the memory.
const WIDE: usize = 1 << 15;

/// Takes the next open cell.
fn next<T>(open: &mut VecDeque<T>) -> Option<T> {
    if open.len() < WIDE {
        open.pop_front()
    } else {
        open.pop_back()
    }
}

/// Vectors kept as witnesses per group.
const WITNESSES: usize = 8;
/// Cells that cannot be split and are tested again, at a higher target.
const REPEATS: usize = 1000;

impl Search<'_, '_> {
    /// Closes group after group, by coarse tolerances first where the work may be cut short.
    fn run<C: Cover>(
        &mut self,
        lattice: &Lattice<'_>,
        reduce: impl Fn(TapMatrices) -> (TapMatrices, C),
    ) -> Outcome {
        let mut order: Vec<usize> = (0..lattice.groups).collect();
        order.sort_by(|&a, &b| self.uppers[b].total_cmp(&self.uppers[a]).then(a.cmp(&b)));
        let mut groups: Vec<Option<Group<C>>> = order.iter().map(|_| None).collect();
        let mut stop = Stop::Tolerance;
        let wanted = self.spent.options.tolerance;
        let passes = self
            .spent
            .options
            .passes(lattice.rows.min(lattice.cols), lattice.taps());
        'passes: for (pass, &tolerance) in passes.iter().enumerate() {
            for (group, &g) in groups.iter_mut().zip(&order) {
                if self.uppers[g] <= self.target(tolerance) {
                    continue;
                }
                let keep = pass + 1 < passes.len();
                let result = match group {
                    Some(group) => self.close(group, g, tolerance, keep),
                    None => self
                        .open(reduce(lattice.tap_matrices(g)), g)
                        .and_then(|opened| match opened {
                            Some(opened) => self.close(group.insert(opened), g, tolerance, keep),
                            None => Ok(()),
                        }),
                };
                match result {
                    Ok(()) => {}
                    // Other groups may still be closed, and coarse passes have precision.
                    Err(Stop::Precision) => stop = Stop::Precision,
                    Err(reason) => {
                        stop = reason;
                        break 'passes;
                    }
                }
            }
            if self.upper() <= self.target(wanted) {
                break;
            }
        }
        for group in groups.iter().flatten() {
            if let Some(peak) = &group.peak {
                self.lower = self.lower.max(symbol_norm_lower(&group.of, peak));
            }
        }
        let upper = self.upper();
        let reached = upper <= mul_up(self.lower, 1.0 + wanted);
        Outcome {
            lower: self.lower.min(upper),
            upper,
            stop: match (reached, stop) {
                (true, _) => Stop::Tolerance,
                (false, Stop::Tolerance) => Stop::Precision,
                (false, reason) => reason,
            },
            tests: self.spent.tests,
        }
    }

    /// The upper end so far.
    fn upper(&self) -> f64 {
        self.uppers.iter().copied().fold(0.0, larger)
    }

    /// The upper end aimed at: a hair less than best·(1 + tolerance), so that the proved lower
    /// end, a hair below `best`, still meets the tolerance.
    fn target(&self, tolerance: f64) -> f64 {
        self.best * (1.0 + 0.998 * tolerance)
    }

    /// Sets up a group: its autocorrelation, its first cells, and ascents from the best of them. `None`
    /// where the group needs no search.
    fn open<C: Cover>(
        &mut self,
        (taps, cover): (TapMatrices, C),
        g: usize,
    ) -> Result<Option<Group<C>>, Stop> {
        const SEEDS: usize = 4;
        const ROUGH: f64 = 1e-2;
        let rows = taps.matrices[0].nrows();
        if rows == 1
            && taps.matrices.len() >= MANY_TAPS
            && let Some(k) = cover.whole()
        {
            return self.evaluate(&taps, &Torus::new(k), g).map(|()| None);
        }
        let cost = autocorrelation::Cost::of(&taps);
        let cells = cover.count();
        let first_look = cells * 8.0 * cost.evaluation;
        let affordable = self.spent.afford(cost.operations + first_look);
        if let Err(reason) = affordable
            && reason != Stop::Work
        {
            return Err(reason);
        }
        let of = match Autocorrelation::new(&taps) {
            Ok(of) if affordable.is_ok() && cells <= MAX_CELLS => of,
            _ => {
                if let Some(k) = cover.whole() {
                    self.evaluate(&taps, &Torus::new(k), g)?;
                }
                return Err(Stop::Work);
            }
        };
        self.spent.operations += cost.operations;
        let mut group = Group {
            of,
            cells: cover.first(),
            cover,
            witnesses: Vec::new(),
            peak: None,
        };
        let of = &group.of;
        let look = |at: Frequency| ascent::top(of, at, None, 8, 1e-2);
        let centres: Vec<Frequency> = group.cells.iter().map(|c| group.cover.centre(c)).collect();
        let mut seeds: Vec<Peak> = Vec::with_capacity(centres.len());
        for centres in centres.chunks(256) {
            self.spent.check()?;
            self.spent.operations += centres.len() as f64 * cost.evaluation;
            if of.n < 24 {
                seeds.extend(centres.iter().copied().map(look));
            } else {
                seeds.par_extend(centres.par_iter().copied().map(look));
            }
        }
        seeds.sort_by(|a, b| b.value.total_cmp(&a.value));
        seeds.truncate(SEEDS);
        for seed in seeds {
            // Most seeds lead to one peak, or to lower ones: a rough ascent tells.
            let rough = group.cover.ascend(&group.of, seed, ROUGH);
            let known = group.peak.as_ref().map_or(0.0, |peak| peak.value);
            if rough.value > (1.0 - ROUGH) * known {
                self.climb(&mut group, rough);
            } else {
                group.remember(&rough);
            }
        }
        Ok(Some(group))
    }

    /// Brackets a group by evaluating its taps as one row (T16a): ‖F‖ itself, or ‖F‖_F between it and √n
    /// times it.
    ///
    /// # Errors
    /// Why it stopped; the ends so far are kept.
    fn evaluate(&mut self, taps: &TapMatrices, torus: &Torus, g: usize) -> Result<(), Stop> {
        let rows = taps.matrices[0].nrows();
        let row = Row::new(taps);
        let known = if rows == 1 { self.best } else { 0.0 };
        let tolerance = 0.998 * self.spent.options.tolerance;
        let (ends, result) = match row.bracket(torus, known, tolerance, self.spent) {
            Ok(ends) => (ends, Ok(())),
            Err((reason, ends)) => (ends, Err(reason)),
        };
        self.lower = self.lower.max(div_down(ends.lower, sqrt_int_up(rows)));
        self.best = self.best.max(self.lower);
        self.uppers[g] = self.uppers[g].min(ends.upper);
        result
    }

    /// Looks for more where a claim is false, or not proved, although its t exceeds the best value
    /// seen.
    fn improve<C: Cover>(&mut self, group: &mut Group<C>, claim: &Claim) {
        if claim.square <= self.best * self.best {
            return;
        }
        let warm = group.peak.as_ref().map(|p| p.vector.clone());
        let mut seed = ascent::top(&group.of, claim.at, warm.as_deref(), 24, 1e-9);
        if seed.value < claim.square {
            // The known vector may be orthogonal to what is here (channels that do not mix): a fresh
            // start sees everything.
            seed = ascent::top(&group.of, claim.at, None, 60, 1e-12);
        }
        self.climb(group, seed);
    }

    /// Ascends from `seed`, keeps what it finds.
    fn climb<C: Cover>(&mut self, group: &mut Group<C>, seed: Peak) {
        let gain = (0.02 * self.spent.options.tolerance).clamp(1e-12, 1e-3);
        let peak = group.cover.ascend(&group.of, seed, gain);
        group.remember(&peak);
        self.best = self.best.max(peak.value.max(0.0).sqrt());
        if group.peak.as_ref().is_none_or(|p| p.value < peak.value) {
            group.peak = Some(peak);
        }
    }

    /// Splits and tests until every cell of the group is closed at the target.
    /// The cells are kept for a finer pass only if `keep`.
    ///
    /// # Errors
    /// Why it stopped; [`Stop::Precision`] also where all is closed, but at a coarser tolerance, the
    /// least at which proofs can succeed.
    fn close<C: Cover>(
        &mut self,
        group: &mut Group<C>,
        g: usize,
        tolerance: f64,
        keep: bool,
    ) -> Result<(), Stop> {
        let precision = group.precision(self.best);
        if !(precision < 1.0) {
            return Err(Stop::Precision);
        }
        let reachable = tolerance.max(precision);
        let mut open: VecDeque<C::Cell> = std::mem::take(&mut group.cells).into();
        let mut closed = Vec::new();
        let mut repeats = 0;
        let per_test = group.of.operations_per_test();
        while !open.is_empty() {
            self.spent.check()?;
            let target = self.target(reachable);
            let mut cells = Vec::new();
            let mut claims = Vec::new();
            let mut examined = 0;
            while cells.len() < BATCH && examined < 64 * BATCH {
                let Some(cell) = next(&mut open) else { break };
                examined += 1;
                let claim = Claim {
                    at: group.cover.centre(&cell),
                    square: group.cover.threshold(&group.of, &cell, target),
                };
                if claim.square <= 0.0 || group.refutes(&claim) {
                    self.improve(group, &claim);
                    self.divide(group, cell, &mut open, &mut repeats)?;
                } else {
                    cells.push(cell);
                    claims.push(claim);
                }
            }
            let proved = prove(&group.of, &claims);
            self.spent.tests += claims.len() as u64;
            self.spent.operations += claims.len() as f64 * per_test;
            for ((cell, claim), proved) in cells.into_iter().zip(claims).zip(proved) {
                if proved {
                    if keep {
                        closed.push(cell);
                    }
                } else {
                    self.divide(group, cell, &mut open, &mut repeats)?;
                    self.improve(group, &claim);
                }
            }
        }
        group.cells = closed;
        self.uppers[g] = self.uppers[g].min(self.target(reachable));
        if reachable > tolerance {
            Err(Stop::Precision)
        } else {
            Ok(())
        }
    }

    /// Opens the parts of a cell. One that has none is tested again, since the target may have risen, but
    /// not for ever.
    fn divide<C: Cover>(
        &self,
        group: &Group<C>,
        cell: C::Cell,
        open: &mut VecDeque<C::Cell>,
        repeats: &mut usize,
    ) -> Result<(), Stop> {
        let parts = group.cover.split(&cell);
        if parts.is_empty() {
            *repeats += 1;
            if *repeats > REPEATS {
                return Err(Stop::Precision);
            }
            open.push_back(cell);
        }
        open.extend(parts);
        Ok(())
    }
}

impl<C: Cover> Group<C> {
    /// Keeps a vector as a witness.
    fn remember(&mut self, peak: &Peak) {
        if self.witnesses.len() == WITNESSES {
            self.witnesses.remove(0);
        }
        self.witnesses.push(self.of.quadratic_form(&peak.vector));
    }

    /// Whether a known vector shows the claim to be false (so that testing it is a waste).
    fn refutes(&self, claim: &Claim) -> bool {
        if self.of.n == 1 {
            return false; // the test costs no more
        }
        let phases = self.of.phases(&claim.at);
        self.witnesses
            .iter()
            .any(|form| form.with(&phases) >= claim.square)
    }

    /// The least tolerance at which proofs can succeed, given the rounding that a test absorbs.
    fn precision(&self, best: f64) -> f64 {
        let t = best * best;
        8.0 * verify::cholesky_shift(self.of.n, t, self.of.error) / t.max(f64::MIN_POSITIVE)
    }
}

/// T13: ‖F(θ)‖² ≥ v*G(θ)v/‖v‖², rounding included.
fn symbol_norm_lower(of: &Autocorrelation, peak: &Peak) -> f64 {
    let gram = of.gram(&peak.at);
    let v = &peak.vector;
    let mut image = vec![0.0; v.len()];
    gram.apply(v, &mut image);
    // |fl(v*Ĝv) − v*Ĝv| ≤ γ·‖|Ĝ|‖·‖v‖² for the products and sums of both steps; ‖|Ĝ|‖₂ is at most
    // 2·magnitude + error.
    let roundings = mul_up(4.0, gamma(8 * of.n + 32));
    let slack = mul_up(roundings, add_up(mul_up(2.0, of.magnitude), of.error));
    let square = krylov::dot(v, v);
    if !(square > 0.25 && square < 4.0) {
        return 0.0;
    }
    let quotient = div_down(krylov::dot(v, &image), square);
    // The rounding of ‖v‖² is relative; the quotient is at most the largest eigenvalue of Ĝ.
    let quotient = sub_down(quotient, mul_up(quotient.abs(), roundings));
    sqrt_down(sub_down(quotient, add_up(slack, of.error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::search::torus::Cell;
    use crate::krylov::quasi_random;
    use crate::linalg::Mat;
    use crate::symbol::autocorrelation::TURN;

    fn autocorrelation(k: &[usize], rows: usize, cols: usize, values: &[f64]) -> Autocorrelation {
        let taps: usize = k.iter().product();
        Autocorrelation::new(&TapMatrices {
            k: k.to_vec(),
            matrices: (0..taps)
                .map(|t| Mat::from_fn(rows, cols, |r, c| values[(r * cols + c) * taps + t]))
                .collect(),
        })
        .expect("small")
    }

    fn group(of: Autocorrelation) -> Group<Torus> {
        let cover = Torus::new(&of.k);
        Group {
            of,
            cells: cover.first(),
            cover,
            witnesses: Vec::new(),
            peak: None,
        }
    }

    /// Whether the torus can be closed at `upper`, without any ascent that would correct it.
    fn closes(group: &mut Group<Torus>, upper: f64) -> bool {
        let mut open: VecDeque<Cell> = group.cells.clone().into();
        for _ in 0..3000 {
            let Some(cell) = open.pop_front() else {
                return true;
            };
            let claim = Claim {
                at: cell.frequency(),
                square: group.cover.threshold(&group.of, &cell, upper),
            };
            if !prove(&group.of, &[claim])[0] {
                open.extend(group.cover.split(&cell));
            }
        }
        false
    }

    #[test]
    fn the_torus_is_not_closed_below_the_norm() {
        let extents: [&[usize]; 9] = [
            &[2],
            &[3],
            &[6],
            &[2, 2],
            &[3, 3],
            &[2, 5],
            &[7, 3],
            &[2, 2, 2],
            &[3, 2, 3],
        ];
        for (which, k) in extents.iter().enumerate() {
            for seed in 0..6 {
                let (rows, cols) = [(1, 1), (2, 3), (4, 4)][seed as usize % 3];
                let taps: usize = k.iter().product();
                let seed = 100 * which as u64 + seed;
                let values = quasi_random(rows * cols * taps, seed);
                let mut group = group(autocorrelation(k, rows, cols, &values));
                let lower = group
                    .cells
                    .iter()
                    .map(|cell| ascent::top(&group.of, cell.frequency(), None, 30, 1e-9))
                    .map(|seed| ascent::ascend(&group.of, seed, 1e-12))
                    .map(|peak| symbol_norm_lower(&group.of, &peak))
                    .fold(0.0, f64::max);
                for fraction in [0.9999, 0.99, 0.9, 0.7] {
                    assert!(
                        !closes(&mut group, fraction * lower),
                        "{k:?}, seed {seed}: closed at {fraction} of the norm"
                    );
                }
                assert!(closes(&mut group, 1.3 * lower), "{k:?}, seed {seed}");
            }
        }
    }

    /// Two taps at opposite corners, c·I and the rotation (a −b; b a) with a² + b² = c²:
    /// ‖F‖ = 2c·|cos(ψ ∓ φ/2)| with ψ = θ₁ + θ₂ and tan φ = b/a, as fast a decay as T14 allows. A cell
    /// that meets a line of peaks must stay open.
    #[test]
    fn cosines_are_not_multiplied_per_cell() {
        for (a, b, c) in [
            (4.0, 3.0, 5.0),
            (12.0, 5.0, 13.0),
            (8.0, 15.0, 17.0),
            (7.0, 24.0, 25.0),
            (20.0, 21.0, 29.0),
        ] {
            let mut values = vec![0.0; 36];
            for (entry, (near, far)) in [(c, a), (0.0, -b), (0.0, b), (c, a)]
                .into_iter()
                .enumerate()
            {
                values[entry * 9] = near;
                values[entry * 9 + 8] = far;
            }
            let mut group = group(autocorrelation(&[3, 3], 2, 2, &values));
            let half_turn = TURN as f64 / 2.0;
            let peak = f64::atan2(b, a) / std::f64::consts::TAU * half_turn;
            let mut cells = group.cells.clone();
            let mut near = 0;
            for _ in 0..5 {
                for cell in &cells {
                    let psi = (cell.centre[0] + cell.centre[1]) as f64;
                    let distance = [peak, -peak]
                        .map(|peak| {
                            let apart = (psi - peak).rem_euclid(half_turn);
                            apart.min(half_turn - apart)
                        })
                        .into_iter()
                        .fold(f64::INFINITY, f64::min);
                    if distance <= cell.half[0] as f64 {
                        near += 1;
                        let claim = Claim {
                            at: cell.frequency(),
                            square: group
                                .cover
                                .threshold(&group.of, cell, 2.0 * c * (1.0 - 1e-9)),
                        };
                        assert!(!prove(&group.of, &[claim])[0], "{:?}", cell.centre);
                    }
                }
                cells = cells.iter().flat_map(|cell| cell.split(2)).collect();
            }
            assert!(near > 100);
        }
    }
}
