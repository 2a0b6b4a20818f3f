//! Curvatures and gradients derived by hand, and mistakes that second-order certificates invite.

#![allow(
    clippy::disallowed_methods,
    reason = "the oracle may use the platform's functions: no proof rests on them"
)]

use sigmax::network::{
    Activation, Affine, Arithmetic, AxisMatrix, Certifier, Channels, Curvature, Effort, Forward,
    Lipschitz, Method, Network, NetworkBuilder, NodeId, Op, PerEntry, Pick, Pool, Separable,
    Tangent, curvature, lipschitz,
};
use sigmax::{Conv, Error, Kernel, Options, PaddingMode};

/// A network in the making, whose last node is the next one's input unless another is named.
pub(crate) struct Chain {
    net: NetworkBuilder,
    pub(crate) last: NodeId,
    nodes: usize,
}

impl Chain {
    pub(crate) fn new(shape: &[usize]) -> Self {
        let net = NetworkBuilder::new(shape).unwrap();
        let last = net.input();
        Self {
            net,
            last,
            nodes: 0,
        }
    }

    pub(crate) fn then(mut self, op: Op) -> Self {
        let inputs = [self.last];
        self.last = self.add(op, &inputs);
        self
    }

    pub(crate) fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.nodes += 1;
        let name = format!("{} {}", op.name(), self.nodes);
        self.net.add(&name, op, inputs).unwrap()
    }

    pub(crate) fn finish(self) -> Network {
        self.net.finish(&[self.last]).unwrap()
    }
}

pub(crate) fn dense(rows: usize, values: &[f64]) -> Op {
    Op::dense(Kernel::new(&[rows, values.len() / rows], values.to_vec()).unwrap())
}

fn dense_with_bias(rows: usize, values: &[f64], bias: &[f64]) -> Op {
    Op::Dense {
        kernel: Kernel::new(&[rows, values.len() / rows], values.to_vec()).unwrap(),
        bias: Some(bias.to_vec()),
    }
}

fn diagonal(values: &[f64]) -> Op {
    let n = values.len();
    let mut matrix = vec![0.0; n * n];
    for (i, v) in values.iter().enumerate() {
        matrix[i * n + i] = *v;
    }
    dense(n, &matrix)
}

fn affine(rank: usize, scale: f64) -> Op {
    let uniform = |value| PerEntry::uniform(rank, value).unwrap();
    Op::Affine(Affine::exact(uniform(scale), uniform(0.0)))
}

const SOFTPLUS: Op = Op::Activation(Activation::Softplus);

fn bounds(network: &Network) -> Lipschitz {
    lipschitz(network, &Options::default()).unwrap()
}

fn curved(network: &Network) -> Curvature {
    curvature(&bounds(network), &Options::default()).unwrap()
}

fn certifier(network: &Network) -> Certifier {
    let options = Options::default();
    let mut certifier = Certifier::new(network, &options, Arithmetic::Real).unwrap();
    certifier.bound_curvature(&options).unwrap();
    certifier
}

/// The bound is not below the value by hand, and at most 2e-6 above it.
fn assert_pair(network: &Network, y: usize, t: usize, by_hand: f64) {
    let m = curved(network).pair(y, t).get();
    let allowed = by_hand * (1.0 + 2e-6) + 1e-12;
    assert!(
        by_hand <= m && m <= allowed,
        "m({y}, {t}) = {m}, by hand {by_hand}"
    );
}

/// κ = ¼·(w_t − w_y)₊ for softplus, and λ_max(WᵀKW) = max κ_i·w_i² for a diagonal W.
#[test]
fn a_diagonal_layer_has_the_largest_of_its_units() {
    let network = Chain::new(&[3])
        .then(diagonal(&[1.0, 2.0, 4.0]))
        .then(SOFTPLUS)
        .then(dense(2, &[1.0, 0.0, 0.0, 0.0, 1.0, 2.0]))
        .finish();
    // ¼·max(1·2², 2·4²), and of the other order ¼·1·1².
    assert_pair(&network, 0, 1, 8.0);
    assert_pair(&network, 1, 0, 0.25);
    assert_eq!(curved(&network).pair(1, 1).get().to_bits(), 0);
}

