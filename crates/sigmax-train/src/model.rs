//! The models, and what the core and the penalty need to know about their layers.

mod init;
mod lenet;
mod mlp;
mod resnet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use sigmax::Conv;

pub use lenet::LeNet;
pub use mlp::Mlp;
pub use resnet::{Block, ResNet, shortcut};

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Architecture {
    /// Two 5×5 convolutions and three dense layers.
    Lenet,
    /// Three dense layers.
    Mlp,
    /// 19 convolutions and one dense layer, He et al. 2016, section 4.2, n = 3.
    Resnet20,
    /// 31 convolutions and one dense layer, n = 5.
    Resnet32,
}

impl Architecture {
    /// The name as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lenet => "lenet",
            Self::Mlp => "mlp",
            Self::Resnet20 => "resnet20",
            Self::Resnet32 => "resnet32",
        }
    }
}

/// A dense or convolution layer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Path in the model, without `.weight`; the same in PyTorch.
    pub path: String,
    /// Its geometry, input size included.
    pub conv: Conv,
}

impl Layer {
    fn dense(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            conv: Conv::new(0),
        }
    }

    fn conv2d(path: String, size: usize, stride: usize, padding: usize) -> Self {
        let conv = Conv::new(2)
            .with_stride(&[stride; 2])
            .with_padding(&[(padding, padding); 2])
            .with_input_size(&[size; 2]);
        Self { path, conv }
    }

    /// Whether it is a dense layer.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.conv.axes() == 0
    }
}

/// A model for images.
pub trait Network: Module {
    /// Logits `[batch, 10]` of images `[batch, c, h, w]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2>;

    /// Its dense and convolution layers, from the input to the output.
    fn layers(&self) -> Vec<Layer>;
}

/// What is done with a model once its type is known.
pub trait Task {
    /// What comes out.
    type Output;

    /// Does it. The model has the weights of its own initialisation.
    fn run<N: Network>(self, model: N) -> Self::Output;
}

impl Architecture {
    /// Builds the model on `device`, with weights that depend on `seed` alone, and hands it to
    /// `task`. `shape` is channels, height and width of the images.
    pub fn with<T: Task>(
        self,
        shape: [usize; 3],
        seed: u64,
        device: &Device,
        task: T,
    ) -> T::Output {
        match self {
            Self::Lenet => task.run(init::uniform(LeNet::new(shape, device), seed)),
            Self::Mlp => task.run(init::uniform(Mlp::new(shape, device), seed)),
            Self::Resnet20 => task.run(init::he(ResNet::new(3, shape, device), seed)),
            Self::Resnet32 => task.run(init::he(ResNet::new(5, shape, device), seed)),
        }
    }
}
