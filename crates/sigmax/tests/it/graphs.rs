//! Random small networks, and their plain evaluation in any arithmetic.
#![allow(
    clippy::disallowed_methods,
    reason = "the plain evaluation uses the platform's functions where no proof rests on it"
)]

use sigmax::network::{
    Activation, Affine, AxisMatrix, Filter, Fold, Interpolation, Network, NetworkBuilder, NodeId,
    Normalisation, Op, PerEntry, Pick, Pool, Separable,
};
use sigmax::{Conv, Kernel, PaddingMode};

use crate::cases::uniform;
use crate::jet::SMOOTH;
use crate::num::Num;

/// What a node computes, in terms that do not need the crate.
#[derive(Clone, Debug)]
pub(crate) enum Spec {
    Conv {
        shape: Vec<usize>,
        values: Vec<f64>,
        conv: Conv,
        bias: Option<Vec<f64>>,
    },
    Dense {
        rows: usize,
        values: Vec<f64>,
        bias: Option<Vec<f64>>,
    },
    /// One factor and one summand per channel, or one for all.
    Affine(Vec<f64>, Vec<f64>),
    BatchNorm([Vec<f64>; 4], f64),
    PRelu(Vec<f64>),
    Along(Vec<Vec<Option<usize>>>, f64),
    Pad(Vec<(isize, isize)>, PaddingMode, f64),
    Transpose(Vec<usize>),
    Flatten,
    MaxPool(Pool),
    /// Norms, or logarithms of sums of exponentials.
    Fold(Pool, bool),
    AveragePool(Pool, bool),
    Reduce {
        axis: usize,
        mean: bool,
    },
    Linear(usize, usize, Interpolation),
    Filtered(usize, usize, Interpolation, Filter),
    Activation(Activation),
    Softmax(usize),
    LogSoftmax(usize),
    Normalisation {
        axis: usize,
        centred: bool,
        epsilon: f64,
    },
    Sort(usize, bool),
    Add,
    Max,
    Min,
    Concat(usize),
}

/// A network with the recipe it was built from.
pub(crate) struct Graph {
    pub(crate) net: Network,
    pub(crate) specs: Vec<(Spec, Vec<usize>)>,
}

/// Which operations may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinds {
    All,
    /// Those that the exact oracle knows.
    Algebraic,
    Linear,
    /// Linear ones and activations with a range of σ''.
    Smooth,
    /// The same, where no activation reads another one.
    SmoothOnce,
}

pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let x = (uniform(&mut self.0) + 1.0) / 2.0 * n as f64;
        (x as usize).min(n - 1)
    }

    pub(crate) fn yes(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub(crate) fn real(&mut self) -> f64 {
        uniform(&mut self.0)
    }

    pub(crate) fn reals(&mut self, n: usize, scale: f64) -> Vec<f64> {
        (0..n).map(|_| scale * self.real()).collect()
    }

    fn weights(&mut self, n: usize) -> Vec<f64> {
        match self.below(6) {
            0 => (0..n).map(|_| (1.5 * self.real()).round()).collect(),
            1 => (0..n)
                .map(|_| self.real() * 10f64.powi(self.below(7) as i32 - 3))
                .collect(),
            2 if n > 1 => {
                let mut values = vec![0.0; n];
                values[self.below(n)] = 1.0;
                values
            }
            _ => self.reals(n, 1.0),
        }
    }

    fn bias(&mut self, n: usize) -> Option<Vec<f64>> {
        self.yes(2).then(|| self.reals(n, 1.0))
    }

    fn activation(&mut self, kinds: Kinds) -> Activation {
        if matches!(kinds, Kinds::Smooth | Kinds::SmoothOnce) {
            return SMOOTH[self.below(SMOOTH.len())];
        }
        let alpha = 2.0 * self.real();
        let choices = if kinds == Kinds::All { 24 } else { 6 };
        match self.below(choices) {
            0 => Activation::Relu,
            1 => Activation::LeakyRelu { alpha },
            2 => Activation::Abs,
            3 => Activation::Clip {
                low: -0.5 + 0.3 * alpha,
                high: 0.7,
            },
            4 => Activation::HardSwish,
            5 => Activation::Softsign,
            6 => Activation::Elu { alpha },
            7 => Activation::Celu {
                alpha: alpha.abs() + 0.1,
            },
            8 => Activation::Selu { alpha, gamma: 1.05 },
            9 => Activation::Sigmoid,
            10 => Activation::Tanh,
            11 => Activation::Softplus,
            12 => Activation::Gelu,
            13 => Activation::GeluTanh,
            14 => Activation::Silu,
            15 => Activation::Mish,
            16 => Activation::HardSigmoid { alpha, beta: 0.5 },
            17 => Activation::Erf,
            18 => Activation::SoftShrink {
                lambd: 0.2 * alpha.abs(),
            },
            19 => Activation::GeluTanhNear {
                linear: f64::from(0.797_884_6_f32),
                cubic: f64::from(0.035_677_407_f32),
            },
            20 => Activation::Atan,
            21 => Activation::Asinh,
            22 => Activation::Sin,
            _ => Activation::Cos,
        }
    }

    fn conv(&mut self, input: &[usize]) -> Spec {
        let axes = input.len() - 1;
        let transposed = self.yes(5);
        let groups = if input[0].is_multiple_of(2) && self.yes(3) {
            2
        } else if self.yes(4) {
            input[0]
        } else {
            1
        };
        let per_group = 1 + self.below(2);
        let pointwise = self.yes(3);
        let k: Vec<usize> = (0..axes)
            .map(|_| if pointwise { 1 } else { 1 + self.below(3) })
            .collect();
        let mut pick = |most: usize, plain: bool| -> Vec<usize> {
            (0..axes)
                .map(|_| if plain { 1 } else { 1 + self.below(most) })
                .collect()
        };
        let (stride, dilation) = (pick(2, pointwise), pick(2, pointwise));
        let unpadded = self.yes(2);
        let padding: Vec<(usize, usize)> = (0..axes)
            .map(|_| {
                if unpadded {
                    (0, 0)
                } else {
                    (self.below(3), self.below(3))
                }
            })
            .collect();
        let mut conv = Conv::new(axes)
            .with_stride(&stride)
            .with_dilation(&dilation)
            .with_padding(&padding)
            .with_groups(groups);
        if transposed {
            conv = conv.transposed(&vec![0; axes]);
        } else {
            conv.padding_mode = [
                PaddingMode::Zeros,
                PaddingMode::Circular,
                PaddingMode::Reflect,
                PaddingMode::Replicate,
            ][self.below(4)];
        }
        let (rows, cols) = if transposed {
            (input[0], per_group)
        } else {
            (groups * per_group, input[0] / groups)
        };
        let shape = [&[rows, cols][..], &k].concat();
        let values = self.weights(shape.iter().product());
        let out = if transposed { per_group * groups } else { rows };
        Spec::Conv {
            shape,
            values,
            conv,
            bias: self.bias(out),
        }
    }

    fn pool(&mut self, axes: usize) -> Pool {
        let kernel: Vec<usize> = (0..axes).map(|_| 1 + self.below(3)).collect();
        let stride: Vec<usize> = (0..axes).map(|_| 1 + self.below(3)).collect();
        let mut pool = Pool::new(&kernel).with_stride(&stride);
        if self.yes(3) {
            let dilation: Vec<usize> = (0..axes).map(|_| 1 + self.below(2)).collect();
            pool = pool.with_dilation(&dilation);
        }
        if self.yes(2) {
            let padding: Vec<(usize, usize)> = kernel
                .iter()
                .map(|k| (self.below(k / 2 + 1), self.below(k / 2 + 1)))
                .collect();
            pool = pool.with_padding(&padding);
        }
        pool.ceil = self.yes(3);
        pool
    }

    /// An operation with one input.
    fn single(&mut self, input: &[usize], kinds: Kinds) -> Spec {
        let rank = input.len();
        let channels = input[0];
        let per = |draw: &mut Self, scale: f64| {
            let n = if draw.yes(3) { 1 } else { channels };
            draw.reals(n, scale)
        };
        let linear = kinds == Kinds::Linear;
        let smooth = matches!(kinds, Kinds::Smooth | Kinds::SmoothOnce);
        match self.below(if linear { 14 } else { 22 }) {
            0..=4 if rank > 1 => self.conv(input),
            0..=4 => {
                let rows = 1 + self.below(4);
                Spec::Dense {
                    rows,
                    values: self.weights(rows * input[0]),
                    bias: self.bias(rows),
                }
            }
            5 => Spec::Affine(per(self, 2.0), per(self, 1.0)),
            6 => {
                let mut variance = self.reals(channels, 1.0);
                variance.iter_mut().for_each(|v| *v = v.abs());
                Spec::BatchNorm(
                    [
                        self.reals(channels, 1.5),
                        self.reals(channels, 1.0),
                        self.reals(channels, 1.0),
                        variance,
                    ],
                    1e-3,
                )
            }
            7 => {
                let along = input
                    .iter()
                    .map(|&n| {
                        let m = 1 + self.below(n + 1);
                        (0..m)
                            .map(|_| (!self.yes(8)).then(|| self.below(n)))
                            .collect()
                    })
                    .collect();
                Spec::Along(along, self.real())
            }
            8 => {
                let amounts = input
                    .iter()
                    .map(|_| (self.below(4) as isize - 1, self.below(4) as isize - 1))
                    .collect();
                let mode = [
                    PaddingMode::Zeros,
                    PaddingMode::Circular,
                    PaddingMode::Reflect,
                    PaddingMode::Replicate,
                ][self.below(4)];
                Spec::Pad(amounts, mode, self.real())
            }
            9 if rank > 1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                axes.swap(self.below(rank), rank - 1);
                Spec::Transpose(axes)
            }
            10 | 11 if rank > 1 => Spec::AveragePool(self.pool(rank - 1), self.yes(2)),
            12 => Spec::Reduce {
                axis: self.below(rank),
                mean: self.yes(2),
            },
            9..=13 => {
                let how = [
                    Interpolation::HalfPixel,
                    Interpolation::PytorchHalfPixel,
                    Interpolation::AlignCorners,
                    Interpolation::Asymmetric,
                ][self.below(4)];
                let (axis, m) = (self.below(rank), 1 + self.below(7));
                if self.yes(2) {
                    return Spec::Linear(axis, m, how);
                }
                let filter = Filter {
                    cubic: self.yes(2).then_some([-0.75, -0.5, 0.3][self.below(3)]),
                    antialias: self.yes(2),
                    exclude_outside: self.yes(2),
                };
                Spec::Filtered(axis, m, how, filter)
            }
            14 if rank > 1 && kinds == Kinds::All && self.yes(2) => {
                Spec::Fold(self.pool(rank - 1), self.yes(2))
            }
            14 if rank > 1 && !smooth => Spec::MaxPool(self.pool(rank - 1)),
            15 if !smooth => Spec::PRelu(per(self, 2.0)),
            16 if kinds == Kinds::All => Spec::Softmax(self.below(rank)),
            17 if kinds == Kinds::All => Spec::LogSoftmax(self.below(rank)),
            19 if !smooth => Spec::Sort(self.below(rank), self.yes(2)),
            18 if matches!(kinds, Kinds::All | Kinds::Algebraic) => Spec::Normalisation {
                axis: self.below(rank),
                centred: !self.yes(3),
                epsilon: [1e-5, 1e-2, 0.3, 2.0][self.below(4)],
            },
            _ => Spec::Activation(self.activation(kinds)),
        }
    }
}