/// W = [1 1; 1 −1]: BᵀB for κ = (¼·a, ¼·b) is ¼·[a + b, a − b; a − b, a + b], eigenvalues a/2 and b/2.
#[test]
fn a_full_layer_has_its_largest_eigenvalue() {
    let network = Chain::new(&[2])
        .then(dense(2, &[1.0, 1.0, 1.0, -1.0]))
        .then(SOFTPLUS)
        .then(dense(2, &[-3.0, -1.0, 0.0, 0.0]))
        .finish();
    assert_pair(&network, 0, 1, 1.5);
    assert_pair(&network, 1, 0, 0.0);
}

/// softplus(βx)/β has σ'' up to β/4: a layer in front is squared, one behind is not.
#[test]
fn beta_of_softplus_scales_the_curvature() {
    for beta in [0.5, 8.0, 20.0] {
        let network = Chain::new(&[1])
            .then(dense(1, &[3.0]))
            .then(affine(1, beta))
            .then(SOFTPLUS)
            .then(affine(1, 1.0 / beta))
            .then(dense(2, &[0.0, 1.0]))
            .finish();
        assert_pair(&network, 0, 1, 9.0 * beta / 4.0);
    }
}

/// In units of the pixels a standard deviation divides m twice.
#[test]
fn normalisation_is_squared() {
    for std in [0.25, 0.3081, 2.0] {
        let op = Affine::normalisation(&[2], Channels::First, &[0.1307], &[std]).unwrap();
        let network = Chain::new(&[2])
            .then(Op::Affine(op))
            .then(diagonal(&[1.0, 2.0]))
            .then(SOFTPLUS)
            .then(dense(2, &[0.0, 0.0, 1.0, 1.0]))
            .finish();
        assert_pair(&network, 0, 1, 1.0 / (std * std));
    }
}

/// γ/√(variance + ε) = 3 in front of a weight 2: (3·2)²/4, not 3·2²/4.
#[test]
fn batch_norm_in_front_is_folded_before_squaring() {
    let op = Affine::batch_norm(1, [&[6.0], &[0.5], &[-1.0], &[3.0]], 1.0).unwrap();
    let network = Chain::new(&[1])
        .then(Op::Affine(op))
        .then(dense(1, &[2.0]))
        .then(SOFTPLUS)
        .then(dense(2, &[0.0, 1.0]))
        .finish();
    assert_pair(&network, 0, 1, 9.0);
}

/// Means of two pixels behind the units halve each factor; units of 3x are squared.
#[test]
fn average_pooling_behind_is_part_of_the_factors() {
    let pool = Pool::new(&[2]).with_stride(&[2]);
    let kernel = Kernel::new(&[1, 1, 1], vec![3.0]).unwrap();
    let network = Chain::new(&[1, 4])
        .then(Op::conv(kernel, Conv::new(1)))
        .then(SOFTPLUS)
        .then(Op::Separable(
            Separable::average_pool(&[1, 4], &pool, false).unwrap(),
        ))
        .then(Op::Pick(Pick::flatten(&[1, 2])))
        .then(dense(2, &[0.0, 0.0, 1.0, 2.0]))
        .finish();
    assert_pair(&network, 0, 1, 0.25 * 9.0);
    assert_pair(&network, 1, 0, 0.0);
}

/// Pixels that overlapping windows read twice count in both.
#[test]
fn a_pixel_in_two_windows_has_the_sum_of_their_factors() {
    let pool = Pool::new(&[2]).with_stride(&[1]);
    let network = Chain::new(&[1, 3])
        .then(SOFTPLUS)
        .then(Op::Separable(
            Separable::average_pool(&[1, 3], &pool, false).unwrap(),
        ))
        .then(Op::Pick(Pick::flatten(&[1, 2])))
        .then(dense(2, &[0.0, 0.0, 1.0, 2.0]))
        .finish();
    assert_pair(&network, 0, 1, 0.25 * 1.5);
}

