//! Factors between layers that make the product of their norms small: proposed, nothing is proved.
//!
//! Σ log‖Λ_l·F_l·Λ_{l−1}⁻¹‖ is convex in the logarithms of the factors (T37), and with singular vectors u and
//! v of layer l its gradient has u_i² for a channel of the output and −v_j² for one of the input.

#![allow(
    clippy::disallowed_methods,
    reason = "an estimate: whatever it proposes, norms are proved with the factors as they are"
)]

use std::f64::consts::TAU;
use std::time::Instant;

use crate::bound::options::Options;
use crate::krylov::{axpy, quasi_random};
use crate::layout::multi_index;
use crate::linalg::{Mat, product};
use crate::network::rule::lattice_map::LatticeMap;
use crate::network::rule::scaling::ties::Ties;

/// The least gain, relatively, for which norms are proved.
const LEAST_GAIN: f64 = 0.01;
/// Steps of the descent, and power steps in each.
const STEPS: usize = 120;
const POWER_STEPS: usize = 2;
/// What is added to the singular vectors in each: as factors change, another one becomes the largest,
/// of which nothing may be left.
const STIR: f64 = 0.03;
/// Power steps before norms are compared.
const SETTLE: usize = 24;
/// The largest step in the logarithm to the base 2.
const STEP: f64 = 0.15;
/// Sweeps of balancing the Frobenius norms of rows and columns.
const SWEEPS: usize = 6;
/// Frequencies of a layer that are looked at in every step; more come in later rounds.
const FREQUENCIES: usize = 3;
const ROUNDS: usize = 3;
/// Most entries of the symbol of a layer at one frequency, and of a matrix.
const MAX_SYMBOL: usize = 1 << 20;
const MAX_MATRIX: usize = 1 << 22;

/// Whether a layer is small enough for its symbol to be worked with.
pub(crate) fn is_small(map: &LatticeMap) -> bool {
    let [rows, cols] = [map.kernel().shape()[0], map.kernel().shape()[1]];
    let entries = rows.saturating_mul(cols);
    if map.conv().axes() == 0 {
        return entries <= MAX_MATRIX;
    }
    let taps: usize = map.kernel().spatial().iter().product();
    let aliases = map
        .conv()
        .stride
        .iter()
        .fold(1usize, |n, &s| n.saturating_mul(s));
    entries.saturating_mul(aliases) <= MAX_SYMBOL && entries.saturating_mul(taps) <= MAX_MATRIX
}

/// Logarithms to the base 2 of the factors of every class, where they gain enough.
pub(crate) fn propose(
    maps: &[&LatticeMap],
    ties: &[Ties],
    options: &Options,
) -> Option<Vec<Vec<f64>>> {
    if ties.iter().all(|ties| ties.classes < 2) || maps.iter().any(|map| map.kernel().is_zero()) {
        return None;
    }
    let started = Instant::now();
    let in_time = || {
        options
            .budget
            .time
            .is_none_or(|most| started.elapsed() < most)
    };
    let mut search = Search {
        layers: maps.iter().map(|map| Symbols::new(map)).collect(),
        ties,
    };
    let none: Powers = ties.iter().map(|ties| vec![0.0; ties.classes]).collect();
    search.scan(&none, FREQUENCIES);
    let plain = search.objective(&none);
    let balanced = search.balanced(none.clone());
    search.scan(&balanced, FREQUENCIES);
    let mut best = (search.objective(&balanced), balanced);
    for round in 0..ROUNDS {
        let found = search.descend(best.1.clone(), &in_time)?;
        // With other factors, another frequency may have the largest norm.
        let before = search.objective(&found);
        search.scan(&found, FREQUENCIES);
        let value = search.objective(&found);
        // What was best before is worse where frequencies came to it.
        let kept = search.objective(&best.1);
        best = if value < kept {
            (value, found)
        } else {
            (kept, best.1)
        };
        if best.0 >= plain - 0.1 * LEAST_GAIN {
            return None;
        }
        if round > 0 && value < before + 0.5 * LEAST_GAIN {
            break;
        }
    }
    (best.0 < plain - LEAST_GAIN).then_some(best.1)
}

/// Per tie, the logarithm of every class.
type Powers = Vec<Vec<f64>>;

struct Search<'t> {
    layers: Vec<Symbols<'t>>,
    ties: &'t [Ties],
}

