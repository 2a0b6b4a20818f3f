//! [`LayerGeometry`]: the geometry of Burn's own layers, for [`LayerSelection`](crate::LayerSelection).

use burn::nn::conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d};
use burn::nn::{PaddingConfig1d, PaddingConfig2d, PaddingConfig3d};
use sigmax::Conv;

/// Reads stride, padding, dilation and groups off a layer that is at hand.
///
/// # Example
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use sigmax_burn::{LayerGeometry, SpectralPenaltyConfig};
/// let stem = Conv2dConfig::new([3, 8], [3, 3]).with_stride([2, 2]).init(&Default::default());
/// assert_eq!(stem.geometry(None).stride, [2, 2]);
/// let config = SpectralPenaltyConfig::new().with_geometry("stem", stem.geometry(None));
/// # let _ = config;
/// ```
pub trait LayerGeometry {
    /// The geometry, at the spatial input size where that is known. `Same` padding of a layer whose
    /// input size is not known is left out: only the tracked operator depends on it.
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv;
}

/// Padding as Burn computes it for `Same`: the outputs cover ⌈n/s⌉ steps, the odd pixel comes last.
fn same(kernel: usize, stride: usize, size: usize) -> (usize, usize) {
    let steps = size.div_ceil(stride).saturating_sub(1);
    let total = (steps * stride + kernel).saturating_sub(size);
    (total / 2, total - total / 2)
}

fn assemble(
    (stride, dilation, groups): (&[usize], &[usize], usize),
    padding: impl Fn(usize) -> Option<(usize, usize)>,
    kernel: &[usize],
    input_size: Option<&[usize]>,
) -> Conv {
    let padding: Vec<(usize, usize)> = (0..stride.len())
        .map(
            |a| match (padding(a), input_size.and_then(|size| size.get(a))) {
                (Some(explicit), _) => explicit,
                (None, Some(&size)) => same(kernel[a], stride[a], size),
                (None, None) => (0, 0),
            },
        )
        .collect();
    let mut conv = Conv::new(stride.len())
        .with_stride(stride)
        .with_padding(&padding)
        .with_dilation(dilation)
        .with_groups(groups);
    conv.input_size = input_size.map(<[usize]>::to_vec);
    conv
}

impl LayerGeometry for Conv1d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |_| match self.padding {
            PaddingConfig1d::Same => None,
            PaddingConfig1d::Valid => Some((0, 0)),
            PaddingConfig1d::Explicit(before, after) => Some((before, after)),
        };
        let shape = (&[self.stride][..], &[self.dilation][..], self.groups);
        assemble(shape, padding, &[self.kernel_size], input_size)
    }
}

impl LayerGeometry for Conv2d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |a| match self.padding {
            PaddingConfig2d::Same => None,
            PaddingConfig2d::Valid => Some((0, 0)),
            PaddingConfig2d::Explicit(top, left, bottom, right) => {
                Some([(top, bottom), (left, right)][a])
            }
        };
        let shape = (&self.stride[..], &self.dilation[..], self.groups);
        assemble(shape, padding, &self.kernel_size, input_size)
    }
}

impl LayerGeometry for Conv3d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |a| match self.padding {
            PaddingConfig3d::Same => None,
            PaddingConfig3d::Valid => Some((0, 0)),
            PaddingConfig3d::Explicit(depth, height, width) => {
                let both = [depth, height, width][a];
                Some((both, both))
            }
        };
        let shape = (&self.stride[..], &self.dilation[..], self.groups);
        assemble(shape, padding, &self.kernel_size, input_size)
    }
}

impl LayerGeometry for ConvTranspose1d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |_| Some((self.padding, self.padding));
        let shape = (&[self.stride][..], &[self.dilation][..], self.groups);
        assemble(shape, padding, &[self.kernel_size], input_size).transposed(&[self.padding_out])
    }
}

impl LayerGeometry for ConvTranspose2d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |a: usize| Some((self.padding[a], self.padding[a]));
        let shape = (&self.stride[..], &self.dilation[..], self.groups);
        assemble(shape, padding, &self.kernel_size, input_size).transposed(&self.padding_out)
    }
}

impl LayerGeometry for ConvTranspose3d {
    fn geometry(&self, input_size: Option<&[usize]>) -> Conv {
        let padding = |a: usize| Some((self.padding[a], self.padding[a]));
        let shape = (&self.stride[..], &self.dilation[..], self.groups);
        assemble(shape, padding, &self.kernel_size, input_size).transposed(&self.padding_out)
    }
}
