//! The Lipschitz constant of a small network with a residual connection:
//!
//!     cargo run --release --example network
#![allow(clippy::print_stdout, reason = "the example shows what it found")]

use sigmax::network::{Activation, NetworkBuilder, Op, lipschitz};
use sigmax::{Conv, Error, Kernel, Options};

fn main() -> Result<(), Error> {
    let blur = Kernel::new(&[1, 1, 3], vec![0.25, 0.5, 0.25])?;
    let conv = Conv::new(1).with_padding(&[(1, 1)]);
    let head = Kernel::new(&[2, 8], (0..16).map(|i| f64::from(i % 5) - 2.0).collect())?;

    // One sample is one channel of 8 pixels.
    let mut net = NetworkBuilder::new(&[1, 8])?;
    let x = net.input();
    let y = net.add("blur", Op::conv(blur, conv), &[x])?;
    let y = net.add("relu", Op::Activation(Activation::Relu), &[y])?;
    let sum = net.add("residual", Op::Add, &[x, y])?;
    let logits = net.add("head", Op::dense(head), &[sum])?;
    let net = net.finish(&[logits])?;

    let bounds = lipschitz(&net, &Options::default())?;
    for (node, bound) in net.nodes().iter().zip(bounds.nodes()) {
        println!(
            "{:<10} from the input at most {}",
            node.name,
            bound.through().get()
        );
    }
    println!("Lipschitz constant at most {}", bounds.upper().get());
    Ok(())
}