fn per_entry(rank: usize, values: &[f64]) -> PerEntry {
    match values {
        [one] => PerEntry::uniform(rank, *one).unwrap(),
        _ => PerEntry::channels(rank, values.to_vec()).unwrap(),
    }
}

impl Spec {
    /// The operation; `None` where it does not fit its input.
    fn op(&self, input: &[usize]) -> Option<Op> {
        let rank = input.len();
        Some(match self {
            Self::Conv {
                shape,
                values,
                conv,
                bias,
            } => Op::Conv {
                kernel: Kernel::new(shape, values.clone()).unwrap(),
                conv: conv.clone(),
                bias: bias.clone(),
            },
            Self::Dense { rows, values, bias } => Op::Dense {
                kernel: Kernel::new(&[*rows, values.len() / rows], values.clone()).unwrap(),
                bias: bias.clone(),
            },
            Self::Affine(scale, shift) => Op::Affine(Affine::exact(
                per_entry(rank, scale),
                per_entry(rank, shift),
            )),
            Self::BatchNorm([gamma, beta, mean, variance], epsilon) => Op::Affine(
                Affine::batch_norm(rank, [gamma, beta, mean, variance], *epsilon).unwrap(),
            ),
            Self::PRelu(slopes) => Op::PRelu(per_entry(rank, slopes)),
            Self::Along(along, fill) => Op::Pick(Pick::along(input, along, *fill).ok()?),
            Self::Pad(amounts, mode, fill) => {
                Op::Pick(Pick::pad(input, amounts, *mode, *fill).ok()?)
            }
            Self::Transpose(axes) => Op::Pick(Pick::transpose(input, axes).ok()?),
            Self::Flatten => Op::Pick(Pick::flatten(input)),
            Self::MaxPool(pool) => Op::MaxPool(pool.clone()),
            Self::Fold(pool, true) => Op::Fold(Fold::norm(pool.clone())),
            Self::Fold(pool, false) => Op::Fold(Fold::log_sum_exp(pool.clone())),
            Self::AveragePool(pool, count) => {
                Op::Separable(Separable::average_pool(input, pool, *count).ok()?)
            }
            Self::Reduce { axis, mean: true } => {
                Op::Separable(Separable::mean(input, &[*axis]).ok()?)
            }
            Self::Reduce { axis, mean: false } => {
                Op::Separable(Separable::sum(input, &[*axis]).ok()?)
            }
            Self::Linear(axis, m, how) => {
                let n = input[*axis];
                let mut axes = vec![None; rank];
                axes[*axis] = Some(AxisMatrix::linear(n, *m, *m as f64 / n as f64, *how).ok()?);
                Op::Separable(Separable::new(axes))
            }
            Self::Filtered(axis, m, how, filter) => {
                let n = input[*axis];
                let scale = *m as f64 / n as f64;
                let mut axes = vec![None; rank];
                axes[*axis] = Some(AxisMatrix::filtered(n, *m, scale, *how, *filter).ok()?);
                Op::Separable(Separable::new(axes))
            }
            Self::Activation(activation) => Op::Activation(*activation),
            Self::Softmax(axis) => Op::Softmax { axis: *axis },
            Self::LogSoftmax(axis) => Op::LogSoftmax { axis: *axis },
            Self::Normalisation {
                axis,
                centred,
                epsilon,
            } => Op::Normalisation(
                match centred {
                    true => Normalisation::centred(*axis, *epsilon),
                    false => Normalisation::root_mean_square(*axis, *epsilon),
                }
                .ok()?,
            ),
            Self::Sort(axis, descending) => Op::Sort {
                axis: *axis,
                descending: *descending,
            },
            Self::Add => Op::Add,
            Self::Max => Op::Max,
            Self::Min => Op::Min,
            Self::Concat(axis) => Op::Concat { axis: *axis },
        })
    }
}

