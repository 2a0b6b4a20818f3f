//! The norm itself between two proved ends, by branch and bound on the torus (T13, T14, T16, T17).
//!
//! One number U is the whole claim: a cell with centre c is *closed at U* once one of
//!
//! - ‖F(c)‖ ≤ U·cos r, with r the radius of the cell in the sense of T14, or
//! - ‖F(c)‖² ≤ U² − max over the cell of ‖G(θ) − G(c)‖, bounded by T20,
//!
//! is proved, for then S > U cannot be attained in it. The first closes cells near a peak, the
//! second a symbol that hardly depends on θ. When closed cells cover the torus, S ≤ U. A cell closed
//! at U is closed at any larger U, so cells never have to be revisited when a better lower bound
//! raises the target.

use std::collections::VecDeque;
use std::time::Instant;

use rayon::prelude::*;

use crate::bound::cell::{self, Claim};
use crate::bound::four::{ReshapeNorm, ReshapeNorms, root_of_taps};
use crate::bound::options::{Options, Stop};
use crate::estimate::ascent::{self, Peak, TURN};
use crate::linalg;
use crate::rounding::{
    add_up, cos_turns_down, div_down, gamma, mul_down, mul_up, sqrt_down, sub_down,
};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency, QuadraticForm};
use crate::{reshape, verify};

/// The outcome in scaled lattice units (no padding factor, no scale).
pub(crate) struct Outcome {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    pub(crate) stop: Stop,
    /// Cells tested.
    pub(crate) tests: u64,
}

/// Brackets S of a lattice kernel to `options.tolerance`, or as far as the budget goes.
pub(crate) fn bracket(lattice: &Lattice<'_>, four: &ReshapeNorms, options: &Options) -> Outcome {
    let root = root_of_taps(lattice.taps());
    let group_uppers: Vec<f64> = (0..lattice.groups)
        .map(|g| mul_up(root, four.group_min(g)))
        .collect();
    let cheap_upper = group_uppers.iter().copied().fold(0.0, f64::max);
    if cheap_upper <= 0.0 {
        return Outcome {
            lower: 0.0,
            upper: 0.0,
            stop: Stop::Tolerance,
            tests: 0,
        };
    }
    if lattice.k.iter().all(|&k| k == 1) {
        return one_frequency(lattice, four, cheap_upper, options);
    }
    // T10, so that a search cut short has a lower end too.
    let lower = reshape_lower(lattice, &four.reshapes[0]).min(cheap_upper);
    let mut search = Search {
        options,
        started: Instant::now(),
        best: lower,
        lower,
        tests: 0,
    };
    search.run(lattice, &group_uppers, cheap_upper)
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
        stop: if reached {
            Stop::Tolerance
        } else {
            Stop::Precision
        },
        tests: 1,
    }
}

/// A lower bound of the norm of a reshape, from its approximate top vector.
fn reshape_lower(lattice: &Lattice<'_>, norm: &ReshapeNorm) -> f64 {
    let matrix = reshape::matrix(lattice, norm.group, &norm.split);
    let tall = if matrix.nrows() <= matrix.ncols() {
        matrix.transpose()
    } else {
        matrix.as_ref()
    };
    verify::matrix_norm_lower(tall, &norm.vector)
}

/// A cell of the torus, in units of 1/[`TURN`] of a turn: the interval |Δ₁| ≤ w₁ in one dimension,
/// the diamond |Δ₁|/w₁ + |Δ₂|/w₂ ≤ 1 in two, diamond × interval in three.
///
/// On a diamond the sum in the cosine of T14 is at most max(d₁w₁, d₂w₂), where a rectangle with
/// the same half-widths would have d₁w₁ + d₂w₂ and only twice the area: diamonds need half as
/// many cells.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    centre: [i64; 3],
    half: [i64; 3],
}

impl Cell {
    /// Half-widths of the first cells: d·w ≤ 1/8 of a turn with d = (k − 1)/2, and w ≤ 1/4, so that
    /// an even number of cells goes round the torus.
    fn root_half(k: &[usize]) -> [i64; 3] {
        let mut half = [0i64; 3];
        for (a, &k) in k.iter().enumerate() {
            half[a] = TURN as i64 / 4;
            while half[a] > 1 && (k as i64 - 1) * half[a] > TURN as i64 / 4 {
                half[a] /= 2;
            }
        }
        half
    }

