//! Layers after one another, scaled between them (T37).

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::network::{
    Activation, Affine, Arithmetic, Certifier, Forward, Lipschitz, Network, NetworkBuilder, NodeId,
    Op, PerEntry, Pick, Pool, Rule, Separable, jacobian_norm, lipschitz,
};
use sigmax::{Budget, Conv, Kernel, Options, PaddingMode};

use crate::graphs::{Draw, Kinds, graph};
use crate::network_laws::product;

fn diagonal(entries: &[f64]) -> Op {
    let n = entries.len();
    let at = |i: usize| {
        if i.is_multiple_of(n + 1) {
            entries[i / (n + 1)]
        } else {
            0.0
        }
    };
    Op::dense(Kernel::new(&[n, n], (0..n * n).map(at).collect()).unwrap())
}

fn pointwise(entries: &[f64]) -> Op {
    let Op::Dense { kernel, .. } = diagonal(entries) else {
        unreachable!()
    };
    let n = entries.len();
    let kernel = Kernel::new(&[n, n, 1, 1], kernel.values()).unwrap();
    Op::conv(kernel, Conv::new(2))
}

fn relu() -> Op {
    Op::Activation(Activation::Relu)
}

/// One node after the other.
fn chain(input: &[usize], ops: Vec<Op>) -> Network {
    let mut net = NetworkBuilder::new(input).unwrap();
    let mut at = net.input();
    for (i, op) in ops.into_iter().enumerate() {
        at = net.add(&format!("n{}", i + 1), op, &[at]).unwrap();
    }
    net.finish(&[at]).unwrap()
}

fn bounds(net: &Network) -> Lipschitz {
    lipschitz(net, &Options::default()).unwrap()
}

/// The constant is what it is to within 1 %, and never less.
fn assert_near(net: &Network, expected: f64, why: &str) {
    let upper = bounds(net).upper().get();
    let range = expected * (1.0 - 1e-14)..expected * 1.01;
    assert!(range.contains(&upper), "{upper} is not {expected}: {why}");
}

fn rules(bounds: &Lipschitz) -> Vec<Rule> {
    bounds.nodes().iter().map(|node| node.rule()).collect()
}

fn scaled(bounds: &Lipschitz) -> bool {
    rules(bounds)
        .iter()
        .any(|rule| matches!(rule, Rule::Scaled(_)))
}

#[test]
fn two_layers_are_scaled_between_them() {
    let ops = vec![diagonal(&[1.0, 100.0]), relu(), diagonal(&[100.0, 1.0])];
    let net = chain(&[2], ops);
    assert_near(
        &net,
        100.0,
        "diag(10, 10) twice with the factors 10 and 1/10",
    );
    let found = bounds(&net);
    let last = found.nodes()[3];
    assert_eq!(last.rule(), Rule::Scaled(NodeId::new(1)));
    assert_eq!(last.own().get().round() as u64, 100);
    let text = last.rule().text(|id| &net.node(id).name);
    assert_eq!(text, "scaled between layers, from n1");
}

#[test]
fn three_layers_and_what_commutes_between_them() {
    let slopes = PerEntry::new(&[2], vec![0.5, -2.0]).unwrap();
    let scale = PerEntry::channels(1, vec![3.0, -3.0]).unwrap();
    let shift = PerEntry::channels(1, vec![1.0, 0.0]).unwrap();
    let net = chain(
        &[2],
        vec![
            diagonal(&[1.0, 100.0]),
            Op::PRelu(slopes),
            diagonal(&[100.0, 1.0]),
            Op::Activation(Activation::Sigmoid),
            Op::Affine(Affine::exact(scale, shift)),
            relu(),
            diagonal(&[1.0, 100.0]),
        ],
    );
    // Along the first axis 100 · 1, along the second 100 · 100; between them 2, 1/4 and 3.
    assert_near(&net, 1e4 * 1.5, "2 · 1/4 · 3 · max(100, 10⁴)");
}

#[test]
fn images_have_one_factor_per_channel() {
    let pool = Pool::new(&[2, 2]);
    let shape = [2, 4, 4];
    let average = Separable::average_pool(&[2, 2, 2], &Pool::new(&[2, 1]), true).unwrap();
    let ops = vec![
        pointwise(&[1.0, 100.0]),
        relu(),
        Op::MaxPool(pool),
        Op::Separable(average),
        Op::Pick(Pick::flatten(&[2, 1, 2])),
        diagonal(&[100.0, 50.0, 1.0, 0.5]),
    ];
    // Means of two along one axis have the norm 1/√2.
    assert_near(&chain(&shape, ops), 100.0 / 2f64.sqrt(), "100 and 1/√2");
}

