//! Laws that hold for every layer.
#![allow(
    clippy::disallowed_methods,
    reason = "the factor of T15 is rechecked with the platform's cosine and a slack for its error"
)]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::bound::{
    circular_norm, dense_norm, four_bounds, four_gradient, gram_iteration, norm_bracket,
    weighted_four,
};
use sigmax::{Bracket, Conv, Kernel, Options, PaddingMode, Stop, audit};

use crate::cases::{Layer, layer};

/// Checks every method on one layer against the dense oracle. The tolerances of the comparison
/// are zero: both sides are proved.
pub(crate) fn check_layer(layer: &Layer, tolerance: f64) {
    let Layer { kernel, conv, .. } = layer;
    let options = Options {
        tolerance,
        ..Options::default()
    };
    let truth = dense_norm(kernel, conv).unwrap();
    let audit = audit(kernel, conv, &options).unwrap();
    let at_most = |name: &str, upper: f64| {
        assert!(
            truth.lower().get() <= upper,
            "{name} {upper:e} is below the oracle {truth:?}: {layer:?}"
        );
    };
    for (reshape, upper) in audit.four().bounds() {
        at_most(reshape.name(), upper.get());
    }
    at_most("four", audit.four().min().get());
    at_most("weighted four", audit.weighted_four().upper().get());
    at_most("norm", audit.norm().bracket().upper().get());
    assert!(
        audit.weighted_four().upper() <= audit.four().min(),
        "{layer:?}"
    );
    let lattice = norm_bracket(kernel, conv, &options).unwrap();
    at_most("lattice", lattice.bracket().upper().get());
    check_width(
        layer,
        &lattice.bracket(),
        lattice.stop(),
        tolerance,
        audit.padding_factor(),
    );
    if audit.norm().quantity() == sigmax::Quantity::Circular {
        let exact = circular_norm(kernel, conv, &options).unwrap();
        at_most("circular", exact.bracket().upper().get());
        assert!(
            exact.bracket().lower().get() <= truth.upper().get(),
            "circular lower end {exact:?} above the oracle {truth:?}: {layer:?}"
        );
        check_width(layer, &exact.bracket(), exact.stop(), tolerance, 1.0);
    }
    let lower = lattice.bracket().lower().get();
    let ceiling = lattice_ceiling(layer);
    assert!(
        lower <= ceiling,
        "lower end {lower:e} above the corrected grid {ceiling:e}: {layer:?}"
    );
}

/// Options whose tolerance any layer meets soon.
fn coarse() -> Options {
    Options {
        tolerance: 1e-2,
        ..Options::default()
    }
}

/// A tolerance that takes a bounded number of cells even where ‖F(θ)‖ is nearly flat: they grow as
/// tolerance^(−axes/2). The norm of a single matrix is proved to about 1e-7.
pub(crate) fn feasible(layer: &Layer, tolerance: f64) -> f64 {
    tolerance.max([1e-6, 1e-6, 1e-3, 3e-2][layer.conv.axes()])
}

/// An upper bound of S(K) that shares no code with the bracket: the dense norm of the periodic
/// stride-1 layer over N pixels per axis, times the factor of T15; for a stride, S is at most that.
fn lattice_ceiling(layer: &Layer) -> f64 {
    let shape = layer.kernel.shape();
    let k = &shape[2..];
    // In three dimensions the explicit matrix grows fast: N = k, for which the factor is still
    // finite, keeps it small.
    let n: Vec<usize> = k
        .iter()
        .map(|&k| {
            if k == 1 {
                1
            } else if layer.conv.axes() < 3 {
                2 * k
            } else {
                k
            }
        })
        .collect();
    let padding: Vec<(usize, usize)> = k.iter().map(|&k| (k - 1, 0)).collect();
    let periodic = Conv::new(k.len())
        .with_groups(layer.conv.groups)
        .with_padding(&padding)
        .with_padding_mode(PaddingMode::Circular)
        .with_input_size(&n);
    let norm = dense_norm(&layer.kernel, &periodic).unwrap().upper().get();
    k.iter()
        .zip(&n)
        .filter(|&(&k, _)| k > 1)
        .fold(norm, |norm, (&k, &n)| {
            // Three roundings in the argument and one in the quotient: 1e-14 relative is ample for
            // arguments up to (k−1)/k·π/2 with k ≤ 5.
            norm / (std::f64::consts::PI * (k - 1) as f64 / (2 * n) as f64).cos() * (1.0 + 1e-14)
        })
}

