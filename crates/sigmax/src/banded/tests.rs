//! Every plan against the dense decomposition, and claims that must not be provable.

use super::*;
use crate::conv::{Conv, PaddingMode};
use crate::estimate::Operator;
use crate::kernel::Kernel;
use crate::krylov::quasi_random;
use crate::linalg::MatRef;
use crate::rounding::{ldexp, mul_down, scale_down, sin_cos_turns};

fn all(of: &Sparse) -> Vec<Top<'_>> {
    let transposed = of.transpose();
    [
        Plan::Columns(Band::new(of, Order::new(of))),
        Plan::Rows(Band::new(&transposed, Order::new(&transposed))),
        Plan::Dense,
    ]
    .into_iter()
    .map(|plan| Top {
        of,
        plan,
        cost: 0.0,
        warm: None,
    })
    .collect()
}

/// λ_max of BᵀDB for a row-major matrix, proved from below, and approximately.
fn dense(matrix: &[f64], cols: usize, kappa: &[f64]) -> (f64, f64) {
    let a = Mat::from_fn(kappa.len(), cols, |i, j| {
        kappa[i].sqrt() * matrix[i * cols + j]
    });
    let (_, values, v) = linalg::svd(a.as_ref()).unwrap();
    let top: Vec<f64> = v.col(0).iter().copied().collect();
    // √κ and the products with it are rounded.
    let root = verify::matrix_norm_lower(a.as_ref(), &top) * (1.0 - 1e-13);
    (mul_down(root, root), values[0] * values[0])
}

fn kernel(shape: &[usize], seed: u64, scale: f64) -> Kernel {
    let values = quasi_random(shape.iter().product(), seed);
    Kernel::new(shape, values.iter().map(|v| scale * v).collect()).unwrap()
}

/// Kinds of weights: equal, random, with zeros, over many orders of magnitude, one that is not 0.
fn weights(n: usize, kind: usize, seed: u64) -> Vec<f64> {
    let random = quasi_random(n, seed);
    let weight = |(i, x): (usize, f64)| match kind {
        0 => 1.0,
        1 => x.abs(),
        2 => x.max(0.0),
        3 => 10f64.powi((24.0 * x.abs()) as i32 - 12),
        _ => f64::from(u8::from(i == n / 2)),
    };
    random.into_iter().enumerate().map(weight).collect()
}

fn layers() -> Vec<(Vec<usize>, Conv)> {
    let plane = |k: usize, s: usize, p: usize, n: [usize; 2]| {
        let conv = Conv::new(2)
            .with_stride(&[s, s])
            .with_padding(&[(p, p), (p, p)]);
        (vec![3, 2, k, k], conv.with_input_size(&n))
    };
    let modes = [
        PaddingMode::Circular,
        PaddingMode::Reflect,
        PaddingMode::Replicate,
    ];
    let mut layers = vec![
        plane(3, 1, 1, [6, 7]),
        plane(5, 2, 2, [9, 8]),
        // Larger than the image, a single tap, a stride beyond the kernel.
        plane(5, 1, 4, [2, 3]),
        plane(1, 1, 0, [4, 5]),
        plane(2, 5, 1, [9, 12]),
        (vec![4, 3], Conv::new(0)),
        (
            vec![3, 2, 4],
            Conv::new(1)
                .with_dilation(&[3])
                .with_padding(&[(5, 2)])
                .with_input_size(&[11]),
        ),
        (
            vec![6, 1, 3, 3],
            Conv::new(2)
                .with_groups(3)
                .with_padding(&[(1, 0), (0, 2)])
                .with_input_size(&[5, 4]),
        ),
        (
            vec![3, 2, 3, 2],
            Conv::new(2)
                .with_stride(&[2, 1])
                .with_padding(&[(1, 1), (0, 0)])
                .transposed(&[1, 0])
                .with_input_size(&[4, 5]),
        ),
        (
            vec![2, 2, 2, 2, 2],
            Conv::new(3)
                .with_padding(&[(1, 1); 3])
                .with_input_size(&[2, 3, 3]),
        ),
    ];
    for mode in modes {
        let (shape, conv) = plane(3, 1, 1, [5, 4]);
        layers.push((shape, conv.with_padding_mode(mode)));
        let (shape, conv) = plane(5, 1, 2, [3, 3]);
        layers.push((shape, conv.with_padding_mode(mode)));
    }
    layers
}

