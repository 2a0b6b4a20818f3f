//! Audits a model file and prints the norm of every layer:
//!
//!     cargo run --release --example audit_model -- MODEL
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the example shows what it found"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sigmax_formats::Model;
use sigmax_formats::report::{Request, Rounding, decimal};
use sigmax_run::{AuditRun, Error, NetworkPart, Resources};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("expected a file: ONNX, safetensors or PyTorch");
        return ExitCode::from(2);
    };
    match audit(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn audit(path: &Path) -> Result<(), Error> {
    let run = AuditRun::new(
        Model::open(path)?,
        Request::default(),
        NetworkPart::Included,
    )?;
    let report = run.run::<Error>(&Resources::default(), &mut ())?;
    for (layer, audit) in report.audited() {
        let upper = decimal(audit.upper().get(), 5, Rounding::Up);
        println!("{}: norm at most {upper}", layer.name);
    }
    for (refused, _) in report.refused() {
        println!("{}: nothing is proved, {}", refused.name, refused.reason);
    }
    Ok(())
}
