//! The golden networks `testdata/networks.toml`: constants derived by hand, one or more per rule.

use std::collections::HashMap;

use serde::Deserialize;
use sigmax::network::{
    Activation, Affine, Arithmetic, AxisMatrix, Certifier, Channels, Filter, Fold, Forward,
    Interpolation, Network, NetworkBuilder, NodeId, Normalisation, Op, PerEntry, Pick, Pool,
    Separable, StatedBound, confirm_bounds, jacobian_norm, lipschitz,
};
use sigmax::{Conv, Kernel, Options, PaddingMode};

#[derive(Deserialize)]
struct Suite {
    network: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    input: Vec<usize>,
    node: Vec<Node>,
    outputs: Option<Vec<String>>,
    lipschitz: f64,
    why: String,
    x: Option<Vec<f64>>,
    y: Option<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Node {
    name: Option<String>,
    op: String,
    #[serde(rename = "in")]
    inputs: Option<Vec<String>>,
    shape: Vec<usize>,
    values: Vec<f64>,
    bias: Option<Vec<f64>>,
    stride: Option<Vec<usize>>,
    padding: Option<Vec<(usize, usize)>>,
    mode: Option<String>,
    dilation: Option<Vec<usize>>,
    groups: Option<usize>,
    transposed: bool,
    kernel: Vec<usize>,
    ceil: bool,
    count_padding: bool,
    axis: usize,
    axes: Vec<usize>,
    to: Vec<usize>,
    size: usize,
    how: String,
    amounts: Vec<(isize, isize)>,
    along: Vec<Vec<isize>>,
    fill: f64,
    scale: Vec<f64>,
    shift: Vec<f64>,
    gamma: Option<Gamma>,
    beta: Option<Gamma>,
    mean: Vec<f64>,
    std: Vec<f64>,
    variance: Vec<f64>,
    epsilon: f64,
    alpha: f64,
    low: f64,
    high: f64,
}

/// A number for an activation, a list for BatchNorm.
#[derive(Deserialize)]
#[serde(untagged)]
enum Gamma {
    One(f64),
    Many(Vec<f64>),
}

fn one(gamma: Option<&Gamma>) -> f64 {
    match gamma {
        Some(Gamma::One(value)) => *value,
        _ => 0.0,
    }
}

fn many(gamma: Option<&Gamma>) -> &[f64] {
    match gamma {
        Some(Gamma::Many(values)) => values,
        _ => &[],
    }
}

impl Node {
    fn mode(&self) -> PaddingMode {
        let Some(name) = &self.mode else {
            return PaddingMode::Zeros;
        };
        [
            PaddingMode::Zeros,
            PaddingMode::Circular,
            PaddingMode::Reflect,
            PaddingMode::Replicate,
        ]
        .into_iter()
        .find(|mode| mode.name() == name)
        .expect("a padding mode")
    }

    fn conv(&self) -> Op {
        let axes = self.shape.len() - 2;
        let mut conv = Conv::new(axes)
            .with_padding_mode(self.mode())
            .with_groups(self.groups.unwrap_or(1));
        if let Some(stride) = &self.stride {
            conv = conv.with_stride(stride);
        }
        if let Some(padding) = &self.padding {
            conv = conv.with_padding(padding);
        }
        if let Some(dilation) = &self.dilation {
            conv = conv.with_dilation(dilation);
        }
        conv.transposed = self.transposed;
        Op::Conv {
            kernel: Kernel::new(&self.shape, self.values.clone()).unwrap(),
            conv,
            bias: self.bias.clone(),
        }
    }

    fn pool(&self) -> Pool {
        let mut pool = Pool::new(&self.kernel);
        if let Some(stride) = &self.stride {
            pool = pool.with_stride(stride);
        }
        if let Some(padding) = &self.padding {
            pool = pool.with_padding(padding);
        }
        if let Some(dilation) = &self.dilation {
            pool = pool.with_dilation(dilation);
        }
        pool.ceil = self.ceil;
        pool
    }

