//! The binary `sigmax-train`: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use sigmax_train::cli::Cli;
use sigmax_train::command;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = std::io::stdout();
    match command::run(&cli, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed too, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "sigmax-train: {error}");
            ExitCode::from(2)
        }
    }
}
