//! Symbols that are one row, with many taps: the norm is evaluated, not proved by a factorisation (T16a).
//!
//! A row symbol is a vector F(θ) ∈ ℂᶜ, and ‖F(θ)‖ is the root of a sum of squares. Neighbouring
//! frequencies share partial sums, so the first cells of a kernel with k² taps cost k operations each
//! and not k². All cells of one level have the same radius; whatever is open at a level bounds the
//! norm (T14), so there is a proved upper end as soon as the first level is through.
//!
//! For a symbol with n > 1 rows all entries side by side are such a row, of length ‖F(θ)‖_F: between
//! ‖F(θ)‖ and √n·‖F(θ)‖.

use rayon::prelude::*;

use crate::bound::options::Stop;
use crate::bound::search::spent::Spent;
use crate::bound::search::torus::{Cell, Torus, turns};
use crate::layout::multi_index;
use crate::rounding::{
    self, TAU_UP, TRIG_ERROR, add_up, div_up, gamma, larger, mul_down, mul_up, sin_cos_turns,
    sqrt_up, sub_down,
};
use crate::symbol::TapMatrices;
use crate::symbol::autocorrelation::TURN;
use crate::verify::CheapNorms;

/// Taps from which a row is evaluated from its taps and not from its autocorrelation.
pub(super) const MANY_TAPS: usize = 64;

/// Cells evaluated one after the other, with shared partial sums.
const CHUNK: usize = 1024;
/// Slabs of first cells between two looks at the budget.
const SLABS: i64 = 16;
/// Open cells beyond which a search ends with the level that it is at.
const MAX_OPEN: usize = 1 << 21;

/// What is proved of sup ‖F‖.
pub(super) struct Ends {
    pub(super) lower: f64,
    pub(super) upper: f64,
}

/// A kernel as one row.
pub(super) struct Row {
    k: [usize; 3],
    /// Entries per tap.
    width: usize,
    /// Tap by tap, row-major.
    values: Vec<f64>,
    /// |‖F(θ)‖ − fl‖F(θ)‖| ≤ `error` + `relative`·fl‖F(θ)‖ for every θ.
    error: f64,
    relative: f64,
    /// ‖K_t‖_F from above per tap, and the place of the largest.
    sizes: Vec<f64>,
    heaviest: [i64; 3],
}

impl Row {
    pub(super) fn new(group: &TapMatrices) -> Self {
        let mut k = [1; 3];
        k[..group.k.len()].copy_from_slice(&group.k);
        let width = group.matrices[0].nrows() * group.matrices[0].ncols();
        let mut values = Vec::with_capacity(width * group.matrices.len());
        let mut sums = vec![0.0f64; width];
        let mut sizes = Vec::with_capacity(group.matrices.len());
        for matrix in &group.matrices {
            let start = values.len();
            for c in 0..matrix.ncols() {
                values.extend_from_slice(matrix.col_as_slice(c));
            }
            for (sum, value) in sums.iter_mut().zip(&values[start..]) {
                *sum += value.abs();
            }
            sizes.push(sqrt_up(CheapNorms::of(matrix.as_ref()).frobenius_squared));
        }
        // ‖(Σ_t |K_t,c|)_c‖, of `taps` additions and a root of a sum of squares.
        let taps = group.matrices.len();
        let squares: f64 = sums.iter().map(|s| s * s).sum();
        let size = mul_up(sqrt_up(squares), add_up(1.0, gamma(taps + width + 8)));
        // An entry passes through three sums of k_a products with numbers that are off by
        // √2·TRIG_ERROR each: γ_{k+1} for the first, of real with complex numbers, √2·γ_{2k+2} for the
        // others, and 3√2·TRIG_ERROR. What is of second order fits between 3√2 and 8.
        let roundings = mul_up(2.0, gamma(2 * k.iter().sum::<usize>() + 32));
        let error = mul_up(size, add_up(roundings, mul_up(8.0, TRIG_ERROR)));
        let heaviest = (0..taps).fold(0, |best, t| if sizes[t] > sizes[best] { t } else { best });
        Self {
            k,
            width,
            values,
            // Squares may underflow.
            error: add_up(error, 1e-150),
            relative: gamma(width + 8),
            heaviest: multi_index(heaviest, &k).map(|t| t as i64),
            sizes,
        }
    }

    /// Approximate operations of the first level of cells.
    pub(super) fn operations(&self, torus: &Torus) -> f64 {
        let [a, b, c] = torus.places();
        let width = self.width as f64;
        let rest = |axis: usize| self.k[axis..].iter().map(|&k| k as f64).product::<f64>();
        width * (4.0 * a * rest(0) + 8.0 * a * b * rest(1) + 8.0 * a * b * c * rest(2))
    }

