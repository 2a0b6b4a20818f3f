//! The command `sigmax`.

mod args;
mod audit;
mod failure;
mod interrupt;
mod output;
mod progress;
mod schedule;
mod screen;
mod select;
mod share;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    interrupt::install();
    let Args {
        command: Command::Audit(args),
    } = Args::parse();
    match audit::run(&args) {
        Ok(code) => code,
        Err(failure) => {
            // There is nobody to tell if stderr is closed.
            let _ = writeln!(
                std::io::stderr(),
                "error: {}",
                screen::escaped(&failure.to_string())
            );
            ExitCode::from(failure.code())
        }
    }
}