    /// How many of the first cells cover the torus, without its symmetry.
    pub(crate) fn covering(k: &[usize]) -> f64 {
        let half = Self::root_half(k);
        k.iter()
            .zip(half)
            .map(|(_, half)| TURN as f64 / (2 * half) as f64)
            .product::<f64>()
            * if k.len() >= 2 { 2.0 } else { 1.0 }
    }

    /// Covers one torus up to the symmetry θ → −θ, with radii of at most an eighth of a turn.
    fn roots(k: &[usize]) -> Vec<Self> {
        let axes = k.len();
        let half = Self::root_half(k);
        let step = |a: usize| {
            if axes != 2 && a == axes - 1 || a == 2 {
                2 * half[a]
            } else {
                half[a]
            }
        };
        let count = |a: usize| if a < axes { TURN as i64 / step(a) } else { 1 };
        let diamonds = axes >= 2;
        let mut cells = Vec::new();
        for i in 0..count(0) {
            for j in 0..count(1) {
                if diamonds && (i + j) % 2 == 1 {
                    continue;
                }
                for l in 0..count(2) {
                    let index = [i, j, l];
                    let mirrored: [i64; 3] =
                        std::array::from_fn(|a| (count(a) - index[a]) % count(a));
                    if index <= mirrored {
                        let mut centre = [0; 3];
                        for a in 0..axes {
                            centre[a] = index[a] * step(a);
                        }
                        cells.push(Self { centre, half });
                    }
                }
            }
        }
        cells
    }

    /// Covers the cell by 2, 4 or 8 cells of half its size; `None` at the finest resolution.
    fn split(&self, axes: usize) -> Option<Vec<Self>> {
        let mut half = self.half;
        for h in &mut half[..axes] {
            if *h % 2 != 0 {
                return None;
            }
            *h /= 2;
        }
        let shifted = |centre: [i64; 3], a: usize| {
            [-half[a], half[a]].map(|by| {
                let mut moved = centre;
                moved[a] = (moved[a] + by).rem_euclid(TURN as i64);
                moved
            })
        };
        let mut centres = shifted(self.centre, 0).to_vec();
        if axes >= 2 {
            centres.extend(shifted(self.centre, 1));
        }
        if axes == 3 {
            centres = centres.iter().flat_map(|&c| shifted(c, 2)).collect();
        }
        Some(
            centres
                .into_iter()
                .map(|centre| Self { centre, half })
                .collect(),
        )
    }

