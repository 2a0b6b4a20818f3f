//! What is too large ends with an answer or a reason, not in a crash or a hang.

use std::time::Duration;

use sigmax::estimate::{Operator, norm_by_lanczos};
use sigmax::{
    Budget, Conv, Error, Kernel, Options, PaddingMode, Stop, audit, dense_norm, gram_iteration,
    norm_bracket, plan,
};

fn wave(shape: &[usize]) -> Kernel {
    let total = shape.iter().product();
    let values = (0..total).map(|i| ((i * 37 % 101) as f64 - 50.0) / 50.0);
    Kernel::new(shape, values.collect()).unwrap()
}

#[test]
fn kernels_with_very_many_taps_stop_with_a_bracket() {
    for shape in [&[1, 1, 1024, 1024][..], &[1, 1, 128, 128, 128]] {
        let kernel = wave(shape);
        let conv = Conv::new(shape.len() - 2);
        let norm = norm_bracket(&kernel, &conv, &Options::default()).unwrap();
        assert_eq!(norm.stop(), Stop::Work);
        let (lower, upper) = (norm.bracket().lower().get(), norm.bracket().upper().get());
        assert!(0.0 < lower && lower < upper && upper.is_finite());
        assert!(
            plan(&kernel, &conv, &Options::default())
                .unwrap()
                .first_cells
                > 1e5
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
    let too_large = |result: Result<_, Error>| matches!(result, Err(Error::TooLarge(_)));
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
