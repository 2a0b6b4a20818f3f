//! Time of every method on kernels of common shapes: `cargo bench -p sigmax`.
//!
//! Entries are pseudo-random with a decaying spectrum, as trained kernels have it: a few strong smooth
//! filters over noise. `flat` is noise alone, the worst case of the branch and bound.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark; a panic is how it fails"
)]

use divan::{Bencher, black_box};
use sigmax::bound::{
    four_bounds, four_gradient, gram_iteration, norm_at_size, norm_bracket, weighted_four,
};
use sigmax::estimate::four_by_power_iteration;
use sigmax::{Conv, Kernel, Options};

fn main() {
    divan::main();
}

/// `(c_out, c_in, k, stride)` of ResNet-32's stages and ResNet-18's.
const SHAPES: [(usize, usize, usize, usize); 6] = [
    (16, 16, 3, 1),
    (32, 16, 3, 2),
    (64, 64, 3, 1),
    (64, 3, 7, 2),
    (128, 128, 3, 1),
    (256, 256, 3, 1),
];
const FLAT: [(usize, usize, usize, usize); 3] = [(16, 16, 3, 1), (32, 32, 3, 1), (64, 64, 3, 1)];

/// splitmix64 to [−1, 1).
fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn layer(shape: (usize, usize, usize, usize), filters: usize) -> (Kernel, Conv) {
    let (c_out, c_in, k, stride) = shape;
    let taps = k * k;
    let mut seed = (c_out * 1_000_003 + c_in * 101 + k) as u64;
    let mut values: Vec<f64> = (0..c_out * c_in * taps)
        .map(|_| 0.05 * uniform(&mut seed))
        .collect();
    for filter in 0..filters {
        let strength = 1.0 / (1.0 + filter as f64);
        let u: Vec<f64> = (0..c_out).map(|_| uniform(&mut seed)).collect();
        let v: Vec<f64> = (0..c_in).map(|_| uniform(&mut seed)).collect();
        let t: Vec<f64> = (0..taps).map(|_| 0.5 + uniform(&mut seed)).collect();
        for (entry, value) in values.iter_mut().enumerate() {
            let (o, i, tap) = (entry / taps / c_in, entry / taps % c_in, entry % taps);
            *value += strength * u[o] * v[i] * t[tap];
        }
    }
    let kernel = Kernel::new(&[c_out, c_in, k, k], values).unwrap();
    (kernel, Conv::new(2).with_stride(&[stride, stride]))
}

fn with(tolerance: f64) -> Options {
    Options {
        tolerance,
        ..Options::default()
    }
}

#[divan::bench(args = SHAPES)]
fn four_proved(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| four_bounds(black_box(&kernel), &conv).unwrap());
}

#[divan::bench(args = SHAPES)]
fn four_estimated_by_50_power_steps(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| four_by_power_iteration(black_box(&kernel), &conv, 50).unwrap());
}

#[divan::bench(args = SHAPES)]
fn four_with_gradient(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| four_gradient(black_box(&kernel), &conv).unwrap());
}

#[divan::bench(args = SHAPES)]
fn weighted(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| weighted_four(black_box(&kernel), &conv).unwrap());
}

#[divan::bench(args = SHAPES)]
fn norm_to_a_thousandth(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| norm_bracket(black_box(&kernel), &conv, &with(1e-3)).unwrap());
}

#[divan::bench(args = FLAT, sample_count = 10)]
fn norm_to_a_hundredth_flat(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 0);
    bencher.bench(|| norm_bracket(black_box(&kernel), &conv, &with(1e-2)).unwrap());
}

#[divan::bench(args = [(16, 16, 3, 1), (64, 64, 3, 1)], sample_count = 10)]
fn gram_iteration_five_steps_grid_32(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    let (kernel, conv) = layer(shape, 8);
    bencher.bench(|| gram_iteration(black_box(&kernel), &conv, 5, 32).unwrap());
}

/// `(c_out, c_in, k, stride)` and the size of the image: first layers for MNIST and CIFAR-10, the second
/// of LeNet.
#[divan::bench(args = [((32, 1, 5, 2), 28), ((32, 3, 5, 2), 32), ((16, 6, 5, 1), 12)], sample_count = 10)]
fn norm_at_its_size(bencher: Bencher, (shape, size): ((usize, usize, usize, usize), usize)) {
    let (kernel, conv) = layer(shape, 8);
    let conv = conv.with_padding(&[(shape.2 / 2, shape.2 / 2); 2]);
    let options = Options::default();
    bencher.bench(|| norm_at_size(black_box(&kernel), &conv, &[size, size], &options).unwrap());
}
