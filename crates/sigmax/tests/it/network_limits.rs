//! Networks at the ends of the range of numbers, and mistakes that a network invites.

use sigmax::network::{
    Activation, Affine, Arithmetic, AxisMatrix, Certifier, Channels, Forward, Interpolation,
    Network, NetworkBuilder, NodeId, Op, PerEntry, Pick, Pool, Separable, StatedBound,
    confirm_bounds, jacobian_norm, lipschitz, lipschitz_with_audits,
};
use sigmax::{Conv, Error, Kernel, Options, PaddingMode, audit};

use crate::graphs::Draw;
use crate::networks::stated;
use crate::num::{Double, Num};

fn dense(rows: usize, cols: usize, values: &[f64]) -> Op {
    Op::dense(Kernel::new(&[rows, cols], values.to_vec()).unwrap())
}

fn chain(input: &[usize], ops: Vec<Op>) -> Network {
    let mut net = NetworkBuilder::new(input).unwrap();
    let mut last = net.input();
    for (i, op) in ops.into_iter().enumerate() {
        last = net.add(&i.to_string(), op, &[last]).unwrap();
    }
    net.finish(&[last]).unwrap()
}

fn upper(net: &Network) -> f64 {
    lipschitz(net, &Options::default()).unwrap().upper().get()
}

fn radius(net: &Network, x: &[f64], label: usize) -> f64 {
    let certifier = Certifier::new(net, &Options::default(), Arithmetic::Real).unwrap();
    certifier.certify(x, &[label], true).unwrap()[0]
        .radius()
        .get()
}

/// Positions far from 0 are rounded, and so are the weights: by much more than a product.
#[test]
fn the_weights_of_an_interpolation_are_not_exact() {
    for (n, m) in [(50, 83), (97, 300), (200, 331), (300, 7)] {
        let scale = m as f64 / n as f64;
        let matrix = AxisMatrix::linear(n, m, scale, Interpolation::HalfPixel).unwrap();
        let net = chain(
            &[n],
            vec![Op::Separable(Separable::new(vec![Some(matrix)]))],
        );
        let bounds = lipschitz(&net, &Options::default()).unwrap();
        let forward = Forward::new(&bounds).unwrap();
        for i in 0..n {
            let mut x = vec![0.0; n];
            x[i] = 1.0;
            let value = &forward.evaluate(&x).unwrap()[0];
            let mut squares = 0.0;
            for (j, &y) in value.values().iter().enumerate() {
                // The hat function of pixel i at (j + 1/2)·n/m − 1/2.
                let at = Double::int(2 * j + 1)
                    .mul(Double::int(n))
                    .div(Double::int(2 * m))
                    .add(Double::of(-0.5))
                    .max(Double::of(0.0))
                    .min(Double::int(n - 1));
                let away = at.add(Double::int(i).neg());
                let away = away.max(away.neg());
                let hat = Double::of(1.0).add(away.neg()).max(Double::of(0.0));
                squares += Double::of(y).add(hat.neg()).get().powi(2);
            }
            let (off, error) = (squares.sqrt(), value.error().get());
            assert!(off <= error, "{n} to {m}, pixel {i}: {off:e} > {error:e}");
            assert!(error < 1e-11);
        }
    }
}

/// A factor of 0 does not make a value known that overflowed before.
#[test]
fn nothing_is_known_after_an_overflow() {
    let zero = Affine::exact(
        PerEntry::uniform(1, 0.0).unwrap(),
        PerEntry::uniform(1, 10.0).unwrap(),
    );
    let mut net = NetworkBuilder::new(&[1]).unwrap();
    let x = net.input();
    let huge = net.add("huge", dense(1, 1, &[1e300]), &[x]).unwrap();
    let ten = net.add("ten", Op::Affine(zero), &[huge]).unwrap();
    let five = Affine::exact(
        PerEntry::uniform(1, 0.0).unwrap(),
        PerEntry::uniform(1, 5.0).unwrap(),
    );
    let five = net.add("five", Op::Affine(five), &[x]).unwrap();
    let max = net.add("max", Op::Max, &[five, ten]).unwrap();
    let net = net.finish(&[max]).unwrap();
    let bounds = lipschitz(&net, &Options::default()).unwrap();
    let value = &Forward::new(&bounds).unwrap().evaluate(&[1e300]).unwrap()[0];
    // It is 10.
    let off = (value.values()[0] - 10.0).abs();
    assert!(
        off <= value.error().get() || value.error().get().is_infinite(),
        "{value:?}"
    );
}