    fn upper(&self, value: f64) -> f64 {
        add_up(mul_up(value, add_up(1.0, self.relative)), self.error)
    }

    fn lower(&self, value: f64) -> f64 {
        sub_down(mul_down(value, 1.0 - self.relative), self.error).max(0.0)
    }

    /// ‖F(θ) − e^{i…}·F(c)‖ over a cell, from above: every tap but the heaviest turns by at most
    /// |⟨t − t₀, θ − c⟩| (T16a).
    fn drift(&self, half: &[i64; 3]) -> f64 {
        let mut sum = 0.0;
        for (tap, &size) in self.sizes.iter().enumerate() {
            let t = multi_index(tap, &self.k);
            let apart = std::array::from_fn(|a| t[a] as i64 - self.heaviest[a]);
            let angle = mul_up(turns(&apart, half), TAU_UP);
            sum = add_up(sum, mul_up(size, angle.min(2.0)));
        }
        sum
    }

    /// Brackets sup ‖F‖ until the upper end is at most (1 + `tolerance`)·max(`known`, lower end),
    /// where `known` is a proved lower bound of what is sought.
    ///
    /// # Errors
    /// Why it stopped before, and the ends so far.
    pub(super) fn bracket(
        &self,
        torus: &Torus,
        known: f64,
        tolerance: f64,
        spent: &mut Spent<'_>,
    ) -> Result<Ends, (Stop, Ends)> {
        let axes = torus.axes();
        let mut ends = Ends {
            lower: 0.0,
            upper: f64::INFINITY,
        };
        if let Err(stop) = spent.afford(self.operations(torus)) {
            return Err((stop, ends));
        }
        let target = |ends: &Ends| mul_down(known.max(ends.lower), 1.0 + tolerance);
        let mut level = Level::new(self, torus, torus.half());
        let mut open = Vec::new();
        let mut i = 0;
        while i < torus.slabs() {
            if let Err(stop) = spent.check() {
                return Err((stop, ends));
            }
            let until = (i + SLABS).min(torus.slabs());
            let cells: Vec<Cell> = (i..until).flat_map(|i| torus.slab(i)).collect();
            level.examine(&cells, &mut ends, &target, &mut open, spent);
            i = until;
        }
        loop {
            ends.upper = ends.upper.min(level.upper(target(&ends)));
            if open.is_empty() {
                return Ok(ends);
            }
            if open.len() >= MAX_OPEN {
                return Err((Stop::Work, ends));
            }
            if 4.0 * self.error > tolerance * ends.lower {
                return Err((Stop::Precision, ends));
            }
            let mut cells: Vec<Cell> = open
                .iter()
                .flat_map(|cell: &Cell| cell.split(axes))
                .collect();
            // Next to each other, cells share sums.
            cells.sort_unstable_by_key(|cell| cell.centre);
            let Some(first) = cells.first() else {
                return Err((Stop::Precision, ends));
            };
            level = Level::new(self, torus, first.half);
            open.clear();
            for cells in cells.chunks(16 * CHUNK) {
                if let Err(stop) = spent.check() {
                    return Err((stop, ends));
                }
                level.examine(cells, &mut ends, &target, &mut open, spent);
            }
        }
    }
}

/// Cells of one size.
struct Level<'a> {
    row: &'a Row,
    phases: [Phases; 3],
    cosine: f64,
    drift: f64,
    /// The largest ‖F(c)‖ from above.
    largest: f64,
}

impl<'a> Level<'a> {
    fn new(row: &'a Row, torus: &Torus, half: [i64; 3]) -> Self {
        Self {
            row,
            phases: half.map(Phases::new),
            cosine: torus.cosine(&half),
            drift: row.drift(&half),
            largest: 0.0,
        }
    }

    /// ‖F(c)‖ of cells, approximately: in chunks of fixed size, each with its own partial sums.
    fn evaluate(&self, cells: &[Cell]) -> Vec<f64> {
        cells
            .par_chunks(CHUNK)
            .flat_map_iter(|chunk| {
                rounding::assert_ieee();
                let mut sums = Partial::new(self.row, &self.phases);
                chunk
                    .iter()
                    .map(|cell| sums.norm_at(&cell.centre))
                    .collect::<Vec<f64>>()
            })
            .collect()
    }

