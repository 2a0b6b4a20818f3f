//! Step time with a penalty over step time without, ResNet-32 (batch 128) and `LeNet` (batch 64).
//!
//! `cargo bench -p sigmax-train --bench overhead [-- ROUNDS]`

use std::io::Write;

use sigmax_train::error::Error;
use sigmax_train::model::Architecture;
use sigmax_train::overhead;

fn main() -> Result<(), Error> {
    // Cargo passes `--bench`; a number is the number of rounds.
    let rounds = std::env::args().find_map(|argument| argument.parse().ok());
    let mut out = std::io::stdout().lock();
    overhead::print(Architecture::Lenet, rounds.unwrap_or(200), 20, &mut out)?;
    overhead::print(Architecture::Resnet32, rounds.unwrap_or(12), 2, &mut out)?;
    out.flush()?;
    Ok(())
}