#[test]
fn factors_go_where_the_channels_go() {
    let swap = |input: &[usize]| {
        let along = [vec![Some(1), Some(0)], (0..input[1]).map(Some).collect()];
        Op::Pick(Pick::along(input, &along, 0.0).unwrap())
    };
    let conv = |entries: &[f64]| {
        let Op::Dense { kernel, .. } = diagonal(entries) else {
            unreachable!()
        };
        let kernel = Kernel::new(&[2, 2, 1], kernel.values()).unwrap();
        Op::conv(kernel, Conv::new(1))
    };
    let first = || conv(&[1.0, 100.0]);
    let swapped =
        |entries: &[f64]| chain(&[2, 3], vec![first(), relu(), swap(&[2, 3]), conv(entries)]);
    assert_near(&swapped(&[1.0, 100.0]), 100.0, "the large ones do not meet");
    assert_near(&swapped(&[100.0, 1.0]), 1e4, "the large ones meet");
    // A dense layer along the last axis of a transposed image.
    let along = |entries: &[f64]| {
        let turn = Op::Pick(Pick::transpose(&[2, 3], &[1, 0]).unwrap());
        chain(&[2, 3], vec![first(), relu(), turn, diagonal(entries)])
    };
    assert_near(
        &along(&[100.0, 1.0]),
        100.0,
        "one factor per entry of the last axis",
    );
    assert_near(&along(&[1.0, 100.0]), 1e4, "the same");
}

#[test]
fn what_mixes_entries_ties_their_factors() {
    let first = || diagonal(&[1.0, 100.0, 1.0, 100.0]);
    let reshape = || Op::Pick(Pick::reshape(&[4], &[2, 2]).unwrap());
    let flat = || Op::Pick(Pick::flatten(&[2, 1]));
    let max = Op::MaxPool(Pool::new(&[2]));
    let net = |mixing: Op| {
        let ops = vec![first(), reshape(), mixing, flat(), diagonal(&[1.0, 1.0])];
        chain(&[4], ops)
    };
    // (x_1, 100·x_2) ↦ the larger one: 100, along the second axis.
    assert_near(&net(max), 100.0, "windows over both units");
    let sum = Op::Separable(Separable::sum(&[2, 2], &[1]).unwrap());
    // The truth is |(1, 100)| = 100.005; factors per unit would give 10 · √2.
    let upper = bounds(&net(sum)).upper().get();
    assert!(upper >= 10_001f64.sqrt() * (1.0 - 1e-14), "{upper}");
    let upper = bounds(&net(Op::Separable(Separable::mean(&[2, 2], &[1]).unwrap())));
    assert!(upper.upper().get() >= 0.5 * 10_001f64.sqrt() * (1.0 - 1e-14));
    // Where channels differ, pooling does not stop their factors.
    let ops = vec![
        diagonal(&[1.0, 1.0, 100.0, 100.0]),
        reshape(),
        Op::MaxPool(Pool::new(&[2])),
        flat(),
        diagonal(&[100.0, 1.0]),
    ];
    assert_near(&chain(&[4], ops), 100.0, "one factor per channel");
}

#[test]
fn what_does_not_commute_stops_the_scaling() {
    let (first, second) = (|| diagonal(&[1.0, 100.0]), || diagonal(&[100.0, 1.0]));
    let softmax = vec![first(), Op::Softmax { axis: 0 }, second()];
    assert_near(&chain(&[2], softmax), 0.5e4, "softmax mixes all entries");
    let logarithm = vec![first(), Op::LogSoftmax { axis: 0 }, second()];
    assert_near(
        &chain(&[2], logarithm),
        1e4 * 2f64.sqrt(),
        "and its logarithm",
    );

    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let a = net.add("a", first(), &[net.input()]).unwrap();
    let b = net.add("b", relu(), &[a]).unwrap();
    let c = net.add("c", second(), &[b]).unwrap();
    let sum = net.add("sum", Op::Add, &[b, c]).unwrap();
    let net = net.finish(&[sum]).unwrap();
    assert_near(&net, 10_100.0, "b has two readers");
    assert!(!scaled(&bounds(&net)));

    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let a = net.add("a", first(), &[net.input()]).unwrap();
    let b = net.add("b", relu(), &[a]).unwrap();
    let c = net.add("c", second(), &[b]).unwrap();
    let net = net.finish(&[c, b]).unwrap();
    assert!(!scaled(&bounds(&net)), "an output is read");

    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let a = net.add("a", first(), &[net.input()]).unwrap();
    let b = net.add("b", Op::Max, &[a, net.input()]).unwrap();
    let c = net.add("c", second(), &[b]).unwrap();
    let net = net.finish(&[c]).unwrap();
    assert!(
        !scaled(&bounds(&net)),
        "a maximum of two nodes has two inputs"
    );
}