    /// The largest ‖F‖ in a cell at whose centre it is ≤ `value`, if the supremum is in that cell.
    fn reach(&self, value: f64) -> f64 {
        let by_cosine = if self.cosine > 0.0 {
            div_up(value, self.cosine)
        } else {
            f64::INFINITY
        };
        by_cosine.min(add_up(value, self.drift))
    }

    /// Closes cells at the target, and keeps the open ones.
    fn examine(
        &mut self,
        cells: &[Cell],
        ends: &mut Ends,
        target: &dyn Fn(&Ends) -> f64,
        open: &mut Vec<Cell>,
        spent: &mut Spent<'_>,
    ) {
        let values = self.evaluate(cells);
        spent.tests += cells.len() as u64;
        spent.operations += cells.len() as f64 * (8 * self.row.width * self.row.k[2]) as f64;
        let best = values.iter().copied().fold(0.0, f64::max);
        ends.lower = ends.lower.max(self.row.lower(best));
        let target = target(ends);
        for (cell, value) in cells.iter().zip(values) {
            let upper = self.row.upper(value);
            self.largest = larger(self.largest, upper);
            // As many as end the search tell enough.
            if !(self.reach(upper) <= target) && open.len() < MAX_OPEN {
                open.push(*cell);
            }
        }
    }

    /// An upper bound of the supremum, after all cells that were open: those of earlier levels are closed
    /// at `target`.
    fn upper(&self, target: f64) -> f64 {
        let reached = self.reach(self.largest);
        if reached <= target { target } else { reached }
    }
}

/// e^{2πi·t·c} for the centres c of cells of one size along one axis.
struct Phases {
    /// Centres are multiples of 2^`unit`.
    unit: u32,
    /// All roots of unity of the order that occurs, unless there are too many.
    table: Vec<(f64, f64)>,
}

impl Phases {
    fn new(half: i64) -> Self {
        const MOST: u64 = 1 << 20;
        let unit = half.max(1).trailing_zeros();
        let order = TURN >> unit;
        let table = if order <= MOST {
            (0..order as i64).map(|j| sin_cos_turns(j, order)).collect()
        } else {
            Vec::new()
        };
        Self { unit, table }
    }

    /// (sin, cos).
    fn at(&self, t: usize, centre: i64) -> (f64, f64) {
        // Modulo a power of two, products may wrap around.
        let turns = (t as u64).wrapping_mul(centre as u64);
        if self.table.is_empty() {
            sin_cos_turns((turns % TURN) as i64, TURN)
        } else {
            self.table[(turns >> self.unit) as usize & (self.table.len() - 1)]
        }
    }
}

/// Sums over the first axes at the frequency evaluated last.
struct Partial<'a> {
    row: &'a Row,
    phases: &'a [Phases; 3],
    at: [Option<i64>; 2],
    /// Sums over the first axis, over the first two, over all: real and imaginary parts.
    sums: [[Vec<f64>; 2]; 3],
}

impl<'a> Partial<'a> {
    fn new(row: &'a Row, phases: &'a [Phases; 3]) -> Self {
        let sums = std::array::from_fn(|axis| {
            let length = row.width * row.k[axis + 1..].iter().product::<usize>();
            [vec![0.0; length], vec![0.0; length]]
        });
        Self {
            row,
            phases,
            at: [None; 2],
            sums,
        }
    }

    fn norm_at(&mut self, centre: &[i64; 3]) -> f64 {
        let (row, phases) = (self.row, self.phases);
        let [first, second, all] = &mut self.sums;
        if self.at[0] != Some(centre[0]) {
            let [re, im] = first;
            re.fill(0.0);
            im.fill(0.0);
            for t in 0..row.k[0] {
                let (sin, cos) = phases[0].at(t, centre[0]);
                let values = &row.values[t * re.len()..][..re.len()];
                for ((re, im), x) in re.iter_mut().zip(im.iter_mut()).zip(values) {
                    *re += x * cos;
                    *im += x * sin;
                }
            }
            self.at = [Some(centre[0]), None];
        }
        if self.at[1] != Some(centre[1]) {
            contract(second, first, row.k[1], |t| phases[1].at(t, centre[1]));
            self.at[1] = Some(centre[1]);
        }
        contract(all, second, row.k[2], |t| phases[2].at(t, centre[2]));
        let squares: f64 = all.iter().flatten().map(|x| x * x).sum();
        squares.sqrt()
    }
}