#[test]
fn every_plan_is_at_least_the_eigenvalue_and_tight() {
    for (number, (shape, conv)) in layers().into_iter().enumerate() {
        let kernel = kernel(&shape, number as u64, 1.0);
        let matrix = Operator::new(&kernel, &conv).unwrap().matrix();
        let sparse = Sparse::of_layer(&kernel, &conv).unwrap();
        let (rows, cols) = (sparse.rows(), sparse.cols());
        assert_eq!(matrix.len(), rows * cols);
        for mut top in all(&sparse).into_iter().chain([Top::new(&sparse).unwrap()]) {
            // The second round begins with the vector of the first.
            for kind in [0, 1, 2, 3, 4, 1, 3] {
                let kappa = weights(rows, kind, 77 + number as u64);
                let (lower, value) = dense(&matrix, cols, &kappa);
                let m = top.prove(&kappa).upper();
                assert!(m >= lower, "{shape:?} {conv:?} {kind}: {m} < {lower}");
                assert!(
                    m <= value * (1.0 + 2e-6),
                    "{shape:?} {conv:?} {kind}: {m} for {value}"
                );
            }
        }
    }
}

/// A kernel and weights multiplied by powers of two: the same bits, or the end of the range.
#[test]
fn powers_of_two_go_through() {
    let (shape, conv) = &layers()[1];
    let plain = kernel(shape, 3, 1.0);
    let kappa = weights(Sparse::of_layer(&plain, conv).unwrap().rows(), 1, 5);
    let of = |kernel: &Kernel, factor: i32| {
        let kappa: Vec<f64> = kappa.iter().map(|&k| ldexp(k, factor)).collect();
        let sparse = Sparse::of_layer(kernel, conv).unwrap();
        all(&sparse)
            .iter_mut()
            .map(|top| top.prove(&kappa).upper())
            .collect::<Vec<f64>>()
    };
    let truth = of(&plain, 0);
    for (e, factor) in [(0, 400), (500, -900), (-400, 800), (300, -2), (-300, 1)] {
        let scaled = kernel(shape, 3, ldexp(1.0, e));
        for (m, truth) in of(&scaled, factor).into_iter().zip(&truth) {
            let expected = ldexp(*truth, 2 * e + factor);
            assert!(
                (m / expected - 1.0).abs() < 1e-12,
                "{e} {factor}: {m:e} for {expected:e}"
            );
        }
    }
    let huge = kernel(shape, 3, 1e300);
    assert!(of(&huge, 0).iter().all(|m| m.is_infinite()));
    let tiny = kernel(shape, 3, 1e-300);
    assert!(of(&tiny, 0).iter().all(|&m| m > 0.0 && m < 1e-300));
    // The largest and the smallest numbers there are, side by side: what is lost is counted.
    let values: Vec<f64> = quasi_random(shape.iter().product(), 3)
        .iter()
        .enumerate()
        .map(|(i, v)| v * if i % 3 == 0 { 1e300 } else { 1e-300 })
        .collect();
    let wide = Kernel::new(shape, values).unwrap();
    let sparse = Sparse::of_layer(&wide, conv).unwrap();
    assert!(sparse.slack() > 0.0 && sparse.slack() < 1e-150);
    for mut top in all(&sparse) {
        let kappa: Vec<f64> = (0..sparse.rows())
            .map(|i| if i % 2 == 0 { 1e-300 } else { 0.0 })
            .collect();
        let proved = top.prove(&kappa);
        let square = scale_down(proved.root * proved.root, 2 * proved.exponent);
        assert!(square > 1e299 && square < 1e304, "{square:e}");
    }
}