/// Most entries of a node.
const MAX_ENTRIES: usize = 150;

/// A random network of about `nodes` nodes; with `classes`, a classifier.
pub(crate) fn graph(seed: u64, kinds: Kinds, nodes: usize, classes: Option<usize>) -> Graph {
    let mut draw = Draw(seed);
    let input = match draw.below(3) {
        0 => vec![1 + draw.below(5)],
        1 => vec![1 + draw.below(3), 3 + draw.below(6)],
        _ => vec![1 + draw.below(3), 3 + draw.below(3), 3 + draw.below(3)],
    };
    let mut net = NetworkBuilder::new(&input).unwrap();
    let mut ids = vec![net.input()];
    let mut specs: Vec<(Spec, Vec<usize>)> = vec![(Spec::Flatten, Vec::new())];
    let mut push =
        |net: &mut NetworkBuilder, ids: &mut Vec<NodeId>, spec: Spec, from: Vec<usize>| {
            let shape = net.shape(ids[from[0]]).to_vec();
            let Some(op) = spec.op(&shape) else {
                return false;
            };
            let mut trial = net.clone();
            let inputs: Vec<NodeId> = from.iter().map(|&i| ids[i]).collect();
            let Ok(id) = trial.add(&format!("{}", ids.len()), op, &inputs) else {
                return false;
            };
            if trial.shape(id).iter().product::<usize>() > MAX_ENTRIES {
                return false;
            }
            *net = trial;
            ids.push(id);
            specs.push((spec, from));
            true
        };
    // Which nodes depend on an activation.
    let mut curved = vec![false];
    for _ in 0..10 * nodes {
        if ids.len() > nodes {
            break;
        }
        let last = ids.len() - 1;
        let join = draw.yes(4);
        if join {
            let from = draw.below(ids.len());
            let other = draw.below(ids.len());
            let inputs = if draw.yes(5) {
                vec![last, from, other]
            } else {
                vec![from, last]
            };
            let rank = net.shape(ids[last]).len();
            let most = match kinds {
                Kinds::All | Kinds::Algebraic => 4,
                Kinds::Linear | Kinds::Smooth | Kinds::SmoothOnce => 2,
            };
            let spec = match draw.below(most) {
                0 => Spec::Add,
                1 => Spec::Concat(draw.below(rank)),
                2 => Spec::Max,
                _ => Spec::Min,
            };
            let bent = inputs.iter().any(|&i| curved[i]);
            if push(&mut net, &mut ids, spec, inputs) {
                curved.push(bent);
            }
        } else {
            let from = if draw.yes(6) {
                draw.below(ids.len())
            } else {
                last
            };
            let kinds = match kinds {
                Kinds::SmoothOnce if curved[from] => Kinds::Linear,
                kinds => kinds,
            };
            let spec = draw.single(net.shape(ids[from]), kinds);
            let bent = curved[from] || matches!(spec, Spec::Activation(_));
            if push(&mut net, &mut ids, spec, vec![from]) {
                curved.push(bent);
            }
        }
    }
    if let Some(classes) = classes {
        let last = ids.len() - 1;
        push(&mut net, &mut ids, Spec::Flatten, vec![last]);
        let n = net.shape(ids[last + 1])[0];
        let dense = Spec::Dense {
            rows: classes,
            values: draw.weights(classes * n),
            bias: draw.bias(classes),
        };
        push(&mut net, &mut ids, dense, vec![last + 1]);
        if draw.yes(3) {
            push(&mut net, &mut ids, Spec::Softmax(0), vec![last + 2]);
        }
    }
    let output = *ids.last().unwrap();
    let net = net.finish(&[output]).unwrap();
    Graph { net, specs }
}

/// Sums terms; in an order drawn anew for every sum if there is a seed.
struct Summer(Option<u64>);

impl Summer {
    fn sum<T: Num>(&mut self, mut terms: Vec<T>) -> T {
        if let Some(seed) = &mut self.0 {
            for i in (1..terms.len()).rev() {
                let j = ((uniform(seed) + 1.0) / 2.0 * (i + 1) as f64) as usize;
                terms.swap(i, j.min(i));
            }
        }
        terms.into_iter().reduce(T::add).unwrap_or(T::of(0.0))
    }
}

fn size(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (slot, &n) in index.iter_mut().zip(shape).rev() {
        *slot = flat % n;
        flat /= n;
    }
    index
}