    fn activation(&self) -> Activation {
        let alpha = self.alpha;
        match self.op.as_str() {
            "Relu" => Activation::Relu,
            "LeakyRelu" => Activation::LeakyRelu { alpha },
            "Elu" => Activation::Elu { alpha },
            "Celu" => Activation::Celu { alpha },
            "Selu" => Activation::Selu {
                alpha,
                gamma: one(self.gamma.as_ref()),
            },
            "Sigmoid" => Activation::Sigmoid,
            "Tanh" => Activation::Tanh,
            "Softplus" => Activation::Softplus,
            "Softsign" => Activation::Softsign,
            "Gelu" => Activation::Gelu,
            "Gelu (tanh)" => Activation::GeluTanh,
            "Silu" => Activation::Silu,
            "Mish" => Activation::Mish,
            "HardSigmoid" => Activation::HardSigmoid {
                alpha,
                beta: one(self.beta.as_ref()),
            },
            "HardSwish" => Activation::HardSwish,
            "Clip" => Activation::Clip {
                low: self.low,
                high: self.high,
            },
            "Abs" => Activation::Abs,
            "Erf" => Activation::Erf,
            "Atan" => Activation::Atan,
            other => panic!("no operation {other}"),
        }
    }

    fn op(&self, input: &[usize]) -> Op {
        let rank = input.len();
        let per = |values: &[f64]| match values {
            [one] => PerEntry::uniform(rank, *one).unwrap(),
            _ => PerEntry::channels(rank, values.to_vec()).unwrap(),
        };
        match self.op.as_str() {
            "conv" => self.conv(),
            "dense" => Op::Dense {
                kernel: Kernel::new(&self.shape, self.values.clone()).unwrap(),
                bias: self.bias.clone(),
            },
            "affine" => Op::Affine(Affine::exact(per(&self.scale), per(&self.shift))),
            "normalise" => {
                let layout = match self.how.as_str() {
                    "" => Channels::First,
                    name => Channels::named(name).unwrap(),
                };
                Op::Affine(Affine::normalisation(input, layout, &self.mean, &self.std).unwrap())
            }
            "batch-norm" => {
                let [gamma, beta] = [many(self.gamma.as_ref()), many(self.beta.as_ref())];
                let values = [gamma, beta, &self.mean, &self.variance];
                Op::Affine(Affine::batch_norm(rank, values, self.epsilon).unwrap())
            }
            "prelu" => Op::PRelu(per(&self.scale)),
            "pick" => {
                let along: Vec<Vec<Option<usize>>> = self
                    .along
                    .iter()
                    .map(|list| list.iter().map(|&i| usize::try_from(i).ok()).collect())
                    .collect();
                Op::Pick(Pick::along(input, &along, self.fill).unwrap())
            }
            "pad" => Op::Pick(Pick::pad(input, &self.amounts, self.mode(), self.fill).unwrap()),
            "transpose" => Op::Pick(Pick::transpose(input, &self.axes).unwrap()),
            "reshape" => Op::Pick(Pick::reshape(input, &self.to).unwrap()),
            "flatten" => Op::Pick(Pick::flatten(input)),
            "max-pool" => Op::MaxPool(self.pool()),
            "average-pool" => {
                let pool = self.pool();
                Op::Separable(Separable::average_pool(input, &pool, self.count_padding).unwrap())
            }
            "mean" => Op::Separable(Separable::mean(input, &self.axes).unwrap()),
            "sum" => Op::Separable(Separable::sum(input, &self.axes).unwrap()),
            "linear" => {
                let how = match self.how.as_str() {
                    "half-pixel" => Interpolation::HalfPixel,
                    "pytorch-half-pixel" => Interpolation::PytorchHalfPixel,
                    "align-corners" => Interpolation::AlignCorners,
                    "asymmetric" => Interpolation::Asymmetric,
                    other => panic!("no interpolation {other}"),
                };
                let n = input[self.axis];
                let scale = self.size as f64 / n as f64;
                let mut axes = vec![None; rank];
                axes[self.axis] = Some(AxisMatrix::linear(n, self.size, scale, how).unwrap());
                Op::Separable(Separable::new(axes))
            }
            "cubic" | "antialiased" => {
                let n = input[self.axis];
                let filter = Filter {
                    cubic: (self.op == "cubic").then_some(self.alpha),
                    antialias: self.op == "antialiased",
                    exclude_outside: false,
                };
                let (scale, how) = (self.size as f64 / n as f64, Interpolation::HalfPixel);
                let matrix = AxisMatrix::filtered(n, self.size, scale, how, filter).unwrap();
                let mut axes = vec![None; rank];
                axes[self.axis] = Some(matrix);
                Op::Separable(Separable::new(axes))
            }
            "centred" => {
                Op::Normalisation(Normalisation::centred(self.axis, self.epsilon).unwrap())
            }
            "root-mean-square" => {
                let normalisation = Normalisation::root_mean_square(self.axis, self.epsilon);
                Op::Normalisation(normalisation.unwrap())
            }
            "norm" => Op::Fold(Fold::norm(self.pool())),
            "log-sum-exp" => Op::Fold(Fold::log_sum_exp(self.pool())),
            "softmax" => Op::Softmax { axis: self.axis },
            "log-softmax" => Op::LogSoftmax { axis: self.axis },
            "add" => Op::Add,
            "max" => Op::Max,
            "min" => Op::Min,
            "concat" => Op::Concat { axis: self.axis },
            _ => Op::Activation(self.activation()),
        }
    }
}

impl Case {
    fn network(&self) -> Network {
        let mut net = NetworkBuilder::new(&self.input).unwrap();
        let mut last = net.input();
        let mut named: HashMap<String, NodeId> = HashMap::from([("x".to_owned(), last)]);
        for (i, node) in self.node.iter().enumerate() {
            let inputs = match &node.inputs {
                None => vec![last],
                Some(names) => names.iter().map(|name| named[name]).collect(),
            };
            let op = node.op(net.shape(inputs[0]));
            let name = node.name.clone().unwrap_or_else(|| i.to_string());
            last = net.add(&name, op, &inputs).unwrap();
            named.insert(name, last);
        }
        let outputs = match &self.outputs {
            None => vec![last],
            Some(names) => names.iter().map(|name| named[name]).collect(),
        };
        net.finish(&outputs).unwrap()
    }
}

fn suite() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/networks.toml");
    let suite: Suite = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(suite.network.len() >= 70, "{}", suite.network.len());
    suite.network
}