/// A layer by its symbol at a few frequencies, rows along the first axis of the kernel.
struct Symbols<'m> {
    map: &'m LatticeMap,
    pieces: Vec<Piece>,
    seen: Vec<[usize; 3]>,
}

/// The symbol of one group at one frequency, and the right singular vector as it is known: two columns,
/// its real and its imaginary part.
struct Piece {
    group: usize,
    real: Mat<f64>,
    /// `None` for a real matrix.
    imaginary: Option<Mat<f64>>,
    right: Mat<f64>,
    /// A vector without structure, of length 1.
    fresh: Mat<f64>,
    left: Mat<f64>,
    norm: f64,
}

impl Search<'_> {
    /// Factors of a layer, along the first axis of its kernel and along the second.
    fn sides(&self, layer: usize, powers: &Powers) -> (Vec<f64>, Vec<f64>) {
        let map = self.layers[layer].map;
        let after = match self.ties.get(layer) {
            Some(ties) => ties
                .outputs
                .iter()
                .map(|&c| powers[layer][c].exp2())
                .collect(),
            None => vec![1.0; map.outputs()],
        };
        let before = match layer.checked_sub(1) {
            Some(tie) => {
                let inputs = self.ties[tie].inputs.iter();
                inputs.map(|&c| (-powers[tie][c]).exp2()).collect()
            }
            None => vec![1.0; map.inputs()],
        };
        if map.conv().transposed {
            (before, after)
        } else {
            (after, before)
        }
    }

    /// Looks at a grid for the frequencies with the largest norms.
    fn scan(&mut self, powers: &Powers, most: usize) {
        for layer in 0..self.layers.len() {
            let (first, second) = self.sides(layer, powers);
            self.layers[layer].scan(&first, &second, most);
        }
    }

    /// Σ log‖·‖, natural.
    fn objective(&mut self, powers: &Powers) -> f64 {
        let mut sum = 0.0;
        for layer in 0..self.layers.len() {
            let (first, second) = self.sides(layer, powers);
            let layer = &mut self.layers[layer];
            layer.stir(1.0);
            sum += layer.norm(&first, &second, SETTLE).ln();
        }
        sum
    }

    /// The Frobenius norms of the rows and columns of a class made equal, one tie after the other: each
    /// step minimises the product of the two layers' norms in its class (Osborne 1960).
    fn balanced(&self, mut powers: Powers) -> Powers {
        let energies: Vec<Mat<f64>> = self.layers.iter().map(|l| energies(l.map)).collect();
        for _ in 0..SWEEPS {
            for tie in 0..self.ties.len() {
                let outputs = self.energy(tie, &energies[tie], &powers, Side::Output);
                let inputs = self.energy(tie + 1, &energies[tie + 1], &powers, Side::Input);
                let ties = &self.ties[tie];
                let rows = per_class(&outputs, &ties.outputs, ties.classes);
                let cols = per_class(&inputs, &ties.inputs, ties.classes);
                for class in 0..ties.classes {
                    let step = 0.25 * (cols[class] / rows[class]).log2();
                    powers[tie][class] += step;
                }
                centre(&mut powers[tie]);
            }
        }
        powers
    }

    /// Sums of squares along one side of a layer, per channel of it.
    fn energy(&self, layer: usize, squares: &Mat<f64>, powers: &Powers, side: Side) -> Vec<f64> {
        let (first, second) = self.sides(layer, powers);
        let map = self.layers[layer].map;
        let along_first = (side == Side::Output) != map.conv().transposed;
        let per_group = squares.nrows() / map.conv().groups;
        let mut sums = vec![
            0.0;
            if along_first {
                first.len()
            } else {
                second.len()
            }
        ];
        for j in 0..squares.ncols() {
            for i in 0..squares.nrows() {
                let col = i / per_group * squares.ncols() + j;
                let scaled = first[i] * second[col];
                let at = if along_first { i } else { col };
                sums[at] += squares[(i, j)] * scaled * scaled;
            }
        }
        sums
    }

    /// Adam (Kingma & Ba 2015) with steps that end at 0; the mean of the second half. `None` where time
    /// is up.
    fn descend(&mut self, mut powers: Powers, in_time: &impl Fn() -> bool) -> Option<Powers> {
        const FIRST: f64 = 0.8;
        const SECOND: f64 = 0.95;
        let zeros =
            |powers: &Powers| -> Powers { powers.iter().map(|p| vec![0.0; p.len()]).collect() };
        let mut mean = zeros(&powers);
        let (mut moment, mut square) = (zeros(&powers), zeros(&powers));
        let (mut fade1, mut fade2) = (1.0, 1.0);
        for step in 0..STEPS {
            if !in_time() {
                return None;
            }
            let gradient = self.gradient(&powers);
            let length = STEP * (1.0 - step as f64 / STEPS as f64);
            (fade1, fade2) = (fade1 * FIRST, fade2 * SECOND);
            for tie in 0..powers.len() {
                for class in 0..powers[tie].len() {
                    let g = gradient[tie][class];
                    let (m, s) = (&mut moment[tie][class], &mut square[tie][class]);
                    *m = FIRST * *m + (1.0 - FIRST) * g;
                    *s = SECOND * *s + (1.0 - SECOND) * g * g;
                    let size = (*s / (1.0 - fade2)).sqrt() + 1e-8;
                    powers[tie][class] -= length * *m / (1.0 - fade1) / size;
                    if step >= STEPS / 2 {
                        mean[tie][class] += powers[tie][class] / (STEPS - STEPS / 2) as f64;
                    }
                }
            }
        }
        mean.iter_mut().for_each(|powers| centre(powers));
        Some(mean)
    }

    fn gradient(&mut self, powers: &Powers) -> Powers {
        let mut gradient: Powers = powers.iter().map(|p| vec![0.0; p.len()]).collect();
        for layer in 0..self.layers.len() {
            let (first, second) = self.sides(layer, powers);
            self.layers[layer].stir(STIR);
            self.layers[layer].norm(&first, &second, POWER_STEPS);
            let (first, second) = self.layers[layer].parts(first.len(), second.len());
            let (after, before) = if self.layers[layer].map.conv().transposed {
                (second, first)
            } else {
                (first, second)
            };
            if let Some(ties) = self.ties.get(layer) {
                for (&class, part) in ties.outputs.iter().zip(after) {
                    gradient[layer][class] += part;
                }
            }
            if let Some(tie) = layer.checked_sub(1) {
                for (&class, part) in self.ties[tie].inputs.iter().zip(before) {
                    gradient[tie][class] -= part;
                }
            }
        }
        gradient
    }
}

