//! What is too large ends with an answer or a reason, not in a crash or a hang.

use std::time::Duration;

use sigmax::bound::{circular_norm, dense_norm, four_bounds, gram_iteration, norm_bracket};
use sigmax::estimate::{Operator, norm_by_lanczos};
use sigmax::{Budget, Conv, Error, Kernel, Options, PaddingMode, Stop, audit};

fn wave(shape: &[usize]) -> Kernel {
    let total = shape.iter().product();
    let values = (0..total).map(|i| ((i * 37 % 101) as f64 - 50.0) / 50.0);
    Kernel::new(shape, values.collect()).unwrap()
}

/// ‖F‖ from its entries: T9 is 400 times the norm of a reshape.
#[test]
fn kernels_with_very_many_taps_stop_with_a_bracket() {
    let kernel = wave(&[2, 2, 430, 430]);
    let norm = norm_bracket(&kernel, &Conv::new(2), &Options::default()).unwrap();
    assert_eq!(norm.stop(), Stop::Work);
    let (lower, upper) = (norm.bracket().lower().get(), norm.bracket().upper().get());
    assert!(0.0 < lower && upper <= 1.42 * lower, "{lower} {upper}");
}

#[test]
fn one_channel_with_very_many_taps_ends_at_the_tolerance() {
    for shape in [&[1, 1, 150, 150][..], &[1, 2, 20_000], &[1, 1, 20, 20, 20]] {
        let kernel = wave(shape);
        let conv = Conv::new(shape.len() - 2);
        let norm = norm_bracket(&kernel, &conv, &Options::default()).unwrap();
        assert_eq!(norm.stop(), Stop::Tolerance, "{shape:?}");
        let four = four_bounds(&kernel, &conv).unwrap().min();
        assert!(norm.bracket().upper() < four, "{shape:?}");
    }
}

/// A kernel with the matrices `near` and `far` at two opposite corners and 0 between them.
fn opposite_corners(k: &[usize], near: &[f64], far: &[f64], n: usize) -> Kernel {
    let taps: usize = k.iter().product();
    let mut values = vec![0.0; n * n * taps];
    for entry in 0..n * n {
        values[entry * taps] = near[entry];
        values[entry * taps + taps - 1] = far[entry];
    }
    let mut shape = vec![n, n];
    shape.extend(k);
    Kernel::new(&shape, values).unwrap()
}

/// F depends on one frequency, ⟨k − 1, θ⟩, whatever the kernel's extents.
#[test]
fn taps_at_opposite_corners_are_closed_like_two_neighbours() {
    for n in [1, 3] {
        let near: Vec<f64> = (0..n * n)
            .map(|i| ((i * 37 % 101) as f64 - 50.0) / 50.0)
            .collect();
        let far: Vec<f64> = near.iter().rev().map(|x| 0.7 - x).collect();
        let options = Options::default();
        let two = opposite_corners(&[2], &near, &far, n);
        let two = norm_bracket(&two, &Conv::new(1), &options).unwrap();
        for k in [&[5, 5, 5][..], &[7, 7, 7], &[15, 15, 15], &[101, 101]] {
            let kernel = opposite_corners(k, &near, &far, n);
            let norm = norm_bracket(&kernel, &Conv::new(k.len()), &options).unwrap();
            assert_eq!(norm.stop(), Stop::Tolerance);
            assert!(norm.tests() <= 100, "{k:?}: {} tests", norm.tests());
            let (one, other) = (norm.bracket(), two.bracket());
            assert!(one.lower().get() <= other.upper().get(), "{k:?}");
            assert!(other.lower().get() <= one.upper().get(), "{k:?}");
        }
    }
}

#[test]
fn wrap_padding_keeps_to_the_budget_and_to_memory() {
    let kernel = wave(&[2, 2, 430, 430]);
    let conv = Conv::new(2)
        .with_padding(&[(429, 0), (429, 0)])
        .with_padding_mode(PaddingMode::Circular)
        .with_input_size(&[430, 430]);
    let options = Options {
        tolerance: 1e-3,
        budget: Budget {
            tests: Some(0),
            time: None,
        },
    };
    let norm = circular_norm(&kernel, &conv, &options).unwrap();
    assert_eq!(norm.stop(), Stop::Work);
    assert!(norm.bracket().upper() <= four_bounds(&kernel, &Conv::new(2)).unwrap().min());
}

/// Grids whose image under θ ↦ ⟨k − 1, θ⟩ is smaller, as large, and not a grid of the kernel's own size.
#[test]
fn sparse_periodic_layers_have_the_norm_of_the_oracle() {
    let near = [0.9, -0.3, 0.2, 0.8];
    let far = [-0.5, 0.7, 0.6, 0.1];
    for (k, size) in [
        (&[5, 5, 5][..], &[6, 5, 7][..]),
        (&[5, 5, 5], &[8, 6, 4]),
        (&[7, 5], &[12, 8]),
        (&[7, 5], &[9, 13]),
        (&[9], &[12]),
    ] {
        let kernel = opposite_corners(k, &near, &far, 2);
        let padding: Vec<(usize, usize)> = k.iter().map(|&k| (k - 1, 0)).collect();
        let conv = Conv::new(k.len())
            .with_padding(&padding)
            .with_padding_mode(PaddingMode::Circular)
            .with_input_size(size);
        let norm = circular_norm(&kernel, &conv, &Options::default()).unwrap();
        let truth = dense_norm(&kernel, &conv).unwrap();
        assert_eq!(norm.stop(), Stop::Tolerance, "{k:?} {size:?}");
        assert!(
            norm.bracket().lower().get() <= truth.upper().get(),
            "{k:?} {size:?}"
        );
        assert!(
            truth.lower().get() <= norm.bracket().upper().get(),
            "{k:?} {size:?}"
        );
    }
}