/// The slack is that of the search (1e-3) and of constants written with few digits.
#[test]
fn constants_are_those_derived_by_hand() {
    for case in suite() {
        let net = case.network();
        let upper = lipschitz(&net, &Options::default()).unwrap();
        let upper = upper.upper().get();
        let about = format!("{}: {upper:e}, {}", case.name, case.why);
        assert!(upper >= case.lipschitz, "{about}");
        assert!(upper <= case.lipschitz * (1.0 + 2e-3) + 1e-12, "{about}");
    }
}

#[test]
fn values_are_those_computed_by_hand() {
    let mut checked = 0;
    for case in suite() {
        let (Some(x), Some(y)) = (&case.x, &case.y) else {
            continue;
        };
        let net = case.network();
        let bounds = lipschitz(&net, &Options::default()).unwrap();
        let forward = Forward::new(&bounds).unwrap();
        let value = &forward.evaluate(x).unwrap()[0];
        assert_eq!(value.values().len(), y.len(), "{}", case.name);
        for (a, b) in value.values().iter().zip(y) {
            // Both are known to within one unit roundoff of numbers below 16 besides.
            let error = value.error().get() + 4e-15;
            assert!(
                (a - b).abs() <= error,
                "{}: {:?}",
                case.name,
                value.values()
            );
        }
        assert!(value.error().get() < 1e-13, "{}", case.name);
        checked += 1;
    }
    assert!(checked >= 40, "{checked}");
}