#[test]
fn weights_of_zero_and_weights_that_are_none() {
    let (shape, conv) = &layers()[0];
    let sparse = Sparse::of_layer(&kernel(shape, 1, 1.0), conv).unwrap();
    let zero = Kernel::new(shape, vec![0.0; shape.iter().product()]).unwrap();
    let nothing = Sparse::of_layer(&zero, conv).unwrap();
    for (mut top, mut none) in all(&sparse).into_iter().zip(all(&nothing)) {
        let mut kappa = vec![0.0; sparse.rows()];
        assert!(top.prove(&kappa).upper().abs() <= 0.0);
        assert!(none.prove(&vec![1.0; kappa.len()]).upper().abs() <= 0.0);
        for wrong in [f64::NAN, f64::INFINITY, -1.0, f64::NEG_INFINITY] {
            kappa[7] = wrong;
            let proved = top.prove(&kappa);
            assert!(proved.upper() == f64::INFINITY && proved.root == f64::INFINITY);
        }
    }
    // An entry that is none: nothing is proved of a weight on its row.
    let image = Image::line(3);
    let rows = vec![
        vec![(0, 1.0)],
        vec![(1, f64::NAN), (2, 1.0)],
        vec![(2, 3.0)],
    ];
    let sparse = Sparse::from_rows(image, image, rows);
    for mut top in all(&sparse) {
        assert!(top.prove(&[1.0, 1.0, 1.0]).upper() == f64::INFINITY);
        let m = top.prove(&[1.0, 0.0, 1.0]).upper();
        assert!((9.0..9.0001).contains(&m), "{m}");
    }
}

/// The second difference over n pixels: eigenvalues (2 + 2cos(πj/(n + 1)))², which crowd at the top as
/// much as those of a band can.
#[test]
fn eigenvalues_that_crowd() {
    for n in [2, 40, 700, 3000] {
        let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0]).unwrap();
        let conv = Conv::new(1).with_padding(&[(1, 1)]).with_input_size(&[n]);
        let sparse = Sparse::of_layer(&kernel, &conv).unwrap();
        let (_, cosine) = sin_cos_turns(1, 2 * (n as u64 + 1));
        let root = 2.0 + 2.0 * cosine;
        let truth = root * root;
        let m = Top::new(&sparse).unwrap().prove(&vec![1.0; n]).upper();
        assert!(m >= truth * (1.0 - 1e-15), "{n}: {m} for {truth}");
        assert!(m <= truth * (1.0 + 2e-6), "{n}: {m} for {truth}");
    }
    // All equal: the identity.
    let n = 300;
    let identity = (0..n).map(|i| vec![(i, 3.0)]);
    let sparse = Sparse::from_rows(Image::line(n), Image::line(n), identity);
    for mut top in all(&sparse) {
        let m = top.prove(&vec![0.25; n]).upper();
        assert!((2.25..=2.25 * (1.0 + 2e-6)).contains(&m), "{m}");
    }
}