    /// A lower bound of cos r, r = 2π·max over the cell of Σ d_a|Δ_a| (T14).
    fn cosine(&self, k: &[usize]) -> f64 {
        let reach = |a: usize| (k[a] as i64 - 1) * self.half[a];
        let numerator = match k.len() {
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
    fn drift(&self, of: &Autocorrelation) -> f64 {
        of.drift(|s| {
            let reach = |a: usize| s[a].abs() * self.half[a];
            // Axes that the kernel does not have are 0 in every shift. Below 2⁵³: exact.
            (reach(0).max(reach(1)) + reach(2)) as f64 / TURN as f64
        })
    }

    fn frequency(&self) -> Frequency {
        Frequency {
            numerator: self.centre,
            denominator: [TURN; 3],
        }
    }
}

/// What it takes to begin the search in one group.
struct SetUp {
    /// Of the autocorrelation, with its temporary copies.
    bytes: f64,
    operations: f64,
    /// First cells.
    roots: f64,
}

impl SetUp {
    fn of(lattice: &Lattice<'_>) -> Self {
        let k: Vec<usize> = lattice.k.iter().copied().filter(|&k| k > 1).collect();
        let n = lattice.rows.min(lattice.cols) as f64;
        let inner = lattice.rows.max(lattice.cols) as f64;
        let taps = lattice.taps() as f64;
        let shifts = k.iter().map(|&k| (2 * k - 1) as f64).product::<f64>() / 2.0;
        Self {
            bytes: shifts * n * n * 32.0,
            operations: taps * taps * n * n * inner,
            roots: Cell::covering(&k),
        }
    }
}

/// One group in progress.
struct Group {
    of: Autocorrelation,
    /// Cells that cover the torus.
    cover: Vec<Cell>,
    /// v*Gv of good vectors: a cell where one of them exceeds the target need not be tested.
    witnesses: Vec<QuadraticForm>,
    peak: Option<Peak>,
    /// [`Cell::drift`] by the half-widths of a cell.
    drifts: Vec<([i64; 3], f64)>,
}

struct Search<'a> {
    options: &'a Options,
    started: Instant,
    /// Largest ‖F(θ)v‖/‖v‖ seen, approximately. Steers the search; claims nothing.
    best: f64,
    /// Proved lower bound of S.
    lower: f64,
    tests: u64,
}

/// Cells examined between two updates of the target.
const BATCH: usize = 64;
/// Open cells up to which the search goes breadth first, which finds better lower bounds early;
/// beyond it goes depth first, which bounds the memory.
const WIDE: usize = 1 << 15;

/// Takes the next open cell.
pub(crate) fn next<T>(open: &mut VecDeque<T>) -> Option<T> {
    if open.len() < WIDE {
        open.pop_front()
    } else {
        open.pop_back()
    }
}

/// Vectors kept as witnesses per group.
const WITNESSES: usize = 8;

impl Search<'_> {
    fn run(&mut self, lattice: &Lattice<'_>, group_uppers: &[f64], cheap_upper: f64) -> Outcome {
        let mut order: Vec<usize> = (0..lattice.groups).collect();
        order.sort_by(|&a, &b| group_uppers[b].total_cmp(&group_uppers[a]).then(a.cmp(&b)));
        let mut groups: Vec<Group> = Vec::new();
        let mut upper = cheap_upper;
        let mut stop = Stop::Tolerance;
        let order_of_symbol = lattice.rows.min(lattice.cols);
        let passes = self.options.passes(order_of_symbol);
        for (pass, &tolerance) in passes.iter().enumerate() {
            let mut floor = 0.0f64;
            for (place, &g) in order.iter().enumerate() {
                // The bounds descend: no later group can exceed the target either.
                if group_uppers[g] <= self.target(tolerance) {
                    break;
                }
                if place == groups.len() {
                    match self.open(lattice, g) {
                        Ok(group) => groups.push(group),
                        Err(reason) => {
                            self.claim_lower(&groups);
                            return self.outcome(upper, reason);
                        }
                    }
                }
                let group = &mut groups[place];
                let precision = group.precision(self.best);
                if precision > tolerance {
                    stop = Stop::Precision;
                }
                floor = floor.max(precision);
                match self.close(group, tolerance.max(floor), pass + 1 < passes.len()) {
                    Ok(()) => {}
                    Err(reason) => {
                        self.claim_lower(&groups);
                        return self.outcome(upper, reason);
                    }
                }
            }
            // Groups that were skipped have bounds below the target of their time, which only grew.
            upper = upper.min(self.target(tolerance.max(floor)));
            if upper <= self.target(self.options.tolerance) {
                break;
            }
        }
        self.claim_lower(&groups);
        self.outcome(upper, stop)
    }

    fn outcome(&self, upper: f64, stop: Stop) -> Outcome {
        let reached = upper <= mul_up(self.lower, 1.0 + self.options.tolerance);
        Outcome {
            lower: self.lower.min(upper),
            upper,
            stop: if reached { Stop::Tolerance } else { stop },
            tests: self.tests,
        }
    }

    /// The upper end aimed at: a hair less than best·(1 + tolerance), so that the proved lower
    /// end, a hair below `best`, still meets the tolerance.
    fn target(&self, tolerance: f64) -> f64 {
        self.best * (1.0 + 0.998 * tolerance)
    }

