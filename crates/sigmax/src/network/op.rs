//! [`Op`]: what a node computes, and the shape it gives.

pub(crate) mod activation;
pub(crate) mod affine;
pub(crate) mod axis;
pub(crate) mod channels;
pub(crate) mod fold;
pub(crate) mod normalisation;
pub(crate) mod pick;
pub(crate) mod pool;
pub(crate) mod separable;

use crate::conv::Conv;
use crate::error::{Error, Misfit};
use crate::kernel::Kernel;
use crate::network::op::activation::Activation;
use crate::network::op::affine::{Affine, PerEntry};
use crate::network::op::fold::Fold;
use crate::network::op::normalisation::Normalisation;
use crate::network::op::pick::Pick;
use crate::network::op::pool::Pool;
use crate::network::op::separable::Separable;

/// What a node computes from its inputs, for every sample of a batch alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// The input of the network.
    Input,
    /// A convolution, or a transposed one, of `[channels, n_1, …, n_m]`, m = 1 to 3.
    Conv {
        /// The weight.
        kernel: Kernel,
        /// The geometry; its input size is set when the node is added.
        conv: Conv,
        /// One number per output channel.
        bias: Option<Vec<f64>>,
    },
    /// `W·x + b` along the last axis, W of shape `[out, in]`.
    Dense {
        /// The weight.
        kernel: Kernel,
        /// One number per output.
        bias: Option<Vec<f64>>,
    },
    /// `s·x + t` entry by entry: BatchNorm at inference, input normalisation, a constant added or
    /// multiplied.
    Affine(Affine),
    /// Entries moved, left out, repeated, or set to a constant.
    Pick(Pick),
    /// A matrix along some axes: average pooling, means, linear interpolation.
    Separable(Separable),
    /// The largest entry of every window.
    MaxPool(Pool),
    /// The root of the sum of squares of every window, or the logarithm of the sum of exponentials.
    Fold(Fold),
    /// An activation function.
    Activation(Activation),
    /// `x` where it is positive, `a·x` elsewhere.
    PRelu(PerEntry),
    /// Softmax along an axis.
    Softmax {
        /// The axis, batch left out.
        axis: usize,
    },
    /// Logarithm of softmax along an axis.
    LogSoftmax {
        /// The axis, batch left out.
        axis: usize,
    },
    /// Mean and variance, or the mean of squares, along an axis divided out.
    Normalisation(Normalisation),
    /// The entries along an axis in the order of size.
    Sort {
        /// The axis, batch left out.
        axis: usize,
        /// Whether the largest is first.
        descending: bool,
    },
    /// The sum of all inputs, which have one shape.
    Add,
    /// Entry by entry the largest of all inputs, which have one shape.
    Max,
    /// Entry by entry the smallest.
    Min,
    /// The inputs side by side along an axis.
    Concat {
        /// The axis, batch left out.
        axis: usize,
    },
}

impl Op {
    /// A convolution without bias.
    #[must_use]
    pub fn conv(kernel: Kernel, conv: Conv) -> Self {
        Self::Conv {
            kernel,
            conv,
            bias: None,
        }
    }

    /// A dense layer without bias.
    #[must_use]
    pub fn dense(kernel: Kernel) -> Self {
        Self::Dense { kernel, bias: None }
    }

    /// A short name of the kind of operation.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv { conv, .. } if conv.transposed => "transposed convolution",
            Self::Conv { .. } => "convolution",
            Self::Dense { .. } => "dense",
            Self::Affine(_) => "affine",
            Self::Pick(_) => "pick",
            Self::Separable(_) => "separable",
            Self::MaxPool(_) => "max-pool",
            Self::Fold(fold) => fold.name(),
            Self::Activation(activation) => activation.name(),
            Self::PRelu(_) => "PReLU",
            Self::Softmax { .. } => "softmax",
            Self::LogSoftmax { .. } => "log-softmax",
            Self::Normalisation(_) => "normalisation",
            Self::Sort { .. } => "sort",
            Self::Add => "sum",
            Self::Max => "maximum",
            Self::Min => "minimum",
            Self::Concat { .. } => "concatenation",
        }
    }

    /// The operation with what the input shapes tell filled in, and the shape of its output.
    pub(crate) fn fitted(mut self, inputs: &[&[usize]]) -> Result<(Self, Vec<usize>), Unfit> {
        let count = match self {
            Self::Input => return Err(Misfit::SecondInput.into()),
            Self::Add | Self::Max | Self::Min | Self::Concat { .. } => inputs.len().max(1),
            _ => 1,
        };
        if inputs.len() != count {
            let (expected, got) = (count, inputs.len());
            return Err(Misfit::Inputs { expected, got }.into());
        }
        let first = inputs[0];
        let shape = match &mut self {
            Self::Input => Vec::new(),
            Self::Conv { kernel, conv, bias } => fit_conv(kernel, conv, bias.as_ref(), first)?,
            Self::Dense { kernel, bias } => {
                if kernel.shape().len() != 2 {
                    let shape = kernel.shape().to_vec();
                    return Err(Misfit::NoMatrix { shape }.into());
                }
                check_bias(bias.as_ref(), kernel.shape()[0])?;
                let Some((&last, rest)) = first.split_last() else {
                    return Err(Misfit::SingleNumber.into());
                };
                if last != kernel.shape()[1] {
                    let (got, expected) = (last, kernel.shape()[1]);
                    return Err(Misfit::LastAxis { got, expected }.into());
                }
                [rest, &kernel.shape()[..1]].concat()
            }
            Self::Affine(affine) => {
                affine.check(first)?;
                first.to_vec()
            }
            Self::Pick(pick) => {
                pick.check(first)?;
                pick.shape().to_vec()
            }
            Self::Separable(separable) => separable.output(first)?,
            Self::MaxPool(pool) => {
                let shape = pool.output(first)?;
                pool.all_windows(first)?;
                shape
            }
            Self::Fold(fold) => {
                let shape = fold.pool().output(first)?;
                fold.pool().all_windows(first)?;
                shape
            }
            Self::Activation(activation) => {
                activation.check()?;
                first.to_vec()
            }
            Self::PRelu(slopes) => {
                slopes.check("slope", first)?;
                first.to_vec()
            }
            Self::Softmax { axis } | Self::LogSoftmax { axis } | Self::Sort { axis, .. } => {
                check_axis(*axis, first)?;
                first.to_vec()
            }
            Self::Normalisation(normalisation) => {
                check_axis(normalisation.axis(), first)?;
                first.to_vec()
            }
            Self::Add | Self::Max | Self::Min => {
                if let Some(other) = inputs.iter().find(|&&shape| shape != first) {
                    let (first, other) = (first.to_vec(), other.to_vec());
                    return Err(Misfit::Shapes { first, other }.into());
                }
                first.to_vec()
            }
            Self::Concat { axis } => concatenated(*axis, inputs)?,
        };
        Ok((self, shape))
    }
}

