//! One training step's worth of penalty, gradient included, on the convolutions of ResNet-32.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark, not an interface"
)]

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Device;
use sigmax_burn::{Measure, SpectralPenaltyConfig};

fn main() {
    divan::main();
}

#[derive(Module, Debug)]
struct Convolutions {
    all: Vec<Conv2d>,
}

fn resnet32() -> Convolutions {
    let device = Device::default().autodiff();
    let mut shapes = vec![(3, 16)];
    for (c_in, c) in [(16, 16), (16, 32), (32, 64)] {
        shapes.push((c_in, c));
        shapes.extend([(c, c); 9]);
    }
    let all = shapes
        .into_iter()
        .map(|(c_in, c_out)| Conv2dConfig::new([c_in, c_out], [3, 3]).init(&device))
        .collect();
    Convolutions { all }
}

#[divan::bench(args = ["four", "weighted four", "tracked norm"])]
fn step(bencher: divan::Bencher<'_, '_>, name: &str) {
    let measure = match name {
        "four" => Measure::Four,
        "weighted four" => Measure::WeightedFour,
        _ => Measure::TrackedNorm,
    };
    let model = resnet32();
    let mut penalty = SpectralPenaltyConfig::new()
        .with_measure(measure)
        .init(&model)
        .unwrap();
    bencher.bench_local(|| penalty.step(&model).unwrap().loss().backward());
}