/// A factor that vanishes in f64 is not 0.
#[test]
fn a_factor_below_the_range_is_refused() {
    let norm = |gamma: f64, variance: f64, epsilon: f64| {
        Affine::batch_norm(1, [&[gamma], &[0.0], &[0.0], &[variance]], epsilon)
    };
    assert!(norm(5e-324, 1e10, 0.0).is_err());
    assert!(norm(1e-310, 1.0, 0.0).is_err());
    assert!(norm(1.0, f64::MAX, f64::MAX).is_err());
    assert!(norm(1.0, f64::INFINITY, 0.0).is_err());
    assert!(norm(0.0, 1.0, 1e-5).is_ok());
    assert!(norm(1e-300, 1.0, 0.0).is_ok());
    let normalisation =
        |mean: &[f64], std: &[f64]| Affine::normalisation(&[1], Channels::First, mean, std);
    assert!(normalisation(&[0.0], &[f64::MAX]).is_err());
    assert!(normalisation(&[0.0], &[5e-324]).is_err());
}

/// Values per channel where the layout has no such channels.
#[test]
fn normalisation_needs_channels_where_the_layout_has_them() {
    let fits = |shape: &[usize], layout, channels: usize| {
        let (mean, std) = (vec![0.0; channels], vec![1.0; channels]);
        let network = NetworkBuilder::new(shape).unwrap();
        let input = network.input();
        let network = network.finish(&[input]).unwrap();
        network.normalised(layout, &mean, &std).is_ok()
    };
    use Channels::{First, Last};
    assert!(fits(&[3, 4, 6], First, 3) && !fits(&[3, 4, 6], Last, 3));
    assert!(fits(&[4, 6, 3], Last, 3) && !fits(&[4, 6, 3], First, 3));
    assert!(!fits(&[4, 3, 6], First, 3) && !fits(&[4, 3, 6], Last, 3));
    for layout in [First, Last] {
        assert!(fits(&[4, 6, 5], layout, 1) && !fits(&[4, 6, 5], layout, 0));
        assert!(fits(&[72], layout, 3) && fits(&[1, 72], layout, 3) && !fits(&[73], layout, 3));
    }
}

/// Amounts that a file merely states.
#[test]
fn huge_paddings_are_refused() {
    for amount in [1isize << 40, isize::MAX] {
        for mode in [PaddingMode::Zeros, PaddingMode::Replicate] {
            assert!(Pick::pad(&[1, 4], &[(0, 0), (amount, 0)], mode, 0.0).is_err());
            assert!(Pick::pad(&[1, 4], &[(0, 0), (0, amount)], mode, 0.0).is_err());
        }
    }
    assert!(Pick::reshape(&[usize::MAX, 2], &[usize::MAX - 1]).is_err());
    assert!(Pick::transpose(&[1 << 40, 1 << 40], &[1, 0]).is_err());
    let _ = Pick::flatten(&[usize::MAX, 2]);
}

/// Strides that multiply to more than a layer may have are not an error of the network.
#[test]
fn strides_too_large_to_be_taken_together() {
    let conv = |stride: usize| {
        let kernel = Kernel::new(&[1, 1, 1], vec![2.0]).unwrap();
        Op::conv(kernel, Conv::new(1).with_stride(&[stride]))
    };
    let net = chain(&[1, 4], vec![conv(1 << 20), conv(1 << 20)]);
    assert!((4.0..4.1).contains(&upper(&net)));
}

/// Window 0 reads pixels −1 and 1 of a single one.
#[test]
fn windows_without_a_pixel_are_refused_when_added() {
    let pool = Pool::new(&[2])
        .with_stride(&[1])
        .with_dilation(&[2])
        .with_padding(&[(1, 1)]);
    let mut net = NetworkBuilder::new(&[1, 1]).unwrap();
    let x = net.input();
    assert!(net.add("pool", Op::MaxPool(pool), &[x]).is_err());
}

