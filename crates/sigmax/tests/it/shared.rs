//! Functions of shared entries (T43) against Jacobians and pairs of points.

use sigmax::network::{
    Activation, Affine, Forward, Lipschitz, Network, NetworkBuilder, NodeId, Op, PerEntry, Pick,
    Pool, Rule, jacobian_norm, lipschitz,
};
use sigmax::{Kernel, Options};

use crate::graphs::Draw;

fn bounds(net: &Network) -> Lipschitz {
    lipschitz(net, &Options::default()).unwrap()
}

fn rule(bounds: &Lipschitz) -> Rule {
    bounds.node(bounds.network().outputs()[0]).rule()
}

/// A network while it is built, whose nodes are named by number.
struct Build(NetworkBuilder);

impl Build {
    fn new(shape: &[usize]) -> Self {
        Self(NetworkBuilder::new(shape).unwrap())
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = self.0.len().to_string();
        self.0.add(&name, op, inputs).unwrap()
    }

    fn activation(&mut self, activation: Activation, x: NodeId) -> NodeId {
        self.add(Op::Activation(activation), &[x])
    }

    fn affine(&mut self, scale: f64, shift: f64, x: NodeId) -> NodeId {
        let rank = self.0.shape(x).len();
        let one = |value| PerEntry::uniform(rank, value).unwrap();
        self.add(Op::Affine(Affine::exact(one(scale), one(shift))), &[x])
    }

    /// Entries `first`, `first + step`, … of axis 0.
    fn every(&mut self, first: usize, step: usize, x: NodeId) -> NodeId {
        let shape = self.0.shape(x).to_vec();
        let along = shape.iter().enumerate().map(|(axis, &n)| match axis {
            0 => (first..n).step_by(step).map(Some).collect(),
            _ => (0..n).map(Some).collect::<Vec<_>>(),
        });
        let pick = Pick::along(&shape, &along.collect::<Vec<_>>(), 0.0).unwrap();
        self.add(Op::Pick(pick), &[x])
    }

    fn reshaped(&mut self, shape: &[usize], x: NodeId) -> NodeId {
        let pick = Pick::reshape(self.0.shape(x), shape).unwrap();
        self.add(Op::Pick(pick), &[x])
    }

    fn finish(self, output: NodeId) -> Lipschitz {
        bounds(&self.0.finish(&[output]).unwrap())
    }
}

/// The largest that is seen of Jacobians and of pairs of points.
fn seen(bounds: &Lipschitz, draw: &mut Draw) -> f64 {
    let n = bounds.network().input().len();
    let points: Vec<f64> = [0.1, 1.0, 10.0]
        .iter()
        .flat_map(|&size| draw.reals(12 * n, size))
        .collect();
    let forward = Forward::new(bounds).unwrap();
    let mut most = jacobian_norm(&forward, &points, 60).unwrap().get();
    let values = forward.evaluate(&points).unwrap();
    let distance = |a: &[f64], b: &[f64]| {
        let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>().sqrt()
    };
    for (i, x) in points.chunks(n).enumerate() {
        for (j, y) in points.chunks(n).enumerate().take(i) {
            let moved = distance(values[i].values(), values[j].values());
            most = most.max(moved / distance(x, y));
        }
    }
    most
}

#[track_caller]
fn assert_constant(bounds: &Lipschitz, expected: f64) {
    let upper = bounds.upper().get();
    assert!(
        upper >= expected && upper <= expected * (1.0 + 1e-14),
        "{upper} for {expected}"
    );
    let seen = seen(bounds, &mut Draw(3));
    assert!(seen <= upper * (1.0 + 1e-9), "{seen} > {upper}");
    assert!(seen >= 0.99 * expected, "{seen} for {expected}");
}

#[test]
fn both_halves_of_a_function_have_the_constant_of_the_steeper_one() {
    for (activation, expected) in [
        (Activation::Relu, 1.0),
        (Activation::LeakyRelu { alpha: 0.5 }, 1.25f64.sqrt()),
        (Activation::LeakyRelu { alpha: -2.0 }, 5f64.sqrt()),
        (Activation::Abs, 2f64.sqrt()),
        (
            Activation::Clip {
                low: 0.0,
                high: 6.0,
            },
            1.0,
        ),
    ] {
        let mut net = Build::new(&[3, 2]);
        let x = net.0.input();
        let minus = net.affine(-1.0, 0.0, x);
        let (a, b) = (
            net.activation(activation, x),
            net.activation(activation, minus),
        );
        let y = net.add(Op::Concat { axis: 0 }, &[a, b]);
        assert_constant(&net.finish(y), expected);
    }
}

