//! Residuals of a monotone branch (T42) against Jacobians, and what is none.

use sigmax::network::{
    Activation, Affine, Forward, Lipschitz, Network, NetworkBuilder, NodeId, Op, PerEntry, Rule,
    jacobian_norm, lipschitz,
};
use sigmax::{Conv, Kernel, Options, PaddingMode};

use crate::graphs::Draw;

/// x + s·B·diag(d)·σ(Ax + b) on vectors, A of `hidden` rows.
#[derive(Clone)]
struct Dense {
    inputs: usize,
    a: Vec<f64>,
    b: Vec<f64>,
    factors: Vec<f64>,
    sign: f64,
    activation: Activation,
}

impl Dense {
    /// One that is 1-Lipschitz by construction: d_j = 2/Σ_i|⟨a_j, a_i⟩|, `length` times that.
    fn sll(inputs: usize, hidden: usize, length: f64, draw: &mut Draw) -> Self {
        // Also with entries above 1.
        let a = draw.reals(inputs * hidden, [1.0, 3.0][hidden % 2]);
        let row = |j: usize| &a[j * inputs..][..inputs];
        let inner = |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f64>();
        let factors = (0..hidden)
            .map(|j| length * 2.0 / (0..hidden).map(|i| inner(i, j).abs()).sum::<f64>())
            .collect();
        let transposed = |k: usize| a[k % hidden * inputs + k / hidden];
        Self {
            inputs,
            b: (0..inputs * hidden).map(transposed).collect(),
            factors,
            a,
            sign: -1.0,
            activation: Activation::Relu,
        }
    }

    fn hidden(&self) -> usize {
        self.factors.len()
    }

    fn add(&self, net: &mut NetworkBuilder, name: &str, x: NodeId, draw: &mut Draw) -> NodeId {
        let name = |part: &str| format!("{name}{part}");
        let first = Op::Dense {
            kernel: Kernel::new(&[self.hidden(), self.inputs], self.a.clone()).unwrap(),
            bias: Some(draw.reals(self.hidden(), 1.0)),
        };
        let y = net.add(&name("a"), first, &[x]).unwrap();
        let activation = Op::Activation(self.activation);
        let y = net.add(&name("activation"), activation, &[y]).unwrap();
        // As exporters write it: a product by 2 and a difference.
        let halves = self.factors.iter().map(|f| 0.5 * f).collect();
        let scale = PerEntry::channels(1, halves).unwrap();
        let shift = PerEntry::uniform(1, 0.25).unwrap();
        let scale = Op::Affine(Affine::exact(scale, shift));
        let y = net.add(&name("factors"), scale, &[y]).unwrap();
        let second = Kernel::new(&[self.inputs, self.hidden()], self.b.clone()).unwrap();
        let y = net.add(&name("b"), Op::dense(second), &[y]).unwrap();
        let two = PerEntry::new(&[1], vec![2.0]).unwrap();
        let zero = PerEntry::uniform(1, 0.0).unwrap();
        let two = Op::Affine(Affine::exact(two, zero));
        let y = net.add(&name("two"), two, &[y]).unwrap();
        let sign = PerEntry::uniform(1, self.sign).unwrap();
        let sign = Op::Affine(Affine::rounded(sign, 0));
        let y = net.add(&name("sign"), sign, &[y]).unwrap();
        net.add(&name("sum"), Op::Add, &[x, y]).unwrap()
    }

    fn net(&self, draw: &mut Draw) -> Network {
        let mut net = NetworkBuilder::new(&[self.inputs]).unwrap();
        let x = net.input();
        let y = self.add(&mut net, "", x, draw);
        net.finish(&[y]).unwrap()
    }
}

fn bounds(net: &Network) -> Lipschitz {
    lipschitz(net, &Options::default()).unwrap()
}

fn rule(bounds: &Lipschitz) -> Rule {
    bounds.node(bounds.network().outputs()[0]).rule()
}

/// The largest estimate of the norm of the Jacobian at random points, near and far.
fn seen(bounds: &Lipschitz, draw: &mut Draw) -> f64 {
    let n = bounds.network().input().len();
    let points: Vec<f64> = [0.1, 1.0, 10.0, 100.0]
        .iter()
        .flat_map(|&size| draw.reals(8 * n, size))
        .collect();
    let forward = Forward::new(bounds).unwrap();
    jacobian_norm(&forward, &points, 60).unwrap().get()
}

#[test]
fn layers_that_are_1_lipschitz_by_construction() {
    let mut draw = Draw(5);
    let mut net = NetworkBuilder::new(&[6]).unwrap();
    let mut x = net.input();
    for layer in 0..6 {
        let block = Dense::sll(6, 9, 1.0, &mut draw);
        x = block.add(&mut net, &layer.to_string(), x, &mut draw);
    }
    let net = net.finish(&[x]).unwrap();
    let bounds = bounds(&net);
    assert!(matches!(rule(&bounds), Rule::Residual(_)));
    let upper = bounds.upper().get();
    assert!((1.0..=1.0 + 1e-6).contains(&upper), "{upper}");
    assert!(seen(&bounds, &mut draw) <= upper * (1.0 + 1e-9));
}

