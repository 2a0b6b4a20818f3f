//! [`LeNet`]: LeNet-5 with ReLU and max pooling.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::{Layer, Network};

/// conv 5×5 (6, padding 2) – pool 2 – conv 5×5 (16) – pool 2 – dense 120 – dense 84 – dense 10.
#[derive(Module, Debug)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    size: usize,
}

impl LeNet {
    /// For images of `channels`×`size`×`size`.
    #[must_use]
    pub fn new([channels, size, _]: [usize; 3], device: &Device) -> Self {
        let features = 16 * ((size / 2 - 4) / 2).pow(2);
        Self {
            conv1: Conv2dConfig::new([channels, 6], [5, 5])
                .with_padding(PaddingConfig2d::Explicit(2, 2, 2, 2))
                .init(device),
            conv2: Conv2dConfig::new([6, 16], [5, 5]).init(device),
            fc1: LinearConfig::new(features, 120).init(device),
            fc2: LinearConfig::new(120, 84).init(device),
            fc3: LinearConfig::new(84, 10).init(device),
            size,
        }
    }
}

impl Network for LeNet {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let pool = |x| max_pool2d(relu(x), MaxPoolOptions::new([2, 2]));
        let x = pool(self.conv1.forward(images));
        let x = pool(self.conv2.forward(x));
        let x: Tensor<2> = x.flatten(1, 3);
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }

    fn layers(&self) -> Vec<Layer> {
        vec![
            Layer::conv2d("conv1".into(), self.size, 1, 2),
            Layer::conv2d("conv2".into(), self.size / 2, 1, 0),
            Layer::dense("fc1"),
            Layer::dense("fc2"),
            Layer::dense("fc3"),
        ]
    }
}