#[test]
fn a_block_with_a_shortcut_is_scaled_inside() {
    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let x = net.add("x", diagonal(&[1.0, 1.0]), &[net.input()]).unwrap();
    let a = net.add("a", diagonal(&[1.0, 100.0]), &[x]).unwrap();
    let b = net.add("b", relu(), &[a]).unwrap();
    let c = net.add("c", diagonal(&[100.0, 1.0]), &[b]).unwrap();
    let sum = net.add("sum", Op::Add, &[x, c]).unwrap();
    let net = net.finish(&[sum]).unwrap();
    assert_near(&net, 101.0, "100 for the branch, 1 for the shortcut");
    assert_eq!(bounds(&net).nodes()[4].rule(), Rule::Scaled(NodeId::new(2)));
}

#[test]
fn channels_of_zeros_and_extreme_ones() {
    let two = |a: &[f64], b: &[f64]| chain(&[a.len()], vec![diagonal(a), relu(), diagonal(b)]);
    assert_near(
        &two(&[0.0, 1.0, 100.0], &[1e6, 100.0, 1.0]),
        100.0,
        "nothing to read",
    );
    assert_near(
        &two(&[1e6, 1.0, 100.0], &[0.0, 100.0, 1.0]),
        100.0,
        "nobody reads it",
    );
    assert_near(
        &two(&[0.0, 1.0, 100.0], &[0.0, 100.0, 1.0]),
        100.0,
        "neither",
    );
    for zero in [two(&[0.0, 0.0], &[1.0, 2.0]), two(&[1.0, 2.0], &[0.0, 0.0])] {
        assert_eq!(bounds(&zero).upper().get().to_bits(), 0);
    }
    assert_near(&two(&[1.0, 1e100], &[1e100, 1.0]), 1e100, "far apart");
    assert_near(&two(&[1e-70, 1e70], &[1e70, 1e-70]), 1.0, "and farther");
    // 10⁻³¹⁰ has lost digits: its error is not relative to it, and it is not scaled.
    let lost = bounds(&two(&[1.0, 1e-310], &[1e-310, 1.0])).upper().get();
    assert!((1.0..1.01).contains(&lost), "{lost}");
    let out = bounds(&two(&[1e200, 1e300], &[1e300, 1e200])).upper().get();
    assert!(out.is_infinite(), "{out}");
}

#[test]
fn certificates_do_without() {
    let net = chain(
        &[2],
        vec![diagonal(&[1.0, 100.0]), relu(), diagonal(&[100.0, 1.0])],
    );
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    assert!(!scaled(certifier.bounds()));
    assert!(certifier.bounds().upper().get() >= 1e4);
    assert!(scaled(&bounds(&net)));
}

#[test]
fn no_time_is_a_looser_bound() {
    let ops = vec![diagonal(&[1.0, 100.0]), relu(), diagonal(&[100.0, 1.0])];
    let options = Options {
        budget: Budget {
            time: Some(std::time::Duration::ZERO),
            ..Budget::default()
        },
        ..Options::default()
    };
    let found = lipschitz(&chain(&[2], ops), &options).unwrap();
    assert!(found.upper().get() >= 100.0);
    assert!(!scaled(&found));
}