/// What a certifier states of every golden network is confirmed by the checker.
#[test]
fn the_checker_confirms_the_golden_networks() {
    for case in suite() {
        let net = case.network();
        let Ok(certifier) =
            Certifier::new(&net, &Options::default(), sigmax::network::Arithmetic::Real)
        else {
            continue;
        };
        let stated: Vec<StatedBound> = certifier.bounds().nodes().iter().map(stated).collect();
        let confirmed = confirm_bounds(&net, &stated).unwrap();
        assert_eq!(&confirmed, certifier.bounds(), "{}", case.name);
    }
}

/// A bound as a claim to be confirmed.
pub(crate) fn stated(bound: &sigmax::network::NodeBound) -> StatedBound {
    StatedBound {
        own: bound.own().get(),
        through: bound.through().get(),
        together_from: match bound.rule() {
            sigmax::network::Rule::Fused(start) => Some(start),
            _ => None,
        },
    }
}

#[test]
fn bounds_own_their_share_of_the_network() {
    fn shared<T: Clone + Send + Sync + 'static>(value: &T) -> T {
        value.clone()
    }
    fn owned<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let kernel = Kernel::new(&[2, 2], vec![3.0, 0.0, 0.0, 4.0]).unwrap();
    let (bounds, forward, certifier) = {
        let mut net = NetworkBuilder::new(&[2]).unwrap();
        let y = net.add("y", Op::dense(kernel), &[net.input()]).unwrap();
        let net = shared(&net.finish(&[y]).unwrap());
        let bounds = lipschitz(&net, &Options::default()).unwrap();
        let forward = Forward::new(&bounds).unwrap();
        let certifier = Certifier::with_bounds(bounds.clone(), Arithmetic::Real).unwrap();
        (shared(&bounds), owned(forward), owned(certifier))
    };
    assert_eq!(bounds.network().nodes().len(), 2);
    assert_eq!(
        forward.evaluate(&[1.0, 1.0]).unwrap()[0].values(),
        [3.0, 4.0]
    );
    assert_eq!(certifier.certify(&[1.0, 0.0], &[0], true).unwrap().len(), 1);
}

/// The constant of a normalisation alone is 1/√ε, attained at constant entries (T41).
#[test]
fn normalisations_are_as_steep_as_their_epsilon() {
    let epsilon = f64::from(1e-5_f32);
    for centred in [true, false] {
        let op = |axis| match centred {
            true => Normalisation::centred(axis, epsilon).unwrap(),
            false => Normalisation::root_mean_square(axis, epsilon).unwrap(),
        };
        let mut net = NetworkBuilder::new(&[3, 4]).unwrap();
        let y = net
            .add("norm", Op::Normalisation(op(0)), &[net.input()])
            .unwrap();
        let net = net.finish(&[y]).unwrap();
        let bounds = lipschitz(&net, &Options::default()).unwrap();
        let upper = bounds.upper().get();
        assert!(upper * upper * epsilon >= 1.0 && upper * upper * epsilon < 1.0 + 1e-14);
        // At 0 the estimate of the Jacobian attains it.
        let forward = Forward::new(&bounds).unwrap();
        let seen = jacobian_norm(&forward, &[0.0; 12], 50).unwrap().get();
        assert!(seen <= upper * (1.0 + 1e-9) && seen > 0.999 * upper);
    }
    let mut net = NetworkBuilder::new(&[1, 4]).unwrap();
    let one = Op::Normalisation(Normalisation::centred(0, epsilon).unwrap());
    let y = net.add("norm", one, &[net.input()]).unwrap();
    let net = net.finish(&[y]).unwrap();
    assert!(lipschitz(&net, &Options::default()).unwrap().upper().get() <= 0.0);
}

