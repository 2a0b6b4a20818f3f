//! What sigmax says about one layer:
//!
//!     cargo run --release --example audit_kernel
#![allow(clippy::print_stdout, reason = "the example shows what it found")]

use sigmax::{Conv, Error, Kernel, Options, audit};

fn main() -> Result<(), Error> {
    // Edges in two directions, from one channel to two: [c_out, c_in/groups, k_h, k_w].
    let values = vec![
        -1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0, // horizontal
        -1.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0, // vertical
    ];
    let kernel = Kernel::new(&[2, 1, 3, 3], values)?;
    for stride in [1, 2] {
        let conv = Conv::new(2)
            .with_stride(&[stride, stride])
            .with_padding(&[(1, 1), (1, 1)]);
        let audit = audit(&kernel, &conv, &Options::default())?;
        let norm = audit.norm().bracket();
        // Every digit of a float is printed, so that what is read is what was proved.
        println!("stride {stride}");
        println!("  norm           at least {}", norm.lower().get());
        println!("                 at most  {}", norm.upper().get());
        println!(
            "  weighted four  at most  {}",
            audit.weighted_four().upper().get()
        );
        println!("  four           at most  {}", audit.four().min().get());
        println!(
            "  spectral_norm of other libraries (an estimate of another number): {}",
            audit.reshape_norm().get()
        );
    }
    Ok(())
}
