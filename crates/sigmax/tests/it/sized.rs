//! The norm at an input size against the layer written out from its definition.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::bound::{circular_norm, dense_norm, norm_at_size, norm_bracket};
use sigmax::{Bracket, Budget, Conv, Kernel, Options, PaddingMode};

use crate::cases::{Layer, gaussian, layer};

/// The pixel of n that position `at` shows.
fn shown(mut at: i64, n: i64, mode: PaddingMode) -> Option<usize> {
    match mode {
        PaddingMode::Zeros => {}
        PaddingMode::Circular => at = ((at % n) + n) % n,
        PaddingMode::Replicate => at = at.max(0).min(n - 1),
        PaddingMode::Reflect => {
            if at < 0 {
                at = -at;
            }
            if at > n - 1 {
                at = 2 * n - 2 - at;
            }
        }
    }
    (0 <= at && at < n).then_some(at as usize)
}

fn digits(mut flat: usize, lengths: &[usize]) -> Vec<usize> {
    let mut digits = vec![0; lengths.len()];
    for (digit, n) in digits.iter_mut().zip(lengths).rev() {
        *digit = flat % n;
        flat /= n;
    }
    digits
}

/// The matrix of a layer, row-major, by the definitions of PyTorch's Conv and ConvTranspose:
/// y[o] += K·x[s·o + d·t − p], and y[s·i + d·t − p] += K·x[i]. Returned with its rows and columns.
fn written_out(values: &[f64], shape: &[usize], conv: &Conv) -> (usize, usize, Vec<f64>) {
    let n = conv.input_size.clone().unwrap_or_default();
    let taps = &shape[2..];
    let axes = taps.len();
    let out: Vec<usize> = (0..axes)
        .map(|a| {
            let (p, reach) = (
                conv.padding[a].0 + conv.padding[a].1,
                conv.dilation[a] * (taps[a] - 1),
            );
            if conv.transposed {
                (n[a] - 1) * conv.stride[a] + reach + conv.output_padding[a] + 1 - p
            } else {
                (n[a] + p - reach - 1) / conv.stride[a] + 1
            }
        })
        .collect();
    let count = |of: &[usize]| of.iter().product::<usize>();
    let (second, groups) = (shape[1], conv.groups);
    let (c_in, c_out) = if conv.transposed {
        (shape[0], second * groups)
    } else {
        (second * groups, shape[0])
    };
    let (rows, cols) = (c_out * count(&out), c_in * count(&n));
    let mut matrix = vec![0.0; rows * cols];
    let from: &[usize] = if conv.transposed { &n } else { &out };
    for first in 0..shape[0] {
        let group = first / (shape[0] / groups);
        for other in 0..second {
            for pixel in 0..count(from) {
                for tap in 0..count(taps) {
                    let (o, t) = (digits(pixel, from), digits(tap, taps));
                    let mut place = Some(0);
                    for a in 0..axes {
                        let at = (conv.stride[a] * o[a] + conv.dilation[a] * t[a]) as i64
                            - conv.padding[a].0 as i64;
                        let side = if conv.transposed { out[a] } else { n[a] };
                        let read = shown(at, side as i64, conv.padding_mode);
                        place = place.zip(read).map(|(place, read)| place * side + read);
                    }
                    let Some(place) = place else { continue };
                    let weight = values[(first * second + other) * count(taps) + tap];
                    let channel = group * second + other;
                    let (row, col) = if conv.transposed {
                        (channel * count(&out) + place, first * count(&n) + pixel)
                    } else {
                        (first * count(&out) + pixel, channel * count(&n) + place)
                    };
                    matrix[row * cols + col] += weight;
                }
            }
        }
    }
    (rows, cols, matrix)
}

/// Two proved ends of the norm of that matrix, by a decomposition.
fn truth(values: &[f64], shape: &[usize], conv: &Conv) -> Bracket {
    let (rows, cols, matrix) = written_out(values, shape, conv);
    let matrix = Kernel::new(&[rows, cols], matrix).unwrap();
    dense_norm(&matrix, &Conv::new(0)).unwrap()
}

fn size(conv: &Conv) -> Vec<usize> {
    conv.input_size.clone().unwrap_or_default()
}

fn at_size(kernel: &Kernel, conv: &Conv) -> Bracket {
    norm_at_size(kernel, conv, &size(conv), &Options::default()).unwrap()
}

