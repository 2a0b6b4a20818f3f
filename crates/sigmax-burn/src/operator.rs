//! The tracked operator: power iteration with the zero-padded convolution itself.

use burn::tensor::Tensor;
use burn::tensor::module::{conv2d, conv3d};
use burn::tensor::ops::ConvOptions;

use crate::buffer::Buffer;
use crate::error::Error;
use crate::layer::Layer;
use crate::linalg::normalise;
use crate::state::{State, start_vectors};

/// The layers of a shape group as one grouped convolution of one image.
///
/// A transposed layer is the adjoint of the convolution with the same weights (T6), which maps the
/// layer's output to its input; both have the same norm.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    /// Axis 0 of the weight; axis 1 times the groups.
    channels: (usize, usize),
    /// Axis 1 of the weight.
    cols: usize,
    groups: usize,
    /// Kernel, image size on the side that the convolution reads, stride, padding, dilation: all
    /// lifted to three axes.
    k: [usize; 3],
    size: [usize; 3],
    stride: [usize; 3],
    padding: [(usize, usize); 3],
    dilation: [usize; 3],
}

impl Operators {
    pub(crate) fn new(layer: &Layer) -> Result<Self, Error> {
        let conv = &layer.conv;
        let axes = conv.axes();
        let Some(input) = &conv.input_size else {
            return Err(Error::layer(
                &layer.path,
                "the tracked operator needs the geometry of this layer, input size included",
            ));
        };
        let k = &layer.shape[2..];
        // `LayerSelection` has checked that there is an output and that nothing overflows.
        let size: Vec<usize> = (0..axes)
            .map(|a| {
                if conv.transposed {
                    let full = (input[a] - 1) * conv.stride[a]
                        + conv.dilation[a] * (k[a] - 1)
                        + conv.output_padding[a]
                        + 1;
                    full - conv.padding[a].0 - conv.padding[a].1
                } else {
                    input[a]
                }
            })
            .collect();
        if axes == 3 && conv.padding.iter().any(|(before, after)| before != after) {
            return Err(Error::layer(
                &layer.path,
                "Burn has no 3D convolution with different padding before and after",
            ));
        }
        Ok(Self {
            channels: (layer.shape[0], layer.shape[1] * conv.groups),
            cols: layer.shape[1],
            groups: conv.groups,
            k: lift(k, 1),
            size: lift(&size, 1),
            stride: lift(&conv.stride, 1),
            padding: lift(&conv.padding, (0, 0)),
            dilation: lift(&conv.dilation, 1),
        })
    }

    pub(crate) fn start(&self, state: &mut State, layers: &[Layer], seed: u64, like: &Tensor<2>) {
        let len = self.channels.1 * self.size.iter().product::<usize>();
        let (device, dtype) = (like.device(), like.dtype());
        let image = start_vectors(layers, (1, len), (seed, "image"), (&device, dtype));
        state.vectors = vec![Buffer::new(normalise(image, None).0)];
    }

    /// One power step.
    pub(crate) fn power(&self, weights: &Tensor<2>, state: &State) {
        self.step(weights, state, true);
    }

    /// One power step; the result is ∂‖A_l x_l‖/∂W_l for every layer, `[L, n]`, whose inner product
    /// with the weights is ‖A_l x_l‖.
    pub(crate) fn step(&self, weights: &Tensor<2>, state: &State, keep: bool) -> Tensor<2> {
        let image = state.vectors[0].get_on(&weights.device());
        // Both adjoints of (W, x) ↦ W∗x at once: one gives the power step, the other the gradient.
        let x = image.clone().autodiff().require_grad();
        let w = weights.clone().autodiff().require_grad();
        let y = self.apply(x.clone(), w.clone());
        let (direction, _) = normalise(y.clone().without_autodiff(), None);
        let gradients = (y * direction).sum().backward();
        if keep && let Some(adjoint) = x.grad(&gradients) {
            let (next, _) = normalise(adjoint.without_autodiff(), Some(&image));
            state.vectors[0].set(next);
        }
        w.grad(&gradients)
            .map_or_else(|| weights.zeros_like(), Tensor::without_autodiff)
    }

    /// The convolutions `[L, image]` → `[L, output]`.
    fn apply(&self, images: Tensor<2>, weights: Tensor<2>) -> Tensor<2> {
        let layers = images.dims()[0];
        let rows = layers * self.channels.0;
        let groups = layers * self.groups;
        let channels = layers * self.channels.1;
        let ([k1, k2, k3], [n1, n2, n3]) = (self.k, self.size);
        if k1 == 1 && n1 == 1 {
            let options = ConvOptions::new_with_padding(
                [self.stride[1], self.stride[2]],
                [self.padding[1], self.padding[2]],
                [self.dilation[1], self.dilation[2]],
                groups,
            );
            let images = images.reshape([1, channels, n2, n3]);
            let weights = weights.reshape([rows, self.cols, k2, k3]);
            let out = conv2d(images, weights, None, options);
            let len = out.shape().num_elements();
            out.reshape([layers, len / layers])
        } else {
            let options =
                ConvOptions::new_with_padding(self.stride, self.padding, self.dilation, groups);
            let images = images.reshape([1, channels, n1, n2, n3]);
            let weights = weights.reshape([rows, self.cols, k1, k2, k3]);
            let out = conv3d(images, weights, None, options);
            let len = out.shape().num_elements();
            out.reshape([layers, len / layers])
        }
    }
}

/// Adds axes in front.
fn lift<T: Copy>(values: &[T], front: T) -> [T; 3] {
    let mut lifted = [front; 3];
    lifted[3 - values.len()..].copy_from_slice(values);
    lifted
}
