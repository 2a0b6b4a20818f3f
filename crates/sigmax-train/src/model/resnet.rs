//! [`ResNet`]: the CIFAR ResNets of He et al. 2016, section 4.2, with parameter-free shortcuts.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, s};

use super::{Layer, Network};

/// conv 3×3 (16) – n blocks of 16 – n of 32 – n of 64 channels – mean over the image – dense 10.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    linear: Linear,
    size: usize,
}

/// Two 3×3 convolutions with BatchNorm, and the identity beside them.
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    channels_out: usize,
    stride: usize,
}

fn conv3x3(c_in: usize, c_out: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([c_in, c_out], [3, 3])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .with_bias(false)
        .init(device)
}

/// The shortcut of option A: every `stride`-th pixel of both axes, and zero channels on both
/// sides, as many before as after, up to `channels_out`.
///
/// # Panics
/// More channels in `x` than `channels_out`.
#[must_use]
pub fn shortcut(x: Tensor<4>, channels_out: usize, stride: usize) -> Tensor<4> {
    let missing = channels_out - x.dims()[1];
    let x = match stride {
        1 => x,
        step => {
            let step = isize::try_from(step).unwrap_or(isize::MAX);
            x.slice(s![.., .., ..;step, ..;step])
        }
    };
    if missing == 0 {
        return x;
    }
    let before = missing / 2;
    let channels = (before, missing - before);
    x.pad([(0, 0), channels, (0, 0), (0, 0)], PadMode::Constant(0.0))
}

impl Block {
    fn new(c_in: usize, channels_out: usize, stride: usize, device: &Device) -> Self {
        Self {
            conv1: conv3x3(c_in, channels_out, stride, device),
            bn1: BatchNormConfig::new(channels_out).init(device),
            conv2: conv3x3(channels_out, channels_out, 1, device),
            bn2: BatchNormConfig::new(channels_out).init(device),
            channels_out,
            stride,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let branch = relu(self.bn1.forward(self.conv1.forward(x.clone())));
        let branch = self.bn2.forward(self.conv2.forward(branch));
        relu(branch + shortcut(x, self.channels_out, self.stride))
    }
}

impl ResNet {
    /// 6n + 2 layers for images of `channels`×`size`×`size`.
    #[must_use]
    pub fn new(n: usize, [channels, size, _]: [usize; 3], device: &Device) -> Self {
        let stage = |c_in, c_out, stride| -> Vec<Block> {
            (0..n)
                .map(|i| match i {
                    0 => Block::new(c_in, c_out, stride, device),
                    _ => Block::new(c_out, c_out, 1, device),
                })
                .collect()
        };
        Self {
            conv1: conv3x3(channels, 16, 1, device),
            bn1: BatchNormConfig::new(16).init(device),
            layer1: stage(16, 16, 1),
            layer2: stage(16, 32, 2),
            layer3: stage(32, 64, 2),
            linear: LinearConfig::new(64, 10).init(device),
            size,
        }
    }
}

impl Network for ResNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu(self.bn1.forward(self.conv1.forward(images)));
        let blocks = self.layer1.iter().chain(&self.layer2).chain(&self.layer3);
        let x = blocks.fold(x, |x, block| block.forward(x));
        let [batch, channels, height, width] = x.dims();
        let x = x.reshape([batch, channels, height * width]).mean_dim(2);
        self.linear.forward(x.reshape([batch, channels]))
    }

    fn layers(&self) -> Vec<Layer> {
        let mut size = self.size;
        let mut layers = vec![Layer::conv2d("conv1".into(), size, 1, 1)];
        let stages = [&self.layer1, &self.layer2, &self.layer3];
        for (stage, blocks) in stages.into_iter().enumerate() {
            for (i, block) in blocks.iter().enumerate() {
                let path = format!("layer{}.{i}", stage + 1);
                layers.push(Layer::conv2d(
                    format!("{path}.conv1"),
                    size,
                    block.stride,
                    1,
                ));
                size = size.div_ceil(block.stride);
                layers.push(Layer::conv2d(format!("{path}.conv2"), size, 1, 1));
            }
        }
        layers.push(Layer::dense("linear"));
        layers
    }
}