#[test]
fn budgets_end_with_a_bracket_that_is_still_true() {
    let kernel = wave(&[3, 2, 5, 5]);
    let conv = Conv::new(2);
    let truth = norm_bracket(&kernel, &conv, &Options::default()).unwrap();
    let truth = truth.bracket().lower().get();
    for tests in [0, 1, 64, 100, 300] {
        let options = Options {
            tolerance: 1e-7,
            budget: Budget {
                tests: Some(tests),
                time: None,
            },
        };
        let norm = norm_bracket(&kernel, &conv, &options).unwrap();
        assert_eq!(norm.stop(), Stop::Work, "{tests} tests");
        assert!(norm.bracket().upper().get() >= truth);
        assert_eq!(norm, norm_bracket(&kernel, &conv, &options).unwrap());
    }
    let options = Options {
        tolerance: 1e-12,
        budget: Budget {
            tests: None,
            time: Some(Duration::ZERO),
        },
    };
    for mode in [PaddingMode::Zeros, PaddingMode::Circular] {
        let conv = Conv::new(2)
            .with_padding(&[(2, 2), (2, 2)])
            .with_padding_mode(mode)
            .with_input_size(&[64, 64]);
        let audit = audit(&kernel, &conv, &options).unwrap();
        assert_eq!(audit.norm().stop(), Stop::Time, "{mode:?}");
        assert!(audit.norm().bracket().upper() <= audit.four().min());
    }
}

/// A dense layer is bounded from both sides however little time there is, and with its columns of products in several
/// blocks.
#[test]
fn dense_layers_keep_to_the_budget() {
    for (rows, cols) in [(530, 540), (30, 40), (3, 700)] {
        let kernel = wave(&[rows, cols]);
        let conv = Conv::new(0);
        let truth = dense_norm(&kernel, &conv).unwrap();
        let whole = audit(&kernel, &conv, &Options::default()).unwrap();
        assert!(whole.norm().bracket().relative_width() <= 1e-6);
        assert!(whole.norm().bracket().upper().get() >= truth.lower().get());
        assert!(whole.norm().bracket().lower().get() <= truth.upper().get());
        let ratio = whole.reshape_norm().get() / truth.upper().get();
        assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
        let options = Options {
            budget: Budget {
                tests: None,
                time: Some(Duration::ZERO),
            },
            ..Options::default()
        };
        let short = audit(&kernel, &conv, &options).unwrap();
        let bracket = short.norm().bracket();
        assert!(bracket.upper().get() >= truth.lower().get());
        assert!(bracket.lower().get() > 0.2 * truth.upper().get());
        assert!(bracket.lower().get() <= truth.upper().get());
        assert_eq!(short.norm().stop(), Stop::Time);
    }
}

#[test]
fn a_tolerance_beyond_f64_stops_at_its_precision() {
    let options = Options {
        tolerance: 1e-15,
        ..Options::default()
    };
    let norm = norm_bracket(&wave(&[4, 4, 3]), &Conv::new(1), &options).unwrap();
    assert_eq!(norm.stop(), Stop::Precision);
    assert!(norm.bracket().relative_width() < 1e-9);
}

#[test]
fn oracles_refuse_what_does_not_fit() {
    let kernel = wave(&[1, 1, 64, 64]);
    let conv = Conv::new(2)
        .with_padding(&[(32, 32), (32, 32)])
        .with_input_size(&[1 << 24, 1 << 24]);
    let too_large = |result: Result<_, Error>| matches!(result, Err(Error::TooLarge { .. }));
    assert!(too_large(dense_norm(&kernel, &conv).map(|_| ())));
    assert!(too_large(Operator::new(&kernel, &conv).map(|_| ())));
    assert!(too_large(norm_by_lanczos(&kernel, &conv, 3).map(|_| ())));
    let kernel = wave(&[1, 1, 3, 3, 3]);
    let gram = gram_iteration(&kernel, &Conv::new(3), 3, 2048);
    assert!(too_large(gram.map(|_| ())));
}

#[test]
fn a_flat_symbol_needs_few_tests() {
    // A shift per channel: ‖F(θ)‖ = 1 for every θ, and no cosine bound would close large cells.
    let (n, taps) = (6, 125);
    let mut values = vec![0.0; n * n * taps];
    for i in 0..n {
        values[(i * n + i) * taps + (i * 31) % taps] = 1.0;
    }
    let kernel = Kernel::new(&[n, n, 5, 5, 5], values).unwrap();
    let options = Options {
        tolerance: 1e-8,
        ..Options::default()
    };
    let norm = norm_bracket(&kernel, &Conv::new(3), &options).unwrap();
    assert!(norm.bracket().contains(1.0));
    assert_eq!(norm.stop(), Stop::Tolerance);
}

#[test]
fn depthwise_layers_with_large_kernels_end_at_the_tolerance() {
    let groups = 6;
    let kernel = wave(&[groups, 1, 31, 31]);
    let conv = Conv::new(2).with_groups(groups);
    let norm = norm_bracket(&kernel, &conv, &Options::default()).unwrap();
    assert_eq!(norm.stop(), Stop::Tolerance);
}

#[test]
fn thousands_of_channels() {
    let kernel = wave(&[1, 4096, 3]);
    let norm = norm_bracket(&kernel, &Conv::new(1), &Options::default()).unwrap();
    assert_eq!(norm.stop(), Stop::Tolerance);
    let pointwise = wave(&[2048, 16, 1, 1]);
    let norm = norm_bracket(&pointwise, &Conv::new(2), &Options::default()).unwrap();
    assert_eq!(norm.stop(), Stop::Tolerance);
}