/// The kernel (1, 1) at three pixels has BBᵀ = [2 1; 1 2]; around the circle [2 1 1; 1 2 1; 1 1 2].
#[test]
fn a_convolution_is_its_matrix_at_its_input_size() {
    let kernel = || Kernel::new(&[1, 1, 2], vec![1.0, 1.0]).unwrap();
    let valid = Chain::new(&[1, 3])
        .then(Op::conv(kernel(), Conv::new(1)))
        .then(SOFTPLUS)
        .then(Op::Pick(Pick::flatten(&[1, 2])))
        .then(dense(2, &[0.0, 0.0, 1.0, 1.0]))
        .finish();
    assert_pair(&valid, 0, 1, 0.75);
    let mut conv = Conv::new(1).with_padding(&[(0, 1)]);
    conv.padding_mode = PaddingMode::Circular;
    let circle = Chain::new(&[1, 3])
        .then(Op::conv(kernel(), conv))
        .then(SOFTPLUS)
        .then(Op::Pick(Pick::flatten(&[1, 3])))
        .then(dense(2, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
        .finish();
    assert_pair(&circle, 0, 1, 1.0);
}

/// σ(x + 2x): the sum is linear and squared; z = V·x + W·σ(x): what goes around the units is not.
#[test]
fn sums_in_front_are_folded_and_ways_around_add_nothing() {
    let mut chain = Chain::new(&[1]);
    let x = chain.last;
    let twice = chain.add(dense(1, &[2.0]), &[x]);
    chain.last = chain.add(Op::Add, &[x, twice]);
    let residual = chain.then(SOFTPLUS).then(dense(2, &[0.0, 1.0])).finish();
    assert_pair(&residual, 0, 1, 9.0 / 4.0);

    let mut chain = Chain::new(&[1]);
    let x = chain.last;
    let around = chain.add(dense(2, &[100.0, -7.0]), &[x]);
    chain = chain.then(SOFTPLUS).then(dense(2, &[0.0, 1.0]));
    let through = chain.last;
    chain.last = chain.add(Op::Add, &[around, through]);
    assert_pair(&chain.finish(), 0, 1, 0.25);

    // The same input twice.
    let mut chain = Chain::new(&[1]).then(SOFTPLUS);
    let unit = chain.last;
    chain.last = chain.add(Op::Add, &[unit, unit]);
    let twice = chain.then(dense(2, &[0.0, 1.0])).finish();
    assert_pair(&twice, 0, 1, 0.5);
}

/// softplus(x) and tanh(x) side by side: κ = ¼ and 4/(3√3), of one pixel: the sum.
#[test]
fn units_side_by_side_have_their_own_ranges() {
    let mut chain = Chain::new(&[1]);
    let x = chain.last;
    let a = chain.add(SOFTPLUS, &[x]);
    let b = chain.add(Op::Activation(Activation::Tanh), &[x]);
    chain.last = chain.add(Op::Concat { axis: 0 }, &[a, b]);
    let network = chain.then(dense(2, &[0.0, 0.0, 1.0, 1.0])).finish();
    assert_pair(&network, 0, 1, 0.25 + 4.0 / (3.0 * 3f64.sqrt()));
    assert_pair(&network, 1, 0, 4.0 / (3.0 * 3f64.sqrt()));
}

/// A copied pixel is read by two units: κ·(1 + 1); the last axis of a matrix is what a dense layer reads.
#[test]
fn copies_and_rows_are_counted() {
    let copies = Pick::along(&[1], &[vec![Some(0), None, Some(0)]], 5.0).unwrap();
    let network = Chain::new(&[1])
        .then(Op::Pick(copies))
        .then(SOFTPLUS)
        .then(dense(2, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
        .finish();
    assert_pair(&network, 0, 1, 0.5);

    let rows = Chain::new(&[2, 2])
        .then(dense(1, &[1.0, 2.0]))
        .then(SOFTPLUS)
        .then(Op::Pick(Pick::flatten(&[2, 1])))
        .then(dense(2, &[0.0, 0.0, 1.0, 3.0]))
        .finish();
    assert_pair(&rows, 0, 1, 0.25 * 3.0 * 5.0);
}

/// What a softmax, a positive factor and a shift in common do to the logits is left out.
#[test]
fn the_logits_are_what_a_final_softmax_reads() {
    let head = |ops: &[Op]| {
        let chain = Chain::new(&[1]).then(SOFTPLUS).then(dense(2, &[0.0, 1.0]));
        ops.iter()
            .fold(chain, |chain, op| chain.then(op.clone()))
            .finish()
    };
    assert_pair(&head(&[Op::Softmax { axis: 0 }]), 0, 1, 0.25);
    assert_pair(&head(&[affine(1, 3.0)]), 0, 1, 0.25);
    // A negative factor turns the order: the logits are behind it.
    let turned = head(&[affine(1, -3.0)]);
    assert_pair(&turned, 0, 1, 0.0);
    assert_pair(&turned, 1, 0, 0.75);
}

#[test]
fn an_affine_network_has_no_curvature() {
    let network = Chain::new(&[2])
        .then(affine(1, 1e6))
        .then(dense(3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .finish();
    let found = curved(&network);
    for pair in 0..9 {
        assert_eq!(found.pair(pair / 3, pair % 3).get().to_bits(), 0);
    }
}

/// Those without a continuous derivative, and nodes that are no activation, are refused by name.
#[test]
fn kinks_are_refused_by_name() {
    let slopes = || PerEntry::uniform(2, 0.25).unwrap();
    let pool = Pool::new(&[2]);
    let cases: Vec<(Op, &str)> = vec![
        (Op::Activation(Activation::Relu), "Relu"),
        (
            Op::Activation(Activation::LeakyRelu { alpha: 0.1 }),
            "LeakyRelu",
        ),
        (Op::Activation(Activation::Elu { alpha: 0.5 }), "Elu"),
        (
            Op::Activation(Activation::Selu {
                alpha: 1.67,
                gamma: 1.05,
            }),
            "Selu",
        ),
        (Op::Activation(Activation::Abs), "Abs"),
        (Op::Activation(Activation::HardSwish), "HardSwish"),
        (Op::PRelu(slopes()), "PReLU"),
        (Op::MaxPool(pool), "max-pool"),
        (Op::Max, "maximum"),
        (Op::Min, "minimum"),
        (Op::Softmax { axis: 1 }, "softmax"),
        (Op::LogSoftmax { axis: 1 }, "log-softmax"),
    ];
    for (op, word) in cases {
        let mut net = NetworkBuilder::new(&[1, 2]).unwrap();
        let x = net.input();
        let inputs = match op {
            Op::Max | Op::Min => vec![x, x],
            _ => vec![x],
        };
        let y = net.add("the kink", op, &inputs).unwrap();
        let flat = Pick::flatten(net.shape(y));
        let n = flat.shape()[0];
        let y = net.add("flat", Op::Pick(flat), &[y]).unwrap();
        let weights: Vec<f64> = (0..2 * n).map(|i| i as f64).collect();
        let y = net.add("logits", dense(2, &weights), &[y]).unwrap();
        let bounds = bounds(&net.finish(&[y]).unwrap());
        let forward = Forward::new(&bounds).unwrap();
        let answers = [
            curvature(&bounds, &Options::default()).unwrap_err(),
            forward.gradient(&[0.5, -0.5], 0, Some(1)).unwrap_err(),
        ];
        for error in answers {
            let Error::NoCurvature { node, reason } = &error else {
                panic!("{word}: {error}")
            };
            assert_eq!(node, "the kink");
            assert!(reason.contains(word), "{reason:?} does not name {word}");
        }
    }
}

/// ∂/∂x of 2·tanh(x_0)·1 − σ(x_1)·3 at 0: 2·1 and −3·¼; of one logit alone the first only.
#[test]
fn gradients_at_zero_are_those_by_hand() {
    let mut chain = Chain::new(&[2]);
    let x = chain.last;
    let a = chain.add(Op::Activation(Activation::Tanh), &[x]);
    let b = chain.add(Op::Activation(Activation::Sigmoid), &[x]);
    chain.last = chain.add(Op::Concat { axis: 0 }, &[a, b]);
    let network = chain
        .then(dense(2, &[2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]))
        .finish();
    let bounds = bounds(&network);
    let forward = Forward::new(&bounds).unwrap();
    for (minus, by_hand) in [(Some(1), [2.0, -0.75]), (None, [2.0, 0.0])] {
        let gradient = forward.gradient(&[0.0, 0.0], 0, minus).unwrap();
        let values = gradient.values();
        let off = (values[0] - by_hand[0]).hypot(values[1] - by_hand[1]);
        assert!(off <= gradient.error().get(), "{values:?}");
        assert!(gradient.error().get() < 1e-13);
    }
    let zero = forward.gradient(&[0.3, 0.7], 1, Some(1)).unwrap();
    assert!(zero.values().iter().all(|&v| v.abs() <= zero.error().get()));
}

/// x + 10¹⁰ − 10¹⁰ is off by up to 10⁻⁶, and so is σ' there.
#[test]
fn gradients_count_the_error_of_their_point() {
    let shifted = |shift| {
        let uniform = |value| PerEntry::uniform(1, value).unwrap();
        Op::Affine(Affine::exact(uniform(1.0), uniform(shift)))
    };
    let network = Chain::new(&[1])
        .then(shifted(1e10))
        .then(shifted(-1e10))
        .then(SOFTPLUS)
        .then(dense(2, &[1.0, 0.0]))
        .finish();
    let bounds = bounds(&network);
    let found = Forward::new(&bounds).unwrap();
    let found = found.gradient(&[0.1], 0, None).unwrap();
    let off = (found.values()[0] - 1.0 / (1.0 + (-0.1f64).exp())).abs();
    assert!(off > 1e-9, "{off:e}: this point does not show it");
    assert!(off <= found.error().get(), "{off:e}");
    assert!(found.error().get() < 1e-5);
}

#[test]
fn gradients_refuse_what_is_no_image_or_no_class() {
    let network = Chain::new(&[2]).then(SOFTPLUS).finish();
    let bounds = bounds(&network);
    let forward = Forward::new(&bounds).unwrap();
    let of = |image: &[f64], plus, minus| forward.gradient(image, plus, minus).unwrap_err();
    assert!(matches!(
        of(&[0.0], 0, None),
        Error::Length {
            expected: 2,
            got: 1,
            ..
        }
    ));
    assert!(matches!(of(&[0.0; 4], 0, None), Error::Length { .. }));
    assert!(matches!(
        of(&[0.0, f64::NAN], 0, None),
        Error::NotFinite { flat: 1, .. }
    ));
    assert!(matches!(
        of(&[0.0; 2], 2, None),
        Error::Label {
            label: 2,
            classes: 2
        }
    ));
    assert!(matches!(
        of(&[0.0; 2], 0, Some(9)),
        Error::Label { label: 9, .. }
    ));
}

/// A row may name one entry several times. 0.1 added a thousand times is off by 1.4e-12, while one
/// rounding per row would allow 1e-13.
#[test]
fn roundings_of_entries_that_share_a_place_are_counted() {
    let matrix = AxisMatrix::new(1, vec![vec![(0, 0.1); 1000]]).unwrap();
    let network = Chain::new(&[1])
        .then(Op::Separable(Separable::new(vec![Some(matrix)])))
        .then(dense(2, &[1.0, 0.0]))
        .finish();
    let bounds = bounds(&network);
    let gradient = Forward::new(&bounds).unwrap();
    let gradient = gradient.gradient(&[1.0], 0, None).unwrap();
    // A thousand times the float 0.1 is 100 + 5.6e-15.
    let off = (gradient.values()[0] - 100.0).abs();
    assert!(off > 1e-12, "{off:e}: this sum does not show it");
    assert!(
        off <= gradient.error().get(),
        "{off:e}: {:?}",
        gradient.error()
    );
}

/// The factor 10³⁰⁸ + 10³⁰⁸ − 1.5·10³⁰⁸ − 1.5·10³⁰⁸ of a unit is negative; as computed it is +∞, which
/// for softplus would be no curvature at all.
#[test]
fn a_factor_that_overflows_proves_nothing() {
    for layers in 1..=2 {
        let mut chain = (0..layers).fold(Chain::new(&[1]), |chain, _| chain.then(SOFTPLUS));
        let unit = chain.last;
        // The reverse order of these is that of the sum.
        let parts: Vec<NodeId> = [-1.5e308, -1.5e308, 1e308, 1e308]
            .iter()
            .map(|&w| chain.add(dense(2, &[w, 0.0]), &[unit]))
            .collect();
        chain.last = chain.add(Op::Add, &parts);
        let network = chain.finish();
        // ¼·10³⁰⁸ times the square of the slope of what the unit reads, here at least ¼, or nothing.
        match curvature(&bounds(&network), &Options::default()) {
            Ok(found) => assert!(found.pair(0, 1).get() >= 0.06e308, "{layers} layers"),
            Err(error) => assert!(error.to_string().contains("leaves the range of f64")),
        }
    }
}

/// Where logits are as large as floats, half of them must not be taken for all.
#[test]
fn a_radius_at_the_end_of_the_floats_is_no_longer_than_the_distance() {
    let network = Chain::new(&[1])
        .then(dense_with_bias(2, &[-2.0, 2.0], &[1.6e308, 0.0]))
        .finish();
    let certificate = &certifier(&network)
        .certify_by(&[0.0], &[0], true, &[vec![]])
        .unwrap()[0];
    // z_0 − z_1 = 1.6e308 − 4x.
    assert!(certificate.radius().get() <= 0.4e308);
    assert!(certificate.radius().get() >= 0.39e308);
}

/// z_0 − z_1 is about 1 and nearly flat, z_0 − z_2 is 2 and steep: softplus(x) − ln 2 = ⅕ at x = 0.3695….
#[test]
fn the_runner_up_is_not_always_the_nearest_class() {
    let ln_2 = std::f64::consts::LN_2;
    let network = Chain::new(&[1])
        .then(SOFTPLUS)
        .then(dense_with_bias(
            3,
            &[0.0, 0.01, 10.0],
            &[0.0, -1.0, -2.0 - 10.0 * ln_2],
        ))
        .finish();
    // softplus⁻¹(y) = ln(e^y − 1).
    let distance = ((ln_2 + 0.2).exp() - 1.0).ln();
    let certifier = certifier(&network);
    let found = &certifier
        .search(&[0.0], &[0], true, Effort::full())
        .unwrap()[0];
    assert_eq!((found.prediction(), found.rival()), (0, Some(2)));
    let z = found.logits();
    assert!(z[1] > z[2], "class 1 is the runner-up");
    let radius = found.radius().get();
    assert!(
        radius <= distance && radius >= 0.99 * distance,
        "{radius}, {distance}"
    );
    assert_eq!(found.method(), Method::Curvature);
    // Tangents against the runner-up alone leave the third class where it was.
    let only = Tangent::new(1, -3, vec![1]);
    let by = certifier
        .certify_by(&[0.0], &[0], true, &[vec![only]])
        .unwrap();
    assert!(by[0].radius().get() <= distance);
}

/// f = z_1 − z_0 = softplus(1) − softplus(x) is concave: its root is 1, and the slope at 0 alone gives
/// 1.24. With m of the other order, which is 0, that would be the radius.
#[test]
fn pairs_are_ordered() {
    let softplus_of_one = (1.0 + std::f64::consts::E).ln();
    let network = Chain::new(&[1])
        .then(SOFTPLUS)
        .then(dense_with_bias(2, &[1.0, 0.0], &[0.0, softplus_of_one]))
        .finish();
    assert_pair(&network, 0, 1, 0.0);
    assert_pair(&network, 1, 0, 0.25);
    let certifier = certifier(&network);
    let found = &certifier
        .search(&[0.0], &[1], true, Effort::full())
        .unwrap()[0];
    let radius = found.radius().get();
    assert!(radius <= 1.0 && radius > 0.99, "{radius}");
    let end = found.adversarial().unwrap().get();
    assert!((1.0 - 1e-12..1.01).contains(&end), "{end}");
}

/// Where nothing is proved of an image, tangents do not help: a wrong label, equal logits.
#[test]
fn wrong_labels_and_ties_have_no_radius() {
    let network = Chain::new(&[1])
        .then(SOFTPLUS)
        .then(dense_with_bias(3, &[1.0, 0.0, 1.0], &[0.0, -5.0, 0.0]))
        .finish();
    let certifier = certifier(&network);
    let tangents = vec![Tangent::new(1, -2, vec![1]), Tangent::new(2, -2, vec![1])];
    for label in 0..3 {
        let by = &certifier
            .certify_by(&[0.5], &[label], true, std::slice::from_ref(&tangents))
            .unwrap()[0];
        assert_eq!(by.radius().get().to_bits(), 0, "label {label}");
        let found = &certifier
            .search(&[0.5], &[label], true, Effort::full())
            .unwrap()[0];
        assert_eq!(found.radius().get().to_bits(), 0, "label {label}");
        assert!(!found.confirms_radius(1e-300));
    }
    let wrong = &certifier
        .certify_by(&[0.5], &[1], true, &[tangents])
        .unwrap()[0];
    assert_eq!(wrong.adversarial().unwrap().get().to_bits(), 0);
}

/// An offset may be anything that can be written.
#[test]
fn tangents_far_away_are_harmless() {
    let network = Chain::new(&[2])
        .then(dense(2, &[1.0, 2.0, -1.0, 0.5]))
        .then(SOFTPLUS)
        .then(dense(2, &[1.0, 0.0, 0.0, 1.0]))
        .finish();
    let certifier = certifier(&network);
    let image = [0.5, 0.25];
    let by = |tangents: Vec<Tangent>| {
        let found = certifier
            .certify_by(&image, &[0], true, &[tangents])
            .unwrap();
        found[0].radius().get()
    };
    let closed = by(Vec::new());
    assert!(closed > 0.0);
    for exponent in [i32::MIN, -2000, -1074, -300, 20, 500, 1010, 2000, i32::MAX] {
        for steps in [[1, -1], [i32::MAX, i32::MIN], [0, 3], [0, 0]] {
            let radius = by(vec![Tangent::new(1, exponent, steps.to_vec())]);
            // One at the image itself gives what the closed form does, up to rounding.
            assert!(
                (closed..=closed * (1.0 + 1e-9)).contains(&radius),
                "{radius} against {closed} by {steps:?}·2^{exponent}"
            );
        }
    }
}

/// 2⁻⁷⁶ in the row of one class beside 2¹⁰⁰⁰ in that of another is stored as 0, and bends all the same.
#[test]
fn a_factor_that_was_lost_in_storing_still_bends() {
    let tiny = 2f64.powi(-76);
    let network = Chain::new(&[2])
        .then(SOFTPLUS)
        .then(SOFTPLUS)
        .then(dense(3, &[2f64.powi(1000), 0.0, 0.0, tiny, 0.0, 0.0]))
        .finish();
    // With s the slope of softplus: s'(softplus(0))·s(0)² + s(softplus(0))·s'(0) = 2/9·1/4 + 2/3·1/4 = 2/9.
    let m = curved(&network).pair(2, 1).get();
    assert!(m >= tiny * 2.0 / 9.0, "{m:e}");
}

/// Channels between two layers that are a hundred times as large in the first as in the second: factors make up
/// for it (T37), certificates do without.
#[test]
fn factors_between_layers_count_in_curvature() {
    let network = Chain::new(&[2])
        .then(dense(2, &[100.0, 100.0, 0.6, -0.8]))
        .then(SOFTPLUS)
        .then(dense(2, &[0.01, 0.6, 0.01, -0.6]))
        .then(SOFTPLUS)
        .then(dense(2, &[1.0, 0.5, -1.0, 0.25]))
        .finish();
    let (least, most) = (curved(&network), certifier(&network));
    let most = most.curvature().unwrap();
    // Of the first layer ¼·0.0225·100²·2 stays; of the second one ¼·2·0.36·(100²·2) goes.
    let (least, most) = (least.pair(1, 0).get(), most.pair(1, 0).get());
    assert!(
        least > 100.0 && least < 150.0 && most > 3000.0,
        "{least} {most}"
    );
}

/// x + softplus(x) sixty times over: two ways into each block, 2⁶⁰ through all of them; and a chain that
/// is longer than a stack is deep.
#[test]
fn curvature_of_many_nodes_ends() {
    let mut chain = Chain::new(&[2]);
    for _ in 0..60 {
        let x = chain.last;
        let y = chain.add(SOFTPLUS, &[x]);
        chain.last = chain.add(Op::Add, &[x, y]);
    }
    let blocks = chain.then(diagonal(&[1.0, -1.0])).finish();
    assert!(curved(&blocks).pair(0, 1).get() > 0.0);
    let long = (0..3000).fold(Chain::new(&[2]), |chain, _| chain.then(affine(1, 1.0)));
    let long = long.then(SOFTPLUS).then(SOFTPLUS).finish();
    assert!(curved(&long).pair(0, 1).get() > 0.0);
}