    /// Sets up a group: its autocorrelation, its first cells, and ascents from the best of them.
    fn open(&mut self, lattice: &Lattice<'_>, g: usize) -> Result<Group, Stop> {
        const SEEDS: usize = 4;
        self.afford(lattice)?;
        let of = Autocorrelation::new(&lattice.tap_matrices(g));
        let cover = Cell::roots(&of.k);
        let mut group = Group {
            of,
            cover,
            witnesses: Vec::new(),
            peak: None,
            drifts: Vec::new(),
        };
        let first_look = |cell: &Cell| ascent::top(&group.of, cell.frequency(), None, 8, 1e-2);
        let mut seeds: Vec<Peak> = Vec::with_capacity(group.cover.len());
        for cells in group.cover.chunks(256) {
            self.options.budget.check(self.tests, self.started)?;
            if group.of.n < 24 {
                seeds.extend(cells.iter().map(first_look));
            } else {
                seeds.par_extend(cells.par_iter().map(first_look));
            }
        }
        seeds.sort_by(|a, b| b.value.total_cmp(&a.value));
        seeds.truncate(SEEDS);
        for seed in seeds {
            self.climb(&mut group, seed);
        }
        Ok(group)
    }

    /// Refuses a search whose set-up alone would take more memory or time than there is.
    fn afford(&self, lattice: &Lattice<'_>) -> Result<(), Stop> {
        const MAX_BYTES: f64 = (1u64 << 33) as f64;
        const MAX_OPERATIONS: f64 = (1u64 << 44) as f64;
        const MAX_ROOTS: f64 = (1u64 << 21) as f64;
        /// A rate that any machine reaches.
        const OPERATIONS_PER_SECOND: f64 = 1e9;
        self.options.budget.check(self.tests, self.started)?;
        let setup = SetUp::of(lattice);
        if setup.bytes > MAX_BYTES || setup.operations > MAX_OPERATIONS || setup.roots > MAX_ROOTS {
            return Err(Stop::Work);
        }
        if let Some(time) = self.options.budget.time {
            let left = time.saturating_sub(self.started.elapsed()).as_secs_f64();
            if setup.operations > OPERATIONS_PER_SECOND * left {
                return Err(Stop::Time);
            }
        }
        Ok(())
    }

    /// Looks for more where a claim is false, or not proved, although its t exceeds the best value
    /// seen.
    fn improve(&mut self, group: &mut Group, claim: &Claim) {
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
    fn climb(&mut self, group: &mut Group, seed: Peak) {
        let gain = (0.02 * self.options.tolerance).clamp(1e-12, 1e-3);
        let peak = ascent::ascend(&group.of, seed, gain);
        if group.witnesses.len() == WITNESSES {
            group.witnesses.remove(0);
        }
        group.witnesses.push(group.of.quadratic_form(&peak.vector));
        self.best = self.best.max(peak.value.max(0.0).sqrt());
        if group.peak.as_ref().is_none_or(|p| p.value < peak.value) {
            group.peak = Some(peak);
        }
    }

    /// Splits and tests until every cell of the cover is closed at the target.
    /// The cover is kept for a finer pass only if `keep`.
    fn close(&mut self, group: &mut Group, tolerance: f64, keep: bool) -> Result<(), Stop> {
        let axes = group.of.k.len();
        let mut open: VecDeque<Cell> = std::mem::take(&mut group.cover).into();
        let mut closed = Vec::new();
        while !open.is_empty() {
            self.options.budget.check(self.tests, self.started)?;
            let target = self.target(tolerance);
            let mut cells = Vec::new();
            let mut claims = Vec::new();
            let mut examined = 0;
            while cells.len() < BATCH && examined < 64 * BATCH {
                let Some(cell) = next(&mut open) else { break };
                examined += 1;
                let claim = Claim {
                    at: cell.frequency(),
                    square: group.threshold(&cell, target),
                };
                if group.refutes(&claim) {
                    self.improve(group, &claim);
                    open.extend(cell.split(axes).ok_or(Stop::Precision)?);
                } else {
                    cells.push(cell);
                    claims.push(claim);
                }
            }
            let proved = cell::prove(&group.of, &claims);
            self.tests += claims.len() as u64;
            for ((cell, claim), proved) in cells.into_iter().zip(claims).zip(proved) {
                if proved {
                    if keep {
                        closed.push(cell);
                    }
                    continue;
                }
                open.extend(cell.split(axes).ok_or(Stop::Precision)?);
                self.improve(group, &claim);
            }
        }
        group.cover = closed;
        Ok(())
    }

    /// Turns the best peak of every group into a proved lower bound.
    fn claim_lower(&mut self, groups: &[Group]) {
        for group in groups {
            if let Some(peak) = &group.peak {
                self.lower = self.lower.max(symbol_norm_lower(&group.of, peak));
            }
        }
    }
}

impl Group {
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

