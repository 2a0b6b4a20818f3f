//! Networks: evaluation with its error bound against plain loops, and what a certificate costs.
//!
//! `cargo bench -p sigmax --bench network`

mod common;

use divan::{Bencher, black_box};
use sigmax::estimate::Operator;
use sigmax::network::{
    Activation, Arithmetic, Certifier, Forward, Network, NetworkBuilder, Op, Pick, Separable,
    curvature, jacobian_norm, lipschitz,
};
use sigmax::{Conv, Kernel, Options};

use crate::common::numbers;

/// Images per evaluation.
const IMAGES: usize = 8;

fn main() {
    divan::main();
}

fn kernel(shape: &[usize], size: f64) -> Kernel {
    let values = numbers(shape.iter().product());
    Kernel::new(shape, values.into_iter().map(|v| size * v).collect()).expect("finite")
}

fn same() -> Conv {
    Conv::new(2).with_padding(&[(1, 1), (1, 1)])
}

/// A residual network of three blocks for 3×32×32 images and 10 classes.
fn network() -> Network {
    let mut net = NetworkBuilder::new(&[3, 32, 32]).expect("a shape");
    let mut add = |name: &str, op: Op, inputs: &[_]| net.add(name, op, inputs).expect("fits");
    let relu = || Op::Activation(Activation::Relu);
    let mut x = add(
        "stem",
        Op::conv(kernel(&[16, 3, 3, 3], 0.3), same()),
        &[sigmax::network::NodeId::new(0)],
    );
    for _ in 0..3 {
        let y = add("conv", Op::conv(kernel(&[16, 16, 3, 3], 0.1), same()), &[x]);
        let y = add("relu", relu(), &[y]);
        let y = add("conv", Op::conv(kernel(&[16, 16, 3, 3], 0.1), same()), &[y]);
        let sum = add("sum", Op::Add, &[x, y]);
        x = add("relu", relu(), &[sum]);
    }
    let mean = Separable::mean(&[16, 32, 32], &[1, 2]).expect("axes");
    let y = add("mean", Op::Separable(mean), &[x]);
    let y = add("flatten", Op::Pick(Pick::flatten(&[16, 1, 1])), &[y]);
    let y = add("dense", Op::dense(kernel(&[10, 16], 1.0)), &[y]);
    net.finish(&[y]).expect("an output")
}

/// Values and error bounds of [`IMAGES`] images.
#[divan::bench(sample_count = 10)]
fn evaluation_with_error(bencher: Bencher<'_, '_>) {
    let network = network();
    let bounds = lipschitz(&network, &Options::default()).expect("bounded");
    let forward = Forward::new(&bounds).expect("fits");
    let images = numbers(IMAGES * 3 * 32 * 32);
    bencher.bench(|| forward.evaluate(black_box(&images)).expect("finite"));
}

/// The convolutions of the same network alone, by plain loops, without any error bound.
#[divan::bench(sample_count = 3)]
fn convolutions_by_plain_loops(bencher: Bencher<'_, '_>) {
    let size = [32, 32];
    let stem = Operator::new(&kernel(&[16, 3, 3, 3], 0.3), &same().with_input_size(&size));
    let inner = Operator::new(
        &kernel(&[16, 16, 3, 3], 0.1),
        &same().with_input_size(&size),
    );
    let (stem, inner) = (stem.expect("fits"), inner.expect("fits"));
    let image = numbers(3 * 32 * 32);
    bencher.bench(|| {
        for _ in 0..IMAGES {
            let mut x = stem.apply(black_box(&image));
            for _ in 0..6 {
                x = inner.apply(&x);
            }
            black_box(x);
        }
    });
}

/// All norms of the network, once.
#[divan::bench(sample_count = 5)]
fn lipschitz_constant(bencher: Bencher<'_, '_>) {
    let network = network();
    bencher.bench(|| lipschitz(black_box(&network), &Options::default()).expect("bounded"));
}

/// Certificates of [`IMAGES`] images, the norms known.
#[divan::bench(sample_count = 10)]
fn certificates(bencher: Bencher<'_, '_>) {
    let network = network();
    let certifier =
        Certifier::new(&network, &Options::default(), Arithmetic::Real).expect("a classifier");
    let images = numbers(IMAGES * 3 * 32 * 32);
    let labels = vec![0; IMAGES];
    bencher.bench(|| {
        certifier
            .certify(black_box(&images), &labels, true)
            .expect("finite")
    });
}

/// The norm of the Jacobian at one input, 8 steps of power iteration (an estimate).
#[divan::bench(sample_count = 5)]
fn jacobian(bencher: Bencher<'_, '_>) {
    let network = network();
    let bounds = lipschitz(&network, &Options::default()).expect("bounded");
    let forward = Forward::new(&bounds).expect("fits");
    let image = numbers(3 * 32 * 32);
    bencher.bench(|| jacobian_norm(&forward, black_box(&image), 8).expect("finite"));
}

/// One layer of 128 softplus units for 256 pixels and 10 classes.
fn smooth_network() -> Network {
    let mut net = NetworkBuilder::new(&[256]).expect("a shape");
    let mut x = net.input();
    for (name, op) in [
        ("dense", Op::dense(kernel(&[128, 256], 0.3))),
        ("softplus", Op::Activation(Activation::Softplus)),
        ("logits", Op::dense(kernel(&[10, 128], 1.0))),
    ] {
        x = net.add(name, op, &[x]).expect("fits");
    }
    net.finish(&[x]).expect("an output")
}

/// The curvature of all 90 ordered pairs of classes.
#[divan::bench(sample_count = 5)]
fn curvature_of_all_pairs(bencher: Bencher<'_, '_>) {
    let bounds = lipschitz(&smooth_network(), &Options::default()).expect("bounded");
    bencher.bench(|| curvature(black_box(&bounds), &Options::default()).expect("smooth"));
}

/// One gradient with its error.
#[divan::bench(sample_count = 50)]
fn gradient_with_error(bencher: Bencher<'_, '_>) {
    let bounds = lipschitz(&smooth_network(), &Options::default()).expect("bounded");
    let forward = Forward::new(&bounds).expect("fits");
    let image = numbers(256);
    bencher.bench(|| {
        forward
            .gradient(black_box(&image), 3, Some(7))
            .expect("smooth")
    });
}