/// Weights on one place of an axis matrix are summed.
#[test]
fn repeated_entries_of_a_large_axis_matrix() {
    let row = |a: f64| vec![(0, a), (0, 1.0 / 3.0), (1, 1.0)];
    let matrix = AxisMatrix::new(2, vec![row(1e10), row(1e10)]).unwrap();
    let net = chain(
        &[2],
        vec![Op::Separable(Separable::new(vec![Some(matrix)]))],
    );
    let image = Double::of(1e10).add(Double::of(1.0 / 3.0)).get();
    assert!(upper(&net) >= image * 2f64.sqrt() * (1.0 - 1e-15));
}

#[test]
fn ties_are_not_certified() {
    let net = chain(&[2], vec![dense(3, 2, &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0])]);
    for label in 0..3 {
        assert_eq!(radius(&net, &[5.0, 1.0], label).to_bits(), 0);
    }
    let net = chain(&[2], vec![dense(2, 2, &[1.0, 0.0, 0.0, 1.0])]);
    assert_eq!(radius(&net, &[1.0, 1.0], 0).to_bits(), 0);
    assert_eq!(radius(&net, &[1.0, 1.0], 1).to_bits(), 0);
    // A tie that rounding hides: 0.1 + 0.2 > 0.3 in f64, and nearly so in real numbers.
    let net = chain(&[3], vec![dense(2, 3, &[1.0, 1.0, 0.0, 0.0, 0.0, 1.0])]);
    assert_eq!(radius(&net, &[0.1, 0.2, 0.3], 0).to_bits(), 0);
}

/// The second class is closest in its logit, the third in distance.
#[test]
fn the_runner_up_need_not_limit_the_radius() {
    let net = chain(&[2], vec![dense(3, 2, &[1.0, 0.0, 0.9, 0.0, -10.0, 0.0])]);
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    // z = (10, 9, −100): margins 1 at slope 0.1 and 110 at slope 11. Both 10.
    let c = &certifier.certify(&[10.0, 0.0], &[0], true).unwrap()[0];
    assert!((9.98..10.0).contains(&c.radius().get()), "{c:?}");
    let net = chain(&[2], vec![dense(3, 2, &[1.0, 0.0, 0.9, 0.0, 0.0, 30.0])]);
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    // z = (10, 9, 0): margins 1 at slope 0.1, and 10 at slope √901.
    let c = &certifier.certify(&[10.0, 0.0], &[0], true).unwrap()[0];
    assert_eq!(c.rival(), Some(2));
    let truth = 10.0 / 901f64.sqrt();
    assert!(
        c.radius().get() <= truth && c.radius().get() >= truth * 0.998,
        "{c:?}"
    );
}

#[test]
fn overlapping_pools_and_steep_activations_are_not_one() {
    let pool = Op::MaxPool(Pool::new(&[3]).with_stride(&[1]));
    assert!(upper(&chain(&[1, 9], vec![pool])) >= 3f64.sqrt());
    // One spike in the middle is the largest of three windows.
    for steep in [
        Activation::Gelu,
        Activation::Silu,
        Activation::Mish,
        Activation::HardSwish,
    ] {
        assert!(upper(&chain(&[1], vec![Op::Activation(steep)])) > 1.08);
    }
}

/// Whatever the scale: bounds stay above the norm, and no point within a radius has another class.
#[test]
fn extreme_weights_make_no_false_claim() {
    let mut draw = Draw(11);
    let exponents = [
        -300, -290, -200, -160, -150, -100, 0, 100, 150, 160, 200, 290, 300,
    ];
    let mut claimed = 0;
    for first in exponents {
        for second in exponents {
            let scaled = |draw: &mut Draw, n: usize, e: i32| draw.reals(n, 10f64.powi(e));
            let (a, b) = (scaled(&mut draw, 6, first), scaled(&mut draw, 6, second));
            let relu = Op::Activation(Activation::Relu);
            let net = chain(&[2], vec![dense(3, 2, &a), relu, dense(2, 3, &b)]);
            let bound = upper(&net);
            assert!(bound > 0.0, "{first} {second}");
            let x = draw.reals(2, 1.0);
            // The same network with weights and logits of size one.
            let z = |x: &[f64]| {
                let (e, f) = (10f64.powi(first), 10f64.powi(second));
                let h: Vec<f64> = (0..3)
                    .map(|i| ((a[2 * i] / e) * x[0] + (a[2 * i + 1] / e) * x[1]).max(0.0))
                    .collect();
                let out = |t: usize| (0..3).map(|i| (b[3 * t + i] / f) * h[i]).sum::<f64>();
                [out(0), out(1)]
            };
            let at = z(&x);
            let label = usize::from(at[1] > at[0]);
            for arithmetic in [Arithmetic::Real, Arithmetic::Float32] {
                let certifier = Certifier::new(&net, &Options::default(), arithmetic).unwrap();
                let certificate = &certifier.certify(&x, &[label], true).unwrap()[0];
                let r = certificate.radius().get();
                assert!(r.is_finite());
                claimed += usize::from(r > 0.0);
                for _ in 0..50 {
                    let d = draw.reals(2, 1.0);
                    let factor = r.min(1e100) / (d[0] * d[0] + d[1] * d[1]).sqrt();
                    let y = [x[0] + factor * d[0], x[1] + factor * d[1]];
                    let moved = z(&y);
                    let size = moved[0].abs() + moved[1].abs();
                    assert!(
                        moved[label] - moved[1 - label] >= -1e-12 * size,
                        "1e{first} 1e{second}: {certificate:?} {x:?} {y:?} {moved:?}"
                    );
                }
            }
        }
    }
    assert!(claimed > 20, "{claimed}");
}

