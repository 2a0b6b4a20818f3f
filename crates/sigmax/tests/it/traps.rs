//! The mistakes of published code that concern a single layer (docs/theory.md, last section), each
//! as a test that a method with that mistake would fail. One needs the inside of the branch and bound
//! and is a unit test of `bound/bracket.rs`: `cosines_are_not_multiplied_per_cell`.

use sigmax::bound::{
    circular_norm, dense_norm, four_bounds, gram_iteration, norm_bracket, weighted_four,
};
use sigmax::estimate::{four_by_power_iteration, norm_by_power_iteration, reshape_norm};
use sigmax::{Conv, Kernel, Options, PaddingMode};

fn kernel(shape: &[usize], values: &[f64]) -> Kernel {
    Kernel::new(shape, values.to_vec()).unwrap()
}

fn fine() -> Options {
    Options {
        tolerance: 1e-6,
        ..Options::default()
    }
}

/// Every proved upper bound of a layer, by name.
fn uppers(kernel: &Kernel, conv: &Conv) -> Vec<(String, f64)> {
    let mut uppers: Vec<(String, f64)> = four_bounds(kernel, conv)
        .unwrap()
        .bounds()
        .iter()
        .map(|(reshape, upper)| (reshape.name().to_owned(), upper.get()))
        .collect();
    let weighted = weighted_four(kernel, conv).unwrap().upper().get();
    uppers.push(("weighted".into(), weighted));
    let norm = norm_bracket(kernel, conv, &fine()).unwrap();
    uppers.push(("norm".into(), norm.bracket().upper().get()));
    let k = kernel.spatial().iter().copied().max().unwrap_or(1);
    for grid in k..k + 4 {
        let gram = gram_iteration(kernel, conv, 8, grid).unwrap();
        uppers.push((format!("Gram iteration, N = {grid}"), gram.get()));
    }
    uppers
}

/// The layer at the given sizes has at most the norm that every method claims.
fn assert_bounds_hold(kernel: &Kernel, conv: &Conv, sizes: &[&[usize]]) {
    for size in sizes {
        let conv = conv.clone().with_input_size(size);
        let truth = dense_norm(kernel, &conv).unwrap().lower().get();
        for (name, upper) in uppers(kernel, &conv) {
            assert!(
                truth <= upper,
                "{name}: {upper} < {truth} at {size:?}, {conv:?}"
            );
        }
    }
}

/// [1, −2, 1]: |F(θ)| = 2 − 2 cos θ, 4 at θ = π.
fn second_difference() -> Kernel {
    kernel(&[1, 1, 3], &[1.0, -2.0, 1.0])
}

#[test]
fn group_norms_are_not_multiplied() {
    // Three groups with norms 2, 3, 1/2: not their product 3, their sum, or the first.
    let kernel = kernel(&[3, 1, 2], &[1.0, 1.0, 2.0, -1.0, 0.25, 0.25]);
    let conv = Conv::new(1).with_groups(3);
    let norm = norm_bracket(&kernel, &conv, &fine()).unwrap().bracket();
    assert!(norm.contains(3.0) && norm.upper().get() < 3.0001);
    let small = Kernel::new(&[2, 1, 1], vec![0.5, 0.25]).unwrap();
    let norm = norm_bracket(&small, &Conv::new(1).with_groups(2), &fine()).unwrap();
    assert!(norm.bracket().contains(0.5), "the product would be 1/8");
}

#[test]
fn reflect_padding_counts() {
    // The identity on an image that is padded by reflection: pixels are copied, energy is added.
    let identity = kernel(&[1, 1, 1, 1], &[1.0]);
    for mode in [
        PaddingMode::Reflect,
        PaddingMode::Replicate,
        PaddingMode::Circular,
    ] {
        let conv = Conv::new(2)
            .with_padding(&[(1, 1), (1, 1)])
            .with_padding_mode(mode);
        assert_bounds_hold(&identity, &conv, &[&[2, 2], &[3, 3], &[3, 5], &[6, 6]]);
        let sized = conv.with_input_size(&[3, 3]);
        let truth = dense_norm(&identity, &sized).unwrap();
        assert!(truth.lower().get() > 1.4, "{mode:?}: S(K) = 1 is no bound");
    }
    // Replicated by five pixels, the corner of a 3×3 image occurs 36 times.
    let conv = Conv::new(2)
        .with_padding(&[(5, 5), (5, 5)])
        .with_padding_mode(PaddingMode::Replicate);
    assert_bounds_hold(&identity, &conv, &[&[1, 1], &[3, 3], &[2, 7]]);
    // With the size unknown, the worst case over all sizes.
    let upper = norm_bracket(&identity, &conv, &fine())
        .unwrap()
        .bracket()
        .upper();
    let single = dense_norm(&identity, &conv.with_input_size(&[1, 1])).unwrap();
    assert!(single.lower().get() <= upper.get() && single.contains(11.0));
}

