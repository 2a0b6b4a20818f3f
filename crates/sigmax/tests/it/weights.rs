//! Weights that are made of factors (T30).

use sigmax::bound::dense_norm;
use sigmax::weight::{Updates, Weight};
use sigmax::{Bracket, Conv, Error, Kernel, Options, PaddingMode};

fn ends(weight: &Weight) -> Bracket {
    let conv = Conv::new(weight.kernel().spatial().len());
    weight
        .audit(&conv, &Options::default())
        .unwrap()
        .norm()
        .bracket()
}

fn kernel(shape: &[usize], values: &[f64]) -> Kernel {
    Kernel::new(shape, values.to_vec()).unwrap()
}

fn is_refused(weight: Result<Weight, Error>, part: &str) {
    let error = weight.unwrap_err();
    assert!(matches!(error, Error::NotCovered(_)), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

/// Pseudo-random numbers in (−1, 1), the same every time.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn an_exact_weight_is_its_kernel() {
    let kernel = kernel(&[2, 2], &[3.0, 0.0, 0.0, 4.0]);
    let audit = sigmax::audit(&kernel, &Conv::new(0), &Options::default()).unwrap();
    let weight = Weight::exact(kernel);
    let same = weight.audit(&Conv::new(0), &Options::default()).unwrap();
    assert_eq!(
        (same.four(), same.norm().bracket()),
        (audit.four(), audit.norm().bracket())
    );
}

#[test]
fn sigma_is_enclosed_in_any_scale() {
    // uᵀMv = 3·2·5 with M = diag(5, 1): W = diag(5, 1)/30, of norm 1/6.
    for scale in [1.0, 1e-300, 1e300, 1e-30] {
        let matrix = kernel(&[2, 2], &[5.0 * scale, 0.0, 0.0, scale]);
        let weight = Weight::spectral_norm(&matrix, &[-3.0, 0.0], &[2.0, 0.0], Updates::None);
        let ends = ends(&weight.unwrap());
        // 1/6 lies between these two floats.
        let [below, above] = [(1.0f64 / 6.0).next_down(), (1.0f64 / 6.0).next_up()];
        assert!(
            ends.lower().get() < above && ends.upper().get() > below,
            "{scale}"
        );
        assert!(ends.relative_width() < 1e-6, "{scale}");
    }
    let matrix = kernel(&[1, 1], &[1.0]);
    let tiny = Weight::spectral_norm(&matrix, &[1e-300], &[1e-300], Updates::None).unwrap();
    assert!(ends(&tiny).upper().get().is_infinite());
}

#[test]
fn a_sigma_that_rounding_alone_makes_is_refused() {
    // The exact sum is 1; in f64 it is 2, by which W would come out half as large.
    let matrix = kernel(&[1, 4], &[2f64.powi(54), -1.0, -(2f64.powi(54)), 2.0]);
    let weight = Weight::spectral_norm(&matrix, &[1.0], &[1.0; 4], Updates::None);
    is_refused(weight, "bounded away from 0");
    let zero = kernel(&[1, 1], &[0.0]);
    is_refused(
        Weight::spectral_norm(&zero, &[1.0], &[1.0], Updates::None),
        "bounded away",
    );
    let nan = Weight::spectral_norm(&kernel(&[1, 1], &[1.0]), &[f64::NAN], &[1.0], Updates::None);
    is_refused(nan, "NaN");
}

#[test]
fn the_axis_is_that_of_the_vectors() {
    // As a matrix by its first axis [[0, 2], [0, 0]]; by its second [[0, 0], [2, 0]].
    let matrix = kernel(&[2, 2], &[0.0, 2.0, 0.0, 0.0]);
    let [x, y] = [[1.0, 0.0], [0.0, 1.0]];
    for (u, v) in [(x, y), (y, x)] {
        let weight = Weight::spectral_norm(&matrix, &u, &v, Updates::None).unwrap();
        assert!(ends(&weight).contains(1.0));
    }
    // Nothing tells which: one σ is 0.6, the other 0.8.
    let matrix = kernel(&[2, 2], &[1.0, 0.8, 0.6, -1.0]);
    let weight = Weight::spectral_norm(&matrix, &[0.0, 1.0], &[1.0, 0.0], Updates::None);
    is_refused(weight, "several axes");
    // Symmetric: there is nothing to tell.
    let matrix = kernel(&[2, 2], &[1.0, 0.5, 0.5, -1.0]);
    let weight = Weight::spectral_norm(&matrix, &[0.0, 1.0], &[1.0, 0.0], Updates::None);
    assert!(ends(&weight.unwrap()).contains(2.0 * 1.25f64.sqrt()));
    let weight = Weight::spectral_norm(&matrix, &[1.0; 3], &[1.0; 2], Updates::None);
    is_refused(weight, "fit no axis");
}

#[test]
fn power_steps_from_the_vectors_stay_inside() {
    let values = numbers(3 * 8, 5);
    let matrix = kernel(&[3, 8], &values);
    let (u, v) = (numbers(3, 6), numbers(8, 7));
    let ends = ends(&Weight::spectral_norm(&matrix, &u, &v, Updates::Every).unwrap());
    let norm = dense_norm(&matrix, &Conv::new(0)).unwrap();
    let product = |x: &[f64]| -> Vec<f64> {
        (0..3)
            .map(|i| (0..8).map(|j| values[8 * i + j] * x[j]).sum())
            .collect()
    };
    let back = |y: &[f64]| -> Vec<f64> {
        (0..8)
            .map(|j| (0..3).map(|i| values[8 * i + j] * y[i]).sum())
            .collect()
    };
    let unit = |x: Vec<f64>| -> Vec<f64> {
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.into_iter().map(|v| v / length).collect()
    };
    let mut y = u;
    let mut last = 0.0;
    for _ in 0..60 {
        let x = unit(back(&y));
        let image = product(&x);
        let sigma = image.iter().map(|v| v * v).sum::<f64>().sqrt();
        y = unit(image);
        assert!(sigma >= last * (1.0 - 1e-14));
        last = sigma;
        assert!(norm.lower().get() / sigma <= ends.upper().get() * (1.0 + 1e-14));
        assert!(norm.upper().get() / sigma >= ends.lower().get() * (1.0 - 1e-14));
    }
}

#[test]
fn one_power_step_is_enclosed() {
    // u = (1, 1): Mᵀu = (2, 1)·1, M(2, 1)/√5 = (4, 1)/√5, σ² = 17/5.
    let matrix = kernel(&[2, 2], &[2.0, 0.0, 0.0, 1.0]);
    let weight = Weight::power_step(&matrix, &[1.0, 1.0]).unwrap();
    let norm = 2.0 / (17.0f64 / 5.0).sqrt();
    let ends = ends(&weight);
    assert!(
        ends.lower().get() <= norm * (1.0 + 1e-15) && ends.upper().get() >= norm * (1.0 - 1e-15)
    );
    assert!(ends.relative_width() < 1e-6);
    is_refused(Weight::power_step(&matrix, &[1e-9, 0.0]), "Mᵀu");
    is_refused(Weight::power_step(&matrix, &[1.0; 3]), "one per row");
}

#[test]
fn lengths_of_slices_are_enclosed() {
    // 5·(3, 4)/5 and 26·(5, 12)/13: [[3, 4], [10, 24]].
    let v = kernel(&[2, 2], &[0.75, 1.0, 5e-200, 12e-200]);
    let weight = Weight::weight_norm(&v, &[5.0, 26.0], Some(0)).unwrap();
    let exact = kernel(&[2, 2], &[3.0, 4.0, 10.0, 24.0]);
    let norm = dense_norm(&exact, &Conv::new(0)).unwrap();
    let found = ends(&weight);
    // 5e-200 and 12e-200 are floats near them: the direction is off by an ulp.
    assert!(found.lower().get() <= norm.upper().get() * (1.0 + 1e-15));
    assert!(found.upper().get() >= norm.lower().get() * (1.0 - 1e-15));
    assert!(found.relative_width() < 1e-6);
    let whole = Weight::weight_norm(&kernel(&[1, 2], &[3.0, 4.0]), &[-10.0], None).unwrap();
    assert!(ends(&whole).contains(10.0));
    let none = Weight::weight_norm(&kernel(&[1, 2], &[3.0, 4.0]), &[0.0], None).unwrap();
    assert!(ends(&none).upper().get() <= 0.0);
    is_refused(
        Weight::weight_norm(&kernel(&[2, 1], &[1.0, 0.0]), &[1.0, 1.0], Some(0)),
        "v is 0",
    );
    is_refused(Weight::weight_norm(&v, &[1.0], Some(0)), "one per slice");
}

#[test]
fn what_cancels_in_an_update_is_known_to_within_its_rounding() {
    // 0.3 − 3·0.1 of these floats is −2⁻⁵⁵; f64 arithmetic finds −2⁻⁵⁴.
    let weight =
        Weight::low_rank_update(&kernel(&[1, 1], &[0.3]), &[0.1], &[3.0], 1, -1.0).unwrap();
    let exact = 2f64.powi(-55);
    let found = ends(&weight);
    assert!(
        found.lower().get() <= exact && found.upper().get() >= exact,
        "{found:?}"
    );
    let wrong = Weight::low_rank_update(&kernel(&[1, 1], &[0.3]), &[0.1; 2], &[3.0], 1, 1.0);
    is_refused(wrong, "A has 2 entries");
}

#[test]
fn a_mask_of_zeros_and_ones_costs_nothing() {
    let weight = kernel(&[2, 2], &[3.0, 5.0, 7.0, 4.0]);
    let masked = Weight::masked(&weight, &[1.0, 0.0, 0.0, 1.0]).unwrap();
    assert_eq!(
        masked,
        Weight::exact(kernel(&[2, 2], &[3.0, 0.0, 0.0, 4.0]))
    );
    let third = Weight::masked(&weight, &[1.0 / 3.0, 0.0, 0.0, 0.0]).unwrap();
    assert!(ends(&third).contains(1.0) && ends(&third).upper().get() > 1.0);
}

#[test]
fn the_error_grows_with_the_padding() {
    let v = kernel(&[1, 1, 3], &[1.0, 1.0, 1.0]);
    let weight = Weight::weight_norm(&v, &[3f64.sqrt()], Some(0)).unwrap();
    let conv = Conv::new(1)
        .with_padding(&[(1, 1)])
        .with_padding_mode(PaddingMode::Reflect)
        .with_input_size(&[4]);
    let audit = weight.audit(&conv, &Options::default()).unwrap();
    let plain = kernel(&[1, 1, 3], &[1.0, 1.0, 1.0]);
    let norm = dense_norm(&plain, &conv).unwrap();
    assert!(audit.upper().get() >= norm.lower().get() * (1.0 - 1e-15));
    for (_, bound) in audit.four().bounds() {
        assert!(bound.get() >= norm.lower().get() * (1.0 - 1e-15));
    }
}

#[test]
fn a_rounded_factor_encloses_the_factor() {
    // σ = uᵀMv, to within a few roundings.
    let matrix = Kernel::new(&[2, 2], vec![3.0, 0.0, 0.0, 7.0]).unwrap();
    let u = [0.6, 0.8];
    let weight = Weight::spectral_norm(&matrix, &u, &u, Updates::None).unwrap();
    let (factor, roundings) = weight.rounded_factor().unwrap();
    let sigma = 3.0 * u[0] * u[0] + 7.0 * u[1] * u[1];
    // The kernel is scaled by a power of two, which the factor makes good.
    let scale = weight.kernel().values()[0] / 3.0;
    let off = (factor * scale * sigma - 1.0).abs();
    let slack = roundings as f64 * f64::EPSILON / 2.0;
    assert!(off <= slack + 4.0 * f64::EPSILON, "{off} {slack}");
    assert!(roundings < 1000);
    assert_eq!(Weight::exact(matrix).rounded_factor(), Some((1.0, 4)));
    // One with an error beside its factor has none.
    let v = Kernel::new(&[1, 2], vec![0.1, 0.7]).unwrap();
    let computed = Weight::weight_norm(&v, &[1.0], Some(0)).unwrap();
    assert_eq!(computed.rounded_factor(), None);
}

/// u and v of Wᵀ do not decide where the axis is stated.
#[test]
fn a_stated_axis_is_the_one_that_is_read() {
    let matrix = kernel(&[2, 2], &[1.0, 8.0, 0.5, 1.0]);
    let (u, v) = ([0.9923, 0.1240], [0.1240, 0.9923]); // near the singular vectors of Wᵀ, swapped
    for (axis, sigma) in [
        (
            0,
            0.9923 * (0.1240 + 8.0 * 0.9923) + 0.1240 * (0.5 * 0.1240 + 0.9923),
        ),
        (
            1,
            0.9923 * (0.1240 + 0.5 * 0.9923) + 0.1240 * (8.0 * 0.1240 + 0.9923),
        ),
    ] {
        let weight = Weight::spectral_norm_along(&matrix, axis, &u, &v).unwrap();
        let entries = weight.kernel().values();
        let found = weight.factor().get() * entries[1];
        assert!((found * sigma / 8.0 - 1.0).abs() < 1e-12, "{axis}: {found}");
    }
    for axis in [2, usize::MAX] {
        assert!(Weight::spectral_norm_along(&matrix, axis, &u, &v).is_err());
    }
}