/// Why an operation makes no node, which has no name yet.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It does not fit its inputs.
    Inputs(Misfit),
    /// It is refused by itself.
    Layer(Error),
}

impl Unfit {
    /// The error that names the node.
    pub(crate) fn at(self, node: &str) -> Error {
        match self {
            Self::Inputs(reason) => Error::node(node, reason),
            Self::Layer(source) => Error::Layer {
                node: node.to_owned(),
                source: Box::new(source),
            },
        }
    }
}

impl From<Misfit> for Unfit {
    fn from(reason: Misfit) -> Self {
        Self::Inputs(reason)
    }
}

impl From<Error> for Unfit {
    fn from(source: Error) -> Self {
        Self::Layer(source)
    }
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

fn fit_conv(
    kernel: &Kernel,
    conv: &mut Conv,
    bias: Option<&Vec<f64>>,
    input: &[usize],
) -> Result<Vec<usize>, Unfit> {
    let axes = kernel.spatial().len();
    if axes == 0 || input.len() != axes + 1 {
        let unfit = Misfit::SpatialAxes {
            kernel: kernel.shape().to_vec(),
            input: input.to_vec(),
            axes: axes.max(1),
        };
        return Err(unfit.into());
    }
    conv.input_size = Some(input[1..].to_vec());
    conv.check(kernel)?;
    let (rows, cols) = (
        kernel.shape()[0],
        kernel.shape()[1].saturating_mul(conv.groups),
    );
    let (expected, out) = if conv.transposed {
        (rows, cols)
    } else {
        (cols, rows)
    };
    if input[0] != expected {
        let got = input[0];
        return Err(Misfit::Channels { got, expected }.into());
    }
    check_bias(bias, out)?;
    let mut shape = vec![out];
    for axis in 0..axes {
        let n = conv.output_size(axis, input[axis + 1], kernel.spatial()[axis]);
        shape.push(n.ok_or(Misfit::OutputTooLarge)?);
    }
    Ok(shape)
}

fn check_bias(bias: Option<&Vec<f64>>, expected: usize) -> Result<(), Misfit> {
    let Some(bias) = bias else { return Ok(()) };
    if bias.len() != expected {
        let got = bias.len();
        return Err(Misfit::BiasEntries { got, expected });
    }
    match bias.iter().position(|b| !b.is_finite()) {
        Some(index) => Err(Misfit::BiasNotFinite {
            value: bias[index],
            index,
        }),
        None => Ok(()),
    }
}

fn check_axis(axis: usize, shape: &[usize]) -> Result<(), Misfit> {
    if axis < shape.len() {
        Ok(())
    } else {
        let input = shape.to_vec();
        Err(Misfit::Axis { axis, input })
    }
}

fn concatenated(axis: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, Misfit> {
    let mut shape = inputs[0].to_vec();
    check_axis(axis, &shape)?;
    for other in &inputs[1..] {
        let same = other.len() == shape.len()
            && (0..shape.len()).all(|a| a == axis || other[a] == shape[a]);
        if !same {
            return Err(Misfit::SideBySide {
                first: inputs[0].to_vec(),
                other: other.to_vec(),
                axis,
            });
        }
        shape[axis] = shape[axis]
            .checked_add(other[axis])
            .ok_or(Misfit::OutputTooLarge)?;
    }
    Ok(shape)
}