/// A side of a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Output,
    Input,
}

/// Σ_t K_t² entry by entry.
fn energies(map: &LatticeMap) -> Mat<f64> {
    let [rows, cols] = [map.kernel().shape()[0], map.kernel().shape()[1]];
    let taps: usize = map.kernel().spatial().iter().product();
    let values = map.kernel().scaled();
    Mat::from_fn(rows, cols, |i, j| {
        let entry = &values[(i * cols + j) * taps..][..taps];
        entry.iter().map(|v| v * v).sum::<f64>()
    })
}

/// Sums over the channels of a class; what is nothing counts as nearly nothing beside the largest.
fn per_class(of: &[f64], class: &[usize], classes: usize) -> Vec<f64> {
    const NEARLY_NOTHING: f64 = 1e-12;
    let mut sums = vec![0.0; classes];
    for (&class, value) in class.iter().zip(of) {
        sums[class] += value;
    }
    let largest = sums.iter().fold(f64::MIN_POSITIVE, |m: f64, &s| m.max(s));
    for sum in &mut sums {
        if !(*sum > 0.0) {
            *sum = NEARLY_NOTHING * largest;
        }
    }
    sums
}

/// A common factor changes nothing: the middle of the range to 1, and the range within that of f64.
fn centre(powers: &mut [f64]) {
    const MOST: f64 = 400.0;
    let finite = |p: &&f64| p.is_finite();
    let low = powers
        .iter()
        .filter(finite)
        .fold(f64::INFINITY, |m, &p| m.min(p));
    let high = powers
        .iter()
        .filter(finite)
        .fold(f64::NEG_INFINITY, |m, &p| m.max(p));
    let middle = 0.5 * (low + high);
    for power in powers {
        let apart = *power - middle;
        *power = if apart.is_finite() {
            apart.clamp(-MOST, MOST)
        } else {
            0.0
        };
    }
}