#[test]
fn zero_layers_and_overflow() {
    let net = chain(&[2], vec![dense(3, 2, &[0.0; 6]), dense(2, 3, &[1.0; 6])]);
    assert!(upper(&net) < 1e-12);
    let net = chain(
        &[1],
        vec![
            dense(1, 1, &[1e300]),
            Op::Activation(Activation::Relu),
            dense(2, 1, &[1e300, 0.0]),
        ],
    );
    assert!(upper(&net).is_infinite());
    assert_eq!(radius(&net, &[1.0], 0).to_bits(), 0);
    let net = chain(&[1], vec![dense(2, 1, &[1e300, -1e300])]);
    assert_eq!(
        radius(&net, &[1e300], 0).to_bits(),
        0,
        "the logits overflow"
    );
}

/// 10⁻⁴⁶ is 0 in float32, and 10³⁹ is ∞: both logits are then equal, or not numbers.
#[test]
fn weights_that_float32_does_not_hold_certify_nothing_in_it() {
    let single = |weight: f64, x: f64| {
        let net = chain(&[1], vec![dense(2, 1, &[weight, 0.0])]);
        let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Float32).unwrap();
        certifier.certify(&[x], &[0], true).unwrap()[0]
            .radius()
            .get()
    };
    assert_eq!(single(1e-46, 1e38).to_bits(), 0);
    assert_eq!(single(1e39, 1.0).to_bits(), 0);
    assert_eq!(single(1.0, 1e-46).to_bits(), 0);
    assert!(single(1e-30, 1.0) > 0.9);
}

#[test]
fn an_audit_of_another_layer_is_not_used() {
    let kernel = |scale: f64| Kernel::new(&[1, 1, 3], vec![scale, -2.0 * scale, scale]).unwrap();
    let conv = Conv::new(1).with_padding(&[(1, 1)]);
    let mut net = NetworkBuilder::new(&[1, 9]).unwrap();
    let x = net.input();
    let y = net
        .add("y", Op::conv(kernel(1.0), conv.clone()), &[x])
        .unwrap();
    let net = net.finish(&[y]).unwrap();
    let options = Options::default();
    let upper = |audit: &sigmax::Audit| {
        let bounds = lipschitz_with_audits(&net, &options, &[(y, audit)]).unwrap();
        bounds.upper().get()
    };
    let right = audit(&kernel(1.0), &conv, &options).unwrap();
    assert_eq!(upper(&right).to_bits(), right.upper().get().to_bits());
    let wrong = [
        audit(&kernel(0.5), &conv, &options).unwrap(),
        audit(&kernel(1.0), &conv.clone().with_stride(&[2]), &options).unwrap(),
        right.clone().scaled(0.25),
        audit(&kernel(0.5), &conv, &options).unwrap().scaled(1.0),
    ];
    for audit in &wrong {
        assert!(audit.upper().get() < 4.0 && upper(audit) >= 4.0);
    }
    // Without its layer it stands for none: the norm is computed again.
    let released = right.clone().released();
    assert!(released.upper() == right.upper() && released != right);
    assert!(upper(&released) >= 4.0);
}

