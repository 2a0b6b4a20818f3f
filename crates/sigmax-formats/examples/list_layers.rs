//! The layers of a model file, with a proved upper bound of the norm of each:
//!
//!     cargo run --release --example list_layers -- MODEL
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the example shows what it found"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use sigmax::Options;
use sigmax_formats::Model;
use sigmax_formats::report::{Rounding, decimal};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("expected a file: ONNX, safetensors or PyTorch");
        return ExitCode::from(2);
    };
    match list(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn list(path: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    // The structure is read now, every weight when it is asked for.
    let model = Model::open(path)?;
    for layer in &model.layers {
        let weight = model.read_weight(layer)?;
        let bound = layer.audit(&weight, &Options::default())?.upper();
        println!(
            "{} {:?}: norm at most {}",
            layer.name,
            layer.shape,
            decimal(bound.get(), 5, Rounding::Up)
        );
    }
    for refused in &model.skipped.refused {
        println!("{}: not read, {}", refused.name, refused.reason);
    }
    Ok(())
}
