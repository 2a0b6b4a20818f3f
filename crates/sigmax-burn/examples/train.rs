//! A training loop with the penalty, on generated pictures, in seconds:
//!
//!     cargo run --release --example train
//!
//! Which of four diagonals a noisy 8×8 picture shows is learned twice, without and with the penalty; then the
//! core proves the norms of both models, and `finish` brings the second to norms of at most 1 for certain.
#![allow(clippy::print_stdout, reason = "the example shows what it found")]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use sigmax::{Conv, Options};
use sigmax_burn::{Error, LayerSelection, ProvedLayer, SpectralPenaltyConfig, finish, prove};

#[derive(Module, Debug)]
struct Net {
    stem: Conv2d,
    body: Conv2d,
    head: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
        let conv = |c_in, c_out, stride| {
            Conv2dConfig::new([c_in, c_out], [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Self {
            stem: conv(1, 8, 2),
            body: conv(8, 8, 1),
            head: LinearConfig::new(128, 4).init(device),
        }
    }

    fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let x = self.stem.forward(pictures).clamp_min(0.0);
        let x = self.body.forward(x).clamp_min(0.0);
        self.head.forward(x.flatten(1, 3))
    }
}

/// Pictures `[n, 1, 8, 8]` and which diagonal each shows.
fn pictures(n: usize, seed: u64, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let mut state = seed;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let mut values = Vec::with_capacity(64 * n);
    let mut labels = Vec::with_capacity(n);
    for i in 0..n {
        let label = i % 4;
        for pixel in 0..64 {
            let (row, column) = (pixel / 8, pixel % 8);
            let on = match label {
                0 => row == column,
                1 => row + column == 7,
                2 => row == (column + 4) % 8,
                _ => (row + column) % 8 == 3,
            };
            values.push(0.5 * noise() + if on { 0.5 } else { 0.0 });
        }
        labels.push(label as i64);
    }
    (
        Tensor::from_data(TensorData::new(values, [n, 1, 8, 8]), device),
        Tensor::from_data(TensorData::new(labels, [n]), device),
    )
}

/// The layers, with the strides that a walk over the module does not see.
fn selection() -> LayerSelection {
    LayerSelection::new()
        .with_linear(true)
        .with_geometry("stem", Conv::new(2).with_stride(&[2, 2]))
}

fn train(beta: f64, device: &Device) -> Result<Net, Error> {
    device.seed(1);
    let mut net = Net::new(device);
    let mut penalty = SpectralPenaltyConfig::new()
        .with_layers(selection())
        .with_beta(beta)
        .init(&net)?;
    let mut optimizer = SgdConfig::new().init();
    let cross_entropy = CrossEntropyLossConfig::new().init(device);
    for step in 0..200 {
        let (x, y) = pictures(32, step, device);
        let loss = cross_entropy.forward(net.forward(x), y) + penalty.step(&net)?.loss();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        net = optimizer.step(0.1, net, gradients);
    }
    Ok(net)
}

fn show(what: &str, net: &Net, proved: &[ProvedLayer], device: &Device) {
    let (x, y) = pictures(1000, 12345, device);
    let right = net.forward(x).argmax(1).squeeze_dim::<1>(1).equal(y);
    let right = right.int().sum().into_scalar::<i64>();
    println!("{what}: {right} of 1000 right");
    for layer in proved {
        // Every digit of the float is printed, so that what is read is what was proved.
        let upper = layer.audit().upper().get();
        println!("  norm of {} at most {upper}", layer.layer().path);
    }
}

fn main() -> Result<(), Error> {
    let device = Device::default().autodiff();
    let options = Options::default();
    for (what, beta) in [("plain", 0.0), ("penalised", 0.05)] {
        let net = train(beta, &device)?;
        let proved = prove(&net, &selection(), &options)?;
        show(what, &net, &proved, &device);
        if beta > 0.0 {
            let (net, proved) = finish(net, &selection(), 1.0, &options)?;
            show("rescaled to norms of at most 1", &net, &proved, &device);
        }
    }
    Ok(())
}