#[test]
fn a_certificate_that_claims_nothing_is_confirmed() {
    // The margin is one float, below the error of the evaluation.
    let net = chain(&[1], vec![dense(2, 1, &[1.0, 1.0 + f64::EPSILON])]);
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    for label in [0, 1] {
        let all = certifier.certify(&[1.0], &[label], true).unwrap();
        assert_eq!(all[0].prediction(), 1);
        assert!(all[0].radius().get() <= 0.0 && all[0].margin().get() <= 0.0);
        assert!(all[0].confirms_radius(0.0) && all[0].confirms_margin(0.0));
        assert!(!all[0].confirms_radius(1e-300) && !all[0].confirms_margin(1e-300));
        assert!(all[0].class().is_none() && !all[0].confirms_class(1));
    }
}

/// The margin is that of the class with the second largest logit, whichever limits the radius.
#[test]
fn a_margin_is_against_all_other_classes() {
    // z = (10, 9, 0): margins 1 at slope 0.1, and 10 at slope √901.
    let net = chain(&[2], vec![dense(3, 2, &[1.0, 0.0, 0.9, 0.0, 0.0, 30.0])]);
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let c = &certifier.certify(&[10.0, 0.0], &[0], true).unwrap()[0];
    assert_eq!((c.rival(), c.class()), (Some(2), Some(0)));
    assert!((0.99999..=1.0).contains(&c.margin().get()));
    assert!(c.confirms_margin(0.999_999_999) && !c.confirms_margin(1.000_000_001));
    assert!(c.confirms_class(0) && !c.confirms_class(1) && !c.confirms_class(3));
}

/// Another evaluation may lie on the other side of the exact logits.
#[test]
fn logits_are_stated_with_an_error_that_others_confirm() {
    let net = chain(&[2], vec![dense(2, 2, &[0.1, 0.7, 0.3, -0.2])]);
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let c = &certifier.certify(&[0.3, 0.6], &[0], false).unwrap()[0];
    let error = c.error().get();
    assert!(error > 0.0 && error < 1e-14);
    let moved: Vec<f64> = c.logits().iter().map(|z| z + 1.4 * error).collect();
    assert!(c.confirms_logits(&moved, c.stated_error().get()));
    assert!(!c.confirms_logits(&moved, 2.5 * error));
    assert!(!c.confirms_logits(c.logits(), 0.0) && !c.confirms_logits(c.logits(), -1e-15));
    assert!(!c.confirms_logits(&c.logits()[..1], 1.0));
}

/// The square of a negative number bounds nothing.
#[test]
fn a_negative_constant_is_not_confirmed() {
    let net = chain(&[2], vec![dense(2, 2, &[0.1, 0.7, 0.3, -0.2])]);
    let stated = |own: f64, through: f64| {
        let bound = |own, through| StatedBound {
            own,
            through,
            together_from: None,
        };
        confirm_bounds(&net, &[bound(1.0, 1.0), bound(own, through)])
    };
    assert!(stated(1.0, 1.0).is_ok() && stated(f64::INFINITY, f64::INFINITY).is_ok());
    for (own, through) in [(-5.0, 0.0), (-5.0, 5.0), (1.0, -5.0), (f64::NAN, 1.0)] {
        assert!(stated(own, through).is_err(), "{own} {through}");
    }
    let zero = chain(&[2], vec![dense(2, 2, &[0.0; 4]), dense(2, 2, &[1.0; 4])]);
    let bound = |own, through| StatedBound {
        own,
        through,
        together_from: None,
    };
    let confirmed =
        |last| confirm_bounds(&zero, &[bound(1.0, 1.0), bound(0.0, 0.0), bound(2.1, last)]);
    assert!(confirmed(0.0).is_ok() && confirmed(-1.0).is_err());
}

/// A grid with one spacing for all axes would have more than 2²⁴ points.
#[test]
fn kernels_of_many_taps_are_confirmed() {
    let mut draw = Draw(5);
    for shape in [&[2, 2, 4, 4, 4][..], &[1, 1, 6, 5, 7], &[1, 1, 24, 61]] {
        let kernel = Kernel::new(shape, draw.reals(shape.iter().product(), 1.0)).unwrap();
        let mut input = shape[1..].to_vec();
        *input.last_mut().unwrap() += 1;
        let net = chain(&input, vec![Op::conv(kernel, Conv::new(shape.len() - 2))]);
        let options = Options {
            tolerance: 1e-2,
            ..Options::default()
        };
        let certifier = Certifier::new(&net, &options, Arithmetic::Real).unwrap();
        let mut bounds: Vec<StatedBound> = certifier.bounds().nodes().iter().map(stated).collect();
        assert_eq!(&confirm_bounds(&net, &bounds).unwrap(), certifier.bounds());
        bounds[1].own *= 1.0 - 2e-2;
        assert!(confirm_bounds(&net, &bounds).is_err(), "{shape:?}");
    }
}