fn flatten(index: &[usize], shape: &[usize]) -> usize {
    index
        .iter()
        .zip(shape)
        .fold(0, |flat, (&i, &n)| flat * n + i)
}

fn source(at: isize, n: usize, mode: PaddingMode) -> Option<usize> {
    let n = n as isize;
    if (0..n).contains(&at) {
        return Some(at as usize);
    }
    let at = match mode {
        PaddingMode::Zeros => return None,
        PaddingMode::Circular => at.rem_euclid(n),
        PaddingMode::Replicate => at.clamp(0, n - 1),
        PaddingMode::Reflect if at < 0 => -at,
        PaddingMode::Reflect => 2 * (n - 1) - at,
    };
    Some(at as usize)
}

impl Graph {
    pub(crate) fn shape(&self, node: usize) -> &[usize] {
        &self.net.nodes()[node].shape
    }

    /// The values of all nodes, formula by formula; sums in a random order if `shuffle`.
    pub(crate) fn evaluate<T: Num>(&self, x: &[f64], shuffle: Option<u64>) -> Vec<Vec<T>> {
        let x = x.iter().map(|&x| T::of(x)).collect();
        self.evaluate_with(x, shuffle, |_, _| {})
    }

    /// The same at an input of such numbers; `change` sees every node's values before others read them.
    pub(crate) fn evaluate_with<T: Num>(
        &self,
        x: Vec<T>,
        shuffle: Option<u64>,
        mut change: impl FnMut(usize, &mut Vec<T>),
    ) -> Vec<Vec<T>> {
        let mut summer = Summer(shuffle);
        let mut values = vec![x];
        for i in 1..self.specs.len() {
            let (spec, from) = &self.specs[i];
            let inputs: Vec<(&[T], &[usize])> = from
                .iter()
                .map(|&j| (&values[j][..], self.shape(j)))
                .collect();
            let mut out = spec.values(&inputs, self.shape(i), &mut summer);
            assert_eq!(out.len(), size(self.shape(i)));
            change(i, &mut out);
            values.push(out);
        }
        values
    }
}

