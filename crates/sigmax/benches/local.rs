//! How the time of bounds around an image grows with the network.
//!
//! `cargo bench -p sigmax --bench local`

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod common;

use std::time::{Duration, Instant};

use sigmax::network::{
    Activation, Arithmetic, Certifier, Distances, Limits, Network, NetworkBuilder, Op, Pick,
};
use sigmax::{Conv, Kernel, Options};

use crate::common::numbers;

/// How far beyond the radius by constants.
const FACTORS: [f64; 3] = [4.0, 8.0, 16.0];

fn main() {
    println!(
        "four convolutions and three dense layers with ReLU, random weights, one image of 3×32×32 at"
    );
    println!("{FACTORS:?} times the radius by constants\n");
    println!(
        "width   neurons   constants      proved?         s   proved?         s   proved?         s"
    );
    for width in [4, 8, 16, 32] {
        let (network, neurons) = network(width);
        let began = Instant::now();
        let certifier =
            Certifier::new(&network, &Options::default(), Arithmetic::Real).expect("a classifier");
        let constants = began.elapsed();
        let image: Vec<f64> = numbers(3 * 32 * 32).iter().map(|v| v + 0.5).collect();
        let found = certifier.certify(&image, &[0], true).expect("finite");
        let label = found[0].prediction();
        let certify = || certifier.certify(&image, &[label], true).expect("finite");
        let radius = certify()[0].radius().get();
        let mut row = format!("{width:5} {neurons:9} {:9.2} s", constants.as_secs_f64());
        for factor in FACTORS {
            let mut found = certify();
            let only = Distances::Only(vec![factor * radius]);
            let time = Limits {
                each: Some(Duration::from_secs(120)),
                ..Limits::default()
            };
            let began = Instant::now();
            certifier
                .enlarge(&image, true, &mut found, &only, time)
                .expect("finite");
            let seconds = began.elapsed().as_secs_f64();
            let proved = if found[0].radius().get() > radius {
                "yes"
            } else {
                "no"
            };
            row += &format!(" {proved:>12} {seconds:9.2}");
        }
        println!("{row}");
    }
}

/// The shape that is called ConvLarge at width 32, and its number of neurons.
fn network(width: usize) -> (Network, usize) {
    let mut net = NetworkBuilder::new(&[3, 32, 32]).expect("a shape");
    let (mut x, mut neurons) = (net.input(), 0);
    let mut add = |op: Op, x| {
        let y = net.add("", op, &[x]).expect("fits");
        (y, net.shape(y).iter().product::<usize>())
    };
    let relu = || Op::Activation(Activation::Relu);
    let mut channels = 3;
    for (out, size, stride) in [
        (width, 3, 1),
        (width, 4, 2),
        (2 * width, 3, 1),
        (2 * width, 4, 2),
    ] {
        let conv = Conv::new(2)
            .with_padding(&[(1, 1), (1, 1)])
            .with_stride(&[stride, stride]);
        let (y, entries) = add(Op::conv(kernel(&[out, channels, size, size]), conv), x);
        neurons += entries;
        (x, channels) = (add(relu(), y).0, out);
    }
    let mut features = 2 * width * 64;
    x = add(Op::Pick(Pick::flatten(&[2 * width, 8, 8])), x).0;
    for _ in 0..2 {
        x = add(Op::dense(kernel(&[16 * width, features])), x).0;
        x = add(relu(), x).0;
        features = 16 * width;
        neurons += features;
    }
    x = add(Op::dense(kernel(&[10, features])), x).0;
    (net.finish(&[x]).expect("an output"), neurons)
}

/// Weights of variance 1/inputs.
fn kernel(shape: &[usize]) -> Kernel {
    let count: usize = shape.iter().product();
    let size = (12.0 * shape[0] as f64 / count as f64).sqrt();
    let values = numbers(count).into_iter().map(|v| size * v).collect();
    Kernel::new(shape, values).expect("finite")
}