#[test]
fn errors_can_be_told_apart() {
    let two = chain(&[1], vec![dense(2, 1, &[1.0, 2.0])]);
    let certifier = |net| Certifier::new(net, &Options::default(), Arithmetic::Real);
    let certify = |labels: &[usize]| {
        let all = certifier(&two).unwrap().certify(&[1.0], labels, true);
        all.unwrap_err()
    };
    assert_eq!(
        certify(&[2]),
        Error::Label {
            label: 2,
            classes: 2
        }
    );
    let (labels, images) = (2, 1);
    assert_eq!(certify(&[0, 1]), Error::Labels { labels, images });
    let one = chain(&[3], vec![dense(1, 3, &[1.0; 3])]);
    let outputs = vec![vec![1]];
    assert_eq!(
        certifier(&one).unwrap_err(),
        Error::NotAClassifier { outputs }
    );
}

#[test]
fn work_grows_with_the_length_of_a_chain() {
    // Once around every node for every other would be 10¹¹ steps, minutes; once for each is none.
    const NODES: usize = 1 << 19;
    let relu = || Op::Activation(Activation::Relu);
    let net = chain(&[1], (1..NODES).map(|_| relu()).collect());
    let bounds = lipschitz(&net, &Options::default()).unwrap();
    assert_eq!(bounds.upper().get().to_bits(), 1f64.to_bits());
    let forward = Forward::new(&bounds).unwrap();
    assert_eq!(forward.evaluate(&[2.0]).unwrap()[0].values(), [2.0]);
    let norm = jacobian_norm(&forward, &[2.0], 1).unwrap();
    assert_eq!(norm.get().to_bits(), 1f64.to_bits());
}

#[test]
fn more_nodes_are_not_taken_together_than_a_search_would() {
    // Every node stated as one with all before it: 160,000² / 2 compositions, hours.
    let net = chain(&[1], (0..160_000).map(|_| dense(1, 1, &[1.0])).collect());
    let first = net.nodes()[1].inputs[0].index() + 1;
    let stated: Vec<StatedBound> = (0..net.nodes().len())
        .map(|i| StatedBound {
            own: 1.001,
            through: if i == 0 { 1.001 } else { 1.01 },
            together_from: (i > 1).then_some(NodeId::new(first)),
        })
        .collect();
    let error = confirm_bounds(&net, &stated).unwrap_err().to_string();
    // Node 6 ends the longest group, of six nodes.
    assert!(
        error.starts_with("node \"6\": the constant from"),
        "{error}"
    );
}

/// A BatchNorm that is written out: what its factors do is seen together, before and behind a layer.
#[test]
fn several_diagonals_are_taken_together_with_a_layer() {
    let scaled = |scale: [f64; 2], shift: [f64; 2]| {
        let per = |v: [f64; 2]| PerEntry::channels(3, v.to_vec()).unwrap();
        Op::Affine(Affine::exact(per(scale), per(shift)))
    };
    let conv = || Op::Conv {
        kernel: Kernel::new(&[2, 2, 1, 1], vec![1.0, 0.0, 0.0, 3.0]).unwrap(),
        conv: Conv::new(2),
        bias: None,
    };
    let diagonals = || {
        [
            scaled([1.0, 1.0], [-5.0, 2.0]),
            scaled([10.0, 1.0], [0.0, 0.0]),
            scaled([0.1, 1.0], [0.0, 0.0]),
            scaled([1.0, 1.0], [0.5, 0.5]),
        ]
    };
    for ops in [
        std::iter::once(conv())
            .chain(diagonals())
            .collect::<Vec<_>>(),
        diagonals().into_iter().chain([conv()]).collect(),
    ] {
        let bound = upper(&chain(&[2, 4, 4], ops));
        assert!((3.0..=3.0 * (1.0 + 2e-6)).contains(&bound), "{bound}");
    }
}
