//! The command `sigmax`.

mod args;
mod audit;
mod certify;
mod check;
mod compare;
mod failure;
mod interrupt;
mod merge;
mod output;
mod progress;
mod resources;
mod screen;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    interrupt::install();
    let outcome = match Args::parse().command {
        Command::Audit(args) => audit::run(&args),
        Command::Certify(args) => certify::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {}", failure.text());
            ExitCode::from(failure.code())
        }
    }
}