fn check(layer: &Layer) {
    let Layer {
        kernel,
        conv,
        values,
    } = layer;
    let norm = at_size(kernel, conv);
    let (lower, upper) = (norm.lower().get(), norm.upper().get());
    let truth = truth(values, kernel.shape(), conv);
    // Entries that are sums are rounded in the matrix that is written out.
    let taps = kernel.shape()[2..].iter().product::<usize>() as f64;
    let loose = 1.0 + 1e-13 * taps;
    assert!(
        truth.lower().get() <= upper * loose && lower <= truth.upper().get() * loose,
        "{norm:?} and the matrix {truth:?}: {layer:?}"
    );
    // By another way to the same entries, without allowance.
    let oracle = dense_norm(kernel, conv).unwrap();
    assert!(
        oracle.lower().get() <= upper && lower <= oracle.upper().get(),
        "{norm:?} and the oracle {oracle:?}: {layer:?}"
    );
    if truth.upper().get() > 1e-290 && truth.upper().get() < 1e300 {
        assert!(
            upper <= truth.upper().get() * (1.0 + 1.1e-6),
            "{norm:?} is not tight for {truth:?}: {layer:?}"
        );
        assert!(norm.relative_width() < 0.02, "{norm:?}: {layer:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, rng_seed: RngSeed::Fixed(5), ..ProptestConfig::default() })]

    #[test]
    fn the_norm_at_a_size_is_that_of_the_matrix(layer in layer()) {
        check(&layer);
    }
}

fn random(shape: &[usize], mut seed: u64) -> Kernel {
    let total = shape.iter().product();
    let values: Vec<f64> = (0..total).map(|_| gaussian(&mut seed)).collect();
    Kernel::new(shape, values).unwrap()
}

/// 16×6×5×5 without padding at 12×12, as in LeNet: well below the norm over all sizes.
#[test]
fn a_small_image_does_not_reach_the_norm_over_all_sizes() {
    let kernel = random(&[16, 6, 5, 5], 1);
    let conv = Conv::new(2);
    let lattice = norm_bracket(&kernel, &conv, &Options::default())
        .unwrap()
        .bracket();
    let sized = |n: usize| norm_at_size(&kernel, &conv, &[n, n], &Options::default()).unwrap();
    let at_12 = sized(12);
    assert!(at_12.relative_width() < 1e-5, "{at_12:?}");
    assert!(at_12.upper().get() < 0.95 * lattice.lower().get());
    // It grows with the size, to that of the lattice.
    let mut last = 0.0;
    for n in [5, 6, 9, 12, 20] {
        let norm = sized(n);
        assert!(norm.upper().get() > last && norm.relative_width() > 0.0);
        last = norm.lower().get();
    }
    assert!(last < lattice.upper().get());
}

#[test]
fn a_periodic_layer_has_its_circular_norm() {
    let kernel = random(&[3, 2, 3, 3], 2);
    let conv = Conv::new(2)
        .with_padding(&[(1, 1), (1, 1)])
        .with_padding_mode(PaddingMode::Circular)
        .with_input_size(&[12, 9]);
    let options = Options {
        tolerance: 1e-7,
        ..Options::default()
    };
    let circular = circular_norm(&kernel, &conv, &options).unwrap().bracket();
    let sized = norm_at_size(&kernel, &conv, &[12, 9], &options).unwrap();
    assert!(sized.lower().get() <= circular.upper().get());
    assert!(circular.lower().get() <= sized.upper().get());
    assert!(
        sized.relative_width() < 2e-6 && sized.upper().get() < circular.upper().get() * 1.000_001
    );
}

#[test]
fn a_budget_of_nothing_leaves_a_bracket() {
    let kernel = random(&[4, 3, 3, 3], 3);
    let none = Options {
        budget: Budget {
            tests: Some(0),
            time: None,
        },
        ..Options::default()
    };
    let full = norm_at_size(&kernel, &Conv::new(2), &[9, 9], &Options::default()).unwrap();
    let cut = norm_at_size(&kernel, &Conv::new(2), &[9, 9], &none).unwrap();
    assert!(cut.upper().get() > 1.01 * full.upper().get() && cut.upper().get().is_finite());
    assert!(cut.lower().get() > 0.9 * full.lower().get());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |kernel: &Kernel, conv: &Conv, size: &[usize], options: &Options| {
        norm_at_size(kernel, conv, size, options)
            .unwrap_err()
            .to_string()
    };
    let kernel = random(&[2, 2, 3, 3], 1);
    let plain = Options::default();
    let conv = Conv::new(2);
    let error = refused(&kernel, &conv, &[9], &plain);
    assert!(
        error.starts_with("input_size: expected 2 values"),
        "{error}"
    );
    let error = refused(&kernel, &conv, &[2, 9], &plain);
    assert!(
        error.starts_with("input_size: expected an input"),
        "{error}"
    );
    let error = refused(&kernel, &conv, &[20_000, 20_000], &plain);
    assert!(
        error.starts_with("too large: the matrix of this layer at its input size"),
        "{error}"
    );
    let error = refused(&random(&[1, 1, 2, 2], 1), &conv, &[900, 900], &plain);
    assert!(
        error.contains("half-bandwidth") && error.contains("10^13"),
        "{error}"
    );
    let none = Options {
        tolerance: 0.0,
        ..Options::default()
    };
    assert!(refused(&kernel, &conv, &[9, 9], &none).starts_with("tolerance"));
    // The size that is asked for is the one that counts.
    let other = conv.clone().with_input_size(&[50, 50]);
    assert_eq!(
        norm_at_size(&kernel, &other, &[9, 9], &plain).unwrap(),
        norm_at_size(&kernel, &conv, &[9, 9], &plain).unwrap()
    );
}
