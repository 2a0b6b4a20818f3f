//! The command `sigmax`: [`main`] is all of it, for the binary and for the Python package, whose
//! console script it is.

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

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

/// Runs the command with these arguments, the first of which is its own name, and returns its exit
/// code: 0 done, 1 a gate is not met or a certificate not confirmed, 2 bad input or usage.
///
/// Takes over SIGINT, SIGTERM and SIGHUP: they end the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    interrupt::install();
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(usage) => {
            // Help goes to stdout, errors to stderr; there may be nobody to read either.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).unwrap_or(2);
        }
    };
    let outcome = match args.command {
        Command::Audit(args) => audit::run(&args),
        Command::Certify(args) => certify::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Compare(args) => compare::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::Closed) => 0,
        Err(failure) => {
            // There is nobody to tell if stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {}", failure.text());
            failure.code()
        }
    }
}
