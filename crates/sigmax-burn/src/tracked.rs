//! The tracked norm: ‖F(θ)‖₂ at a frequency that follows the peak of the symbol (T13).
//!
//! Complex vectors are kept as real ones, real part before imaginary part, and the symbol as the
//! real matrix `[[Re F, −Im F], [Im F, Re F]]`, which has the same norm.
#![allow(
    clippy::disallowed_methods,
    reason = "what is computed here is an estimate"
)]

use burn::tensor::{Tensor, TensorData};

use crate::buffer::Buffer;
use crate::layer::Layer;
use crate::linalg::{normalise, read, times, transposed_times};
use crate::peak::{Frequency, Profile, phase};
use crate::state::{State, start_vectors};
use crate::unfolding::{Unfolding, cells};

/// Power steps per point of the coarse search.
const SCAN_STEPS: usize = 5;
/// Peaks of the coarse search that are followed up, and the steps of each.
const CANDIDATES: usize = 3;
const CANDIDATE_STEPS: usize = 8;
/// Most numbers of a block of symbols in the coarse search.
const SCAN_BLOCK: usize = 1 << 21;

/// The tracked norm of a shape group.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    /// t − d for every tap.
    offsets: Vec<Frequency>,
    /// Half the torus, coarsely: F(−θ) is the conjugate of F(θ).
    grid: Vec<Frequency>,
    /// Points per axis of the grid.
    counts: [usize; 3],
}

/// Where one ascent has arrived.
struct Ascent {
    theta: Vec<Frequency>,
    v: Tensor<2>,
    /// conj(u)·v: `[B, 2, R·C]`, real and imaginary parts.
    pair: Tensor<3>,
    /// Re⟨u, F(θ)v⟩ at the new θ.
    values: Vec<f64>,
}

impl Tracked {
    pub(crate) fn new(unfolding: &Unfolding) -> Self {
        let k = unfolding.k;
        let offsets = cells(k)
            .map(|t| std::array::from_fn(|a| t[a] as f64 - (k[a] - 1) as f64 / 2.0))
            .collect();
        // At least 4 points per period of the fastest wave that the symbol can hold.
        let counts = k.map(|k| if k == 1 { 1 } else { 8.max(4 * (k - 1)) });
        let turn = std::f64::consts::TAU;
        let grid = cells(counts)
            .filter(|i| {
                let mirrored: [usize; 3] = std::array::from_fn(|a| (counts[a] - i[a]) % counts[a]);
                *i <= mirrored
            })
            .map(|i| std::array::from_fn(|a| turn * i[a] as f64 / counts[a] as f64))
            .collect();
        Self {
            offsets,
            grid,
            counts,
        }
    }

    pub(crate) fn start(
        &self,
        state: &mut State,
        unfolding: &Unfolding,
        layers: &[Layer],
        seed: u64,
        like: &Tensor<6>,
    ) {
        let (device, dtype) = (like.device(), like.dtype());
        let size = (unfolding.groups, 2 * unfolding.cols);
        let v = start_vectors(layers, size, (seed, "symbol"), (&device, dtype));
        let theta = Tensor::zeros([v.dims()[0], 3], (&device, dtype));
        state.vectors = vec![Buffer::new(v)];
        state.theta = vec![Buffer::new(theta)];
    }

    /// One ascent; the result is the gradient as in [`crate::reshapes::Reshapes::step`].
    pub(crate) fn step(
        &self,
        kernels: &Tensor<6>,
        unfolding: &Unfolding,
        state: &State,
        keep: bool,
    ) -> Tensor<6> {
        let ascent = self.advance_state(kernels, unfolding, state, keep);
        let [batch, rows, cols, q1, q2, q3] = kernels.dims();
        let taps = unfolding.taps();
        // Re(P·e): cos times the real part of P, −sin times the imaginary part. Groups that do not
        // decide the layer's norm get 0.
        let mut waves = vec![0.0; batch * 2 * taps];
        for b in 0..batch {
            let first = b / unfolding.groups * unfolding.groups;
            let rivals = &ascent.values[first..first + unfolding.groups];
            if rivals.iter().position(|&v| v >= largest(rivals)) != Some(b - first) {
                continue;
            }
            for (t, offset) in self.offsets.iter().enumerate() {
                let (sin, cos) = phase(offset, &ascent.theta[b]).sin_cos();
                waves[(b * 2) * taps + t] = cos;
                waves[(b * 2 + 1) * taps + t] = -sin;
            }
        }
        let waves = upload(waves, [batch, 2, taps], kernels);
        ascent
            .pair
            .swap_dims(1, 2)
            .matmul(waves)
            .reshape([batch, rows, cols, q1, q2, q3])
    }

