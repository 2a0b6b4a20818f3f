//! The norm itself between two proved ends, by branch and bound on the torus (T13, T14, T16, T17).
//!
//! One number U is the whole claim: a cell with centre c and radius r is *closed at U* once
//! ‖F(c)‖ ≤ U·cos r is proved, for then S > U cannot be attained in it. When a set of closed cells
//! covers the torus, S ≤ U. A cell closed at U is closed at any larger U, so cells never have to be
//! revisited when a better lower bound raises the target.

use std::collections::VecDeque;
use std::time::Instant;

use crate::bound::cell::{self, Claim};
use crate::bound::four::{ReshapeNorms, root_of_taps};
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
    let mut search = Search {
        options,
        started: Instant::now(),
        best: 0.0,
        lower: 0.0,
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
    let best = four.best();
    let matrix = reshape::matrix(lattice, best.group, &best.split);
    let wide = matrix.nrows() <= matrix.ncols();
    let tall = if wide {
        matrix.transpose()
    } else {
        matrix.as_ref()
    };
    let lower = verify::matrix_norm_lower(tall, &best.vector).min(upper);
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
    /// Covers one torus up to the symmetry θ → −θ, with radii of at most an eighth of a turn.
    pub(crate) fn roots(k: &[usize]) -> Vec<Self> {
        let axes = k.len();
        let mut half = [0i64; 3];
        for (a, &k) in k.iter().enumerate() {
            // d·w ≤ 1/8 with d = (k − 1)/2, and w ≤ 1/4: an even number of cells round the torus.
            half[a] = TURN as i64 / 4;
            while half[a] > 1 && (k as i64 - 1) * half[a] > TURN as i64 / 4 {
                half[a] /= 2;
            }
        }
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

    fn frequency(&self) -> Frequency {
        Frequency {
            numerator: self.centre,
            denominator: [TURN; 3],
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
/// Vectors kept as witnesses per group.
const WITNESSES: usize = 8;

impl Search<'_> {
    fn run(&mut self, lattice: &Lattice<'_>, group_uppers: &[f64], cheap_upper: f64) -> Outcome {
        let mut order: Vec<usize> = (0..lattice.groups).collect();
        order.sort_by(|&a, &b| group_uppers[b].total_cmp(&group_uppers[a]).then(a.cmp(&b)));
        let mut groups: Vec<Option<Group>> = Vec::new();
        let mut upper = cheap_upper;
        let mut stop = Stop::Tolerance;
        let order_of_symbol = lattice.rows.min(lattice.cols);
        for tolerance in self.options.passes(order_of_symbol) {
            let mut floor = 0.0f64;
            for (place, &g) in order.iter().enumerate() {
                // The bounds descend: no later group can exceed the target either.
                if group_uppers[g] <= self.target(tolerance) {
                    break;
                }
                if place == groups.len() {
                    groups.push(Some(self.open(lattice, g)));
                }
                let Some(group) = &mut groups[place] else {
                    continue;
                };
                let precision = group.precision(self.best);
                if precision > tolerance {
                    stop = Stop::Precision;
                }
                floor = floor.max(precision);
                match self.close(group, tolerance.max(floor)) {
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
    fn open(&mut self, lattice: &Lattice<'_>, g: usize) -> Group {
        const SEEDS: usize = 4;
        let of = Autocorrelation::new(&lattice.tap_matrices(g));
        let cover = Cell::roots(&of.k);
        let mut group = Group {
            of,
            cover,
            witnesses: Vec::new(),
            peak: None,
        };
        let mut seeds: Vec<Peak> = group
            .cover
            .iter()
            .map(|cell| ascent::top(&group.of, cell.frequency(), None, 8, 1e-2))
            .collect();
        seeds.sort_by(|a, b| b.value.total_cmp(&a.value));
        seeds.truncate(SEEDS);
        for seed in seeds {
            self.climb(&mut group, seed);
        }
        group
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
    fn close(&mut self, group: &mut Group, tolerance: f64) -> Result<(), Stop> {
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
                let Some(cell) = open.pop_front() else { break };
                examined += 1;
                let claim = Claim {
                    at: cell.frequency(),
                    tau: mul_down(target, cell.cosine(&group.of.k)),
                };
                if group.refutes(&claim) {
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
                    closed.push(cell);
                    continue;
                }
                open.extend(cell.split(axes).ok_or(Stop::Precision)?);
                // Not proved although τ exceeds the best value seen: there is more to find here.
                if claim.tau > self.best {
                    let warm = group.peak.as_ref().map(|p| p.vector.clone());
                    let seed = ascent::top(&group.of, claim.at, warm.as_deref(), 24, 1e-9);
                    self.climb(group, seed);
                }
            }
        }
        group.cover = closed;
        Ok(())
    }

    /// Turns the best peak of every group into a proved lower bound.
    fn claim_lower(&mut self, groups: &[Option<Group>]) {
        for group in groups.iter().flatten() {
            if let Some(peak) = &group.peak {
                self.lower = self.lower.max(symbol_norm_lower(&group.of, peak));
            }
        }
    }
}

impl Group {
    /// Whether a known vector shows the claim to be false (so that testing it is a waste).
    fn refutes(&self, claim: &Claim) -> bool {
        let t = claim.tau * claim.tau;
        self.witnesses
            .iter()
            .any(|form| form.at(&self.of, &claim.at) >= t)
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
