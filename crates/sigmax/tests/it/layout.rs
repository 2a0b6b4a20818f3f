//! The index maps of a layer's reduction (T3 to T6) against the explicit matrix of the layer.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::bound::{dense_norm, four_bounds, four_gradient};
use sigmax::layout::Layout;
use sigmax::{Conv, Kernel};

use crate::cases::gaussian;

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The rows of a weight laid out by the maps.
fn lay(layout: &Layout, values: &[f64]) -> Vec<f64> {
    match layout.polyphase() {
        None => values.to_vec(),
        Some(polyphase) => values
            .chunks_exact(polyphase.places().len())
            .flat_map(|row| {
                let value = |&i: &usize| if i == row.len() { 0.0 } else { row[i] };
                polyphase.sources().iter().map(value)
            })
            .collect(),
    }
}

/// Stride, dilation, taps and outputs (inputs, if transposed) along an axis.
type Axis = (usize, usize, usize, usize);

fn axis() -> impl Strategy<Value = Axis> {
    (1usize..=6, 1usize..=6, 1usize..=5, 1usize..=3)
}

/// The layer whose strided side has n pixels per axis, none of which is cropped: its matrix is the
/// lattice operator restricted to these n pixels, with columns of zeros for pixels that are not read.
fn whole(conv: Conv, axes: &[Axis], transposed: bool) -> Conv {
    let size = |&(stride, dilation, k, n): &Axis| {
        if transposed {
            n
        } else {
            stride * (n - 1) + dilation * (k - 1) + 1
        }
    };
    let conv = conv.with_input_size(&axes.iter().map(size).collect::<Vec<_>>());
    if transposed {
        conv.transposed(&vec![0; axes.len()])
    } else {
        conv
    }
}

fn check(
    (rows, cols, groups): (usize, usize, usize),
    axes: &[Axis],
    transposed: bool,
    mut seed: u64,
) {
    let mut shape = vec![rows * groups, cols];
    shape.extend(axes.iter().map(|axis| axis.2));
    let total = shape.iter().product();
    let values: Vec<f64> = (0..total).map(|_| gaussian(&mut seed)).collect();
    let conv = Conv::new(axes.len())
        .with_stride(&axes.iter().map(|axis| axis.0).collect::<Vec<_>>())
        .with_dilation(&axes.iter().map(|axis| axis.1).collect::<Vec<_>>())
        .with_groups(groups);
    let conv = whole(conv, axes, transposed);
    let layout = Layout::new(&shape, &conv).unwrap();
    assert_eq!((layout.groups(), layout.rows()), (groups, rows));
    assert_eq!(layout.is_adjoint(), transposed);

    // T3: the stride-1 layer with dilation e' = e/gcd(s, e), on the same n pixels.
    let reduced: Vec<Axis> = axes
        .iter()
        .zip(layout.k())
        .map(|(&(s, e, _, n), &q)| (1, e / gcd(s, e), q, n))
        .collect();
    let mut lattice_shape = vec![groups * layout.rows(), layout.cols()];
    lattice_shape.extend(layout.k());
    let lattice = Kernel::new(&lattice_shape, lay(&layout, &values)).unwrap();
    let plain = Conv::new(axes.len())
        .with_dilation(&reduced.iter().map(|axis| axis.1).collect::<Vec<_>>())
        .with_groups(groups);
    let plain = whole(plain, &reduced, transposed);

    let norm = dense_norm(&Kernel::new(&shape, values).unwrap(), &conv).unwrap();
    let of_lattice = dense_norm(&lattice, &plain).unwrap();
    // Both bracket one number.
    assert!(
        norm.lower().get() <= of_lattice.upper().get()
            && of_lattice.lower().get() <= norm.upper().get(),
        "{shape:?} {conv:?}: {norm:?}, by its layout {of_lattice:?}"
    );
    check_maps(&layout, &shape);
}

/// Every entry of a row has one place, and what has none is a zero.
fn check_maps(layout: &Layout, shape: &[usize]) {
    let row: usize = shape[1..].iter().product();
    let Some(polyphase) = layout.polyphase() else {
        assert_eq!(layout.cols() * layout.taps(), row);
        return;
    };
    assert_eq!(polyphase.places().len(), row);
    assert_eq!(polyphase.sources().len(), layout.cols() * layout.taps());
    for (entry, &place) in polyphase.places().iter().enumerate() {
        assert_eq!(polyphase.sources()[place], entry);
    }
    let zeros = polyphase.sources().iter().filter(|&&i| i == row).count();
    assert_eq!(zeros, polyphase.sources().len() - row);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(3),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_maps_keep_the_norm(
        axes in prop::collection::vec(axis(), 0..=2),
        channels in (1usize..=2, 1usize..=2, 1usize..=3),
        transposed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        check(channels, &axes, transposed, seed);
    }
}

#[test]
fn every_stride_and_dilation_of_one_axis() {
    for stride in 1..=6 {
        for dilation in 1..=6 {
            for k in 1..=4 {
                let seed = (stride * 100 + dilation * 10 + k) as u64;
                check((2, 1, 1), &[(stride, dilation, k, 3)], false, seed);
                check((1, 2, 2), &[(stride, dilation, k, 2)], true, seed);
            }
        }
    }
}

#[test]
fn three_axes() {
    for seed in 0..6 {
        let axes = [(2, 2, 2, 2), (2, 1, 3, 1), (3, 6, 2, 1)];
        check((2, 1, 1), &axes, seed % 2 == 1, seed);
    }
}

#[test]
fn stride_and_dilation_2_leave_two_taps_of_one_phase() {
    // y[j] = x[2j] + x[2j + 2]: on the even pixels the kernel [1, 1] of stride 1, of norm 2.
    let conv = Conv::new(1).with_stride(&[2]).with_dilation(&[2]);
    let layout = Layout::new(&[1, 1, 2], &conv).unwrap();
    assert_eq!((layout.cols(), layout.k()), (1, &[2][..]));
    assert_eq!(layout.polyphase(), None);
    let kernel = Kernel::new(&[1, 1, 2], vec![1.0, 1.0]).unwrap();
    let four = four_bounds(&kernel, &conv).unwrap().min().get();
    assert!((2.0..2.0 + 1e-5).contains(&four), "{four}");
    let gradient = four_gradient(&kernel, &conv).unwrap().gradient().to_vec();
    assert!(gradient.iter().all(|g| (g - 1.0).abs() < 1e-6));
}