#[test]
fn a_normalisation_needs_an_epsilon() {
    for epsilon in [0.0, -1e-5, f64::NAN, f64::INFINITY, 1e-200] {
        assert!(Normalisation::centred(0, epsilon).is_err());
        assert!(Normalisation::root_mean_square(0, epsilon).is_err());
    }
    let normalisation = Op::Normalisation(Normalisation::centred(2, 1e-5).unwrap());
    let mut net = NetworkBuilder::new(&[3, 4]).unwrap();
    assert!(net.add("norm", normalisation, &[net.input()]).is_err());
}

/// Runtimes compute a variance in ways that cancel: no radius in float32 is claimed.
#[test]
fn a_normalisation_has_no_certificate_in_float32() {
    let mut net = NetworkBuilder::new(&[4]).unwrap();
    let op = Op::Normalisation(Normalisation::centred(0, 0.5).unwrap());
    let y = net.add("norm", op, &[net.input()]).unwrap();
    let net = net.finish(&[y]).unwrap();
    let options = Options::default();
    let error = Certifier::new(&net, &options, Arithmetic::Float32).unwrap_err();
    assert!(error.to_string().contains("\"norm\""), "{error}");
    let certifier = Certifier::new(&net, &options, Arithmetic::Real).unwrap();
    let found = certifier
        .certify(&[3.0, 1.0, 0.0, 0.0], &[0], true)
        .unwrap();
    assert!(found[0].radius().get() > 0.0);
}

/// A mean far from 0 cancels: the error of the evaluation grows with it, and covers it.
#[test]
fn the_error_of_a_normalisation_grows_with_the_mean() {
    let mut net = NetworkBuilder::new(&[3]).unwrap();
    let op = Op::Normalisation(Normalisation::centred(0, 1e-5).unwrap());
    let y = net.add("norm", op, &[net.input()]).unwrap();
    let net = net.finish(&[y]).unwrap();
    let forward = Forward::new(&lipschitz(&net, &Options::default()).unwrap()).unwrap();
    for power in [1, 10, 40, 50] {
        // Exact: a quarter is at least an ulp of the mean.
        let mean = (1u64 << power) as f64;
        let found = forward.evaluate(&[mean - 0.25, mean, mean + 0.25]);
        let found = found.unwrap().remove(0);
        let exact = 0.25 / (0.125 / 3.0 + 1e-5_f64).sqrt();
        let off = found.values().iter().zip([-exact, 0.0, exact]);
        let off = off.map(|(y, x)| (y - x) * (y - x)).sum::<f64>().sqrt();
        let error = found.error().get();
        assert!(
            off <= error + 1e-15 && (power > 40 || error < 0.1),
            "{off} {error}"
        );
    }
    let found = forward.evaluate(&[1e200, 0.0, 0.0]).unwrap();
    assert!(found[0].error().get() > f64::MAX);
}

fn folded(shape: &[usize], fold: Fold) -> Network {
    let mut net = NetworkBuilder::new(shape).unwrap();
    let y = net.add("fold", Op::Fold(fold), &[net.input()]).unwrap();
    net.finish(&[y]).unwrap()
}

/// Norms and log-sum-exps have the constant of max-pooling with their windows (T44).
#[test]
fn folds_have_the_constant_of_their_windows() {
    let apart = || Pool::new(&[3]);
    let overlapping = || Pool::new(&[3]).with_stride(&[1]).with_padding(&[(1, 1)]);
    for (pool, expected) in [(apart(), 1.0), (overlapping(), 3f64.sqrt())] {
        for fold in [Fold::norm(pool.clone()), Fold::log_sum_exp(pool.clone())] {
            let net = folded(&[2, 6], fold);
            let bounds = lipschitz(&net, &Options::default()).unwrap();
            let upper = bounds.upper().get();
            assert!((upper / expected - 1.0).abs() < 1e-15, "{upper}");
            let forward = Forward::new(&bounds).unwrap();
            // One large entry in every other place: ln Σ is nearly that of two windows.
            let x: Vec<f64> = (0..12).map(|i| [40.0, 0.5, -1.0][i % 3]).collect();
            let seen = jacobian_norm(&forward, &x, 60).unwrap().get();
            assert!(seen <= upper * (1.0 + 1e-12) && seen > 0.99 * expected.min(2f64.sqrt()));
        }
    }
}