#[test]
fn nothing_below_the_eigenvalue_is_proved() {
    let mut cases = 0;
    for (number, (shape, conv)) in layers().into_iter().enumerate() {
        let kernel = kernel(&shape, 20 + number as u64, 1.0);
        let sparse = Sparse::of_layer(&kernel, &conv).unwrap();
        for kind in 0..5 {
            let weighted = sparse.weighted(&weights(sparse.rows(), kind, 9));
            let transposed = weighted.transpose();
            for side in [&weighted, &transposed] {
                let band = Band::new(side, Order::new(side));
                let gram = band.gram(side);
                let cheap = side.cheap_square();
                let proof = Proof {
                    gram: &gram,
                    shape: &band.shape,
                    inner: band.half_width + 1,
                    error: mul_up(gamma(band.terms + 2), cheap),
                };
                let (rows, cols) = (side.rows(), side.cols());
                let mut matrix = Mat::zeros(rows, cols);
                for row in 0..rows {
                    for (&c, &v) in side.columns(row).iter().zip(side.values(row)) {
                        matrix[(row, c as usize)] = v;
                    }
                }
                let (_, s, v) = linalg::svd(matrix.as_ref()).unwrap();
                let top: Vec<f64> = v.col(0).iter().copied().collect();
                let lower = verify::matrix_norm_lower(matrix.as_ref(), &top);
                let lower = mul_down(lower, lower);
                let mut factor = band.shape.zeros();
                for below in [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.5] {
                    let t = lower * (1.0 - below);
                    assert!(!proof.holds(t, &mut factor), "{shape:?} {kind}: {below}");
                    cases += 1;
                }
                let truth = s[0] * s[0];
                assert!(proof.holds(truth * (1.0 + 1e-9), &mut factor));
                for t in [0.0, -1.0, f64::NAN, f64::INFINITY] {
                    assert!(!proof.holds(t, &mut factor));
                }
                // The error that is claimed of the Gram matrix is larger than its own.
                let exact = Mat::from_fn(cols, cols, |i, j| {
                    let (p, q) = (band.place[i], band.place[j]);
                    let (near, far) = (p.min(q) as usize, p.max(q) as usize);
                    let column = band.shape.column(&gram, near);
                    column.get(far - near).copied().unwrap_or(0.0)
                });
                let gap = &exact - matrix.transpose() * &matrix;
                assert!(gap.norm_l2() <= 2.0 * proof.error, "{shape:?} {kind}");
            }
        }
    }
    assert!(cases > 1000);
}

#[test]
fn the_factor_gives_back_the_matrix() {
    for (order, half_width) in [
        (1, 0),
        (5, 4),
        (70, 3),
        (64, 63),
        (200, 40),
        (300, 200),
        (129, 64),
    ] {
        let shape = Panels::new(order, half_width);
        let random = quasi_random(order * (half_width + 1), 8);
        let mut values = shape.zeros();
        let mut dense = Mat::<f64>::zeros(order, order);
        for j in 0..order {
            for below in 0..=half_width.min(order - 1 - j) {
                let x = random[j * (half_width + 1) + below];
                let x = if below == 0 {
                    2.0 * (half_width + 1) as f64
                } else {
                    x
                };
                shape.column_mut(&mut values, j)[below] = x;
                (dense[(j + below, j)], dense[(j, j + below)]) = (x, x);
            }
        }
        let x = quasi_random(order, 2);
        let mut y = vec![0.0; order];
        shape.product(&values, &x, &mut y);
        let expected = &dense * MatRef::from_column_major_slice(&x, order, 1);
        assert!((0..order).all(|i| (y[i] - expected[(i, 0)]).abs() < 1e-11));
        let mut factor = values.clone();
        assert!(shape.completes(&mut factor));
        let l = Mat::from_fn(order, order, |i, j| {
            if i < j || i > j + half_width {
                0.0
            } else {
                shape.column(&factor, j)[i - j]
            }
        });
        let gap = (&l * l.transpose() - &dense).norm_max();
        assert!(gap < 1e-12, "{order} {half_width}: {gap}");
        // With one pivot that is not positive, wherever it is, it does not complete.
        for at in [0, order / 2, order - 1] {
            for pivot in [-1e-3, f64::NAN] {
                let mut factor = values.clone();
                shape.column_mut(&mut factor, at)[0] = pivot;
                assert!(!shape.completes(&mut factor), "{order} {half_width} {at}");
            }
        }
    }
}

fn width_of(shape: &[usize], conv: &Conv) -> (usize, usize) {
    let sparse = Sparse::of_layer(&kernel(shape, 1, 1.0), conv).unwrap();
    let order = Order::new(&sparse);
    (order.place.len(), order.half_width)
}