#[test]
fn circular_norm_at_the_image_size_is_not_a_bound_for_zero_padding() {
    let kernel = second_difference();
    let periodic = Conv::new(1)
        .with_padding(&[(1, 1)])
        .with_padding_mode(PaddingMode::Circular)
        .with_input_size(&[5]);
    let zero_padded = periodic.clone().with_padding_mode(PaddingMode::Zeros);
    let circular = circular_norm(&kernel, &periodic, &fine())
        .unwrap()
        .bracket();
    let truth = dense_norm(&kernel, &zero_padded).unwrap(); // 2 + √3
    assert!(circular.upper().get() < truth.lower().get());
    assert_bounds_hold(&kernel, &zero_padded, &[&[5], &[7], &[31]]);
}

#[test]
fn the_grid_needs_its_factor() {
    // The peak at π is on no grid with an odd number of points: at N = 5 the largest value is 3.618.
    for grid in [3, 5, 7, 9, 11] {
        let upper = gram_iteration(&second_difference(), &Conv::new(1), 15, grid).unwrap();
        assert!(upper.get() >= 4.0, "N = {grid}: {upper:?}");
    }
}

#[test]
fn the_grid_does_not_count_its_end_point_twice() {
    // |F(θ)| = 2|sin θ|. Three points from 0 to 2π inclusive are 0, π, 2π, where F vanishes.
    let kernel = kernel(&[1, 1, 3], &[1.0, 0.0, -1.0]);
    for grid in 3..20 {
        let upper = gram_iteration(&kernel, &Conv::new(1), 15, grid).unwrap();
        assert!(upper.get() >= 2.0, "N = {grid}: {upper:?}");
    }
}

#[test]
fn a_factor_common_to_stride_and_dilation_is_subsampling() {
    // y[j] = x[2j] + x[2j + 2]: on the even pixels the kernel [1, 1] of stride 1, of norm 2. As two
    // phases with one tap each, which is right without the dilation, it would be √2.
    let pair = kernel(&[1, 1, 2], &[1.0, 1.0]);
    let conv = Conv::new(1).with_stride(&[2]).with_dilation(&[2]);
    let norm = norm_bracket(&pair, &conv, &fine()).unwrap().bracket();
    assert!(norm.contains(2.0) && norm.upper().get() < 2.0001);
    assert_bounds_hold(&pair, &conv, &[&[5], &[8]]);
    let four = four_bounds(&pair, &conv).unwrap().min().get();
    assert!((2.0..2.0001).contains(&four), "{four}");
}

#[test]
fn stride_is_not_ignored() {
    // Disjoint 2×2 patches, summed: norm √4 = 2. Without the stride it would be 4.
    let patches = kernel(&[1, 1, 2, 2], &[1.0; 4]);
    let strided = Conv::new(2).with_stride(&[2, 2]);
    let norm = norm_bracket(&patches, &strided, &fine()).unwrap().bracket();
    assert!(norm.contains(2.0) && norm.upper().get() < 2.0001);
    let ignored = norm_bracket(&patches, &Conv::new(2), &fine()).unwrap();
    assert!(ignored.bracket().contains(4.0));
    assert_bounds_hold(&patches, &strided, &[&[4, 4], &[5, 6]]);
    // Stride 3 with an even kernel, and with a dilation that shares a factor with the stride.
    let even = kernel(
        &[2, 1, 4, 2],
        &[
            0.5, -1.0, 2.0, 0.25, 1.0, 1.0, -3.0, 0.5, 1.0, 0.0, 2.0, 2.0, -1.0, 0.5, 0.5, 1.0,
        ],
    );
    for dilation in [1, 2, 3] {
        let conv = Conv::new(2)
            .with_stride(&[3, 2])
            .with_dilation(&[dilation, 2])
            .with_padding(&[(3, 2), (1, 1)]);
        assert_bounds_hold(&even, &conv, &[&[9, 6], &[13, 7]]);
    }
}

#[test]
fn rectangular_kernels() {
    // A row of three ones: norm 3, whichever axis it lies along.
    for shape in [[1, 1, 1, 3], [1, 1, 3, 1]] {
        let ones = kernel(&shape, &[1.0; 3]);
        let norm = norm_bracket(&ones, &Conv::new(2), &fine())
            .unwrap()
            .bracket();
        assert!(norm.contains(3.0));
        assert_bounds_hold(&ones, &Conv::new(2), &[&[3, 3], &[3, 8], &[8, 3]]);
    }
    // 2×3 with two channels: R has the height with the outputs, S the width.
    let values: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7) - 2.0).collect();
    let mixed = kernel(&[2, 1, 2, 3], &values);
    assert_bounds_hold(&mixed, &Conv::new(2), &[&[2, 3], &[5, 4], &[4, 9]]);
    let column = kernel(&[1, 1, 2, 1], &[3.0, 4.0]);
    let four = four_bounds(&column, &Conv::new(2)).unwrap();
    // Every reshape is a row or column (3, 4) of norm 5; times √(2·1).
    for (reshape, upper) in four.bounds() {
        assert!(
            (upper.get() - 50f64.sqrt()).abs() < 1e-5,
            "{}",
            reshape.name()
        );
    }
}