/// Behind a layer with a bias the halves are those of its output; a shift of one half alone counts.
#[test]
fn a_shift_between_the_halves_counts() {
    let kernel = Kernel::new(&[2, 2], vec![0.0, 3.0, -3.0, 0.0]).unwrap();
    for (shift, expected) in [(0.0, 3.0), (1.0, 18f64.sqrt())] {
        let mut net = Build::new(&[2]);
        let dense = Op::Dense {
            kernel: kernel.clone(),
            bias: Some(vec![0.5, -0.25]),
        };
        let x = net.add(dense, &[NodeId::new(0)]);
        let minus = net.affine(-1.0, shift, x);
        let (a, b) = (
            net.activation(Activation::Relu, x),
            net.activation(Activation::Relu, minus),
        );
        let y = net.add(Op::Concat { axis: 0 }, &[a, b]);
        let bounds = net.finish(y);
        let upper = bounds.upper().get();
        let seen = seen(&bounds, &mut Draw(7));
        assert!(seen <= upper * (1.0 + 1e-9) && seen > 0.99 * expected);
        assert!((upper / expected - 1.0).abs() < 2e-3, "{upper}");
    }
}

/// The larger and the smaller of disjoint pairs, as they are written.
#[test]
fn sorted_pairs_have_the_constant_1() {
    // Slices that are taken twice.
    let mut net = Build::new(&[6, 2]);
    let x = net.0.input();
    let [a, b, c, d] = [0, 1, 0, 1].map(|first| net.every(first, 2, x));
    let (larger, smaller) = (net.add(Op::Max, &[a, b]), net.add(Op::Min, &[d, c]));
    let y = net.add(Op::Concat { axis: 0 }, &[larger, smaller]);
    assert_constant(&net.finish(y), 1.0);
    // A reduction over an axis of 2, or of more: the least is minus the largest of minus all.
    for group in [2, 3] {
        let mut net = Build::new(&[6, 2]);
        let x = net.0.input();
        let apart = net.reshaped(&[1, 6 / group, group, 2], x);
        let pool = || Op::MaxPool(Pool::new(&[1, group, 1]));
        let largest = net.add(pool(), &[apart]);
        let minus = net.affine(-1.0, 0.0, apart);
        let least = net.add(pool(), &[minus]);
        let least = net.affine(-1.0, 0.0, least);
        let y = net.add(Op::Concat { axis: 2 }, &[largest, least]);
        let y = net.reshaped(&[12 / group, 2], y);
        let bounds = net.finish(y);
        assert_constant(&bounds, 1.0);
    }
}

/// The larger of two and the smaller of two others are no pair; nor are two largest ones.
#[test]
fn what_is_no_pair_counts_twice() {
    let places = |first: [usize; 2], second: [usize; 2], other: Op| {
        let mut net = Build::new(&[3]);
        let x = net.0.input();
        let [a, b, c, d] = [first[0], first[1], second[0], second[1]].map(|i| net.every(i, 3, x));
        let larger = net.add(Op::Max, &[a, b]);
        let other = net.add(other, &[c, d]);
        let y = net.add(Op::Concat { axis: 0 }, &[larger, other]);
        net.finish(y)
    };
    assert_constant(&places([0, 1], [1, 0], Op::Min), 1.0);
    for (second, other) in [([1, 2], Op::Min), ([0, 1], Op::Max), ([1, 2], Op::Max)] {
        assert_constant(&places([0, 1], second, other), 2f64.sqrt());
    }
    // The larger of an entry and itself is that entry.
    assert_constant(&places([0, 0], [1, 1], Op::Min), 1.0);
}

/// The larger of x and a constant is a function of x; with another factor it is none that is followed.
#[test]
fn what_is_not_followed_has_the_constant_of_its_parts() {
    let mut net = Build::new(&[4]);
    let x = net.0.input();
    let double = net.affine(2.0, 0.0, x);
    let (larger, smaller) = (
        net.add(Op::Max, &[x, double]),
        net.add(Op::Min, &[x, double]),
    );
    let y = net.add(Op::Concat { axis: 0 }, &[larger, smaller]);
    let bounds = net.finish(y);
    assert_eq!(rule(&bounds), Rule::Sorted);
    assert_constant(&bounds, 5f64.sqrt());
}