    /// One ascent from the kept state.
    pub(crate) fn advance(&self, kernels: &Tensor<6>, unfolding: &Unfolding, state: &State) {
        self.advance_state(kernels, unfolding, state, true);
    }

    fn advance_state(
        &self,
        kernels: &Tensor<6>,
        unfolding: &Unfolding,
        state: &State,
        keep: bool,
    ) -> Ascent {
        let (theta, v) = load(state, kernels);
        let ascent = self.ascend(kernels, unfolding, theta, v);
        if keep {
            store(state, &ascent.theta, ascent.v.clone());
        }
        ascent
    }

    /// One power step at θ, then θ moves uphill on Re⟨u, F(·)v⟩, which is nowhere above ‖F(·)‖.
    fn ascend(
        &self,
        kernels: &Tensor<6>,
        unfolding: &Unfolding,
        mut theta: Vec<Frequency>,
        v: Tensor<2>,
    ) -> Ascent {
        let [batch, rows, cols, ..] = kernels.dims();
        let taps = unfolding.taps();
        let flat = kernels.clone().reshape([batch, rows * cols, taps]);
        let mut waves = Vec::with_capacity(batch * taps * 2);
        for theta in &theta {
            for offset in &self.offsets {
                let (sin, cos) = phase(offset, theta).sin_cos();
                waves.extend([cos, sin]);
            }
        }
        let waves = upload(waves, [batch, taps, 2], kernels);
        let symbol = flat.clone().matmul(waves);
        let part = |i| symbol.clone().narrow(2, i, 1).reshape([batch, rows, cols]);
        let matrix = real_form(part(0), part(1));
        let (u, _) = normalise(times(&matrix, &v), None);
        let (v, _) = normalise(transposed_times(&matrix, &u), Some(&v));

        let u = u.reshape([batch, 2, rows]).swap_dims(1, 2);
        let [v_re, v_im] =
            [0, cols].map(|at| v.clone().narrow(1, at, cols).reshape([batch, 1, cols]));
        let upper = Tensor::cat(vec![v_re.clone(), v_im.clone()], 2);
        let lower = Tensor::cat(vec![v_im, v_re.neg()], 2);
        let pair = u
            .matmul(Tensor::cat(vec![upper, lower], 1))
            .reshape([batch, rows, 2, cols])
            .permute([0, 2, 1, 3])
            .reshape([batch, 2, rows * cols]);
        let profile = read(&pair.clone().matmul(flat));
        let mut values = Vec::with_capacity(batch);
        for (b, theta) in theta.iter_mut().enumerate() {
            let (re, im) = profile[b * 2 * taps..(b + 1) * 2 * taps].split_at(taps);
            let profile = Profile {
                offsets: &self.offsets,
                re,
                im,
            };
            values.push(profile.climb(theta));
        }
        Ascent {
            theta,
            v,
            pair,
            values,
        }
    }

    /// Searches the whole torus coarsely, follows up the best peaks, and moves the state to one of
    /// them where it is higher than what is tracked.
    pub(crate) fn rescan(&self, kernels: &Tensor<6>, unfolding: &Unfolding, state: &State) {
        let (theta, v) = load(state, kernels);
        let batch = v.dims()[0];
        let scanned = self.scan(kernels, unfolding);
        let mut best = self.ascend(kernels, unfolding, theta, v);
        for rank in 0..CANDIDATES {
            let theta = (0..batch)
                .map(|b| self.candidate(&scanned[b], rank))
                .collect();
            let mut ascent = self.ascend(kernels, unfolding, theta, scan_vector(batch, kernels));
            for _ in 1..CANDIDATE_STEPS {
                ascent = self.ascend(kernels, unfolding, ascent.theta, ascent.v);
            }
            let mut better = vec![0.0; batch];
            for (b, better) in better.iter_mut().enumerate() {
                if ascent.values[b] > best.values[b] {
                    *better = 1.0;
                    best.values[b] = ascent.values[b];
                    best.theta[b] = ascent.theta[b];
                }
            }
            let shape = best.v.shape();
            let mask = upload(better, [batch, 1], kernels).greater_elem(0.5);
            best.v = best.v.mask_where(mask.expand(shape), ascent.v);
        }
        store(state, &best.theta, best.v);
    }