/// Whatever the lengths, activations and errors of B are, no Jacobian is larger; and beyond length 1 the
/// bound is nearly attained by some.
#[test]
fn no_jacobian_is_larger() {
    let mut attained = 0;
    for seed in 0..300 {
        let mut draw = Draw(seed * 7919 + 1);
        let (inputs, hidden) = (1 + draw.below(5), 1 + draw.below(6));
        let length = [0.3, 1.0, 1.5, 3.0][draw.below(4)];
        let mut block = Dense::sll(inputs, hidden, length, &mut draw);
        block.activation = [
            Activation::Relu,
            Activation::LeakyRelu { alpha: 0.3 },
            Activation::Tanh,
            Activation::Sigmoid,
            Activation::Elu { alpha: 0.7 },
            Activation::SoftShrink { lambd: 0.1 },
            // None of the theorem.
            Activation::Abs,
            Activation::LeakyRelu { alpha: -0.5 },
            Activation::Silu,
            Activation::Elu { alpha: 1.5 },
        ][draw.below(10)];
        if draw.yes(3) {
            let off = draw.reals(block.b.len(), 0.1);
            block.b.iter_mut().zip(off).for_each(|(b, off)| *b += off);
        }
        if draw.yes(4) {
            block.sign = [1.0, -2.5][draw.below(2)];
        }
        let bounds = bounds(&block.net(&mut draw));
        let (upper, seen) = (bounds.upper().get(), seen(&bounds, &mut draw));
        assert!(
            seen <= upper * (1.0 + 1e-9),
            "{seen} > {upper}, seed {seed}"
        );
        let residual = matches!(rule(&bounds), Rule::Residual(_));
        attained += usize::from(residual && upper > 1.1 && seen > 0.9 * upper);
    }
    assert!(attained > 0, "{attained}");
}

/// A branch that is added, one whose activation falls, and one whose second layer is another.
#[test]
fn what_is_no_residual_has_no_constant_1() {
    let mut draw = Draw(11);
    let plain = Dense::sll(4, 5, 1.0, &mut draw);
    let upper = |block: &Dense, draw: &mut Draw| {
        let bounds = bounds(&block.net(draw));
        let (upper, seen) = (bounds.upper().get(), seen(&bounds, draw));
        assert!(seen <= upper * (1.0 + 1e-9));
        (upper, seen)
    };
    assert!(upper(&plain, &mut draw).0 <= 1.0 + 1e-9);
    let added = Dense {
        sign: 1.0,
        ..plain.clone()
    };
    let (bound, seen) = upper(&added, &mut draw);
    assert!(seen > 1.2 && bound >= seen * (1.0 - 1e-9));
    let falls = Dense {
        activation: Activation::Abs,
        ..plain.clone()
    };
    let (bound, seen) = upper(&falls, &mut draw);
    assert!(seen > 1.1 && bound >= seen * (1.0 - 1e-9));
    let mut other = plain;
    other.b.reverse();
    assert!(upper(&other, &mut draw).0 > 1.0 + 1e-3);
}

/// x − convᵀ(d·σ(conv(x))) with one kernel for both.
fn convolutions(first: &Conv, second: &Conv, length: f64, draw: &mut Draw) -> Network {
    let taps = 3 * 3;
    let kernel = Kernel::new(&[4, 2, 3, 3], draw.reals(4 * 2 * taps, 1.0)).unwrap();
    // S(K)² ≤ (Σ|K|)², and nearly so that the row sums make it 1.
    let norm = sigmax::audit(&kernel, first, &Options::default())
        .unwrap()
        .upper()
        .get();
    let factor = length * 2.0 / (norm * norm);
    let mut net = NetworkBuilder::new(&[2, 6, 6]).unwrap();
    let x = net.input();
    let conv = Op::conv(kernel.clone(), first.clone());
    let y = net.add("conv", conv, &[x]).unwrap();
    let y = net
        .add("relu", Op::Activation(Activation::Relu), &[y])
        .unwrap();
    let transposed = Op::conv(kernel, second.clone());
    let y = net.add("transposed", transposed, &[y]).unwrap();
    let scale = PerEntry::uniform(3, -factor).unwrap();
    let y = net
        .add("scale", Op::Affine(Affine::rounded(scale, 0)), &[y])
        .unwrap();
    let y = net.add("sum", Op::Add, &[y, x]).unwrap();
    net.finish(&[y]).unwrap()
}

#[test]
fn convolutions_and_their_transposes() {
    let mut draw = Draw(23);
    let padded = |padding: usize| Conv::new(2).with_padding(&[(padding, padding); 2]);
    for (padding, length) in [(0, 1.0), (1, 1.0), (1, 2.0), (2, 0.5)] {
        let first = padded(padding);
        let second = first.clone().transposed(&[0, 0]);
        let bounds = bounds(&convolutions(&first, &second, length, &mut draw));
        let upper = bounds.upper().get();
        assert!(matches!(rule(&bounds), Rule::Residual(_)));
        let expected = (2.0 * length - 1.0).max(1.0);
        assert!(upper >= 1.0 && upper < expected * 1.01 + 1e-9, "{upper}");
        assert!(seen(&bounds, &mut draw) <= upper * (1.0 + 1e-9));
    }
    // Pixels that are copied are no zeros, and a dilated layer is another one.
    let mut copies = padded(1);
    copies.padding_mode = PaddingMode::Circular;
    let second = padded(1).transposed(&[0, 0]);
    let dilated = Conv::new(2)
        .with_padding(&[(2, 2); 2])
        .with_dilation(&[2, 2])
        .transposed(&[0, 0]);
    for (first, second) in [(copies, second), (padded(1), dilated)] {
        let bounds = bounds(&convolutions(&first, &second, 1.0, &mut draw));
        assert!(!matches!(rule(&bounds), Rule::Residual(_)));
        assert!(seen(&bounds, &mut draw) <= bounds.upper().get() * (1.0 + 1e-9));
    }
}