/// Overlapping windows of one node, one after another and side by side, as in spatial pyramids.
#[test]
fn pools_of_pools_are_pools() {
    let pool = || Op::MaxPool(Pool::new(&[3]).with_stride(&[1]).with_padding(&[(1, 1)]));
    let mut net = Build::new(&[1, 9]);
    let x = net.0.input();
    let a = net.add(pool(), &[x]);
    let b = net.add(pool(), &[a]);
    let y = net.add(Op::Concat { axis: 0 }, &[x, a, b]);
    let bounds = net.finish(y);
    assert_eq!(rule(&bounds), Rule::Shared);
    let upper = bounds.upper().get();
    assert!((upper - 3.0).abs() < 1e-14, "{upper}"); // √(1 + 3 + 5), where parts give √(1 + 3 + 9)
    assert!(seen(&bounds, &mut Draw(5)) <= upper);
}

/// A random function of the entries of earlier nodes.
fn random(net: &mut Build, ids: &[NodeId], draw: &mut Draw) -> NodeId {
    let any = |draw: &mut Draw| ids[draw.below(ids.len())];
    let x = any(draw);
    let n = net.0.shape(x)[0];
    match draw.below(8) {
        0 => {
            let sign = [1.0, -1.0, 1.0, -1.0, 0.5, -2.0, 0.0][draw.below(7)];
            net.affine(sign, [0.0, 0.0, 0.3][draw.below(3)], x)
        }
        1 => {
            let (scale, shift) = (draw.reals(n, 1.5), draw.reals(n, 0.2));
            let shift = if draw.yes(2) { vec![0.0; n] } else { shift };
            let per = |values| PerEntry::channels(1, values).unwrap();
            net.add(Op::Affine(Affine::exact(per(scale), per(shift))), &[x])
        }
        2 => {
            let along: Vec<Option<usize>> = (0..n)
                .map(|_| (!draw.yes(6)).then(|| draw.below(n)))
                .collect();
            let pick = Pick::along(&[n], &[along], 0.25).unwrap();
            net.add(Op::Pick(pick), &[x])
        }
        3 | 4 => {
            let alpha = 1.5 * draw.real();
            let all = [
                Activation::Relu,
                Activation::Relu,
                Activation::LeakyRelu { alpha },
                Activation::Elu { alpha },
                Activation::Selu { alpha, gamma: 1.05 },
                Activation::Abs,
                Activation::Clip {
                    low: 0.0,
                    high: 1.0,
                },
                Activation::Clip {
                    low: -0.5,
                    high: 0.0,
                },
                Activation::Silu,
                Activation::Tanh,
            ];
            net.activation(all[draw.below(all.len())], x)
        }
        5 => {
            let slopes = PerEntry::channels(1, draw.reals(n, 1.5)).unwrap();
            net.add(Op::PRelu(slopes), &[x])
        }
        6 => {
            let op = if draw.yes(2) { Op::Max } else { Op::Min };
            let count = 2 + draw.below(2);
            let inputs: Vec<NodeId> = (0..count).map(|_| any(draw)).collect();
            net.add(op, &inputs)
        }
        _ => {
            let image = net.reshaped(&[1, n], x);
            let pool = Pool::new(&[3]).with_stride(&[1]).with_padding(&[(1, 1)]);
            let pool = net.add(Op::MaxPool(pool), &[image]);
            net.reshaped(&[n], pool)
        }
    }
}

/// Whatever the functions are, nothing is stretched further than the bound says; and it is attained often.
#[test]
fn no_pair_of_points_is_stretched_further() {
    let (mut shared, mut attained) = (0, 0);
    for seed in 0..600 {
        let mut draw = Draw(seed * 7919 + 13);
        let n = 1 + draw.below(4);
        let mut net = Build::new(&[n]);
        let mut ids = vec![net.0.input()];
        if draw.yes(2) {
            let kernel = Kernel::new(&[n, n], draw.reals(n * n, 1.0)).unwrap();
            let layer = net.add(Op::dense(kernel), &[ids[0]]);
            ids = if draw.yes(2) {
                vec![layer]
            } else {
                vec![ids[0], layer]
            };
        }
        for _ in 0..2 + draw.below(6) {
            let next = random(&mut net, &ids, &mut draw);
            ids.push(next);
        }
        let count = (2 + draw.below(2)).min(ids.len());
        let last = ids.split_off(ids.len() - count);
        let op = [Op::Concat { axis: 0 }, Op::Concat { axis: 0 }, Op::Max][draw.below(3)].clone();
        let y = net.add(op, &last);
        let bounds = net.finish(y);
        let (upper, seen) = (bounds.upper().get(), seen(&bounds, &mut draw));
        assert!(
            seen <= upper * (1.0 + 1e-9) + 1e-12,
            "{seen} > {upper}, seed {seed}"
        );
        if rule(&bounds) == Rule::Shared {
            shared += 1;
            attained += usize::from(seen > 0.95 * upper);
        }
    }
    assert!(shared > 100 && attained > 40, "{shared} {attained}");
}