#[test]
fn the_band_is_narrow() {
    let five = |n: usize| {
        Conv::new(2)
            .with_stride(&[2, 2])
            .with_padding(&[(2, 2), (2, 2)])
            .with_input_size(&[n, n])
    };
    assert_eq!(width_of(&[4, 1, 5, 5], &five(28)), (784, 116));
    assert_eq!(width_of(&[4, 3, 5, 5], &five(32)), (3072, 398));
    // The longer axis is outermost, whichever it is.
    let plain = |n: &[usize; 2]| Conv::new(2).with_input_size(n);
    assert_eq!(width_of(&[1, 1, 3, 3], &plain(&[40, 5])), (200, 12));
    assert_eq!(width_of(&[1, 1, 3, 3], &plain(&[5, 40])), (200, 12));
    // Groups do not meet.
    let apart = plain(&[9, 9]).with_groups(8);
    assert_eq!(width_of(&[8, 1, 3, 3], &apart), (648, 20));
    assert_eq!(width_of(&[8, 2, 3, 3], &apart), (1296, 41));
    // A ring is folded.
    let ring = Conv::new(1)
        .with_padding(&[(1, 1)])
        .with_padding_mode(PaddingMode::Circular)
        .with_input_size(&[50]);
    assert_eq!(width_of(&[1, 1, 3], &ring), (50, 4));
}

#[test]
fn the_cheaper_side_is_taken_and_too_much_is_refused() {
    let wide = Conv::new(1).with_stride(&[4]).with_input_size(&[4000]);
    let few = Sparse::of_layer(&kernel(&[1, 1, 8], 1, 1.0), &wide).unwrap();
    assert!(matches!(Top::new(&few).unwrap().plan, Plan::Rows(_)));
    let many = Sparse::of_layer(&kernel(&[8, 1, 8], 1, 1.0), &wide).unwrap();
    assert!(matches!(Top::new(&many).unwrap().plan, Plan::Columns(_)));
    let full = Sparse::of_layer(&kernel(&[40, 300], 1, 1.0), &Conv::new(0)).unwrap();
    assert!(matches!(Top::new(&full).unwrap().plan, Plan::Dense));

    let one = Sparse::from_rows(
        Image::line(1),
        Image::line(1 << 22),
        [(0..1 << 22).step_by(1 << 12).map(|c| (c, 1.0)).collect()],
    );
    assert!(matches!(Top::new(&one).unwrap().plan, Plan::Rows(_)));
    let shuffled = (0..1usize << 18).map(|i| vec![(i, 1.0), (i * 7919 % (1 << 18), 2.0)]);
    let rows = shuffled.map(|mut row| {
        if row[0].0 == row[1].0 {
            row.pop();
        }
        row
    });
    let line = Image::line(1 << 18);
    let shuffled = Sparse::from_rows(line, line, rows);
    let error = Top::new(&shuffled).err().unwrap().to_string();
    assert!(
        error.contains("half-bandwidth") && error.ends_with("at most 10^13 operations and 8 GiB"),
        "{error}"
    );
}

/// Without a factorisation what is left is the cheap norm, which is a bound.
#[test]
fn no_budget_leaves_a_bound() {
    let (shape, conv) = &layers()[0];
    let sparse = Sparse::of_layer(&kernel(shape, 1, 1.0), conv).unwrap();
    let kappa = weights(sparse.rows(), 1, 3);
    for mut top in all(&sparse) {
        let best = top.prove(&kappa).upper();
        let mut last = f64::INFINITY;
        for most in [0, 1, 30] {
            let effort = Effort {
                width: 1e-9,
                may_go_on: |tests| tests < most,
            };
            let m = top.prove_with(&kappa, &effort).upper();
            assert!(m.is_finite() && m >= best * (1.0 - 2e-6) && m <= last * (1.0 + 1e-9));
            last = m;
        }
        assert!(last <= best * (1.0 + 1e-9));
    }
}