#[test]
fn even_kernels() {
    // Half-integer degrees: |1 + e^{iθ}| = 2 cos(θ/2).
    let pair = kernel(&[1, 1, 2], &[1.0, 1.0]);
    let norm = norm_bracket(&pair, &Conv::new(1), &fine())
        .unwrap()
        .bracket();
    assert!(norm.contains(2.0));
    let difference = kernel(&[1, 1, 2], &[1.0, -1.0]);
    let norm = norm_bracket(&difference, &Conv::new(1), &fine())
        .unwrap()
        .bracket();
    assert!(norm.contains(2.0), "at θ = π");
    let values: Vec<f64> = (0..16).map(|i| f64::from(i * 5 % 11) - 5.0).collect();
    let square = kernel(&[1, 1, 4, 4], &values);
    let conv = Conv::new(2).with_padding(&[(1, 2), (2, 1)]);
    assert_bounds_hold(&square, &conv, &[&[4, 4], &[6, 5]]);
}

#[test]
fn one_by_one_kernels() {
    // The matrix (3 0; 4 5) has the squared singular values 45 and 5.
    let matrix = kernel(&[2, 2, 1, 1], &[3.0, 0.0, 4.0, 5.0]);
    let truth = 45f64.sqrt();
    for (name, upper) in uppers(&matrix, &Conv::new(2)) {
        assert!(upper * upper >= 45.0 * (1.0 - 1e-15), "{name}: {upper}");
        assert!(
            name.starts_with("Gram") || upper < truth * (1.0 + 1e-6),
            "{name}: {upper}"
        );
    }
    assert_bounds_hold(
        &matrix,
        &Conv::new(2).with_stride(&[2, 2]),
        &[&[1, 1], &[5, 3]],
    );
}

#[test]
fn kernels_larger_than_the_image() {
    let values: Vec<f64> = (0..49).map(|i| f64::from(i * 13 % 17) - 8.0).collect();
    let large = kernel(&[1, 1, 7, 7], &values);
    for mode in [PaddingMode::Zeros, PaddingMode::Replicate] {
        let conv = Conv::new(2)
            .with_padding(&[(3, 3), (3, 3)])
            .with_padding_mode(mode);
        assert_bounds_hold(&large, &conv, &[&[1, 1], &[2, 3], &[4, 4]]);
    }
    let circular = Conv::new(2)
        .with_padding(&[(3, 3), (3, 3)])
        .with_padding_mode(PaddingMode::Circular);
    assert_bounds_hold(&large, &circular, &[&[3, 3], &[4, 5]]);
}

#[test]
fn single_precision_is_not_proof() {
    // Nine equal f32 taps: the norm 9x is an exact f64 and mostly not an f32.
    let mut below = 0;
    for i in 1..200u16 {
        let x = 0.1f32 * f32::from(i);
        let truth = 9.0 * f64::from(x);
        let ones = Kernel::from_f32(&[1, 1, 3, 3], &[x; 9]).unwrap();
        let norm = norm_bracket(&ones, &Conv::new(2), &fine())
            .unwrap()
            .bracket();
        assert!(norm.contains(truth), "{x}");
        let four = four_bounds(&ones, &Conv::new(2)).unwrap();
        assert!(four.min().get() >= truth, "{x}");
        below += usize::from(f64::from(9.0 * x) < truth);
    }
    assert!(
        below > 20,
        "f32 arithmetic falls below the norm: {below} of 199"
    );
}

#[test]
fn power_iteration_is_below_the_norm() {
    // Singular values that differ by 1 %: after ten steps power iteration is well below the top.
    let n = 64;
    let mut values = vec![0.0; n * n * 9];
    for i in 0..n {
        values[(i * n + i) * 9 + 4] = 1.0 + i as f64 / (n as f64 * 100.0);
    }
    let kernel = Kernel::new(&[n, n, 3, 3], values).unwrap();
    let truth = 1.0 + (n - 1) as f64 / (n as f64 * 100.0);
    let conv = Conv::new(2)
        .with_padding(&[(1, 1), (1, 1)])
        .with_input_size(&[4, 4]);
    let four = four_bounds(&kernel, &conv).unwrap();
    for (reshape, estimate) in four_by_power_iteration(&kernel, &conv, 10).unwrap() {
        let proved = four.get(reshape.name()).unwrap().get();
        assert!(estimate.get() < proved, "{}", reshape.name());
        assert!(proved >= 3.0 * truth && estimate.get() < 3.0 * truth);
    }
    let estimate = norm_by_power_iteration(&kernel, &conv, 10).unwrap();
    assert!(estimate.get() < truth);
    let norm = norm_bracket(&kernel, &conv, &fine()).unwrap().bracket();
    assert!(norm.contains(truth), "{norm:?}");
    assert!(reshape_norm(&kernel, &conv).unwrap().get() <= truth * (1.0 + 1e-12));
}