/// The tolerance is met unless precision says otherwise; subnormal ends cannot be that close.
fn check_width(layer: &Layer, bracket: &Bracket, stop: Stop, tolerance: f64, factor: f64) {
    let (lower, upper) = (bracket.lower().get(), bracket.upper().get());
    assert!(lower <= upper);
    if lower < 1e-300 || upper > 1e305 {
        return;
    }
    assert_eq!(stop, Stop::Tolerance, "{layer:?}");
    assert!(
        upper <= lower * factor * (1.0 + tolerance) * (1.0 + 1e-14),
        "[{lower:e}, {upper:e}] is wider than {tolerance}: {layer:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn every_bound_encloses_the_oracle(layer in layer()) {
        check_layer(&layer, feasible(&layer, 1e-3));
    }

    #[test]
    fn coarse_and_fine_tolerances_are_met(layer in layer(), exponent in 1i32..8) {
        check_layer(&layer, feasible(&layer, 10f64.powi(-exponent)));
    }

    #[test]
    fn gram_iteration_bounds_the_oracle(layer in layer(), steps in 1u32..8, extra in 0usize..6) {
        let k = layer.kernel.spatial().iter().copied().max().unwrap_or(1);
        let upper = gram_iteration(&layer.kernel, &layer.conv, steps, k + extra).unwrap();
        let truth = dense_norm(&layer.kernel, &layer.conv).unwrap();
        prop_assert!(truth.lower().get() <= upper.get(), "{:?} {:?}", truth, upper);
    }

    #[test]
    fn scaling_by_a_power_of_two_scales_every_number(layer in layer(), e in -40i32..40) {
        let factor = 2f64.powi(e);
        let largest = layer.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let smallest = layer.values.iter().filter(|v| **v != 0.0).fold(f64::MAX, |m, v| m.min(v.abs()));
        prop_assume!(largest < 1e280 && smallest > 1e-280);
        let values = layer.values.iter().map(|v| v * factor).collect();
        let scaled = Kernel::new(layer.kernel.shape(), values).unwrap();
        let one = four_bounds(&layer.kernel, &layer.conv).unwrap().min().get() * factor;
        let two = four_bounds(&scaled, &layer.conv).unwrap().min().get();
        prop_assert_eq!(one.to_bits(), two.to_bits());
    }

    #[test]
    fn a_transposed_convolution_has_the_norm_of_its_adjoint(layer in layer()) {
        let mut adjoint = layer.conv.clone().with_padding_mode(PaddingMode::Zeros);
        adjoint.transposed = false;
        adjoint.output_padding = vec![0; adjoint.axes()];
        adjoint.input_size = None;
        let mut transposed = adjoint.clone();
        transposed.transposed = true;
        let options = coarse();
        let a = norm_bracket(&layer.kernel, &transposed, &options).unwrap();
        let b = norm_bracket(&layer.kernel, &adjoint, &options).unwrap();
        prop_assert_eq!(a.bracket(), b.bracket());
    }

    #[test]
    fn groups_give_the_largest_of_their_norms(layer in layer()) {
        prop_assume!(layer.conv.groups > 1 && layer.conv.padding_mode == PaddingMode::Zeros);
        let shape = layer.kernel.shape();
        let per_group = layer.values.len() / layer.conv.groups;
        let mut group_shape = shape.to_vec();
        group_shape[0] /= layer.conv.groups;
        let mut conv = layer.conv.clone().with_groups(1);
        conv.input_size = None;
        let options = coarse();
        let whole = norm_bracket(&layer.kernel, &layer.conv, &options).unwrap().bracket();
        let (mut lower, mut upper) = (0.0f64, 0.0f64);
        for values in layer.values.chunks(per_group) {
            let kernel = Kernel::new(&group_shape, values.to_vec()).unwrap();
            let group = norm_bracket(&kernel, &conv, &options).unwrap().bracket();
            lower = lower.max(group.lower().get());
            upper = upper.max(group.upper().get());
        }
        prop_assert!(lower <= whole.upper().get() && whole.lower().get() <= upper);
    }

    #[test]
    fn the_norm_grows_with_the_input(layer in layer()) {
        prop_assume!(layer.conv.padding_mode == PaddingMode::Zeros && layer.conv.axes() < 3);
        let grown = layer.conv.input_size.iter().flatten().map(|n| n + layer.conv.stride[0]).collect::<Vec<_>>();
        let larger = layer.conv.clone().with_input_size(&grown);
        let small = dense_norm(&layer.kernel, &layer.conv).unwrap();
        let large = dense_norm(&layer.kernel, &larger).unwrap();
        prop_assert!(small.lower().get() <= large.upper().get());
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_bound(layer in layer(), seed in any::<u64>()) {
        let base = four_gradient(&layer.kernel, &layer.conv).unwrap();
        prop_assert_eq!(base.gradient().len(), layer.values.len());
        let four = four_bounds(&layer.kernel, &layer.conv).unwrap();
        let value = four.min().get();
        prop_assume!(value > 1e-200 && value < 1e200);
        // Euler: the bound is homogeneous of degree 1, so ⟨∂f/∂K, K⟩ = f. The bound is proved to
        // 1e-6 above the norm it is the slope of.
        let inner: f64 = base.gradient().iter().zip(&layer.values).map(|(g, v)| g * (v / value)).sum();
        prop_assert!((inner - 1.0).abs() < 2e-6, "{}", inner);
        // Each of the four is convex, so the winner's gradient at K supports it: for any K',
        // f_A(K') ≥ ⟨∂f_A, K'⟩.
        let mut seed = seed;
        let other: Vec<f64> = layer.values.iter().map(|v| v + value * 0.1 * crate::cases::gaussian(&mut seed)).collect();
        let moved = Kernel::new(layer.kernel.shape(), other.clone()).unwrap();
        let bound = four_bounds(&moved, &layer.conv).unwrap().get(four.winner().name()).unwrap().get();
        let support: f64 = base.gradient().iter().zip(&other).map(|(g, v)| g * v).sum();
        prop_assert!(support <= bound * (1.0 + 1e-6), "{} {}", support, bound);
    }

    #[test]
    fn the_weights_give_the_bound_they_claim(layer in layer()) {
        let weighted = weighted_four(&layer.kernel, &layer.conv).unwrap();
        for w in weighted.weights() {
            prop_assert!(w.alpha.iter().chain(&w.beta).all(|&x| x > 0.0 && x.is_finite()));
        }
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads(layer in layer()) {
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let a = audit(&layer.kernel, &layer.conv, &coarse()).unwrap();
                (a.four().clone(), a.weighted_four().clone(), a.norm())
            })
        };
        prop_assert_eq!(run(1), run(3));
    }
}