    /// ‖F‖ estimated at every point of the grid, per kernel.
    fn scan(&self, kernels: &Tensor<6>, unfolding: &Unfolding) -> Vec<Vec<f64>> {
        let [batch, rows, cols, ..] = kernels.dims();
        let taps = unfolding.taps();
        let flat = kernels.clone().reshape([batch * rows * cols, taps]);
        let block = (SCAN_BLOCK / (8 * batch * rows * cols)).clamp(1, self.grid.len());
        let mut found = vec![Vec::with_capacity(self.grid.len()); batch];
        for points in self.grid.chunks(block) {
            let n = points.len();
            let mut waves = Vec::with_capacity(taps * 2 * n);
            for offset in &self.offsets {
                waves.extend(points.iter().map(|theta| phase(offset, theta).cos()));
                waves.extend(points.iter().map(|theta| phase(offset, theta).sin()));
            }
            let symbols = flat
                .clone()
                .matmul(upload(waves, [taps, 2 * n], kernels))
                .reshape([batch, rows * cols, 2, n])
                .permute([0, 3, 2, 1]);
            let part = |i| {
                let part = symbols.clone().narrow(2, i, 1);
                part.reshape([batch * n, rows, cols])
            };
            let matrix = real_form(part(0), part(1));
            let mut v = scan_vector(batch * n, kernels);
            let mut norms = None;
            for _ in 0..SCAN_STEPS {
                let u = times(&matrix, &v);
                let (next, grown) = normalise(transposed_times(&matrix, &u), Some(&v));
                (v, norms) = (next, Some(grown));
            }
            // ‖F*F v‖ for a unit v that is nearly singular: the square of the norm.
            let norms = norms.map(|norms| read(&norms)).unwrap_or_default();
            for (found, norms) in found.iter_mut().zip(norms.chunks(n)) {
                found.extend_from_slice(norms);
            }
        }
        found
    }

    /// The frequency with the `rank`-th largest value among those not next to a larger one taken
    /// before; the largest where there are not so many.
    fn candidate(&self, values: &[f64], rank: usize) -> Frequency {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        let mut taken: Vec<usize> = Vec::new();
        for i in order {
            if taken.iter().all(|&j| !self.are_neighbours(i, j)) {
                taken.push(i);
            }
            if taken.len() > rank {
                break;
            }
        }
        let chosen = taken
            .get(rank)
            .or_else(|| taken.first())
            .copied()
            .unwrap_or(0);
        self.grid[chosen]
    }

    fn are_neighbours(&self, i: usize, j: usize) -> bool {
        (0..3).all(|a| {
            let step = std::f64::consts::TAU / self.counts[a] as f64;
            let apart = (self.grid[i][a] - self.grid[j][a]).abs() / step;
            apart < 1.5 || apart > self.counts[a] as f64 - 1.5
        })
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// `[[Re, −Im], [Im, Re]]`.
fn real_form(re: Tensor<3>, im: Tensor<3>) -> Tensor<3> {
    let upper = Tensor::cat(vec![re.clone(), im.clone().neg()], 2);
    let lower = Tensor::cat(vec![im, re], 2);
    Tensor::cat(vec![upper, lower], 1)
}

/// The same start vector for every row.
fn scan_vector(batch: usize, like: &Tensor<6>) -> Tensor<2> {
    let len = 2 * like.dims()[2];
    // Fractional parts of multiples of the golden ratio: no structure that a kernel would have.
    let values = (1..=len)
        .map(|i| (i as f64 * 0.618_033_988_749_894_9).fract() - 0.5)
        .collect();
    let row = upload(values, [1, len], like);
    normalise(row, None).0.expand([batch, len])
}

fn upload<const D: usize>(values: Vec<f64>, shape: [usize; D], like: &Tensor<6>) -> Tensor<D> {
    let data = TensorData::new(values, shape);
    Tensor::from_data(data, (&like.device(), like.dtype()))
}

fn load(state: &State, like: &Tensor<6>) -> (Vec<Frequency>, Tensor<2>) {
    let theta = read(&state.theta[0].get())
        .chunks_exact(3)
        .map(|theta| [theta[0], theta[1], theta[2]])
        .collect();
    (theta, state.vectors[0].get_on(&like.device()))
}

fn store(state: &State, theta: &[Frequency], v: Tensor<2>) {
    let options = (&v.device(), v.dtype());
    let data = TensorData::new(theta.concat(), [theta.len(), 3]);
    state.theta[0].set(Tensor::from_data(data, options));
    state.vectors[0].set(v);
}
