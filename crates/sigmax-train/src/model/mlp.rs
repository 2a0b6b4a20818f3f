//! [`Mlp`]: three dense layers.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{Layer, Network};

/// dense 256 – dense 128 – dense 10, with ReLU.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Mlp {
    /// For images of the given channels, height and width.
    #[must_use]
    pub fn new(shape: [usize; 3], device: &Device) -> Self {
        Self {
            fc1: LinearConfig::new(shape.iter().product(), 256).init(device),
            fc2: LinearConfig::new(256, 128).init(device),
            fc3: LinearConfig::new(128, 10).init(device),
        }
    }
}

impl Network for Mlp {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x: Tensor<2> = images.flatten(1, 3);
        let x = relu(self.fc1.forward(x));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }

    fn layers(&self) -> Vec<Layer> {
        ["fc1", "fc2", "fc3"].map(Layer::dense).to_vec()
    }
}