impl Spec {
    fn values<T: Num>(
        &self,
        inputs: &[(&[T], &[usize])],
        shape: &[usize],
        summer: &mut Summer,
    ) -> Vec<T> {
        let (x, input) = inputs[0];
        let inner: usize = size(&shape[1..]);
        let of = |values: &[f64], channel: usize| T::of(values[channel.min(values.len() - 1)]);
        let along_axis = |axis: usize, f: &mut dyn FnMut(&[T]) -> Vec<T>| {
            let mut out = vec![T::of(0.0); size(shape)];
            for flat in 0..x.len() {
                let mut index = unflatten(flat, input);
                if index[axis] > 0 {
                    continue;
                }
                let lane: Vec<T> = (0..input[axis])
                    .map(|i| {
                        index[axis] = i;
                        x[flatten(&index, input)]
                    })
                    .collect();
                for (i, y) in f(&lane).into_iter().enumerate() {
                    index[axis] = i;
                    out[flatten(&index, shape)] = y;
                }
            }
            out
        };
        match self {
            Self::Conv {
                shape: kernel,
                values,
                conv,
                bias,
            } => conv_values(x, input, shape, kernel, values, conv, bias.as_ref(), summer),
            Self::Dense { rows, values, bias } => {
                let cols = values.len() / rows;
                (0..*rows)
                    .map(|r| {
                        let mut terms: Vec<T> = (0..cols)
                            .map(|c| T::of(values[r * cols + c]).mul(x[c]))
                            .collect();
                        terms.extend(bias.iter().map(|b| T::of(b[r])));
                        summer.sum(terms)
                    })
                    .collect()
            }
            Self::Affine(scale, shift) => (0..x.len())
                .map(|i| of(scale, i / inner).mul(x[i]).add(of(shift, i / inner)))
                .collect(),
            Self::BatchNorm([gamma, beta, mean, variance], epsilon) => (0..x.len())
                .map(|i| {
                    let c = i / inner;
                    let s = of(gamma, c).div(of(variance, c).add(T::of(*epsilon)).sqrt());
                    s.mul(x[i].add(of(mean, c).neg())).add(of(beta, c))
                })
                .collect(),
            Self::PRelu(slopes) => (0..x.len())
                .map(|i| match x[i].less(T::of(0.0)) {
                    true => of(slopes, i / inner).mul(x[i]),
                    false => x[i],
                })
                .collect(),
            Self::Along(along, fill) => (0..size(shape))
                .map(|flat| {
                    let index: Option<Vec<usize>> = unflatten(flat, shape)
                        .iter()
                        .zip(along)
                        .map(|(&i, list)| list[i])
                        .collect();
                    index.map_or(T::of(*fill), |index| x[flatten(&index, input)])
                })
                .collect(),
            Self::Pad(amounts, mode, fill) => (0..size(shape))
                .map(|flat| {
                    let index: Option<Vec<usize>> = unflatten(flat, shape)
                        .iter()
                        .zip(amounts)
                        .zip(input)
                        .map(|((&i, &(before, _)), &n)| source(i as isize - before, n, *mode))
                        .collect();
                    index.map_or(T::of(*fill), |index| x[flatten(&index, input)])
                })
                .collect(),
            Self::Transpose(axes) => (0..size(shape))
                .map(|flat| {
                    let to = unflatten(flat, shape);
                    let mut index = vec![0; axes.len()];
                    for (i, &axis) in axes.iter().enumerate() {
                        index[axis] = to[i];
                    }
                    x[flatten(&index, input)]
                })
                .collect(),
            Self::Flatten => x.to_vec(),
            Self::MaxPool(pool) => pool_values(x, input, shape, pool, |window, _| {
                window.into_iter().reduce(T::max).unwrap()
            }),
            Self::Fold(pool, norm) => pool_values(x, input, shape, pool, |window, _| {
                if *norm {
                    return summer
                        .sum(window.iter().map(|x| x.mul(*x)).collect())
                        .sqrt();
                }
                let largest = window.iter().copied().reduce(T::max).unwrap();
                let terms = window
                    .iter()
                    .map(|x| x.add(largest.neg()).function(f64::exp));
                largest.add(summer.sum(terms.collect()).function(f64::ln))
            }),
            Self::AveragePool(pool, count) => pool_values(x, input, shape, pool, |window, all| {
                let n = if *count { all } else { window.len() };
                summer.sum(window).div(T::int(n))
            }),
            Self::Reduce { axis, mean } => along_axis(*axis, &mut |lane| {
                let sum = summer.sum(lane.to_vec());
                vec![if *mean {
                    sum.div(T::int(lane.len()))
                } else {
                    sum
                }]
            }),
            Self::Linear(axis, m, how) => {
                along_axis(*axis, &mut |lane| interpolated(lane, *m, *how))
            }
            Self::Filtered(axis, m, how, filter) => {
                along_axis(*axis, &mut |lane| filtered(lane, *m, *how, *filter, summer))
            }
            Self::Activation(activation) => x.iter().map(|&x| activated(activation, x)).collect(),
            Self::Softmax(axis) => along_axis(*axis, &mut |lane| softmax(lane, summer)),
            Self::LogSoftmax(axis) => along_axis(*axis, &mut |lane| {
                let largest = lane.iter().copied().reduce(T::max).unwrap();
                let shifted: Vec<T> = lane.iter().map(|x| x.add(largest.neg())).collect();
                let sum = summer.sum(shifted.iter().map(|d| d.function(f64::exp)).collect());
                let log = sum.function(f64::ln);
                shifted.iter().map(|d| d.add(log.neg())).collect()
            }),
            Self::Normalisation {
                axis,
                centred,
                epsilon,
            } => along_axis(*axis, &mut |lane| {
                let n = T::int(lane.len());
                let mean = match centred {
                    true => summer.sum(lane.to_vec()).div(n),
                    false => T::of(0.0),
                };
                let z: Vec<T> = lane.iter().map(|x| x.add(mean.neg())).collect();
                let squares = summer.sum(z.iter().map(|z| z.mul(*z)).collect());
                let root = squares.div(n).add(T::of(*epsilon)).sqrt();
                z.iter().map(|z| z.div(root)).collect()
            }),
            Self::Sort(axis, descending) => along_axis(*axis, &mut |lane| {
                let mut lane = lane.to_vec();
                // By exchanges of neighbours.
                for end in (1..lane.len()).rev() {
                    for i in 0..end {
                        let (a, b) = (lane[i], lane[i + 1]);
                        let (low, high) = (a.min(b), a.max(b));
                        (lane[i], lane[i + 1]) = match descending {
                            true => (high, low),
                            false => (low, high),
                        };
                    }
                }
                lane
            }),
            Self::Add | Self::Max | Self::Min => (0..x.len())
                .map(|i| {
                    let all = inputs.iter().map(|(values, _)| values[i]);
                    match self {
                        Self::Add => summer.sum(all.collect()),
                        Self::Max => all.reduce(T::max).unwrap(),
                        _ => all.reduce(T::min).unwrap(),
                    }
                })
                .collect(),
            Self::Concat(axis) => (0..size(shape))
                .map(|flat| {
                    let mut index = unflatten(flat, shape);
                    let mut part = 0;
                    while index[*axis] >= inputs[part].1[*axis] {
                        index[*axis] -= inputs[part].1[*axis];
                        part += 1;
                    }
                    inputs[part].0[flatten(&index, inputs[part].1)]
                })
                .collect(),
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "a formula with as many letters")]
fn conv_values<T: Num>(
    x: &[T],
    input: &[usize],
    shape: &[usize],
    kernel: &[usize],
    values: &[f64],
    conv: &Conv,
    bias: Option<&Vec<f64>>,
    summer: &mut Summer,
) -> Vec<T> {
    let k = &kernel[2..];
    let (rows, cols, taps) = (kernel[0], kernel[1], size(k));
    let per_group = rows / conv.groups;
    let mut terms: Vec<Vec<T>> = vec![Vec::new(); size(shape)];
    // Row pixels: the output of a convolution, the input of a transposed one.
    let (row_shape, col_shape) = if conv.transposed {
        (&input[1..], &shape[1..])
    } else {
        (&shape[1..], &input[1..])
    };
    for row in 0..rows {
        for col in 0..cols {
            let channel = row / per_group * cols + col;
            for pixel in 0..size(row_shape) {
                for tap in 0..taps {
                    let (o, t) = (unflatten(pixel, row_shape), unflatten(tap, k));
                    let place: Option<Vec<usize>> = (0..k.len())
                        .map(|a| {
                            let at = (o[a] * conv.stride[a] + t[a] * conv.dilation[a]) as isize
                                - conv.padding[a].0 as isize;
                            source(at, col_shape[a], conv.padding_mode)
                        })
                        .collect();
                    let Some(place) = place else { continue };
                    let w = T::of(values[(row * cols + col) * taps + tap]);
                    let r = row * size(row_shape) + pixel;
                    let c = channel * size(col_shape) + flatten(&place, col_shape);
                    if conv.transposed {
                        terms[c].push(w.mul(x[r]));
                    } else {
                        terms[r].push(w.mul(x[c]));
                    }
                }
            }
        }
    }
    let inner = size(&shape[1..]);
    terms
        .into_iter()
        .enumerate()
        .map(|(i, mut terms)| {
            terms.extend(bias.map(|b| T::of(b[i / inner])));
            summer.sum(terms)
        })
        .collect()
}

fn pool_values<T: Num>(
    x: &[T],
    input: &[usize],
    shape: &[usize],
    pool: &Pool,
    mut f: impl FnMut(Vec<T>, usize) -> T,
) -> Vec<T> {
    (0..size(shape))
        .map(|flat| {
            let o = unflatten(flat, shape);
            let taps = size(&pool.kernel);
            let window: Vec<T> = (0..taps)
                .filter_map(|tap| {
                    let t = unflatten(tap, &pool.kernel);
                    let mut index = vec![o[0]];
                    for a in 0..t.len() {
                        let at = (o[a + 1] * pool.stride[a] + t[a] * pool.dilation[a]) as isize
                            - pool.padding[a].0 as isize;
                        index.push(source(at, input[a + 1], PaddingMode::Zeros)?);
                    }
                    Some(x[flatten(&index, input)])
                })
                .collect();
            f(window, taps)
        })
        .collect()
}

/// Where output pixel `i` of `m` lies among `n`.
fn position<T: Num>(i: usize, n: usize, m: usize, how: Interpolation) -> T {
    let scaled = |x: T| x.mul(T::int(n)).div(T::int(m));
    let half = T::of(0.5);
    match how {
        Interpolation::PytorchHalfPixel | Interpolation::AlignCorners if m == 1 => T::of(0.0),
        Interpolation::HalfPixel | Interpolation::PytorchHalfPixel => {
            scaled(T::int(i).add(half)).add(half.neg())
        }
        Interpolation::AlignCorners => T::int(i).mul(T::int(n - 1)).div(T::int(m - 1)),
        Interpolation::Asymmetric => scaled(T::int(i)),
        other => panic!("the oracle has no {other}"),
    }
}

/// Each hat function at the exact position.
fn interpolated<T: Num>(lane: &[T], m: usize, how: Interpolation) -> Vec<T> {
    let n = lane.len();
    let (zero, last) = (T::of(0.0), T::int(n - 1));
    (0..m)
        .map(|i| {
            let at = position::<T>(i, n, m, how).max(zero).min(last);
            let low = (at.get().floor() as usize).min(n - 1);
            // Just below an integer the floor may be one off: the hats are continuous.
            let part = at.add(T::int(low).neg());
            let next = lane[(low + 1).min(n - 1)];
            lane[low]
                .mul(T::of(1.0).add(part.neg()))
                .add(next.mul(part))
        })
        .collect()
}

/// The sum over far more entries than the filter reaches.
fn filtered<T: Num>(
    lane: &[T],
    m: usize,
    how: Interpolation,
    filter: Filter,
    summer: &mut Summer,
) -> Vec<T> {
    let n = lane.len();
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let scale = match filter.antialias && m < n {
        true => T::int(m).div(T::int(n)),
        false => one,
    };
    let weight = |t: T| match filter.cubic {
        None => one.add(t.neg()).max(zero),
        // The pieces meet: which of them is taken next to 1 and 2 does not matter.
        Some(a) if t.get() <= 1.0 => {
            let plus = |k: f64| T::of(a).add(T::of(k));
            let inner = plus(2.0).mul(t).add(plus(3.0).neg());
            inner.mul(t).mul(t).add(one)
        }
        Some(a) if t.get() < 2.0 => {
            let inner = t.mul(t).add(T::of(5.0).mul(t).neg()).add(T::of(8.0));
            T::of(a).mul(inner.mul(t).add(T::of(4.0).neg()))
        }
        Some(_) => zero,
    };
    let reach = 3 + 3 * n.div_ceil(m).max(1);
    (0..m)
        .map(|i| {
            let at = position::<T>(i, n, m, how);
            let mut terms: Vec<(T, T)> = Vec::new();
            for j in 0..n + 2 * reach {
                let inside = (reach..reach + n).contains(&j);
                if filter.exclude_outside && !inside {
                    continue;
                }
                let t = T::int(j).add(T::int(reach).neg()).add(at.neg());
                let t = t.max(t.neg()).mul(scale);
                terms.push((weight(t), lane[j.saturating_sub(reach).min(n - 1)]));
            }
            let sum = summer.sum(terms.iter().map(|&(w, x)| w.mul(x)).collect());
            if !filter.antialias && !filter.exclude_outside {
                return sum;
            }
            sum.div(summer.sum(terms.iter().map(|&(w, _)| w).collect()))
        })
        .collect()
}

fn softmax<T: Num>(lane: &[T], summer: &mut Summer) -> Vec<T> {
    let largest = lane.iter().copied().reduce(T::max).unwrap();
    let e: Vec<T> = lane
        .iter()
        .map(|x| x.add(largest.neg()).function(f64::exp))
        .collect();
    let sum = summer.sum(e.clone());
    e.iter().map(|e| e.div(sum)).collect()
}

fn activated<T: Num>(activation: &Activation, x: T) -> T {
    if let Some(value) = x.smooth(activation) {
        return value;
    }
    let (zero, one) = (T::of(0.0), T::of(1.0));
    let below = |f: fn(f64) -> f64| if x.less(zero) { x.function(f) } else { x };
    match *activation {
        Activation::Relu => x.max(zero),
        Activation::LeakyRelu { alpha } if x.less(zero) => T::of(alpha).mul(x),
        Activation::LeakyRelu { .. } => x,
        Activation::Abs => x.max(x.neg()),
        Activation::Clip { low, high } => x.max(T::of(low)).min(T::of(high)),
        Activation::HardSwish => {
            let gate = x.add(T::of(3.0)).max(zero).min(T::of(6.0));
            x.mul(gate).div(T::of(6.0))
        }
        Activation::Softsign => x.div(one.add(x.max(x.neg()))),
        Activation::Elu { alpha } if x.less(zero) => T::of(alpha).mul(x.function(f64::exp_m1)),
        Activation::Elu { .. } => below(|x| x),
        Activation::Celu { alpha } if x.less(zero) => {
            T::of(alpha).mul(x.div(T::of(alpha)).function(f64::exp_m1))
        }
        Activation::Celu { .. } => x,
        Activation::Selu { alpha, gamma } if x.less(zero) => {
            T::of(gamma * alpha).mul(x.function(f64::exp_m1))
        }
        Activation::Selu { gamma, .. } => T::of(gamma).mul(x),
        Activation::Sigmoid => x.function(|x| 1.0 / (1.0 + (-x).exp())),
        Activation::Tanh => x.function(f64::tanh),
        Activation::Softplus => x.function(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        Activation::Gelu => x.function(|x| x * (0.5 + 0.5 * erf(x / std::f64::consts::SQRT_2))),
        Activation::GeluTanh => x.function(|x| {
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + y.tanh())
        }),
        Activation::GeluTanhNear { linear, cubic } => {
            let y = T::of(cubic).mul(x).mul(x).add(T::of(linear)).mul(x);
            let gate = one.add(y.function(f64::tanh));
            T::of(0.5).mul(x).mul(gate)
        }
        // x − x cut to [−λ, λ] rounds where neither has to.
        Activation::SoftShrink { lambd } => {
            let above = x.add(T::of(-lambd)).max(zero);
            let below = x.add(T::of(lambd)).min(zero);
            above.add(below)
        }
        Activation::Silu => x.function(|x| x / (1.0 + (-x).exp())),
        Activation::Mish => x.function(|x| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh()),
        Activation::HardSigmoid { alpha, beta } => {
            T::of(alpha).mul(x).add(T::of(beta)).max(zero).min(one)
        }
        Activation::Erf => x.function(erf),
        Activation::Atan => x.function(f64::atan),
        Activation::Asinh => x.function(f64::asinh),
        Activation::Sin => x.function(f64::sin),
        Activation::Cos => x.function(f64::cos),
        other => panic!("the oracle has no {other}"),
    }
}

/// By Simpson's rule, to about ten digits.
fn erf(x: f64) -> f64 {
    let x = x.clamp(-6.0, 6.0);
    let n = 400;
    let h = x / f64::from(n);
    let f = |t: f64| (-t * t).exp();
    let sum: f64 = (0..=n)
        .map(|i| {
            let weight = match i {
                0 => 1.0,
                i if i == n => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * f(f64::from(i) * h)
        })
        .sum();
    std::f64::consts::FRAC_2_SQRT_PI * h / 3.0 * sum
}