#[test]
fn values_of_folds_are_within_their_errors() {
    let value = |fold: fn(Pool) -> Fold, x: &[f64]| {
        let net = folded(&[1, x.len()], fold(Pool::new(&[x.len()])));
        let forward = Forward::new(&lipschitz(&net, &Options::default()).unwrap()).unwrap();
        let found = forward.evaluate(x).unwrap().remove(0);
        (found.values()[0], found.error().get())
    };
    for (x, expected) in [
        (&[3.0, -4.0][..], 5.0),
        (&[0.0, 0.0], 0.0),
        (&[3e-200, 4e-200], 5e-200),
        (&[3e150, 4e150], 5e150),
    ] {
        let (found, error) = value(Fold::norm, x);
        assert!((found - expected).abs() <= error + 1e-15 * expected);
        assert!(error <= 1e-15 * (1.0 + expected), "{error:e}");
    }
    for (x, expected) in [
        (&[0.0, 0.0][..], std::f64::consts::LN_2),
        (&[1000.0], 1000.0),
        (&[-1e5, -1e5 - 800.0], -1e5),
        (
            &[700.0, 700.0 - 1e-9],
            700.0 + std::f64::consts::LN_2 - 5e-10,
        ),
    ] {
        let (found, error) = value(Fold::log_sum_exp, x);
        assert!((found - expected).abs() <= error + 1e-15 * expected.abs());
        assert!(error <= 1e-14 * (1.0 + expected.abs()), "{error:e}");
    }
    for (fold, x) in [
        (Fold::norm as fn(Pool) -> Fold, [1e200, 0.0]),
        (Fold::log_sum_exp, [1e308, 1e308]),
    ] {
        let (found, error) = value(fold, &x);
        assert!(found.is_finite() && error >= 1e-17 * found);
    }
    assert!(value(Fold::norm, &[1e200, 0.0]).1 > f64::MAX);
}

/// Squares and exponentials may leave the range of float32: no radius there is claimed.
#[test]
fn a_fold_has_no_certificate_in_float32() {
    for fold in [
        Fold::norm(Pool::new(&[2])),
        Fold::log_sum_exp(Pool::new(&[2])),
    ] {
        let name = match &fold {
            fold if *fold == Fold::norm(Pool::new(&[2])) => "norm of windows",
            _ => "log-sum-exp",
        };
        let net = folded(&[1, 4], fold);
        let options = Options::default();
        let error = Certifier::new(&net, &options, Arithmetic::Float32).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let certifier = Certifier::new(&net, &options, Arithmetic::Real).unwrap();
        let found = certifier
            .certify(&[3.0, 1.0, 0.0, 0.5], &[0], true)
            .unwrap();
        assert!(found[0].radius().get() > 0.0);
    }
}

/// Of many turns nothing is known but that sines and cosines are at most 1.
#[test]
fn sines_far_from_0_are_not_known() {
    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let sin = Op::Activation(Activation::Sin);
    let y = net.add("sin", sin, &[net.input()]).unwrap();
    let net = net.finish(&[y]).unwrap();
    let forward = Forward::new(&lipschitz(&net, &Options::default()).unwrap()).unwrap();
    for (x, most) in [(1e6, 1e-14), (1e7, 2.0), (1e300, 2.0)] {
        let found = forward.evaluate(&[x, 0.5]).unwrap().remove(0);
        let error = found.error().get();
        assert!(error <= most && (error >= 1.0) == (x > 5e6), "{error}");
        assert!((found.values()[1] - 0.479_425_538_604_203).abs() < 1e-14);
    }
}