/// Rows and columns of very different size, in a random geometry.
fn random_chain(seed: u64) -> Network {
    let mut draw = Draw(seed);
    let mut channels = 2 * (1 + draw.below(2));
    let pixels = 4 + draw.below(3);
    let mut net = NetworkBuilder::new(&[channels, pixels, pixels]).unwrap();
    let mut at = net.input();
    let mut shape = vec![channels, pixels, pixels];
    let values = |draw: &mut Draw, rows: usize, cols: usize, taps: usize| -> Vec<f64> {
        let sizes = |draw: &mut Draw, n| -> Vec<f64> {
            (0..n)
                .map(|_| 10f64.powi(draw.below(7) as i32 - 3))
                .collect()
        };
        let (a, b) = (sizes(draw, rows), sizes(draw, cols));
        (0..rows * cols * taps)
            .map(|i| a[i / (cols * taps)] * b[i / taps % cols] * draw.real())
            .collect()
    };
    for layer in 0..2 + draw.below(2) {
        let add = |net: &mut NetworkBuilder, name: &str, op: Op, at: NodeId| {
            net.add(&format!("{name}{layer}"), op, &[at]).unwrap()
        };
        let k = 1 + draw.below(2);
        let out = 2 * (1 + draw.below(2));
        let groups = if draw.yes(3) { 2 } else { 1 };
        let modes = [
            PaddingMode::Zeros,
            PaddingMode::Circular,
            PaddingMode::Reflect,
            PaddingMode::Replicate,
        ];
        // Reflect needs two pixels.
        let mode = if shape[1].min(shape[2]) > 1 {
            modes[draw.below(4)]
        } else {
            PaddingMode::Zeros
        };
        let stride = if shape[1] > 3 { 1 + draw.below(2) } else { 1 };
        let mut conv = Conv::new(2)
            .with_groups(groups)
            .with_stride(&[stride, 1])
            .with_padding(&[(1, 0), (0, 1)]);
        let transposed = draw.yes(4);
        let kernel = if transposed {
            conv = conv.transposed(&[0, 0]);
            let values = values(&mut draw, channels, out / groups, k * k);
            Kernel::new(&[channels, out / groups, k, k], values)
        } else {
            conv = conv.with_padding_mode(mode);
            let values = values(&mut draw, out, channels / groups, k * k);
            Kernel::new(&[out, channels / groups, k, k], values)
        };
        at = add(&mut net, "conv", Op::conv(kernel.unwrap(), conv), at);
        channels = out;
        if draw.yes(2) {
            let scale = values(&mut draw, channels, 1, 1);
            let scale = PerEntry::channels(3, scale).unwrap();
            let shift = PerEntry::channels(3, draw.reals(channels, 1.0)).unwrap();
            at = add(
                &mut net,
                "affine",
                Op::Affine(Affine::exact(scale, shift)),
                at,
            );
        }
        let activations = [
            Activation::Relu,
            Activation::Tanh,
            Activation::Abs,
            Activation::LeakyRelu { alpha: -1.5 },
            Activation::Softplus,
        ];
        at = add(
            &mut net,
            "act",
            Op::Activation(activations[draw.below(5)]),
            at,
        );
        if net.shape(at)[2] > 1 && draw.yes(3) {
            at = add(&mut net, "max", Op::MaxPool(Pool::new(&[1, 2])), at);
        }
        shape = net.shape(at).to_vec();
    }
    let entries: usize = shape.iter().product();
    let flat = Op::Pick(Pick::flatten(&shape));
    at = net.add("flat", flat, &[at]).unwrap();
    let kernel = Kernel::new(&[3, entries], values(&mut draw, 3, entries, 1)).unwrap();
    at = net.add("dense", Op::dense(kernel), &[at]).unwrap();
    net.finish(&[at]).unwrap()
}

/// No Jacobian and no pair of points is above the constant, and the product of all constants is not
/// below; returns whether something was scaled.
pub(crate) fn check_chain(seed: u64) -> bool {
    let net = random_chain(seed);
    let options = Options {
        tolerance: 1e-2,
        ..Options::default()
    };
    let found = lipschitz(&net, &options).unwrap();
    let upper = found.upper().get();
    let products = product(&net, &found);
    assert!(
        upper <= products[products.len() - 1] * (1.0 + 1e-12),
        "seed {seed}"
    );
    let forward = Forward::new(&found).unwrap();
    let mut draw = Draw(seed ^ 0x99);
    let n = net.input().len();
    for size in [1e-2, 1.0, 1e2] {
        let x = draw.reals(n, size);
        let seen = jacobian_norm(&forward, &x, 40).unwrap().get();
        assert!(
            seen <= upper * (1.0 + 1e-9),
            "{seen} > {upper}, seed {seed}"
        );
        let y = draw.reals(n, size);
        let both = forward.evaluate(&[&x[..], &y].concat()).unwrap();
        let distance = |a: &[f64], b: &[f64]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f64>()
                .sqrt()
        };
        let seen = distance(both[0].values(), both[1].values());
        let error = both[0].error().get() + both[1].error().get();
        let allowed = upper * distance(&x, &y) + error;
        assert!(
            seen <= allowed * (1.0 + 1e-9),
            "{seen} > {allowed}, seed {seed}"
        );
    }
    scaled(&found)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: RngSeed::Fixed(4), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn no_chain_is_stretched_further(seed in any::<u64>()) {
        check_chain(seed);
    }
}

#[test]
fn random_networks_are_scaled() {
    let chains = (0..20).filter(|&seed| check_chain(seed)).count();
    assert!(chains >= 15, "{chains}");
    let graphs = (0..150u64).filter(|&seed| {
        let graph = graph(seed, Kinds::All, 5 + (seed % 8) as usize, None);
        scaled(&bounds(&graph.net))
    });
    assert!(graphs.count() >= 1);
}