    /// The largest t for which "‖F(c)‖² ≤ t" closes the cell at `upper`.
    fn threshold(&mut self, cell: &Cell, upper: f64) -> f64 {
        let tau = mul_down(upper, cell.cosine(&self.of.k));
        let by_cosine = mul_down(tau, tau);
        let known = self.drifts.iter().find(|(half, _)| *half == cell.half);
        let drift = match known {
            Some(&(_, drift)) => drift,
            None => {
                let drift = cell.drift(&self.of);
                self.drifts.push((cell.half, drift));
                drift
            }
        };
        by_cosine.max(sub_down(mul_down(upper, upper), drift))
    }

    /// The least tolerance at which proofs can succeed, given the rounding that a test absorbs.
    fn precision(&self, best: f64) -> f64 {
        let t = best * best;
        8.0 * verify::cholesky_shift(self.of.n, t, self.of.error) / t.max(f64::MIN_POSITIVE)
    }
}

/// T13: ‖F(θ)‖² ≥ v*G(θ)v/‖v‖², rounding included.
pub(crate) fn symbol_norm_lower(of: &Autocorrelation, peak: &Peak) -> f64 {
    let gram = of.gram(&peak.at);
    let v = &peak.vector;
    let mut image = vec![0.0; v.len()];
    gram.apply(v, &mut image);
    // |fl(v*Ĝv) − v*Ĝv| ≤ γ·‖|Ĝ|‖·‖v‖² for the products and sums of both steps; ‖|Ĝ|‖₂ is at most
    // 2·magnitude + error.
    let roundings = mul_up(4.0, gamma(8 * of.n + 32));
    let slack = mul_up(roundings, add_up(mul_up(2.0, of.magnitude), of.error));
    let square = linalg::dot(v, v);
    if !(square > 0.25 && square < 4.0) {
        return 0.0;
    }
    let quotient = div_down(linalg::dot(v, &image), square);
    // The rounding of ‖v‖² is relative; the quotient is at most the largest eigenvalue of Ĝ.
    let quotient = sub_down(quotient, mul_up(quotient.abs(), roundings));
    sqrt_down(sub_down(quotient, add_up(slack, of.error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{Mat, quasi_random};
    use crate::symbol::TapMatrices;

    fn autocorrelation(k: &[usize], rows: usize, cols: usize, values: &[f64]) -> Autocorrelation {
        let taps: usize = k.iter().product();
        Autocorrelation::new(&TapMatrices {
            k: k.to_vec(),
            matrices: (0..taps)
                .map(|t| Mat::from_fn(rows, cols, |r, c| values[(r * cols + c) * taps + t]))
                .collect(),
        })
    }

    fn group(of: Autocorrelation) -> Group {
        Group {
            cover: Cell::roots(&of.k),
            of,
            witnesses: Vec::new(),
            peak: None,
            drifts: Vec::new(),
        }
    }

    /// Whether the torus can be closed at `upper`, without any ascent that would correct it.
    fn closes(group: &mut Group, upper: f64) -> bool {
        let axes = group.of.k.len();
        let mut open: VecDeque<Cell> = group.cover.clone().into();
        for _ in 0..3000 {
            let Some(cell) = open.pop_front() else {
                return true;
            };
            let claim = Claim {
                at: cell.frequency(),
                square: group.threshold(&cell, upper),
            };
            if !cell::prove(&group.of, &[claim])[0] {
                open.extend(cell.split(axes).expect("far from the finest resolution"));
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
                    .cover
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
            let mut cells = group.cover.clone();
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
                            square: group.threshold(cell, 2.0 * c * (1.0 - 1e-9)),
                        };
                        assert!(!cell::prove(&group.of, &[claim])[0], "{:?}", cell.centre);
                    }
                }
                cells = cells
                    .iter()
                    .flat_map(|cell| cell.split(2).expect("splits"))
                    .collect();
            }
            assert!(near > 100);
        }
    }
}
