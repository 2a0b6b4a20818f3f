use super::around::Around;
use super::bend::{bend, least};
use super::boxes::Narrowed;
use super::pieces::Bends;
use super::pool::PoolBends;
use super::prepared::Prepared;
use super::reach::Reach;
use crate::bound::options::Options;
use crate::conv::Conv;
use crate::kernel::Kernel;
use crate::network::builder::NetworkBuilder;
use crate::network::certify::{Arithmetic, Certifier};
use crate::network::eval::forward::Inexact;
use crate::network::graph::{Network, NodeId};
use crate::network::local::slopes::Slopes;
use crate::network::local::{Distances, Limits};
use crate::network::op::Op;
use crate::network::op::activation::Activation;
use crate::network::op::pick::Pick;
use crate::network::op::pool::{Pool, argmax, entries};

struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Between −1 and 1.
    fn real(&mut self) -> f64 {
        self.bits() as f64 / (1u64 << 30) as f64 - 1.0
    }

    fn reals(&mut self, n: usize, size: f64) -> Vec<f64> {
        (0..n).map(|_| size * self.real()).collect()
    }

    /// A direction, of a length up to `length`, or just that, with few entries or many.
    fn step(&mut self, n: usize, length: f64) -> Vec<f64> {
        let few = self.bits().is_multiple_of(2);
        let mut step: Vec<f64> = (0..n)
            .map(|_| {
                if few && !self.bits().is_multiple_of(3) {
                    0.0
                } else {
                    self.real()
                }
            })
            .collect();
        let norm = norm(&step);
        let share = if self.bits().is_multiple_of(2) {
            1.0 - 1e-9
        } else {
            0.5 + 0.5 * self.real()
        };
        if norm > 0.0 {
            step.iter_mut().for_each(|v| *v *= share * length / norm);
        }
        step
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

const ACTIVATIONS: [Activation; 18] = [
    Activation::Relu,
    Activation::LeakyRelu { alpha: 0.2 },
    Activation::LeakyRelu { alpha: -1.5 },
    Activation::Elu { alpha: 1.0 },
    Activation::Elu { alpha: 0.3 },
    Activation::Celu { alpha: 0.5 },
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Gelu,
    Activation::Silu,
    Activation::Mish,
    Activation::HardSigmoid {
        alpha: 0.2,
        beta: 0.5,
    },
    Activation::HardSwish,
    Activation::Clip {
        low: -0.5,
        high: 1.0,
    },
    Activation::Clip {
        low: -1e30,
        high: 0.1,
    },
    Activation::SoftShrink { lambd: 0.5 },
    Activation::Abs,
];

/// The linear function lies below the sum wherever it is looked at, and touches it about.
#[test]
fn the_linear_function_is_below() {
    let mut draw = Draw(7);
    let mut touched = 0;
    for round in 0..3000 {
        let activation = ACTIVATIONS[round % ACTIVATIONS.len()];
        let n = 1 + (draw.bits() % 6) as usize;
        let size = [1e-9, 0.1, 1.0, 10.0][(draw.bits() % 4) as usize];
        let (x, ball) = (draw.reals(n, 2.0), size * (0.1 + draw.real().abs()));
        let y: Vec<f64> = x.iter().map(|&x| activation.value(x).0).collect();
        let side = |draw: &mut Draw| -> Vec<f64> {
            (0..n)
                .map(|_| {
                    ball * if draw.bits().is_multiple_of(2) {
                        1.0
                    } else {
                        draw.real().abs()
                    }
                })
                .collect()
        };
        let low: Vec<f64> = side(&mut draw).iter().map(|v| -v).collect();
        let high = side(&mut draw);
        let bends = Bends::of_activation(&activation, [&x, &y], [&low, &high]);
        let factor = [1.0, 1e-8, 1e8][(draw.bits() % 3) as usize];
        let c = draw.reals(n, factor);
        let places: Vec<u32> = (0..n as u32).collect();
        let mut g = vec![0.0; n];
        // By the rule, or by any slopes.
        let steps: Vec<u8> = (0..n)
            .map(|_| match round % 2 {
                0 => Slopes::NONE,
                _ => (draw.bits() % u64::from(Slopes::MOST + 1)) as u8,
            })
            .collect();
        let mut touches = Vec::new();
        let k = bend(
            &bends,
            &c,
            &places,
            ball,
            &mut g,
            Some((&steps, &mut touches)),
        );
        let mut least = f64::INFINITY;
        for _ in 0..200 {
            let mut t = draw.step(n, ball);
            // Kinks too.
            if draw.bits().is_multiple_of(4) {
                let i = (draw.bits() % n as u64) as usize;
                t[i] = -x[i];
            }
            for ((t, &low), &high) in t.iter_mut().zip(&low).zip(&high) {
                *t = t.clamp(low, high);
            }
            if norm(&t) > ball {
                continue;
            }
            let mut gap = -k;
            let mut error = 1e-15 * k.abs();
            for i in 0..n {
                let (value, off) = activation.value(x[i] + t[i]);
                gap += c[i] * (value - y[i]) - g[i] * t[i];
                error += c[i].abs() * (off + 1e-15 * (value.abs() + y[i].abs() + x[i].abs()))
                    + 1e-15 * (g[i] * t[i]).abs();
            }
            assert!(
                gap >= -error,
                "{activation:?}: {gap} {error} x {x:?} c {c:?} t {t:?} g {g:?} k {k}"
            );
            least = least.min(gap / (c.iter().map(|c| c.abs()).sum::<f64>() * ball));
        }
        touched += usize::from(least < 0.05 && round % 2 == 0);
    }
    assert!(touched > 1000, "{touched} of 1500 are of use");
}

/// Pools, overlapping or not, with and without a ReLU before them.
#[test]
fn pools_are_above_their_linear_functions() {
    let mut draw = Draw(9);
    for round in 0..600 {
        let floor = round % 2 == 0;
        let pool = match round % 3 {
            0 => Pool::new(&[2, 2]),
            1 => Pool::new(&[3, 2])
                .with_stride(&[1, 1])
                .with_padding(&[(1, 1), (0, 0)]),
            _ => Pool::new(&[2, 2])
                .with_stride(&[2, 1])
                .with_dilation(&[2, 1]),
        };
        let shape = [2, 5, 4];
        let (n, ball) = (40, [1e-6, 0.3, 3.0][(draw.bits() % 3) as usize]);
        let mut x = draw.reals(n, 1.0);
        if round % 5 == 0 {
            // Ties.
            x.iter_mut().for_each(|x| *x = (2.0 * *x).round());
        }
        let windows = pool.all_windows(&shape).unwrap();
        let all = entries(&windows, &shape);
        let value = |x: &[f64]| -> Vec<f64> {
            let floor = if floor { 0.0 } else { f64::NEG_INFINITY };
            all.iter()
                .map(|w| w.iter().fold(floor, |m, &w| x[w as usize].max(m)))
                .collect()
        };
        let reach = Reach {
            ball,
            low: draw.reals(n, ball).iter().map(|v| -v.abs()).collect(),
            high: draw.reals(n, ball).iter().map(|v| v.abs()).collect(),
        };
        let bends = PoolBends::new(
            &all,
            argmax(&windows, &x, &shape),
            floor,
            &x,
            [&reach.low, &reach.high],
        );
        let y = value(&x);
        let (low, high) = bends.ranges(&y, &x, &reach);
        let c = draw.reals(y.len(), 1.0);
        let places: Vec<u32> = (0..y.len() as u32).collect();
        let at: Vec<u32> = (0..n as u32).collect();
        let mut g = vec![0.0; n];
        let k = bends.bend(&c, &places, &at, ball, &mut g, None);
        for _ in 0..100 {
            let mut t = draw.step(n, ball);
            for ((t, &low), &high) in t.iter_mut().zip(&reach.low).zip(&reach.high) {
                *t = t.clamp(low, high);
            }
            let moved: Vec<f64> = x.iter().zip(&t).map(|(x, t)| x + t).collect();
            let z = value(&moved);
            let mut gap = -k;
            for i in 0..y.len() {
                let d = z[i] - y[i];
                assert!(
                    low[i] <= d + 1e-14 && d <= high[i] + 1e-14,
                    "{} {d} {}",
                    low[i],
                    high[i]
                );
                gap += c[i] * d;
            }
            gap -= g.iter().zip(&t).map(|(g, t)| g * t).sum::<f64>();
            assert!(gap >= -1e-13, "{gap} in round {round}");
        }
    }
}

/// The larger ones of both halves of the channels beside the smaller ones.
fn sorted_pairs(net: &mut NetworkBuilder, x: NodeId) -> NodeId {
    let shape = net.shape(x).to_vec();
    let half = shape[0] / 2;
    let [a, b] = [0, half].map(|start| {
        let mut along: Vec<Vec<Option<usize>>> = shape
            .iter()
            .map(|&n| (0..n).map(Some).collect::<Vec<_>>())
            .collect();
        along[0] = (start..start + half).map(Some).collect();
        let half = Pick::along(&shape, &along, 0.0).unwrap();
        let name = format!("half from {start}");
        net.add(&name, Op::Pick(half), &[x]).unwrap()
    });
    let larger = net.add("larger", Op::Max, &[a, b]).unwrap();
    let smaller = net.add("smaller", Op::Min, &[b, a]).unwrap();
    let axis = Op::Concat { axis: 0 };
    net.add("sorted", axis, &[larger, smaller]).unwrap()
}

/// 1×6×5 → convolution, ReLU, pool, convolution, `last`, sorted pairs → dense.
fn network(last: Activation, draw: &mut Draw) -> Network {
    let mut net = NetworkBuilder::new(&[1, 6, 5]).unwrap();
    let conv = |c_out: usize, c_in: usize, draw: &mut Draw| {
        let kernel = Kernel::new(&[c_out, c_in, 3, 2], draw.reals(c_out * c_in * 6, 0.7)).unwrap();
        Op::Conv {
            kernel,
            conv: Conv::new(2).with_padding(&[(1, 1), (0, 1)]),
            bias: Some(draw.reals(c_out, 0.3)),
        }
    };
    let x = net.input();
    let first = conv(3, 1, draw);
    let x = net.add("conv1", first, &[x]).unwrap();
    let relu = net
        .add("relu", Op::Activation(Activation::Relu), &[x])
        .unwrap();
    let x = net
        .add("pool", Op::MaxPool(Pool::new(&[2, 2])), &[relu])
        .unwrap();
    let second = conv(4, 3, draw);
    let y = net.add("conv2", second, &[x]).unwrap();
    let y = net.add("last", Op::Activation(last), &[y]).unwrap();
    let y = sorted_pairs(&mut net, y);
    let side = net.add("side", Op::Concat { axis: 0 }, &[y, x]).unwrap();
    // 4×3×3 beside 3×3×2, of which the first has one column more.
    let shape = net.shape(side).to_vec();
    let flat = Pick::flatten(&shape);
    let entries = shape.iter().product();
    let x = net.add("flat", Op::Pick(flat), &[side]).unwrap();
    let kernel = Kernel::new(&[3, entries], draw.reals(3 * entries, 0.5)).unwrap();
    let z = net
        .add(
            "logits",
            Op::Dense {
                kernel,
                bias: Some(draw.reals(3, 0.5)),
            },
            &[x],
        )
        .unwrap();
    net.finish(&[z]).unwrap()
}

/// Every box and every ball holds what is found there.
#[test]
fn boxes_and_balls_hold() {
    let mut draw = Draw(11);
    for round in 0..60 {
        let last = ACTIVATIONS[round % ACTIVATIONS.len()];
        let net = network(last, &mut draw);
        let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
        let all: Vec<NodeId> = (0..net.nodes().len()).map(NodeId).collect();
        let image = draw.reals(30, 1.0);
        let at = |x: &[f64]| {
            certifier
                .forward
                .evaluated(x, Inexact::Relative(0.0), &all)
                .pop()
                .unwrap()
        };
        let values = at(&image);
        let prepared = Prepared::new(&certifier.forward, certifier.logits);
        let radius = [1e-12, 1e-3, 0.1, 10.0][round % 4];
        let narrowed = match round % 5 {
            0 => Narrowed::None,
            _ => Narrowed::All,
        };
        let range = (round % 3 == 0).then_some([-1.0, 0.5]);
        let mut around = Around::new(
            &certifier.forward,
            &prepared,
            &values,
            radius,
            range,
            1 << 12,
            None,
        );
        assert!(around.spread(certifier.logits.0, narrowed));
        for _ in 0..60 {
            let step = draw.step(30, radius);
            let [low, high] = range.unwrap_or([f64::MIN, f64::MAX]);
            // An image outside of the range counts.
            let x: Vec<f64> = image
                .iter()
                .zip(&step)
                .map(|(&x, d)| (x + d).max(low.min(x)).min(high.max(x)))
                .collect();
            for (node, found) in at(&x).iter().enumerate() {
                let reach = &around.reaches[node];
                let off = found.error.get() + 1e-15 * (1.0 + found.size);
                let d: Vec<f64> = found
                    .values
                    .iter()
                    .zip(&values[node].values)
                    .map(|(a, b)| a - b)
                    .collect();
                assert!(
                    norm(&d) <= reach.ball + off,
                    "{last:?}, node {node}: {} {}",
                    norm(&d),
                    reach.ball
                );
                for ((d, low), high) in d.iter().zip(&reach.low).zip(&reach.high) {
                    assert!(
                        low - off <= *d && *d <= high + off,
                        "{last:?}, node {node}: {low} {d} {high}"
                    );
                }
            }
        }
    }
}

/// |x_0| + |x_1| against a constant: the nearest other class is √2·½ away, and the constants say half of that.
#[test]
fn a_radius_that_is_known() {
    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let input = net.input();
    let kernel = Kernel::new(&[4, 2], vec![1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0]).unwrap();
    let x = net.add("first", Op::dense(kernel), &[input]).unwrap();
    let x = net
        .add("relu", Op::Activation(Activation::Relu), &[x])
        .unwrap();
    // Σ max(±x_0 ± x_1, 0) = 2·max(|x_0|, |x_1|).
    let kernel = Kernel::new(&[2, 4], vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    let bias = Some(vec![2.0, 0.0]);
    let z = net.add("logits", Op::Dense { kernel, bias }, &[x]).unwrap();
    let net = net.finish(&[z]).unwrap();
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let image = [0.25, 0.0];
    let mut found = certifier.certify(&image, &[0], true).unwrap();
    // The constant is 2·2: a quarter of the margin 1.5.
    let global = found[0].radius().get();
    assert!((0.37..0.376).contains(&global), "{global}");
    let largest = Distances::Largest { resolution: 1e-4 };
    certifier
        .enlarge(&image, true, &mut found, &largest, Limits::default())
        .unwrap();
    // x_0 = 1 is another class.
    let radius = found[0].radius().get();
    assert!(radius > 0.6 && radius < 0.75, "{radius}");
    assert!(found[0].confirms_radius(radius) && !found[0].confirms_radius(0.76));
    // Labels that are not the prediction have no radius, whatever is stated.
    let mut wrong = certifier.certify(&image, &[1], true).unwrap();
    certifier
        .enlarge(&image, true, &mut wrong, &largest, Limits::default())
        .unwrap();
    certifier
        .confirm_around(&image, true, &mut wrong, &[(0.1, Vec::new())], None)
        .unwrap();
    assert!(wrong[0].radius().get() <= 0.0 && !wrong[0].confirms_radius(0.1));
    // What is stated beyond it is not confirmed.
    let mut again = certifier.certify(&image, &[0], true).unwrap();
    certifier
        .confirm_around(
            &image,
            true,
            &mut again,
            &[(0.76, found[0].slopes().to_vec())],
            None,
        )
        .unwrap();
    assert!(!again[0].confirms_radius(0.76));
    certifier
        .confirm_around(
            &image,
            true,
            &mut again,
            &[(radius, found[0].slopes().to_vec())],
            None,
        )
        .unwrap();
    assert!(again[0].confirms_radius(radius));
}

/// 2·max(|x_0|, |x_1|) by sorting (x_0 + x_1, −x_0 − x_1) and (x_0 − x_1, x_1 − x_0), against a constant: the nearest
/// other class is where one of them is 1.
#[test]
fn sorted_pairs_bend_in_their_difference() {
    let mut net = NetworkBuilder::new(&[2]).unwrap();
    let input = net.input();
    let rows = vec![1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0];
    let first = Op::dense(Kernel::new(&[4, 2], rows).unwrap());
    let x = net.add("first", first, &[input]).unwrap();
    let x = sorted_pairs(&mut net, x);
    let rows = vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    let kernel = Kernel::new(&[2, 4], rows).unwrap();
    let bias = Some(vec![2.0, 0.0]);
    let z = net.add("logits", Op::Dense { kernel, bias }, &[x]).unwrap();
    let net = net.finish(&[z]).unwrap();
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let image = [0.25, 0.01];
    let mut found = certifier.certify(&image, &[0], true).unwrap();
    let global = found[0].radius().get();
    let largest = Distances::Largest { resolution: 1e-4 };
    certifier
        .enlarge(&image, true, &mut found, &largest, Limits::default())
        .unwrap();
    let radius = found[0].radius().get();
    assert!(radius > 1.08 * global && radius < 0.75, "{global} {radius}");
    for (stated, holds) in [(radius, true), (0.76, false)] {
        let mut again = certifier.certify(&image, &[0], true).unwrap();
        let slopes = found[0].slopes().to_vec();
        certifier
            .confirm_around(&image, true, &mut again, &[(stated, slopes)], None)
            .unwrap();
        assert_eq!(again[0].confirms_radius(stated), holds);
    }
}

/// A layer that is read by an activation, and beside what comes after it, which is named first: nothing is asked of nodes
/// that are not reached yet.
#[test]
fn readers_may_read_what_comes_later() {
    let mut draw = Draw(31);
    let mut net = NetworkBuilder::new(&[3]).unwrap();
    let mut layer = |net: &mut NetworkBuilder, name: &str, rows: usize, x: NodeId| {
        let cols = net.shape(x)[0];
        let kernel = Kernel::new(&[rows, cols], draw.reals(rows * cols, 1.0)).unwrap();
        net.add(name, Op::dense(kernel), &[x]).unwrap()
    };
    let relu = Op::Activation(Activation::Relu);
    let input = net.input();
    let x = layer(&mut net, "first", 3, input);
    let x = net.add("relu", relu.clone(), &[x]).unwrap();
    let x = layer(&mut net, "second", 3, x);
    let later = net.add("later", relu, &[x]).unwrap();
    let sum = net.add("sum", Op::Add, &[later, x]).unwrap();
    let side = Op::Concat { axis: 0 };
    let both = net.add("side", side, &[later, x]).unwrap();
    let all = Op::Concat { axis: 0 };
    let all = net.add("all", all, &[sum, both]).unwrap();
    let z = layer(&mut net, "logits", 3, all);
    let net = net.finish(&[z]).unwrap();
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let image = [0.5, -0.25, 0.75];
    let label = certifier.certify(&image, &[0], true).unwrap()[0].prediction();
    let mut found = certifier.certify(&image, &[label], true).unwrap();
    let before = found[0].radius();
    let largest = Distances::Largest { resolution: 1e-2 };
    certifier
        .enlarge(&image, true, &mut found, &largest, Limits::default())
        .unwrap();
    assert!(found[0].radius() >= before);
}

/// Balls that leave the range of f64, and boxes as wide as it: nothing is proved, and nothing panics.
#[test]
fn what_is_out_of_range_is_not_proved() {
    let mut draw = Draw(13);
    for last in ACTIVATIONS {
        let net = network(last, &mut draw);
        for arithmetic in [Arithmetic::Real, Arithmetic::Float32] {
            let certifier = Certifier::new(&net, &Options::default(), arithmetic).unwrap();
            let image = draw.reals(30, 1.0);
            let label = certifier.certify(&image, &[0], true).unwrap()[0].prediction();
            for radius in [5e-324, 1e150, 1e300, f64::MAX, f64::INFINITY, f64::NAN] {
                let mut found = certifier.certify(&image, &[label], true).unwrap();
                let before = found[0].radius().get();
                certifier
                    .confirm_around(&image, true, &mut found, &[(radius, Vec::new())], None)
                    .unwrap();
                let only = Distances::Only(vec![radius]);
                certifier
                    .enlarge(&image, true, &mut found, &only, Limits::default())
                    .unwrap();
                let after = found[0].radius().get();
                assert!(after >= before && after < 1e100, "{last:?} {after}");
            }
        }
    }
}

/// What is not confirmed in its time is not confirmed, and says why.
#[test]
fn time_ends() {
    let net = network(Activation::Relu, &mut Draw(17));
    let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
    let image = Draw(19).reals(30, 1.0);
    let label = certifier.certify(&image, &[0], true).unwrap()[0].prediction();
    let certify = || certifier.certify(&image, &[label], true).unwrap();
    let mut found = certify();
    let largest = Distances::Largest { resolution: 0.1 };
    let now = Some(std::time::Instant::now());
    certifier
        .enlarge(
            &image,
            true,
            &mut found,
            &largest,
            Limits {
                until: now,
                memory: None,
                each: None,
            },
        )
        .unwrap();
    assert_eq!(found, certify());
    certifier
        .enlarge(&image, true, &mut found, &largest, Limits::default())
        .unwrap();
    let stated = [(found[0].radius().get(), found[0].slopes().to_vec())];
    assert!(stated[0].0 > certify()[0].radius().get());
    let late = certifier.confirm_around(&image, true, &mut certify(), &stated, now);
    assert!(matches!(late, Err(crate::error::Error::OutOfTime)));
    certifier
        .confirm_around(&image, true, &mut certify(), &stated, None)
        .unwrap();
}

/// The least of a linear function over a ball and a box.
#[test]
fn the_least_over_ball_and_box_is_below() {
    let mut draw = Draw(23);
    let mut touches = 0;
    for _ in 0..2000 {
        let n = 1 + (draw.bits() % 8) as usize;
        let ball = [1e-9, 0.1, 1.0, 10.0][(draw.bits() % 4) as usize];
        let side = |draw: &mut Draw| -> Vec<f64> {
            let size = [0.0, 0.1 * ball, ball][(draw.bits() % 3) as usize];
            draw.reals(n, size).iter().map(|v| v.abs()).collect()
        };
        let low: Vec<f64> = side(&mut draw).iter().map(|v| -v).collect();
        let (high, c) = (side(&mut draw), draw.reals(n, 3.0));
        let (bound, at) = least(&c, [&low, &high], ball);
        let value = |t: &[f64]| -> f64 { c.iter().zip(t).map(|(c, t)| c * t).sum() };
        for _ in 0..50 {
            let mut t = draw.step(n, ball);
            for ((t, &low), &high) in t.iter_mut().zip(&low).zip(&high) {
                *t = t.clamp(low, high);
            }
            assert!(value(&t) >= bound - 1e-15 * norm(&c) * ball);
        }
        if norm(&at) <= 1.06 * ball && value(&at) <= bound + 0.06 * bound.abs() {
            touches += 1;
        }
    }
    assert!(touches > 1500, "{touches}");
}

/// Slopes that are found prove more than the rule, are confirmed as they are, and no others in their place.
#[test]
fn slopes_are_evidence() {
    let mut draw = Draw(29);
    let mut evident = 0;
    for round in 0..40 {
        let net = network(ACTIVATIONS[round % 2], &mut draw);
        let certifier = Certifier::new(&net, &Options::default(), Arithmetic::Real).unwrap();
        let image = draw.reals(30, 1.0);
        let label = certifier.certify(&image, &[0], true).unwrap()[0].prediction();
        let mut found = certifier.certify(&image, &[label], true).unwrap();
        let largest = Distances::Largest { resolution: 1e-3 };
        certifier
            .enlarge(&image, true, &mut found, &largest, Limits::default())
            .unwrap();
        let (radius, slopes) = (found[0].radius().get(), found[0].slopes().to_vec());
        let confirmed = |radius: f64, slopes: Vec<Slopes>| {
            let mut again = certifier.certify(&image, &[label], true).unwrap();
            certifier
                .confirm_around(&image, true, &mut again, &[(radius, slopes)], None)
                .unwrap();
            again[0].confirms_radius(radius)
        };
        assert!(confirmed(radius, slopes.clone()));
        if slopes.is_empty() {
            continue;
        }
        evident += 1;
        // None, of a length that fits no node, or of a node that does not bend.
        let changed = |change: &dyn Fn(&Slopes) -> Slopes| slopes.iter().map(change).collect();
        assert!(!confirmed(radius, Vec::new()));
        assert!(!confirmed(
            radius,
            changed(&|s| {
                let steps = s.steps()[1..].to_vec();
                Slopes::new(s.rival(), s.node(), steps)
            })
        ));
        assert!(!confirmed(
            radius,
            changed(&|s| Slopes::new(s.rival(), 0, s.steps().to_vec()))
        ));
        assert!(!confirmed(10.0 * radius, slopes));
    }
    assert!(evident > 5, "{evident}");
}