/// Σ_t e^{…}·(the t-th part of `from`).
fn contract(
    into: &mut [Vec<f64>; 2],
    from: &[Vec<f64>; 2],
    k: usize,
    phase: impl Fn(usize) -> (f64, f64),
) {
    let ([re, im], [from_re, from_im]) = (into, from);
    let length = re.len();
    if length == 1 {
        // Four sums that do not wait for each other.
        let mut sums = [0.0; 4];
        for (t, (x, y)) in from_re.iter().zip(from_im).enumerate() {
            let (sin, cos) = phase(t);
            sums[0] += x * cos;
            sums[1] += y * sin;
            sums[2] += x * sin;
            sums[3] += y * cos;
        }
        re[0] = sums[0] - sums[1];
        im[0] = sums[2] + sums[3];
        return;
    }
    re.fill(0.0);
    im.fill(0.0);
    for t in 0..k {
        let (sin, cos) = phase(t);
        let (x, y) = (&from_re[t * length..], &from_im[t * length..]);
        for (((re, im), x), y) in re.iter_mut().zip(im.iter_mut()).zip(x).zip(y) {
            *re += x * cos - y * sin;
            *im += x * sin + y * cos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound::options::Options;
    use crate::krylov::quasi_random;
    use crate::linalg::Mat;
    use crate::symbol::autocorrelation::Autocorrelation;

    fn row_kernel(k: &[usize], rows: usize, cols: usize, seed: u64) -> TapMatrices {
        let taps: usize = k.iter().product();
        let values = quasi_random(rows * cols * taps, seed);
        TapMatrices {
            k: k.to_vec(),
            matrices: (0..taps)
                .map(|t| Mat::from_fn(rows, cols, |r, c| values[(r * cols + c) * taps + t]))
                .collect(),
        }
    }

    /// Values from the taps against those from the autocorrelation, on all first cells and their
    /// children.
    #[test]
    fn a_row_has_the_norm_that_its_autocorrelation_gives() {
        for (seed, (k, cols)) in [(vec![9], 2), (vec![5, 7], 3), (vec![3, 4, 2], 1)]
            .into_iter()
            .enumerate()
        {
            let group = row_kernel(&k, 1, cols, seed as u64);
            let row = Row::new(&group);
            let of = Autocorrelation::new(&group).expect("small");
            let torus = Torus::new(&k);
            let mut cells: Vec<Cell> = (0..torus.slabs()).flat_map(|i| torus.slab(i)).collect();
            for _ in 0..2 {
                let level = Level::new(&row, &torus, cells[0].half);
                for (cell, value) in cells.iter().zip(level.evaluate(&cells)) {
                    let square = of.gram(&cell.frequency()).to_complex()[(0, 0)].re;
                    let (low, high) = (row.lower(value), row.upper(value));
                    assert!(low * low <= square + of.error && square - of.error <= high * high);
                    assert!(high - low < 1e-11);
                }
                cells = cells.iter().flat_map(|cell| cell.split(k.len())).collect();
            }
        }
    }

    /// No cell is closed below a value that is attained in it: the upper end of every level, also of a
    /// search that is cut short, is at least every value of a fine grid.
    #[test]
    fn every_level_bounds_the_norm() {
        for (seed, k) in [vec![40], vec![7, 5], vec![6, 6], vec![3, 2, 4]]
            .into_iter()
            .enumerate()
        {
            for near_delta in [false, true] {
                let mut group = row_kernel(&k, 1, 2, 10 + seed as u64);
                if near_delta {
                    for x in [0, 1] {
                        group.matrices[1][(0, x)] = 40.0;
                    }
                }
                let row = Row::new(&group);
                let torus = Torus::new(&k);
                let mut cells: Vec<Cell> = (0..torus.slabs()).flat_map(|i| torus.slab(i)).collect();
                for _ in 0..2 {
                    cells = cells.iter().flat_map(|cell| cell.split(k.len())).collect();
                }
                let fine = Level::new(&row, &torus, cells[0].half).evaluate(&cells);
                let attained = fine.into_iter().fold(0.0, f64::max) * (1.0 - 1e-12);
                for most in [0, 1, 2, 300, 1000, 100_000] {
                    let mut options = Options::default();
                    options.budget.tests = Some(most);
                    let mut spent = Spent::new(&options);
                    let (Ok(ends) | Err((_, ends))) = row.bracket(&torus, 0.0, 1e-3, &mut spent);
                    assert!(ends.upper >= attained, "{k:?} {most}");
                    assert!(ends.lower <= ends.upper);
                }
                let options = Options::default();
                let mut spent = Spent::new(&options);
                let ends = row.bracket(&torus, 0.0, 1e-3, &mut spent);
                let ends = ends.map_err(|(stop, _)| stop).expect("ends");
                assert!(ends.upper <= 1.001 * ends.lower && ends.lower >= 0.99 * attained);
            }
        }
    }
}