impl<'m> Symbols<'m> {
    fn new(map: &'m LatticeMap) -> Self {
        Self {
            map,
            pieces: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Adds the frequencies of a grid with the largest norms, those not there yet.
    fn scan(&mut self, first: &[f64], second: &[f64], most: usize) {
        const SCAN: usize = 5;
        let spatial = self.map.kernel().spatial();
        let moving = spatial.iter().filter(|&&k| k > 1).count();
        let size = [1, 16, 8, 4][moving];
        let points: Vec<usize> = spatial
            .iter()
            .map(|&k| if k > 1 { size } else { 1 })
            .collect();
        let mut found: Vec<(f64, [usize; 3], Vec<Piece>)> = Vec::new();
        for flat in 0..points.iter().product() {
            let at = multi_index(flat, &points);
            // F(−θ) is the conjugate of F(θ).
            let opposite: Vec<usize> = points.iter().zip(at).map(|(&n, i)| (n - i) % n).collect();
            if self.seen.contains(&at) || opposite[..] < at[..points.len()] {
                continue;
            }
            let turns = [0, 1, 2].map(|a| at[a] as f64 / size as f64);
            let mut pieces = self.pieces_at(turns);
            let norms = pieces
                .iter_mut()
                .map(|p| p.power(first, second, self.map, SCAN));
            let norm = norms.fold(0.0, f64::max);
            found.push((norm, at, pieces));
            found.sort_by(|a, b| b.0.total_cmp(&a.0));
            found.truncate(most);
        }
        for (_, at, pieces) in found {
            self.seen.push(at);
            self.pieces.extend(pieces);
        }
    }

    /// The symbol at a frequency in turns, every group of it. With a stride, all frequencies that
    /// become this one are side by side.
    fn pieces_at(&self, turns: [f64; 3]) -> Vec<Piece> {
        let (kernel, conv) = (self.map.kernel(), self.map.conv());
        let [rows, cols] = [kernel.shape()[0], kernel.shape()[1]];
        let spatial = kernel.spatial();
        let taps: usize = spatial.iter().product();
        let aliases: usize = conv.stride.iter().product();
        let mut waves: Vec<Vec<(f64, f64)>> = Vec::new();
        for alias in 0..aliases {
            let alias = multi_index(alias, &conv.stride);
            let wave = |tap| {
                let at = multi_index(tap, spatial);
                let turns = (0..spatial.len()).map(|a| {
                    let per_pixel = (turns[a] + alias[a] as f64) / conv.stride[a] as f64;
                    per_pixel * (conv.dilation[a] * at[a]) as f64
                });
                (TAU * turns.sum::<f64>()).sin_cos()
            };
            waves.push((0..taps).map(wave).collect());
        }
        let per_group = rows / conv.groups;
        let entry = |group: usize, i: usize, j: usize, part: fn(&(f64, f64)) -> f64| {
            let (alias, col) = (j / cols, j % cols);
            let row = group * per_group + i;
            let values = &kernel.scaled()[(row * cols + col) * taps..][..taps];
            let wave = waves[alias].iter();
            values
                .iter()
                .zip(wave)
                .map(|(v, w)| v * part(w))
                .sum::<f64>()
        };
        let columns = cols * aliases;
        let matrix =
            |group: usize, part| Mat::from_fn(per_group, columns, |i, j| entry(group, i, j, part));
        (0..conv.groups)
            .map(|group| {
                let start = quasi_random(2 * columns, 17);
                let mut fresh = Mat::from_fn(columns, 2, |i, part| start[2 * i + part]);
                normalise(&mut fresh);
                Piece {
                    group,
                    real: matrix(group, |&(_, cos)| cos),
                    imaginary: (taps > 1).then(|| matrix(group, |&(sin, _)| sin)),
                    right: fresh.clone(),
                    fresh,
                    left: Mat::new(),
                    norm: 0.0,
                }
            })
            .collect()
    }

    /// Adds a fixed vector of a length to all singular vectors.
    fn stir(&mut self, length: f64) {
        for piece in &mut self.pieces {
            for part in 0..2 {
                let fresh = piece.fresh.col_as_slice(part);
                axpy(length, fresh, piece.right.col_as_slice_mut(part));
            }
        }
    }

    /// The largest norm of all pieces after some power steps.
    fn norm(&mut self, first: &[f64], second: &[f64], steps: usize) -> f64 {
        let map = self.map;
        let norms = self
            .pieces
            .iter_mut()
            .map(|p| p.power(first, second, map, steps));
        norms.fold(0.0, f64::max)
    }

    /// u_i² and v_j², a mean over the pieces with nearly the largest norm.
    fn parts(&self, rows: usize, cols: usize) -> (Vec<f64>, Vec<f64>) {
        const SHARPNESS: f64 = 100.0;
        let largest = self
            .pieces
            .iter()
            .fold(f64::MIN_POSITIVE, |m, p| m.max(p.norm));
        let weights: Vec<f64> = self
            .pieces
            .iter()
            .map(|piece| (SHARPNESS * (piece.norm / largest - 1.0)).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        let (mut first, mut second) = (vec![0.0; rows], vec![0.0; cols]);
        let in_group = self.map.kernel().shape()[1];
        for (piece, weight) in self.pieces.iter().zip(weights) {
            let weight = weight / total;
            for part in 0..2 {
                let rows = piece.left.col_as_slice(part);
                for (i, u) in rows.iter().enumerate() {
                    first[piece.group * rows.len() + i] += weight * u * u;
                }
                for (j, v) in piece.right.col_as_slice(part).iter().enumerate() {
                    second[piece.group * in_group + j % in_group] += weight * v * v;
                }
            }
        }
        (first, second)
    }
}

impl Piece {
    /// Power steps on the scaled matrix; its norm, from below.
    fn power(&mut self, first: &[f64], second: &[f64], map: &LatticeMap, steps: usize) -> f64 {
        let (rows, in_group) = (self.real.nrows(), map.kernel().shape()[1]);
        let first = &first[self.group * rows..][..rows];
        let second = &second[self.group * in_group..][..in_group];
        normalise(&mut self.right);
        for _ in 0..steps {
            let mut v = self.right.clone();
            scale(&mut v, second);
            self.left = self.times(&v);
            scale(&mut self.left, first);
            if !(normalise(&mut self.left) > 0.0) {
                self.norm = 0.0;
                return 0.0;
            }
            let mut u = self.left.clone();
            scale(&mut u, first);
            self.right = self.adjoint_times(&u);
            scale(&mut self.right, second);
            self.norm = normalise(&mut self.right);
        }
        self.norm
    }

    /// F·v.
    fn times(&self, v: &Mat<f64>) -> Mat<f64> {
        let mut real = Mat::zeros(self.real.nrows(), 2);
        product(real.as_mut(), self.real.as_ref(), v.as_ref());
        if let Some(imaginary) = &self.imaginary {
            let mut turned = Mat::zeros(self.real.nrows(), 2);
            product(turned.as_mut(), imaginary.as_ref(), v.as_ref());
            for i in 0..real.nrows() {
                real[(i, 0)] -= turned[(i, 1)];
                real[(i, 1)] += turned[(i, 0)];
            }
        }
        real
    }

    /// F*·u.
    fn adjoint_times(&self, u: &Mat<f64>) -> Mat<f64> {
        let mut real = Mat::zeros(self.real.ncols(), 2);
        product(real.as_mut(), self.real.transpose(), u.as_ref());
        if let Some(imaginary) = &self.imaginary {
            let mut turned = Mat::zeros(self.real.ncols(), 2);
            product(turned.as_mut(), imaginary.transpose(), u.as_ref());
            for i in 0..real.nrows() {
                real[(i, 0)] += turned[(i, 1)];
                real[(i, 1)] -= turned[(i, 0)];
            }
        }
        real
    }
}

/// Rows times factors, which repeat.
fn scale(v: &mut Mat<f64>, factors: &[f64]) {
    for part in 0..2 {
        let column = v.col_as_slice_mut(part);
        for (x, factor) in column.iter_mut().zip(factors.iter().cycle()) {
            *x *= factor;
        }
    }
}

/// To length 1; the length that it had, or 0 where it had none.
fn normalise(v: &mut Mat<f64>) -> f64 {
    let square = |v: &Mat<f64>, part| -> f64 { v.col_as_slice(part).iter().map(|x| x * x).sum() };
    let length = (square(v, 0) + square(v, 1)).sqrt();
    if !(length > 0.0 && length.is_finite()) {
        return 0.0;
    }
    for part in 0..2 {
        v.col_as_slice_mut(part)
            .iter_mut()
            .for_each(|x| *x /= length);
    }
    length
}
